"""Drawn ground that raises alerts: a mine of 18 cells, a scene of all of it for every year or day."""

from __future__ import annotations

from datetime import date
from typing import Any

from psycopg import Connection

from db import runs
from tests.catalogue_rows import add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.grids import cells

WHOLE = """
    xxxxxx
    xxxxxx
    xxxxxx
"""
BARE = "bbbbbb\nbbbbbb\nbbbbbb"


class District:
    """A mine ``M1`` that covers WHOLE, one network, and scenes of the same ground.

    With ``made`` it is the one that the database has.
    """

    def __init__(self, conn: Connection[Any], *, made: bool = False) -> None:
        self.conn = conn
        if made:
            (self.mine_id,) = conn.execute("select mine_id from lode.mine").fetchone() or (0,)
            (self.model_id,) = conn.execute("select model_id from lode.model").fetchone() or (0,)
            return
        self.mine_id = add_mine(conn, "M1", cells(WHOLE, "x"))
        self.model_id = add_model(conn, "net")

    def publish(
        self, day: date, drawing: str, *, probability: float = 0.9, codes: tuple[int, ...] | None = None
    ) -> int:
        """Publish a new scene of that day; every polygon has this mean probability. Returns the run.

        The network maps all classes, or with ``codes`` these alone.
        """
        (number,) = self.conn.execute("select count(*) from lode.scene").fetchone() or (0,)
        scene = add_scene(self.conn, f"scene {number} of {day}", day, cells(WHOLE, "x"))
        model_id = self.model_id if codes is None else add_model(self.conn, f"net {number}", codes)
        run = publish_drawing(self.conn, scene, model_id, day.year, drawing, current=False)
        self.conn.execute(
            "update lode.landcover set mean_probability = %s where run_id = %s", (probability, run)
        )
        runs.make_current(self.conn, run)
        return run

    def license_(self, drawing: str) -> None:
        """Draw the mine's licence boundary: the cells with an x."""
        self.conn.execute(
            "update lode.mine set licence_boundary = %s::geometry where mine_id = %s",
            (ewkb(cells(drawing, "x")).hex(), self.mine_id),
        )

    def label(self, code: int, drawing: str, day: date) -> None:
        """Draw a label that counts over the cells with an x."""
        self.conn.execute(
            "insert into lode.label (land_class_code, geom, valid_on, interpreter, is_counted)"
            " values (%s, %s::geometry, %s, 'drawn', true)",
            (code, ewkb(cells(drawing, "x")).hex(), day),
        )

    def rules(self, *rules: tuple[str, str, float | None, float | None]) -> None:
        """Put these rules (kind, level, m2, fraction) in place of the seeded ones."""
        self.conn.execute("delete from lode.alert_rule")
        for rule in rules:
            self.conn.execute(
                "insert into lode.alert_rule (kind, level, threshold_m2, threshold_fraction)"
                " values (%s, %s, %s, %s)",
                rule,
            )

    def alerts(self, *columns: str) -> list[tuple[Any, ...]]:
        """These columns of ``lode_api.damage_alert``, by kind and year."""
        return self.conn.execute(
            f"select {', '.join(columns)} from lode_api.damage_alert order by kind, year"
        ).fetchall()

    def commit(self) -> None:
        """End the transaction: open alerts that were withdrawn go, now() moves on."""
        self.conn.commit()
