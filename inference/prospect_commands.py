"""`lode prospect`: where ore may lie."""

from __future__ import annotations

import click

from inference.prospect.apply_command import apply_, list_, targets, withdraw
from inference.prospect.dataset_command import dataset, remove


@click.group("prospect")
def prospect_group() -> None:
    """Find where ore may lie: sets of patches, searches and targets."""


prospect_group.add_command(dataset)
for _command in (remove, apply_, list_, targets, withdraw):
    prospect_group.add_command(_command)
