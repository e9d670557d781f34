"""From a product to the material of a scene: open its rasters, lay them on the scene's grid, calibrate."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from psycopg import Connection
from rasterio.rpc import RPC

from db.errors import UsageError
from db.raster.grid import Grid
from db.scenes import Acquisition, Scene
from db.sensors import sensor_by_key
from ingest.opening import open_raster
from ingest.preprocess.bad_bands import BandFigures
from ingest.preprocess.orthorectification import OrthoSource, ground_bounds, ortho_grid, terrain_coverage
from ingest.preprocess.terrain import Terrain, open_terrain
from ingest.processing.calibrating import calibration_of
from ingest.processing.material import AsDelivered, Material, Panchromatic
from ingest.processing.native import NativeSource
from ingest.processing.sensor_geometry import corrected_hyperspectral, overlaps_marked
from ingest.processing.shifted import ShiftedSource
from ingest.processing.source import PixelSource
from ingest.processing.stacked import StackedSource
from ingest.processing.treatment import Treatment
from ingest.products.product import Part, Product

HYPERSPECTRAL_BANDS = 30
"""From this many bands on a part counts as hyperspectral."""

COARSEST_SHARPENED = 0.75
"""A sharpened scene's pixels are at most so much of the multispectral image's."""

HEIGHT_SLACK_M = 500.0
"""How far ground may lie beside the heights that polynomials are made for, beyond three times their range."""

NEARLY_NOMINAL = 0.15
"""A product's pixel size that differs by no more than this share counts as the instrument's."""


def acquisition_of(product: Product) -> Acquisition:
    """Moment and directions of a product."""
    return Acquisition(
        product.acquired_at,
        product.sun_azimuth_deg,
        product.sun_elevation_deg,
        product.view_zenith_deg,
        product.view_azimuth_deg,
    )


def scene_part(product: Product, treatment: Treatment) -> Part:
    """The part of a product that becomes the scene.

    Raises:
        UsageError: the product has no such part.

    """
    if treatment.role is None:
        return product.parts[0]
    for part in product.parts:
        if part.role == treatment.role:
            return part
    raise UsageError(
        f"{product.name}: has no {treatment.role} part; its parts: "
        + ", ".join(part.role for part in product.parts)
    )


def calibrations_used(conn: Connection[Any], product: Product, treatment: Treatment) -> list[dict[str, Any]]:
    """Scale and offset by band of every part that takes part, as they would be applied now.

    Raises:
        UsageError: coefficients are missing.

    """
    part = scene_part(product, treatment)
    parts = [*_parts_together(product, part)]
    panchromatic = _panchromatic_part(product, part, treatment)
    if panchromatic is not None:
        parts.append(panchromatic)
    return [calibration_of(conn, product, each, treatment)[0].as_json() for each in parts]


def make_material(
    conn: Connection[Any],
    product: Product,
    treatment: Treatment,
    stack: ExitStack,
    workspace: Path,
    reference: Scene | None,
) -> Material:
    """Open the rasters of a product.

    Args:
        conn: for the calibration table.
        product: the product.
        treatment: what is asked.
        stack: closes the files in the end.
        workspace: private folder for working files.
        reference: scene to compare with; an image in sensor geometry is laid on its zone and pixel size.

    Raises:
        UsageError: a raster cannot be read or does not fit, or coefficients are missing.

    """
    part = scene_part(product, treatment)
    if part.rpc is None:
        return _georeferenced(conn, product, part, treatment, stack)
    return _in_sensor_geometry(conn, product, part, treatment, stack, workspace, reference)


def _georeferenced(
    conn: Connection[Any], product: Product, part: Part, treatment: Treatment, stack: ExitStack
) -> Material:
    if treatment.terrain is not None or treatment.height_m is not None:
        raise UsageError(f"{product.name}: is orthorectified already; leave --dem and --height out")
    if treatment.resolution_m is not None:
        raise UsageError(f"{product.name}: keeps its own pixels; leave --resolution out")
    if treatment.pansharpen != "none":
        raise UsageError(
            f"{product.name}: only images in sensor geometry are sharpened; leave --pansharpen out"
        )
    calibration, level, step = calibration_of(conn, product, part, treatment)
    source = NativeSource(part, stack, product.name)
    meanings = {(layer.offset, layer.scale) for layer in part.layers}
    as_delivered = None
    if len(meanings) == 1 and level == part.level:
        offset, scale = meanings.pop()
        as_delivered = AsDelivered(
            lambda row, height: source.read_stored(row, 0, height, source.grid.width_px),
            source.dtype,
            source.nodata,
            offset,
            scale,
            source.block_rows,
        )
    return Material(
        name=product.name,
        bands=tuple(layer.band for layer in part.layers),
        source=source,
        moved=lambda d_row, d_col: (ShiftedSource(source, d_row, d_col), None),
        calibration=calibration,
        level=level,
        masks=product.masks,
        acquisition=acquisition_of(product),
        as_delivered=as_delivered,
        panchromatic=None,
        steps=(step,),
        block_rows=source.block_rows,
    )


def _in_sensor_geometry(
    conn: Connection[Any],
    product: Product,
    part: Part,
    treatment: Treatment,
    stack: ExitStack,
    workspace: Path,
    reference: Scene | None,
) -> Material:
    parts = _parts_together(product, part)
    panchromatic = _panchromatic_part(product, part, treatment)
    finest = part if panchromatic is None else panchromatic
    resolution_m = treatment.resolution_m or _nominal_resolution_m(conn, finest)
    srid, origin = None, (0.0, 0.0)
    if reference is not None:
        resolution_m, srid = treatment.resolution_m or reference.grid.resolution_x, reference.grid.srid
        origin = reference.grid.origin_x, reference.grid.origin_y
    if panchromatic is not None and resolution_m > COARSEST_SHARPENED * part.resolution_m:
        raise UsageError(
            f"{product.name}: pixels of {resolution_m:g} m are too coarse to show what sharpening adds to "
            f"{part.resolution_m:g} m: name a sharpened --reference, or leave --pansharpen out"
        )
    terrain = None
    if treatment.terrain is not None:
        terrain = stack.enter_context(
            open_terrain(treatment.terrain, geoid_height_m=treatment.geoid_height_m)
        )
    if finest.rpc is None:
        raise UsageError(f"{product.name}: its panchromatic part has no rational polynomials")
    height_m = treatment.height_m if treatment.height_m is not None else finest.rpc.height_off
    steps: list[dict[str, Any]] = []
    calibrations = []
    images: list[tuple[Any, Part]] = []
    figures: list[BandFigures] = []
    for each in parts:
        calibration, level, step = calibration_of(conn, product, each, treatment)
        calibrations.append(calibration)
        steps.append(step)
        dataset = stack.enter_context(open_raster(each.layers[0].files[0]))
        _check_size(dataset, each, product.name)
        image = each
        if len(each.layers) >= HYPERSPECTRAL_BANDS:
            dataset, image, more, seen = corrected_hyperspectral(dataset, each, treatment, stack, workspace)
            steps += more
            figures.append(seen)
        images.append((dataset, image))
    bands, more = overlaps_marked([layer.band for _, image in images for layer in image.layers], figures)
    steps += more
    pan_dataset = None
    if panchromatic is not None:
        pan_dataset = stack.enter_context(open_raster(panchromatic.layers[0].files[0]))
        _check_size(pan_dataset, panchromatic, product.name)
    finest_image = images[0][0] if pan_dataset is None else pan_dataset
    grid = ortho_grid(
        finest.rpc,
        finest_image.width,
        finest_image.height,
        resolution_m=resolution_m,
        srid=srid,
        origin=origin,
        height_m=height_m,
        terrain=terrain,
        name=product.name,
    )

    def ortho(d_row: float, d_col: float) -> tuple[PixelSource, PixelSource | None]:
        sources = [
            _ortho(dataset, image, grid, terrain, height_m, treatment, (d_row, d_col))
            for dataset, image in images
        ]
        pan = None
        if panchromatic is not None:
            pan = _ortho(pan_dataset, panchromatic, grid, terrain, height_m, treatment, (d_row, d_col))
        return (sources[0] if len(sources) == 1 else StackedSource(sources)), pan

    steps.append(_ortho_step(treatment, grid, height_m, terrain is not None))
    if terrain is not None:
        covered = terrain_coverage(finest.rpc, finest_image.width, finest_image.height, terrain)
        steps[-1]["terrain_coverage"] = covered
        if covered < 1.0:
            steps[-1]["text"] += f", which covers {covered:.1%} of the image; the rest has no data"
        height_m = _mean_ground(finest.rpc, finest_image, terrain, product.name)
    source, pan_source = ortho(0.0, 0.0)
    pan = None
    if panchromatic is not None and pan_source is not None:
        calibration, _, step = calibration_of(conn, product, panchromatic, treatment)
        pan = Panchromatic(pan_source, calibration, part.resolution_m / panchromatic.resolution_m)
        steps.append(step)
    calibration = calibrations[0]
    for other in calibrations[1:]:
        calibration = calibration.stacked(other)
    return Material(
        name=product.name,
        bands=bands,
        source=source,
        moved=ortho,
        calibration=calibration,
        level=level,
        masks=product.masks,
        acquisition=acquisition_of(product),
        as_delivered=None,
        panchromatic=pan,
        ground_m=height_m,
        steps=tuple(steps),
        block_rows=256,
    )


def _parts_together(product: Product, part: Part) -> tuple[Part, ...]:
    """The parts that make one scene: both spectrometers of a hyperspectral product do."""
    if part.role == "vnir":
        return (part, *(other for other in product.parts if other.role == "swir"))
    return (part,)


def _panchromatic_part(product: Product, part: Part, treatment: Treatment) -> Part | None:
    if treatment.pansharpen == "none":
        return None
    for role in ("panchromatic", "backward", "forward"):
        for other in product.parts:
            if other.role == role and other is not part:
                return other
    return None


def _ortho(
    dataset: Any,
    part: Part,
    grid: Grid,
    terrain: Any,
    height_m: float,
    treatment: Treatment,
    moved_px: tuple[float, float],
) -> PixelSource:
    if part.rpc is None:
        raise UsageError(f"{part.layers[0].files[0].name}: has no rational polynomials")
    indexes = [layer.index for layer in part.layers]
    return OrthoSource(
        dataset,
        indexes,
        part.rpc,
        grid,
        terrain=terrain,
        height_m=height_m,
        offset_m=(moved_px[1] * grid.resolution_x, -moved_px[0] * grid.resolution_y),
        resampling=treatment.resampling,
        nodata=0.0 if part.nodata is None else part.nodata,
        file=part.layers[0].files[0],
    )


def _mean_ground(rpc: RPC, image: Any, terrain: Terrain, name: str) -> float:
    """Middle of the heights under an image, m above the ellipsoid.

    Raises:
        UsageError: they are not those that the polynomials were made for.

    """
    low, high = terrain.height_range(*ground_bounds(rpc, image.width, image.height))
    expected = f"{rpc.height_off:.0f} m, give or take {rpc.height_scale:.0f} m"
    if abs((low + high) / 2 - rpc.height_off) > 3 * rpc.height_scale + HEIGHT_SLACK_M:
        raise UsageError(
            f"{name}: the elevation model {terrain.file.name} says {low:.0f} to {high:.0f} m where the "
            "image lies, "
            f"and its polynomials are made for {expected}: are the heights in metres above the ellipsoid?"
        )
    return (low + high) / 2


def _nominal_resolution_m(conn: Connection[Any], part: Part) -> float:
    """The instrument's pixel size where the product's is about that, so that its scenes share pixels."""
    nominal_m = sensor_by_key(conn, part.sensor).resolution_m
    return nominal_m if abs(part.resolution_m / nominal_m - 1) <= NEARLY_NOMINAL else part.resolution_m


def _ortho_step(treatment: Treatment, grid: Grid, height_m: float, has_terrain: bool) -> dict[str, Any]:
    if has_terrain and treatment.terrain is not None:
        how = f"with the elevation model {treatment.terrain.name}"
    else:
        how = f"at one height of {height_m:.0f} m, so that relief displaces what is higher or lower; an "
        how += "elevation model (--dem) mends that"
    return {
        "step": "orthorectified",
        "elevation_model": None if treatment.terrain is None else treatment.terrain.name,
        "geoid_height_m": treatment.geoid_height_m,
        "height_m": None if has_terrain else height_m,
        "resampling": treatment.resampling,
        "resolution_m": grid.resolution_x,
        "text": f"orthorectified to EPSG:{grid.srid} at {grid.resolution_x:g} m {how}",
    }


def _check_size(dataset: Any, part: Part, name: str) -> None:
    stated = (part.width_px, part.height_px)
    if None not in stated and stated != (dataset.width, dataset.height):
        raise UsageError(
            f"{name}: {part.layers[0].files[0].name} has {dataset.width} x {dataset.height} pixels, "
            f"its XML says {part.width_px} x {part.height_px}: they do not belong together"
        )
    most = max(layer.index for layer in part.layers)
    if np.dtype(dataset.dtypes[0]).kind not in "uif":
        raise UsageError(f"{name}: pixels of type {dataset.dtypes[0]} are not read")
    if dataset.count != most:
        raise UsageError(
            f"{name}: the image {part.layers[0].files[0].name} has {dataset.count} bands; {most} are expected"
        )
