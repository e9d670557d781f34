"""``lode simulate``: data with a known truth, as files to practise on and to check the ingest with."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import click

from db.errors import UsageError
from ingest.simulate.district import simulate_district
from ingest.simulate.evidence import simulate_evidence
from ingest.simulate.gaofen2 import simulate_gaofen2
from ingest.simulate.implanted import simulate_implanted
from ingest.simulate.package_ahsi import simulate_ahsi
from ingest.simulate.prospect import simulate_prospect

_IMPLANTED = "implanted"
_SIZES = {"district": 1600, "gf2": 1200, "ahsi": 300, "prospect": 400, "evidence": 320}

HELP = """Make up data with a known truth and write it below FOLDER.

\b
district  orthorectified scenes, labels and maps of a mining district, three years
gf2       packages of Gaofen-2 (digital numbers, XML, RPB) of such a district, three years
ahsi      a package of the Ziyuan-1 02D hyperspectral camera
prospect  such a package of a district with pegmatites, its faults, plutons and deposits, and decoys
evidence  layers of geochemistry and geophysics of a province, samples, geology, deposits, and decoys
implanted a real EnMAP scene with laboratory spectra of ore minerals mixed in, and such geology and decoys

What is true about it lies in FOLDER/truth. The terrain to orthorectify the packages with is
FOLDER/terrain.tif; for gf2, FOLDER/calibration_2023.csv goes in with lode ingest calibration.
"""


@click.command(help=HELP)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice([*_SIZES, _IMPLANTED]), default="district", show_default=True)
@click.option(
    "--size-px",
    type=int,
    help="Side in pixels, of 2 m for district (1600) and gf2 (1200: its image has half as many), of 30 m for "
    "ahsi (300) and prospect (400), of 500 m for evidence (320).",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Same seed and size, same pixels.")
@click.option(
    "--district",
    type=click.IntRange(1, 2),
    help="Of prospect: the first, or a second one elsewhere to transfer to. [default: 1]",
)
@click.option(
    "--scene-folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Of implanted: EnMAP Level 2A, a delivery or tiles of one scene.",
)
@click.option(
    "--spectra",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Of implanted: folder with the USGS library splib06 (.sli and .hdr).",
)
def simulate(
    folder: Path,
    kind: str,
    size_px: int | None,
    seed: int,
    district: int | None,
    scene_folder: Path | None,
    spectra: Path | None,
) -> None:
    """Simulate one kind of data."""
    if district is not None and kind != "prospect":
        raise UsageError("--district: only --kind prospect has two")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; name a folder")
    if kind != _IMPLANTED and (scene_folder is not None or spectra is not None):
        raise UsageError("--scene-folder and --spectra: only --kind implanted starts from real data")
    try:
        if kind == _IMPLANTED:
            _implanted(folder, size_px, seed, scene_folder, spectra)
        else:
            _simulate(folder, kind, _SIZES[kind] if size_px is None else size_px, seed, district or 1)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror or error}") from None


def _implanted(
    folder: Path, size_px: int | None, seed: int, scene_folder: Path | None, spectra: Path | None
) -> None:
    if size_px is not None:
        raise UsageError("--size-px: an implanted scene is as large as the real one")
    if scene_folder is None or spectra is None:
        raise UsageError("--kind implanted: name a real scene (--scene-folder) and a library (--spectra)")
    made = simulate_implanted(
        folder, scene_folder=scene_folder, spectra_folder=spectra, seed=seed, progress=click.echo
    )
    click.echo(f"implanted: {made.scene}")


def _simulate(folder: Path, kind: str, size: int, seed: int, district: int) -> None:
    tell: Callable[[str], None] = click.echo
    if kind == "district":
        simulate_district(folder, seed=seed, width_px=size, height_px=size, progress=tell)
        click.echo(f"district: {folder}")
    elif kind == "gf2":
        found = simulate_gaofen2(folder, seed=seed, side_px=size, progress=tell)
        for package in found.packages:
            click.echo(f"{package.year}: {package.folder}")
    elif kind == "prospect":
        made = simulate_prospect(folder, seed=seed, size_px=size, district=district, progress=tell)
        click.echo(f"district {district}: {made.package}")
    elif kind == "evidence":
        province = simulate_evidence(folder, seed=seed, size_px=size, progress=tell)
        click.echo(f"province: {folder}; bring it in with")
        for command in province.commands():
            click.echo("  " + shlex.join(["lode", *command]))
        click.echo(f"and, to judge what was found without them, lode ingest deposits {province.deposits}")
    else:
        click.echo(f"2022: {simulate_ahsi(folder, seed=seed, size_px=size).package}")
