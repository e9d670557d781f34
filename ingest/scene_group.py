"""``lode scene``: what scenes there are, what was done to them, and how they look."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from db.connection import connect
from db.errors import UsageError
from db.scene_bands import scene_bands
from db.scenes import Scene, SceneBand, list_scenes, scene_by_product
from db.settings import Settings
from db.wavelengths import PEGMATITE_WINDOWS_NM, bands_in_windows, window_from_text

_FORMAT = click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@click.group(name="scene")
def scene_group() -> None:
    """List, show and draw the scenes in the database."""


@scene_group.command("list")
@click.option("--year", "years", type=int, multiple=True, help="Only scenes of this year; may be repeated.")
@click.option("--sensor", help="Only scenes of this instrument, e.g. gf2_pms.")
@_FORMAT
def list_command(years: tuple[int, ...], sensor: str | None, output_format: str) -> None:
    """List the scenes that count, by day of acquisition."""
    with connect(Settings()) as conn:
        scenes = list_scenes(conn, years=years or None, sensor=sensor)
    if output_format == "json":
        click.echo(json.dumps([_facts(scene) for scene in scenes], ensure_ascii=False, indent=1))
        return
    if not scenes:
        click.echo("there is no such scene: bring one with `lode ingest scene`")
    for scene in scenes:
        grid = scene.grid
        clouded = (
            "clouds not known" if scene.cloud_fraction is None else f"{scene.cloud_fraction:.1%} clouded"
        )
        click.echo(
            f"{scene.acquired_on}  {scene.product}  version {scene.version}  {scene.sensor}  "
            f"{len(scene.band_names)} bands  {grid.width_px} x {grid.height_px} px of "
            f"{grid.resolution_x:g} m  "
            f"EPSG:{grid.srid}  {scene.processing_level}  {scene.valid_fraction:.1%} valid  {clouded}"
        )


@scene_group.command()
@click.argument("product")
@_FORMAT
def show(product: str, output_format: str) -> None:
    """Show a scene: acquisition, grid, what its values mean, and every step that was done to it."""
    with connect(Settings()) as conn:
        scene = scene_by_product(conn, product)
        bands = scene_bands(conn, scene)
    if output_format == "json":
        content = {
            **_facts(scene),
            "bands": [asdict(band) for band in bands],
            "steps": [dict(step) for step in scene.steps],
            "parts": [dict(part) for part in scene.parts],
            "metadata": dict(scene.product_metadata),
        }
        click.echo(json.dumps(content, ensure_ascii=False, indent=1))
        return
    _print_scene(scene, bands)


@scene_group.command()
@click.argument("product")
@click.option(
    "--window",
    "windows",
    multiple=True,
    metavar="LOW-HIGH",
    help="Only bands whose centre lies in this window, nm; may be repeated.",
)
@click.option(
    "--pegmatite",
    is_flag=True,
    help="Only bands in the windows that tell lithium pegmatites: "
    + " and ".join(f"{low:g}-{high:g} nm" for low, high in PEGMATITE_WINDOWS_NM)
    + ".",
)
@click.option("--usable", is_flag=True, help="Only bands without a fault.")
@_FORMAT
def bands(product: str, windows: Sequence[str], pegmatite: bool, usable: bool, output_format: str) -> None:
    """List the bands of a scene with their wavelengths and faults."""
    wanted = [window_from_text(text, "--window") for text in windows]
    if pegmatite:
        wanted += PEGMATITE_WINDOWS_NM
    with connect(Settings()) as conn:
        scene = scene_by_product(conn, product)
        listed = scene_bands(conn, scene)
    places = list(bands_in_windows(listed, wanted)) if wanted else list(range(len(listed)))
    if usable:
        places = [place for place in places if listed[place].fault is None]
    if output_format == "json":
        content = [{"position": place + 1, **asdict(listed[place])} for place in places]
        click.echo(json.dumps(content, ensure_ascii=False, indent=1))
        return
    for place in places:
        click.echo(f"{place + 1:>5}  {_band(listed[place])}")
    click.echo(f"{len(places)} of {len(listed)} bands of {scene.product}")


@scene_group.command()
@click.argument("products", nargs=-1, required=True, metavar="PRODUCT...")
@click.option("--out", metavar="FILE", help="PNG to write. [default: PRODUCT.png in this folder]")
@click.option("--size", "side_px", type=int, default=1200, show_default=True, help="Longer side, pixels.")
@click.option("--bands", "names", metavar="R,G,B", help="Names of the bands to show.")
@click.option("--false-colour", is_flag=True, help="Near infrared as red: plants glow.")
@click.option(
    "--outlines/--no-outlines", default=True, help="Outline cloud (red) and filled ground (orange)."
)
def quicklook(
    products: tuple[str, ...],
    out: str | None,
    side_px: int,
    names: str | None,
    false_colour: bool,
    outlines: bool,
) -> None:
    """Draw a scene as a small picture, or several scenes as one mosaic."""
    from ingest.quicklook import write_quicklook

    chosen: tuple[str, str, str] | None = None
    if names is not None:
        listed = [name.strip() for name in names.split(",")]
        if len(listed) != 3:
            raise UsageError(f"--bands {names}: name three bands: red, green and blue of the picture")
        chosen = (listed[0], listed[1], listed[2])
    path = Path(out) if out is not None else Path(re.sub(r"[^\w.-]", "_", products[0]) + ".png")
    with connect(Settings()) as conn:
        scenes = [scene_by_product(conn, product) for product in products]
        drawn = write_quicklook(
            conn, scenes, path, side_px=side_px, bands=chosen, false_colour=false_colour, outlines=outlines
        )
    for note in drawn.notes:
        click.echo(note)
    click.echo(f"wrote {path}: {', '.join(drawn.bands)} as red, green and blue")


def _facts(scene: Scene) -> dict[str, Any]:
    acquired = scene.acquisition
    grid = scene.grid
    return {
        "product": scene.product,
        "version": scene.version,
        "sensor": scene.sensor,
        "acquired_on": scene.acquired_on.isoformat(),
        "acquired_at": None if acquired.acquired_at is None else acquired.acquired_at.isoformat(),
        "sun_azimuth_deg": acquired.sun_azimuth_deg,
        "sun_elevation_deg": acquired.sun_elevation_deg,
        "view_zenith_deg": acquired.view_zenith_deg,
        "view_azimuth_deg": acquired.view_azimuth_deg,
        "srid": grid.srid,
        "width_px": grid.width_px,
        "height_px": grid.height_px,
        "resolution_m": grid.resolution_x,
        "processing_level": scene.processing_level,
        "value_offset": scene.value_offset,
        "value_scale": scene.value_scale,
        "pixel_type": scene.pixel_type,
        "nodata": scene.nodata,
        "valid_fraction": scene.valid_fraction,
        "cloud_fraction": scene.cloud_fraction,
        "table": f"lode_raster.{scene.tile_table}",
        "source": scene.source_name,
        "sha256": scene.sha256,
    }


def _print_scene(scene: Scene, bands: Sequence[SceneBand]) -> None:
    facts = _facts(scene)
    click.echo(f"{scene.product}, version {scene.version}: {scene.sensor}, {scene.acquired_on}")
    acquired = scene.acquisition
    if acquired.acquired_at is not None:
        click.echo(f"  acquired    {acquired.acquired_at:%Y-%m-%d %H:%M:%S} UTC")
    for name, azimuth, angle, what in (
        ("sun", acquired.sun_azimuth_deg, acquired.sun_elevation_deg, "above the horizon"),
        ("view", acquired.view_azimuth_deg, acquired.view_zenith_deg, "off the zenith"),
    ):
        if azimuth is not None and angle is not None:
            click.echo(f"  {name:<11} {azimuth:.1f} degrees from north, {angle:.1f} {what}")
    click.echo(
        f"  grid        {facts['width_px']} x {facts['height_px']} pixels of {facts['resolution_m']:g} m, "
        f"EPSG:{facts['srid']}, {scene.valid_fraction:.1%} valid"
    )
    click.echo(
        f"  values      {scene.processing_level} = (stored {scene.value_offset:+g}) * {scene.value_scale:g}, "
        f"{scene.pixel_type}" + ("" if scene.nodata is None else f", {scene.nodata:g} without data")
    )
    if scene.cloud_fraction is not None:
        click.echo(f"  clouds      {scene.cloud_fraction:.1%} hidden by cloud or shadow")
    stated = scene.product_metadata.get("stated_cloud_fraction")
    if stated is not None:
        click.echo(f"  stated      {stated:.1%} cloud, as the product says")
    click.echo(f"  source      {scene.source_name}, table {facts['table']}")
    click.echo(
        f"  bands       {len(bands)}" + (": " + ", ".join(b.name for b in bands) if len(bands) < 20 else "")
    )
    click.echo("  processing" if scene.steps else "  processing  none: pixels as delivered")
    for number, step in enumerate(scene.steps, 1):
        click.echo(f"    {number}. {_step_text(step)}")
    for part in scene.parts:
        click.echo(
            f"  part        {part['name']}, {part['size_bytes']:,} bytes, sha256 {part['sha256'][:12]}..."
        )


def _step_text(step: Mapping[str, Any]) -> str:
    if step.get("step") == "declared":
        wishes = step.get("treatment", {}).items()
        named = ((key, value["name"] if isinstance(value, Mapping) else value) for key, value in wishes)
        asked = ", ".join(f"{key} {value}" for key, value in named)
        what = f"read as {step['family']}, {step['role']} part" if "family" in step else "read as stated"
        return f"{what}; asked: {asked}" if asked else what
    return str(step.get("text") or step.get("step") or json.dumps(dict(step), ensure_ascii=False))


def _band(band: SceneBand) -> str:
    where = "" if band.center_nm is None else f"{band.center_nm:9.2f} nm"
    width = "" if band.width_nm is None else f"width {band.width_nm:.2f} nm"
    return f"{band.name:<10} {band.common_name or '':<12} {where:<13} {width:<16} {band.fault or ''}".rstrip()
