"""Logins of people and programs: members of a role of Lode, with that role's settings, or owners of mines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, errors
from psycopg.sql import SQL, Identifier, Literal

from db.errors import UsageError
from db.roles import ANALYST, MINE_OWNER, READER, READER_SETTINGS, ROLES, WORKER

KINDS = {"reader": READER, "analyst": ANALYST, "worker": WORKER, "owner": MINE_OWNER}
"""What a login may be, and the role whose rights it has."""

LONGEST_NAME_BYTES = 63
"""PostgreSQL cuts longer names off without a word."""

CONNECTIONS = {"reader": 20, "owner": 5}
"""Sessions that a login of this kind may have at a time; others: any number."""

COMMENT = "Lode: login added by lode role add"

# The role itself was granted what makes the rows of its name its own (lode_api.guard_mine_owner).
_STALE_OWNERS = """
select distinct o.role_name, r.oid is not null
from lode.mine_owner o
left join pg_roles r on r.rolname = o.role_name
where not exists (
  select from pg_proc f
  cross join lateral aclexplode(f.proacl) as a
  where f.oid = to_regprocedure('lode_api.own_mines()') and a.grantee = r.oid
)
order by 1
"""


_FORMER_OWNERS = """
select r.rolname::text
from pg_proc f
cross join lateral aclexplode(f.proacl) as a
join pg_roles r on r.oid = a.grantee
where f.oid = to_regprocedure('lode_api.own_mines()') and r.rolname <> all(%s) and r.oid <> f.proowner
  and not exists (select from lode.mine_owner o where o.role_name = r.rolname)
order by 1
"""


@dataclass(frozen=True)
class Login:
    """A login with rights in the database.

    Attributes:
        name: role name.
        kinds: what it is: of ``KINDS``.
        mines: codes of the mines it owns.
        can_log_in: whether it may log in at all.

    """

    name: str
    kinds: tuple[str, ...]
    mines: tuple[str, ...]
    can_log_in: bool


def check_name(name: str) -> str:
    """Return the name if a login may have it.

    Raises:
        UsageError: it is empty, too long, PostgreSQL's own or one of ours.

    """
    if not name.strip() or "\x00" in name or len(name.encode()) > LONGEST_NAME_BYTES:
        raise UsageError(f"{name!r} cannot name a login: use up to {LONGEST_NAME_BYTES} bytes, not blank")
    ours = {role.name for role in ROLES} | {"lode_admin", "postgres"}
    if name.lower() in ours or name.lower().startswith("pg_") or name.lower() in ("public", "none"):
        raise UsageError(f"{name!r} is a role of PostgreSQL's or of Lode's own: choose another name")
    return name


def add_login(
    conn: Connection[Any], name: str, kind: str, *, mines: Sequence[str] = (), password: str | None = None
) -> None:
    """Make a login, or give an owner's login further mines; the caller commits.

    Args:
        conn: connection inside a transaction, of a role that may make roles.
        name: its name, stored verbatim.
        kind: of ``KINDS``.
        mines: codes of mines, for an owner alone.
        password: None: it can log in only where the server asks for none.

    Raises:
        UsageError: a name that cannot be, a login of another kind, a mine that is not there, or no right.

    """
    check_name(name)
    if (kind == "owner") != bool(mines):
        raise UsageError(
            f"login {name}: name the owner's mines with --mine CODE"
            if kind == "owner"
            else f"login {name}: mines are named for an owner alone (--as owner)"
        )
    row = conn.execute(
        "select r.rolsuper or r.rolcreaterole, pg_has_role(g.oid, 'member') from pg_roles r"
        " left join pg_roles g on g.rolname = %s where r.rolname = current_user",
        (KINDS[kind],),
    ).fetchone()
    if row is None or not row[0]:
        raise UsageError("this login may not make roles: run it as a superuser, or with CREATEROLE")
    if row[1] is None:
        raise UsageError(f"the role {KINDS[kind]} is missing: run `lode db upgrade` as a superuser first")
    if name in (stale := stale_owners(conn)):
        raise UsageError(
            f"mines of an earlier login {name} are still recorded: "
            + ("see docs/roles.md" if stale[name] else f"`lode role remove {name}` forgets them")
        )
    known = {login.name: login for login in list_logins(conn)}
    if name in known and (kind != "owner" or known[name].kinds != ("owner",)):
        raise UsageError(f"login {name} is there already ({', '.join(known[name].kinds)}): remove it first")
    if name not in known:
        _create(conn, name, kind, password)
    elif password is not None:
        _set_password(conn, name, password)
    for code in mines:
        done = conn.execute(
            "insert into lode.mine_owner (role_name, mine_id)"
            " select %s, m.mine_id from lode.mine m where m.code = %s"
            " on conflict (role_name, mine_id) do update set granted_at = mine_owner.granted_at",
            (name, code),
        )
        if not done.rowcount:
            raise UsageError(f"there is no mine {code}: its code stands in lode.mine")


def _create(conn: Connection[Any], name: str, kind: str, password: str | None) -> None:
    limit = CONNECTIONS.get(kind, -1)
    words = SQL("create role {} login connection limit {} in role {}")
    try:
        conn.execute(words.format(Identifier(name), Literal(limit), Identifier(KINDS[kind])))
    except errors.DuplicateObject as error:
        raise UsageError(
            f"a role {name} is there already, made by other means: choose another name"
        ) from error
    if kind in CONNECTIONS:
        for setting, value in READER_SETTINGS:
            words = SQL("alter role {} set {} = {}")
            conn.execute(words.format(Identifier(name), Identifier(setting), Literal(value)))
    conn.execute(SQL("comment on role {} is {}").format(Identifier(name), Literal(COMMENT)))
    if password is not None:
        _set_password(conn, name, password)


def _set_password(conn: Connection[Any], name: str, password: str) -> None:
    """Set a password as the digest that libpq makes of it: the server, and its log, never see it."""
    digest = conn.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    conn.execute(SQL("alter role {} password {}").format(Identifier(name), Literal(digest)))


def list_logins(conn: Connection[Any]) -> list[Login]:
    """Logins that are members of a role of Lode, or own mines, by name."""
    rows = conn.execute(
        "select r.rolname::text, array_remove(array_agg(distinct k.kind order by k.kind), null),"
        " array(select m.code from lode.mine_owner o join lode.mine m on m.mine_id = o.mine_id"
        "  where o.role_name = r.rolname order by m.code), r.rolcanlogin"
        " from pg_roles r"
        " join pg_auth_members a on a.member = r.oid join pg_roles g on g.oid = a.roleid"
        " join unnest(%s::text[], %s::text[]) as k(kind, name) on k.name = g.rolname"
        " where r.rolname <> all(%s) group by r.oid, r.rolname, r.rolcanlogin order by r.rolname",
        (list(KINDS), list(KINDS.values()), [role.name for role in ROLES]),
    ).fetchall()
    stale = stale_owners(conn)
    return [
        Login(name, tuple(kinds), () if name in stale else tuple(mines), can_log_in)
        for name, kinds, mines, can_log_in in rows
    ]


def stale_owners(conn: Connection[Any]) -> dict[str, bool]:
    """Names in ``lode.mine_owner`` that give nobody a mine, and whether a role of that name is there.

    Their role was dropped or renamed, or privileges were left out of a restore.
    """
    return dict(conn.execute(_STALE_OWNERS).fetchall())


def former_owners(conn: Connection[Any]) -> list[str]:
    """Roles with an owner's grant and no mine: they were renamed before their rows were deleted."""
    return [name for (name,) in conn.execute(_FORMER_OWNERS, ([role.name for role in ROLES],))]


def remove_login(conn: Connection[Any], name: str) -> None:
    """Drop a login and forget its mines; what it wrote stays, with its name. The caller commits.

    Raises:
        UsageError: there is no such login, it owns something, or this login may not.

    """
    check_name(name)
    forgotten = conn.execute("delete from lode.mine_owner where role_name = %s", (name,)).rowcount
    row = conn.execute("select from pg_roles where rolname = %s", (name,)).fetchone()
    if row is None:
        if forgotten:
            return
        raise UsageError(f"there is no login {name}: `lode role list` names them")
    if name not in {login.name for login in list_logins(conn)}:
        raise UsageError(f"the role {name} has no rights of Lode's and is left alone")
    try:
        conn.execute(SQL("drop role {}").format(Identifier(name)))
    except errors.DependentObjectsStillExist as error:
        where = (error.diag.message_detail or "").splitlines()[0]
        forget = SQL("delete from lode.mine_owner where role_name = {}").format(Literal(name))
        raise UsageError(
            f"login {name} owns something or was granted something, here or in another database ({where})."
            f" Where that is a copy of this one, its mines: `{forget.as_string(conn)}` there; else let a"
            " superuser run `reassign owned` and `drop owned` there first"
        ) from error
    except errors.InsufficientPrivilege as error:
        raise UsageError(f"this login may not drop roles ({error}): run it as a superuser") from error
