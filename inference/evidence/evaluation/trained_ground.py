"""The evidence that the model of a search works on, read anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import Connection

from db.errors import UsageError
from db.prospect_evaluations import EvaluatedSearch
from inference.evidence.ground import evidence_ground
from inference.evidence.mineral_system import MineralSystem
from inference.evidence.types import EvidenceGround, Report, silent


def evidence_of(
    conn: Connection[Any], search: EvaluatedSearch, report: Report = silent
) -> tuple[EvidenceGround, MineralSystem]:
    """Stored layers of the area that was searched, as the model takes them, and its mineral system.

    Raises:
        UsageError: the search is of no study area, what is stored with the model cannot be read, or a layer
            is no more there, or came in anew since.

    """
    stored, layers = search.training.get("system"), search.training.get("layers")
    if search.area is None or not isinstance(stored, Mapping) or not isinstance(layers, Mapping):
        raise UsageError(
            f"search {search.prospect_run_id} of model {search.model} does not say what evidence it was made "
            "of: train the model again with `lode train evidence` and search with it"
        )
    system = MineralSystem.from_json(stored)
    ground = evidence_ground(conn, search.area, system, layers=tuple(layers), geology=False, report=report)
    found = {str(name): key for name, key in (search.parameters.get("layers") or {}).items()}
    changed = [name for name, key in found.items() if ground.layer_ids.get(name, key) != key]
    if changed:
        raise UsageError(
            f"{', '.join(changed)} of study area {search.area} came in anew since search "
            f"{search.prospect_run_id}, so that plain answers would be of other evidence: search the area "
            "again with `lode prospect apply`"
        )
    return ground, system
