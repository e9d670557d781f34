"""`lode samples`: windows that networks are trained, validated and tested on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from db.connection import connect
from db.samples import SPLITS, list_sample_sets, remove_sample_set, sample_set_by_name
from db.settings import Settings

if TYPE_CHECKING:  # they load numpy, scipy and torch, which `lode samples list` does not need
    from inference.samples.report import SetReport

GROUPS_NAMED = 12
"""Where no more mines, blocks or groups of scenes are held out they are named one by one."""


@click.group("samples")
def samples_group() -> None:
    """Cut labelled ground into samples."""


@samples_group.command()
@click.option("--name", required=True, help="Name of the new set.")
@click.option(
    "--scene",
    "products",
    multiple=True,
    metavar="PRODUCT",
    help="Scene; again for more. [default: all with labels]",
)
@click.option("--tile-px", type=int, default=256, show_default=True, help="Window edge, pixels.")
@click.option(
    "--split",
    "split_rule",
    type=click.Choice(["mine", "block", "scene"]),
    help="Hold out whole mines, squares of ground, or scenes with all that overlap them. "
    "[default: mine where labels lie in mines]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the split.")
@click.option(
    "--fold",
    metavar="K/N",
    help="Deal mines, blocks or scenes into N folds: number K is the test, the next the validation.",
)
@click.option(
    "--gap-m", type=float, default=50.0, show_default=True, help="Ground between samples of two parts, m."
)
@click.option("--block-m", type=float, help="Edge of the blocks, m. [default: by window and extent]")
@click.option(
    "--fewest-px",
    type=int,
    default=16,
    show_default=True,
    help="Leave out windows with fewer labelled pixels.",
)
def build(
    name: str,
    products: tuple[str, ...],
    tile_px: int,
    split_rule: str | None,
    seed: int,
    fold: str | None,
    gap_m: float,
    block_m: float | None,
    fewest_px: int,
) -> None:
    """Lay windows round the labels of scenes and split them 6:2:2.

    Whole mines, and where labels lie in no mine squares of ground, go to training, validation or test, in
    all years alike, so that each class is spread 6:2:2. With --split scene whole scenes do, together with
    all that overlap them or lie nearer than the gap. No two samples of different parts overlap, touch or
    come nearer than the gap. Only places are stored: pixels stay where they are.

    For few sites make N sets, --fold 1/N to N/N with as many folds as sites: each site is the test once.
    """
    from inference.samples.report import report_of
    from inference.samples.sets import build_sample_set
    from inference.samples.settings import Fold, SampleSettings

    settings = SampleSettings(
        tile_px=tile_px,
        split_rule=split_rule,
        seed=seed,
        gap_m=gap_m,
        block_m=block_m,
        fewest_px=fewest_px,
        fold=None if fold is None else Fold.from_text(fold),
    )
    with connect(Settings(), application_name="lode samples") as conn:
        found = build_sample_set(
            conn, name, settings, products=products, report=lambda line: click.echo(line, err=True)
        )
        report = report_of(conn, found)
        conn.commit()
    _print_report(report)


@samples_group.command("list")
def list_command() -> None:
    """List all sample sets."""
    with connect(Settings()) as conn:
        sets = list_sample_sets(conn)
    if not sets:
        click.echo("there is no sample set yet: lode samples build --help")
    for each in sets:
        click.echo(
            f"{each.name}: windows of {each.tile_px} px at {each.resolution_m:g} m from "
            f"{len(each.scene_ids)} scenes, split by {each.split_rule}, "
            f"{f'fold {fold}' if (fold := each.parameters.get('fold')) else f'seed {each.seed}'}, "
            f"made {each.created_at:%Y-%m-%d %H:%M}"
        )


@samples_group.command()
@click.argument("name", required=False)
@click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def show(name: str | None, output_format: str) -> None:
    """Show what a set, or every set, holds by class and part, and warn of leaks."""
    from inference.samples.report import report_of

    with connect(Settings()) as conn:
        sets = list_sample_sets(conn) if name is None else [sample_set_by_name(conn, name)]
        reports = [report_of(conn, each) for each in sets]
    if output_format == "json":
        content = [report.as_json() for report in reports]
        click.echo(json.dumps(content if name is None else content[0], ensure_ascii=False, indent=1))
        return
    if not reports:
        click.echo("there is no sample set yet: lode samples build --help")
    for report in reports:
        _print_report(report)


@samples_group.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a set; labels and scenes stay."""
    with connect(Settings()) as conn:
        count = remove_sample_set(conn, name)
        conn.commit()
    click.echo(f"removed sample set {name} with {count} samples")


def _print_report(report: SetReport) -> None:
    found = report.sample_set
    said = ", ".join(f"{count} {split}" for split, count in zip(SPLITS, report.samples, strict=True))
    fold = found.parameters.get("fold")
    chance = f"seed {found.seed}" if fold is None else f"fold {fold}"
    click.echo(
        f"{found.name}: {sum(report.samples)} samples ({said}) of {found.tile_px} px at "
        f"{found.resolution_m:g} m, split by {found.split_rule}, {chance}, gap {found.gap_m:g} m"
    )
    click.echo(f"scenes: {', '.join(report.products)}")
    if sum(map(len, report.groups)) <= GROUPS_NAMED:
        for split, groups in zip(SPLITS, report.groups, strict=True):
            click.echo(f"{split}: {'; '.join(groups)}")
    for what in ("polygons", "pixels"):
        click.echo(f"  {what:<20}{'total':>12}" + "".join(f"{split:>20}" for split in SPLITS))
        rows = [(row.key, getattr(row, what)) for row in report.rows]
        rows.append(("total", tuple(map(sum, zip(*(counts for _key, counts in rows), strict=True)))))
        for key, counts in rows:
            total = sum(counts)
            cells = "".join(f"{f'{count:,} ({count / max(total, 1):.0%})':>20}" for count in counts)
            click.echo(f"  {key:<20}{total:>12,}{cells}")
    left_out = found.parameters.get("left_out", {})
    click.echo(
        f"left out: {left_out.get('windows_near_another_part', 0)} windows too near to another part, "
        f"{left_out.get('windows_with_few_labelled_pixels', 0)} with too few labelled pixels, "
        f"{left_out.get('polygons', 0)} polygons in no window"
    )
    for line in report.warnings:
        click.echo(f"warning: {line}")
