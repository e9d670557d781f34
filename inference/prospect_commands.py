"""`lode prospect`: where ore may lie."""

from __future__ import annotations

import click

from inference.evidence.evaluate_command import evaluate
from inference.prospect.apply_command import apply_, list_, targets, withdraw
from inference.prospect.dataset_command import dataset, remove


@click.group("prospect")
def prospect_group() -> None:
    """Find where ore may lie: patches, searches, targets, their worth."""


prospect_group.add_command(dataset)
for _command in (remove, apply_, evaluate, list_, targets, withdraw):
    prospect_group.add_command(_command)
