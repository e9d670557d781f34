"""Schema ``lode_api``: code, not state. Dropped by name and rebuilt from ``sql/`` at each upgrade.

What was installed is recorded in ``lode.api_object``, so that a later version drops exactly what an
earlier one made, and never by CASCADE: PostgreSQL then refuses when something of the user's stands
on it, and says what. Who was granted something on what is dropped has it again on what is made.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import Cursor, errors
from psycopg.sql import SQL, Composed, Identifier

from db.errors import UsageError


def trusted(text: str) -> SQL:
    """SQL of which every part came quoted from the catalogue, or is a constant of ours."""
    return SQL(text)


SQL_FOLDER = Path(__file__).resolve().parents[1] / "sql"
"""Lies beside this package, in a checkout and in an installation alike."""


@dataclass(frozen=True)
class ApiFile:
    """One file of ``sql/``: kind is ``view``, ``function``, ``trigger`` or ``sequence``.

    Its stem is the object's name. A trigger's name is that of its table and its own, ``mine.derive``; the
    table lies in schema ``lode``. ``topic`` is the folder of a function.
    """

    kind: str
    name: str
    text: str
    topic: str

    @property
    def sha256(self) -> str:
        """Digest of the file's text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def api_files() -> list[ApiFile]:
    """The files named in ``sql/order.txt``, in that order."""
    root = SQL_FOLDER
    listed = [line.strip() for line in (root / "order.txt").read_text("utf-8").splitlines()]
    found = []
    for line in listed:
        if line and not line.startswith("#"):
            path = Path(line)
            text = (root / path).read_text("utf-8")
            found.append(ApiFile(path.parts[0].removesuffix("s"), path.stem, text, path.parent.name))
    return found


def installed_api(cursor: Cursor[Any]) -> list[tuple[str, str, str]]:
    """Kind, name and digest of what is installed, in the order it was made."""
    cursor.execute("select to_regclass('lode.api_object') is not null")
    row = cursor.fetchone()
    if row is None or not row[0]:
        return []
    cursor.execute("select kind, name, sha256 from lode.api_object order by position")
    return [(kind, name, digest) for kind, name, digest in cursor.fetchall()]


def is_api_current(cursor: Cursor[Any]) -> bool:
    """Whether what is installed equals the files of ``sql/``."""
    return installed_api(cursor) == [(file.kind, file.name, file.sha256) for file in api_files()]


_KEEP_GRANTS = """
create temporary table lode_api_grant on commit drop as
select format('lode_api.%I', c.relname) as relation, null as attribute, null as signature, a.*
from pg_class c
cross join lateral aclexplode(c.relacl) as a
where c.relnamespace = 'lode_api'::regnamespace and a.grantee <> c.relowner
union all
select format('lode_api.%I', c.relname), t.attname::text, null, a.*
from pg_class c
join pg_attribute t on t.attrelid = c.oid and not t.attisdropped
cross join lateral aclexplode(t.attacl) as a
where c.relnamespace = 'lode_api'::regnamespace and a.grantee <> c.relowner
union all
select null, null, format('lode_api.%I(%s)', p.proname, oidvectortypes(p.proargtypes)), a.*
from pg_proc p
cross join lateral aclexplode(p.proacl) as a
where p.pronamespace = 'lode_api'::regnamespace and a.grantee not in (p.proowner, 0)
"""

# Of what an upgrade no longer makes nothing is granted.
_KEPT_GRANTS = """
select format(
  'grant %s%s on %s to %s%s', g.privilege_type, ' (' || quote_ident(g.attribute) || ')',
  coalesce(g.relation, 'routine ' || g.signature), coalesce(quote_ident(r.rolname), 'public'),
  case when g.is_grantable then ' with grant option' else '' end
)
from lode_api_grant g
left join pg_roles r on r.oid = g.grantee
where to_regprocedure(g.signature) is not null
  or (to_regclass(g.relation) is not null and (g.attribute is null or exists (
    select from pg_attribute t
    where t.attrelid = to_regclass(g.relation) and t.attname = g.attribute and not t.attisdropped
  )))
"""


def drop_api(cursor: Cursor[Any]) -> None:
    """Drop what was installed, last first; what was granted on it is kept for ``rebuild_api``.

    Raises:
        UsageError: something that is not ours depends on it; the message names it.

    """
    cursor.execute("drop table if exists pg_temp.lode_api_grant")
    cursor.execute(_KEEP_GRANTS)
    cursor.execute("grant select on pg_temp.lode_api_grant to public")  # it is read as another role
    for kind, name, _digest in reversed(installed_api(cursor)):
        try:
            cursor.execute(_drop_statement(kind, name))
        except errors.DependentObjectsStillExist as error:
            detail = (error.diag.message_detail or str(error)).strip()
            raise UsageError(
                f"the upgrade would have to drop lode_api.{name}, but something of yours stands on it:\n"
                f"{detail}\n"
                "Nothing was changed. Keep its definition, drop it, upgrade, and create it again."
            ) from error


def _drop_statement(kind: str, name: str) -> Composed:
    if kind == "trigger":
        table, _, trigger = name.partition(".")
        return SQL("drop trigger if exists {} on lode.{}").format(Identifier(trigger), Identifier(table))
    return SQL("drop {} if exists lode_api.{}").format(SQL(kind), Identifier(name))


_DERIVING = {"accounts", "alerts", "assessments", "regions", "tiles"}
"""Folders of the functions that areas, change, alerts and maps are derived by."""


def rules_sha256() -> str:
    """Digest of the functions that derive areas: with other rules everything has to be derived again."""
    rules = [file for file in api_files() if file.kind == "function" and file.topic in _DERIVING]
    return hashlib.sha256("".join(f"{file.name} {file.sha256}\n" for file in rules).encode()).hexdigest()


_CLOSED_FUNCTIONS = """
select p.oid::regprocedure::text from pg_proc p
where p.pronamespace = 'lode_api'::regnamespace and p.proname = any(%s)
  and (p.prosecdef or p.provolatile = 'v')
order by 1
"""


# A function in SQL proper (``begin atomic``) was bound to what it names when it was made, and can be merged
# into the query that calls it, which a setting of its own would prevent.
_LOOSE_FUNCTIONS = """
select p.oid::regprocedure::text from pg_proc p
where p.pronamespace = 'lode_api'::regnamespace and p.proname = any(%s) and p.prosqlbody is null
  and not exists (select from unnest(p.proconfig) as c(setting) where c.setting like 'search\\_path=%%')
order by 1
"""

SEARCH_PATH = "lode, public, pg_temp"
"""Where functions look for what they name: never first where everybody may put something."""


def rebuild_api(cursor: Cursor[Any]) -> None:
    """Run the files of ``sql/``, record what was made and grant again what ``drop_api`` kept.

    Every function that does not fix its search path gets one, so that what a caller has in front of ours is
    not taken for ours.

    Functions that change something, and those that run with their owner's rights, are called by triggers,
    which need no right to: nobody else may execute them but who is granted it, or a trigger on a table of
    their own would let them write as the owner.
    """
    files = api_files()
    cursor.execute("delete from lode.api_object")
    for position, file in enumerate(files, start=1):
        cursor.execute(file.text.encode())
        cursor.execute(
            "insert into lode.api_object (position, kind, name, sha256) values (%s, %s, %s, %s)",
            (position, file.kind, file.name, file.sha256),
        )
    names = [file.name for file in files if file.kind == "function"]
    cursor.execute(_LOOSE_FUNCTIONS, (names,))
    for (signature,) in cursor.fetchall():
        cursor.execute(trusted(f"alter routine {signature} set search_path = {SEARCH_PATH}"))
    cursor.execute(_CLOSED_FUNCTIONS, (names,))
    for (signature,) in cursor.fetchall():
        cursor.execute(SQL("revoke execute on routine {} from public").format(SQL(signature)))
    _grant_again(cursor)


def _grant_again(cursor: Cursor[Any]) -> None:
    cursor.execute("select to_regclass('pg_temp.lode_api_grant') is not null")
    row = cursor.fetchone()
    if row is None or not row[0]:
        return
    cursor.execute(_KEPT_GRANTS)
    for (statement,) in cursor.fetchall():
        cursor.execute(statement)
