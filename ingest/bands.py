"""Which band of a file is which band of its instrument."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from db.errors import UsageError
from db.sensors import Sensor


@dataclass(frozen=True)
class BandNaming:
    """Names of a file's bands, in stored order, and how they were found."""

    names: tuple[str, ...]
    origin: str


def name_bands(
    sensor: Sensor,
    band_count: int,
    descriptions: Sequence[str | None],
    *,
    stated: Sequence[str] | None,
    file_name: str,
    alpha_bands: Sequence[int] = (),
) -> BandNaming:
    """Name the bands of a file.

    Args:
        sensor: the instrument.
        band_count: bands in the file.
        descriptions: what the file says about each band.
        stated: names the user gave; they go before everything else.
        file_name: for messages.
        alpha_bands: bands (from 1) that the file marks as transparency.

    Raises:
        UsageError: names are unknown, repeated or too few, or nothing says which band is which.

    """
    if stated is not None:
        if len(stated) != band_count:
            raise UsageError(
                f"{file_name}: --bands names {len(stated)} bands ({', '.join(stated)}), "
                f"but the file has {band_count}"
            )
        names = _resolved(sensor, stated)
        if None in names:
            unknown = [name for name, found in zip(stated, names, strict=True) if found is None]
            raise UsageError(f"{file_name}: {', '.join(unknown)}: no band of {_listed(sensor)}")
        return BandNaming(_unique(names, file_name), "--bands")
    if alpha_bands:
        raise UsageError(
            f"{file_name}: band {alpha_bands[0]} is marked as transparency (alpha), which is no measurement: "
            "leave it out, or name every band with --bands if it is one"
        )
    known = _resolved(sensor, [description or "" for description in descriptions])
    if all(known):
        return BandNaming(_unique(known, file_name), "the file's band descriptions")
    if any(known) or band_count != len(sensor.bands):
        said = ", ".join(description or "-" for description in descriptions[:20])
        raise UsageError(
            f"{file_name}: nothing says which of its {band_count} bands is which (descriptions: {said}); "
            f"state them in order with --bands. Bands of {_listed(sensor)}"
        )
    return BandNaming(tuple(band.name for band in sensor.bands), "the order of the instrument's bands")


def _listed(sensor: Sensor) -> str:
    names = [band.name for band in sensor.bands]
    if len(names) > 20:
        names = [*names[:10], "...", *names[-2:]]
    return f"{sensor.key}: {', '.join(names)}"


def _plain(name: str) -> str:
    """Comparable form: case and leading zeros do not matter (B2, b02)."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.strip().casefold())


def _resolved(sensor: Sensor, given: Sequence[str]) -> list[str | None]:
    by_name = {_plain(band.name): band.name for band in sensor.bands}
    common = [band.common_name for band in sensor.bands if band.common_name]
    by_common = {
        _plain(band.common_name): band.name
        for band in sensor.bands
        if band.common_name and common.count(band.common_name) == 1
    }
    return [by_name.get(_plain(name)) or by_common.get(_plain(name)) for name in given]


def _unique(names: Sequence[str | None], file_name: str) -> tuple[str, ...]:
    found = tuple(name for name in names if name is not None)
    repeated = sorted({name for name in found if found.count(name) > 1})
    if repeated:
        raise UsageError(f"{file_name}: band {', '.join(repeated)} is named more than once")
    return found
