"""Models of which no ensemble can be made: a plain message, and nothing is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.registry import list_models, model_by_name, retire_model
from tests.conftest import copied_database
from tests.db.ensembles import Prepared, made


def copy_model(conn: Connection[Any], name: str, **columns: str) -> None:
    """A model like a; columns as SQL expressions over its row ``m``."""
    changes = {"name": f"'{name}'", **columns}
    pairs = ", ".join(f"'{column}', {expression}" for column, expression in changes.items())
    conn.execute(
        "insert into lode.model select (jsonb_populate_record(m, jsonb_build_object("  # type: ignore[arg-type]
        f"'model_id', (select max(model_id) + 1 from lode.model), {pairs}))).* from lode.model m"
        " where name = 'a'"
    )
    conn.execute(
        "insert into lode.model_weights select n.model_id, w.sha256, w.weights from lode.model_weights w"
        " join lode.model m using (model_id), lode.model n where m.name = 'a' and n.name = %s",
        (name,),
    )


@pytest.fixture(scope="module")
def misfits(cluster: Cluster, ensemble_database: str, ensemble: Prepared) -> Iterator[str]:
    """The database with models that do not go with a and b, each called by what is wrong with it."""
    with copied_database(cluster, ensemble_database) as url:
        with connect(url) as conn:
            for name in ("copy", "retired", "damaged"):
                copy_model(conn, name)
            copy_model(conn, "blocks", training="jsonb_set(m.training, '{split,edge_m}', '77')")
            copy_model(conn, "scene", training="jsonb_set(m.training, '{scenes,0,scene_id}', '77')")
            retire_model(conn, "retired", "drawn from a wrong year")
            conn.execute(
                "update lode.model_weights set weights = set_byte(weights, 5000, get_byte(weights, 5000) # 1)"
                " where model_id = (select model_id from lode.model where name = 'damaged')"
            )
            conn.commit()
        yield url


def names_stored(url: str) -> list[str]:
    with connect(url) as conn:
        return [record.name for record in list_models(conn)]


@pytest.mark.parametrize(
    ("name", "members", "message"),
    [
        ("a", ("a", "b"), "'a' exists"),
        (" ", ("a", "b"), "model name"),
        ("x", ("a",), "at least two members, got a alone"),
        ("x", (), "at least two members, got none"),
        ("x", ("a", "a"), "member a is named twice"),
        ("x", ("a", "nobody"), "no model is called 'nobody': there are a, b"),
        ("x", ("a", "copy"), "members a and copy are one network"),
        ("x", ("b", "blocks"), "b and blocks were trained on different splits"),
        ("x", ("b", "scene"), "b and scene were trained on different scenes"),
        ("x", ("b", "retired"), "retired was retired on .*drawn from a wrong year"),
        ("x", ("b", "damaged"), "weights of model damaged are damaged"),
        ("x", ("both", "a"), "member both is an ensemble itself: name its members instead, a, b,"),
    ],
)
def test_refusals_leave_nothing_behind(
    misfits: str, name: str, members: tuple[str, ...], message: str
) -> None:
    before = names_stored(misfits)
    with pytest.raises(UsageError, match=message):
        made(misfits, name, members)
    assert names_stored(misfits) == before


def test_labels_and_sample_set_must_still_be_there(ensemble_copy: str) -> None:
    with connect(ensemble_copy) as conn:
        split = model_by_name(conn, "a").training["split"]
        edge_m = split["edge_m"]
        for col, row, part in split["blocks"]:
            if part == "test":
                conn.execute(
                    "delete from lode.label where st_intersects(st_transform(geom, 32645),"
                    " st_makeenvelope(%s, %s, %s, %s, 32645))",
                    (col * edge_m, row * edge_m, (col + 1) * edge_m, (row + 1) * edge_m),
                )
        conn.commit()
    with pytest.raises(UsageError, match=r"no labelled pixel .* for test .* bands blue, green, red, nir"):
        made(ensemble_copy, "x")
    with connect(ensemble_copy) as conn:
        conn.execute("delete from lode.label")
        conn.commit()
    with pytest.raises(UsageError, match="no label of a class that networks know"):
        made(ensemble_copy, "x")
    with connect(ensemble_copy) as conn:
        conn.execute(
            "update lode.model set training = jsonb_set(training, '{split}',"
            ' \'{"sample_set": "gone", "digest": "0"}\')'
        )
        conn.commit()
    with pytest.raises(UsageError, match="gone"):
        made(ensemble_copy, "x")
    assert "x" not in names_stored(ensemble_copy)
