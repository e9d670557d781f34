"""Values on a study area's grid into the database, whatever they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import Connection

from db.errors import UsageError
from db.evidence import (
    EvidenceArea,
    EvidenceLayer,
    NewLayer,
    find_layer,
    insert_layer,
    read_layer,
    sets_with_layer,
    write_layer,
)
from ingest.evidence.gridded import Gridded
from ingest.evidence.judged import judged_cells

_FACTS = ("kind", "element", "unit", "resampling")
"""What makes a layer of the same values another one."""


@dataclass(frozen=True)
class LayerFacts:
    """What is known of a layer beside its values; fields as in ``NewLayer``."""

    name: str
    kind: str
    element: str | None
    unit: str | None
    source_name: str
    sha256: str


@dataclass(frozen=True)
class LayerOutcome:
    """What became of a layer.

    Attributes:
        layer: the layer as the database has it.
        is_new: False when it was there already and nothing happened.
        is_replacement: it took the place of an older one.
        notes: what the user should know.

    """

    layer: EvidenceLayer
    is_new: bool
    is_replacement: bool
    notes: tuple[str, ...]


def store_layer(
    conn: Connection[Any], area: EvidenceArea, facts: LayerFacts, gridded: Gridded, *, replace: bool = False
) -> LayerOutcome:
    """Store a layer of a study area, inside the caller's transaction, which holds the area's lock.

    Args:
        conn: connection, not in autocommit mode.
        area: the study area.
        facts: what is known of the layer.
        gridded: its values on the area's grid.
        replace: another layer of that name gives way.

    Raises:
        UsageError: no judged ground has a value, all of it has the same, or there is another layer of that
            name.

    """
    judged = judged_cells(area.geometry, area.grid)
    valid = judged & np.isfinite(gridded.values)
    _check_telling(gridded.values[valid], facts, area)
    new = NewLayer(
        evidence_area_id=area.evidence_area_id,
        name=facts.name,
        kind=facts.kind,
        element=facts.element,
        unit=facts.unit,
        source_name=facts.source_name,
        sha256=facts.sha256,
        resampling=gridded.resampling,
        source_resolution_m=gridded.source_resolution_m,
        shift_x_px=gridded.shift_x_px,
        shift_y_px=gridded.shift_y_px,
        valid_fraction=float(np.count_nonzero(valid) / np.count_nonzero(judged)),
        error_kind=gridded.error_kind,
        gridding=gridded.gridding,
    )
    there = find_layer(conn, area, facts.name)
    notes: tuple[str, ...] = ()
    if there is not None:
        differences = _differences(conn, there, new, gridded.values)
        if not differences:
            return LayerOutcome(there, False, False, ())
        refuse_other(there, facts, area, differences, replace=replace)
        notes = tuple(
            f"warning: set of patches {name!r} was cut from the layer as it was: make it anew"
            for name in sets_with_layer(conn, there)
        )
    layer = insert_layer(conn, new, replaces=there)
    write_layer(conn, area, layer, gridded.values, error=gridded.error, replaces=there)
    return LayerOutcome(layer, True, there is not None, (*gridded.notes, *notes))


def refuse_other(
    there: EvidenceLayer, facts: LayerFacts, area: EvidenceArea, differences: Sequence[str], *, replace: bool
) -> None:
    """Refuse a layer under a name that is taken, unless it is to take the other's place.

    Args:
        there: the layer of that name.
        facts: what is known of the new one.
        area: the study area.
        differences: in what they differ.
        replace: the other gives way.

    Raises:
        UsageError: it does not.

    """
    if replace:
        return
    raise UsageError(
        f"{facts.source_name}: study area {area.name!r} has a layer {facts.name!r} from {there.source_name} "
        f"with another {' and '.join(differences)}: --replace puts this one in its place, --name NAME keeps "
        "both"
    )


def _check_telling(values: npt.NDArray[np.float32], facts: LayerFacts, area: EvidenceArea) -> None:
    if values.size == 0:
        raise UsageError(
            f"{facts.source_name}: has no value on the judged ground of study area {area.name!r}: does it "
            "cover the area, and is --nodata right?"
        )
    if values.min() == values.max():
        raise UsageError(
            f"{facts.source_name}: has the value {values[0]:g} everywhere on the judged ground of study area "
            f"{area.name!r}: a constant layer is evidence of nothing; is it the right file and band?"
        )


def _differences(
    conn: Connection[Any], there: EvidenceLayer, new: NewLayer, values: npt.NDArray[np.float32]
) -> list[str]:
    found = [fact for fact in _FACTS if getattr(there, fact) != getattr(new, fact)]
    if there.gridding is not None and new.gridding is not None:
        is_same = there.gridding.get("digest") == new.gridding.get("digest")
    elif there.gridding is None and new.gridding is None:
        is_same = np.array_equal(read_layer(conn, there), values, equal_nan=True)
    else:
        is_same = False
    return found if is_same else ["content", *found]
