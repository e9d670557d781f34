"""`lode prospect dataset` and `remove`: patches with and without ore, and the part each plays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from db.connection import connect
from db.errors import UsageError
from db.prospect_sets import KINDS_OF_DATA, SPLITS, ProspectSet, prospect_set_by_name, remove_prospect_set
from db.settings import Settings
from db.wavelengths import PEGMATITE_WINDOWS_NM, window_from_text

if TYPE_CHECKING:  # they load numpy, rasterio and torch, which the help does not need
    from inference.prospect.request import SetRequest

KINDS_OF_GEOLOGY = ("distance", "proximity", "density", "intersections")
CHANNELS_NAMED = 12
"""Where there are no more channels of a kind they are named one by one."""
_WINDOWS = ",".join(f"{low:g}-{high:g}" for low, high in PEGMATITE_WINDOWS_NM)


@click.command()
@click.option("--name", required=True, help="Name of the new set.")
@click.option("--scene", "product", metavar="PRODUCT", help="Scene whose bands are the evidence.")
@click.option("--area", help="Study area whose layers are the evidence.")
@click.option(
    "--layer", "layers", multiple=True, help="Layer of the area; again for more. [default: all of them]"
)
@click.option(
    "--raw-contents",
    is_flag=True,
    help="Learn from contents of geochemistry as they are, not from their logarithms.",
)
@click.option(
    "--deposits",
    multiple=True,
    required=True,
    metavar="all|COLUMN=VALUE",
    help="Deposits that count: all, or those of this commodity, deposit_type or name; again for more.",
)
@click.option(
    "--buffer-m",
    type=float,
    default=100.0,
    show_default=True,
    help="Ground so near a deposit is positive, m.",
)
@click.option(
    "--patch", "patch_px", type=int, default=10, show_default=True, help="Edge of the patches, cells."
)
@click.option(
    "--stride", "stride_px", type=int, help="Cells from one patch to the next. [default: half a patch]"
)
@click.option(
    "--share",
    "positive_share",
    type=float,
    default=0.2,
    show_default=True,
    help="Share of a patch that must be positive for the patch to be, 0 to 1.",
)
@click.option(
    "--windows-nm",
    default=_WINDOWS,
    show_default=True,
    metavar="LOW-HIGH,...",
    help="Bands of the scene whose centre lies in one of these windows, nm.",
)
@click.option(
    "--relative-reflectance",
    "is_relative",
    is_flag=True,
    help="Divide bands by the mean of their window in the pixel, and by their median in the scene.",
)
@click.option(
    "--geology",
    "kinds",
    type=click.Choice(KINDS_OF_GEOLOGY),
    multiple=True,
    help="Rasters of faults and plutons beside them; again for more. [default: distance]",
)
@click.option("--no-geology", is_flag=True, help="No rasters of geology.")
@click.option(
    "--proximity-m", type=float, default=1000.0, show_default=True, help="Where the proximity is 0.5, m."
)
@click.option(
    "--density-radius-m",
    type=float,
    default=2000.0,
    show_default=True,
    help="Radius within which faults and their intersections are counted, m.",
)
@click.option(
    "--negatives", type=int, default=3, show_default=True, help="Negative patches for each positive one."
)
@click.option("--block-m", type=float, help="Edge of the blocks that are held out, m. [default: by extent]")
@click.option(
    "--test-north-of", type=float, metavar="LAT", help="All ground north of it is the test, degrees."
)
@click.option(
    "--test-south-of", type=float, metavar="LAT", help="All ground south of it is the test, degrees."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the split and of the drawing.")
@click.option(
    "--data",
    type=click.Choice(KINDS_OF_DATA),
    help="What the ground is: models and reports then say it. [default: they say that nobody said]",
)
def dataset(**options: object) -> None:
    """Cut a scene or a study area into patches with and without ore, and split them 6:2:2.

    A patch is positive where enough of its cells lie near a deposit, negative where none does; what lies
    between is left out. Whole blocks of ground go to training, validation or test. No two patches of
    different parts overlap or touch, and no deposit is in two parts. Only places are stored: values stay
    where they are.
    """
    from inference.prospect.dataset import make_set

    request = _request(**options)  # type: ignore[arg-type]  # click hands on objects
    with connect(Settings(), application_name="lode prospect") as conn:
        make_set(conn, request, report=lambda line: click.echo(line, err=True))
        found = prospect_set_by_name(conn, request.name)
        conn.commit()
    for line in set_lines(found, request.product or request.area or ""):
        click.echo(line)


def _request(
    *,
    name: str,
    product: str | None,
    area: str | None,
    layers: tuple[str, ...],
    raw_contents: bool,
    deposits: tuple[str, ...],
    buffer_m: float,
    patch_px: int,
    stride_px: int | None,
    positive_share: float,
    windows_nm: str,
    is_relative: bool,
    kinds: tuple[str, ...],
    no_geology: bool,
    proximity_m: float,
    density_radius_m: float,
    negatives: int,
    block_m: float | None,
    test_north_of: float | None,
    test_south_of: float | None,
    seed: int,
    data: str | None,
) -> SetRequest:
    """The options as a request."""
    from inference.geology.rasters import GeologySettings
    from inference.prospect.channels import GeologyChoice
    from inference.prospect.deposits import parse_choice
    from inference.prospect.request import SetRequest
    from inference.prospect.split import Parallel

    if no_geology and kinds:
        raise UsageError("--geology and --no-geology exclude each other: leave one out")
    if test_north_of is not None and test_south_of is not None:
        raise UsageError("--test-north-of and --test-south-of exclude each other: leave one out")
    parallel = None
    if test_north_of is not None:
        parallel = Parallel("north", test_north_of)
    if test_south_of is not None:
        parallel = Parallel("south", test_south_of)
    settings = GeologySettings(proximity_m, density_radius_m)
    return SetRequest(
        name=name,
        product=product,
        area=area,
        layers=layers or None,
        windows_nm=tuple(window_from_text(text, "--windows-nm") for text in windows_nm.split(",")),
        geology=GeologyChoice.of_kinds(() if no_geology else kinds or ("distance",), settings),
        deposits=parse_choice(deposits),
        buffer_m=buffer_m,
        patch_px=patch_px,
        stride_px=stride_px,
        positive_share=positive_share,
        negatives=negatives,
        block_m=block_m,
        parallel=parallel,
        seed=seed,
        data=data,
        is_relative=is_relative,
        raw_contents=raw_contents,
    )


def set_lines(found: ProspectSet, ground: str) -> Iterator[str]:
    """What a set holds, in lines.

    Args:
        found: the set.
        ground: name of its scene or study area.

    """
    from inference.prospect.channels import treatment

    stored = found.parameters
    split = f"split by blocks of {stored['block_m']:g} m"
    if stored["parallel_deg"] is not None:
        split = f"test {found.split_rule} of {stored['parallel_deg']:g}, the rest {split}"
    yield (
        f"{found.name}: {sum(sum(each.values()) for each in stored['patches'].values())} patches of "
        f"{found.patch_px} x {found.patch_px} cells of {found.spacing_m:g} m on {ground}, {split}, seed "
        f"{found.seed}"
    )
    for kind in ("spectral", "evidence", "geology"):
        every = [channel for channel in found.channels if channel["kind"] == kind]
        names = [channel["name"] for channel in every]
        if names:
            listed = ", ".join(names) if len(names) <= CHANNELS_NAMED else f"{names[0]} to {names[-1]}"
            yield f"{kind} channels: {len(names)} ({listed}){treatment(every)}"
    yield (
        f"positive: {found.positive_share:g} of a patch within {found.buffer_m:g} m of one of "
        f"{len(found.deposit_ids)} deposits ({', '.join(stored['deposits'])})"
    )
    yield f"  {'':<12}{'positive':>10}{'negative':>10}{'places':>10}"
    for split_name in SPLITS:
        counts = stored["patches"][split_name]
        places = stored["places"][split_name]
        yield f"  {split_name:<12}{counts['positive']:>10,}{counts['negative']:>10,}{places:>10,}"
    left = stored["left_out"]
    yield (
        f"left out: {left['patches_without_values']} patches that lack values, {left['patches_between']} "
        f"with too little positive ground, {left['positive_near_another_part']} positive and "
        f"{left['negative_near_another_part']} negative near another part, {left['negative_not_drawn']} "
        "negative not drawn"
    )
    yield (
        f"deposits left out: {left['deposits_outside']} outside, {left['deposits_unjudged']} on ground that "
        f"is not judged, {left['deposits_between_centres']} between the centres of cells"
    )
    yield from left["channels"]
    yield from (f"warning: {line}" for line in stored["warnings"])


@click.command()
@click.argument("name", metavar="SET")
def remove(name: str) -> None:
    """Delete a set of patches; networks trained on it stay, with the figures they got then.

    Whether a target lies where such a network was taught nobody can tell any more.
    """
    with connect(Settings(), application_name="lode prospect") as conn:
        count = remove_prospect_set(conn, name)
        conn.commit()
    click.echo(f"set {name} removed, with {count} patches")
