"""Options of ``lode ingest scene`` that ask for processing, and the treatment they add up to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from db.errors import UsageError
from ingest.files import source_file
from ingest.processing.treatment import (
    ATMOSPHERES,
    CLOUDS,
    DENOISINGS,
    NORMALISATIONS,
    PANSHARPENINGS,
    Treatment,
)
from ingest.products.product import ROLES

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--part", "role", type=click.Choice(ROLES), help="Part of a product. [default: the first]"),
    click.option("--dem", metavar="FILE", help="Elevation model for orthorectification."),
    click.option(
        "--height", "height_m", type=float, help="One height for all instead, m above the ellipsoid."
    ),
    click.option(
        "--geoid-height",
        "geoid_height_m",
        type=float,
        default=0.0,
        help="Added to an elevation model that counts from sea level, m.",
    ),
    click.option(
        "--calibration-year", type=int, help="Year of the coefficients. [default: that of the acquisition]"
    ),
    click.option(
        "--atmosphere",
        type=click.Choice(ATMOSPHERES),
        default="none",
        show_default=True,
        help="Correction to surface reflectance.",
    ),
    click.option(
        "--aot", "aerosol_optical_depth", type=float, help="Aerosol optical depth at 550 nm, for 6s."
    ),
    click.option(
        "--pansharpen",
        type=click.Choice(PANSHARPENINGS),
        default="none",
        show_default=True,
        help="Sharpen with the product's panchromatic part.",
    ),
    click.option(
        "--find-clouds",
        "find",
        type=click.Choice(CLOUDS),
        help="Where cloud and shadow come from. [default: auto for products, none for a declared GeoTIFF]",
    ),
    click.option(
        "--reference", metavar="PRODUCT", help="Clear scene in the database to register and normalise to."
    ),
    click.option("--register/--no-register", default=True, help="Move the scene to fit the reference."),
    click.option(
        "--normalise",
        type=click.Choice(NORMALISATIONS),
        default="irmad",
        show_default=True,
        help="How the radiometry is fitted to the reference.",
    ),
    click.option("--fill-clouds", is_flag=True, help="Fill cloud and shadow from the reference, flagged."),
    click.option(
        "--denoise",
        type=click.Choice(DENOISINGS),
        default="none",
        show_default=True,
        help="For hyperspectral scenes.",
    ),
    click.option(
        "--destripe/--no-destripe", default=True, help="For hyperspectral scenes in sensor geometry."
    ),
)


def treatment_options(command: Command) -> Command:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def treatment_of(
    wishes: dict[str, Any],
    *,
    resampling: str | None,
    resolution_m: float | None,
    processing_level: str | None,
    roots: Sequence[Path],
    is_declared: bool,
    has_clouds: bool,
) -> Treatment:
    """The treatment that the options add up to.

    Args:
        wishes: values of the options above.
        resampling: method, None when nothing was said.
        resolution_m: pixel size, None when nothing was said.
        processing_level: what the values are, None when nothing was said.
        roots: folders that an elevation model must lie in; empty: any.
        is_declared: the scene is a plain file with a statement, not a product.
        has_clouds: the user brings outlines of cloud.

    Raises:
        UsageError: options contradict each other or do not apply.

    """
    dem, find = wishes.pop("dem"), wishes.pop("find")
    if is_declared:
        senseless = {
            "--dem": dem is not None,
            "--height": wishes["height_m"] is not None,
            "--part": wishes["role"] is not None,
            "--pansharpen": wishes["pansharpen"] != "none",
            "--calibration-year": wishes["calibration_year"] is not None,
        }
        given = [option for option, is_given in senseless.items() if is_given]
        if given:
            raise UsageError(
                f"{', '.join(given)}: a declared GeoTIFF has neither polynomials nor parts; these options "
                "are for products, which need no --sensor"
            )
    if processing_level not in (None, "digital_number") and not is_declared:
        raise UsageError(
            "--level: a product says itself what its numbers are; only digital_number is a choice"
        )
    treatment = Treatment(
        **wishes,
        terrain=None if dem is None else source_file(dem, roots),
        clouds=find if find is not None else ("none" if is_declared else "auto"),
        resampling=resampling or "bilinear",
        resolution_m=None if is_declared else resolution_m,
        calibrate=is_declared or processing_level is None,
    )
    treatment.check(has_clouds=has_clouds)
    return treatment
