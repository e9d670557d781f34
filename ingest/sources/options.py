"""Options of a source: those of ``lode ingest scene``, read by that command's own parser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import click

from db.errors import UsageError
from ingest.declaration import Statement
from ingest.processing.treatment import Treatment
from ingest.scene_command import scene
from ingest.scene_options import treatment_of

_OF_EACH_SCENE = {"acquired-on", "product", "clouds"}
_OF_STATEMENT = ("acquired_on", "product", "clouds", "path")
ASSET = "asset"
"""The one option that the command does not have: key of the asset that is an item's plain GeoTIFF."""


@dataclass(frozen=True)
class SceneOptions:
    """What is to be done with every scene of a source.

    Attributes:
        treatment: processing.
        stated: what plain GeoTIFFs are, but for day and product; None: scenes are products, which say it.
        asset: key of the asset that is such a GeoTIFF; None: there is one.

    """

    treatment: Treatment
    stated: Mapping[str, Any] | None
    asset: str | None

    def statement(self, product: str, acquired_on: date) -> Statement:
        """What one plain GeoTIFF is.

        Raises:
            ValueError: scenes of this source are products.

        """
        if self.stated is None:
            raise ValueError("products say themselves what they are")
        return Statement(product=product, acquired_on=acquired_on, **self.stated)


def scene_options(options: Mapping[str, Any], roots: Sequence[Path]) -> SceneOptions:
    """Read options as the command line would.

    Args:
        options: by name without dashes in front; true and false for switches.
        roots: folders that an elevation model must lie in; empty: any.

    Raises:
        UsageError: an option is not known, or cannot be what it is.

    """
    asset = options.get(ASSET)
    if asset is not None and not isinstance(asset, str):
        raise UsageError(f"option asset: {asset!r} is no key of an asset")
    said = {str(key).replace("_", "-"): value for key, value in options.items() if key != ASSET}
    if "help" in said:
        raise UsageError("option help: is of the command line, not of a source")
    single = sorted(_OF_EACH_SCENE & set(said))
    if single:
        raise UsageError(f"option {', '.join(single)}: is of one scene, not of all scenes of a source")
    values = _parsed(said)
    sensor = values.pop("sensor_key")
    for each in _OF_STATEMENT:
        values.pop(each)
    bands = values.pop("bands")
    stated = {
        "bands": None if bands is None else tuple(name.strip() for name in bands.split(",")),
        "value_offset": values.pop("value_offset"),
        "value_scale": values.pop("value_scale"),
        "nodata": values.pop("nodata"),
    }
    if sensor is None and any(value is not None for value in stated.values()):
        raise UsageError(
            "options bands, offset, scale and nodata are of GeoTIFFs without side files, together with sensor"
        )
    resampling, resolution_m = values.pop("resampling"), values.pop("resolution_m")
    level = values.pop("processing_level")
    treatment = treatment_of(
        values,
        resampling=resampling,
        resolution_m=resolution_m,
        processing_level=level,
        roots=roots,
        is_declared=sensor is not None,
        has_clouds=False,
    )
    if sensor is None:
        return SceneOptions(treatment, None, asset)
    stated |= {
        "sensor": sensor,
        "processing_level": level,
        "resampling": resampling or "nearest",
        "resolution_m": resolution_m,
    }
    return SceneOptions(treatment, stated, asset)


def _parsed(said: Mapping[str, Any]) -> dict[str, Any]:
    """Values of all options of the command, with its defaults."""
    words: list[str] = []
    for key, value in said.items():
        if value is None:
            continue
        if isinstance(value, bool):
            words += _switch(key, value)
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            words += [f"--{key}", ",".join(value)]
        elif isinstance(value, str | int | float):
            words.append(f"--{key}={value}")
        else:
            raise UsageError(f"option {key}: {value!r} is neither text, number, nor true or false")
    try:
        with scene.make_context("options", [*words, "--", "scene"]) as context:
            return dict(context.params)
    except (click.exceptions.Exit, click.exceptions.Abort):
        raise UsageError("option help: is of the command line, not of a source") from None
    except click.UsageError as error:
        raise UsageError(f"options of `lode ingest scene`: {error.format_message()}") from None


def _switch(key: str, value: bool) -> list[str]:
    for parameter in scene.params:
        if isinstance(parameter, click.Option) and parameter.is_flag and f"--{key}" in parameter.opts:
            return [f"--{key}"] if value else parameter.secondary_opts[:1]
    raise UsageError(f"option {key}: is not known, or no switch")
