"""The commands that bring files into the database: ``lode ingest``."""

from __future__ import annotations

import click

from ingest.calibration_command import calibration
from ingest.evidence_commands import area, evidence
from ingest.feature_commands import deposits, faults, labels, lithology, mines, plutons, regions
from ingest.scene_command import scene


@click.group(name="ingest")
def ingest_group() -> None:
    """Bring scenes, labels, maps and evidence into the database.

    Only files on this machine are read. A file goes in whole or not at all; the same file again changes
    nothing.
    """


_COMMANDS = (
    *(scene, labels, mines, regions, faults, plutons, lithology, deposits),
    *(area, evidence, calibration),
)
for _command in _COMMANDS:
    ingest_group.add_command(_command)
