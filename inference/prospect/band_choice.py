"""Bands of a scene by windows of wavelength, and what is said where a window has none."""

from __future__ import annotations

from collections.abc import Sequence

from db.errors import UsageError
from db.scenes import SceneBand
from db.wavelengths import bands_in_windows
from inference.prospect.channels import Channel


def bands_by_window(
    product: str, bands: Sequence[SceneBand], windows_nm: Sequence[tuple[float, float]]
) -> tuple[int, ...]:
    """Places of the bands in the windows, in order of wavelength.

    Raises:
        UsageError: no band says its wavelength, no window is given, or one has no band.

    """
    centers = [band.center_nm for band in bands if band.center_nm is not None]
    if not centers:
        raise UsageError(
            f"scene {product} says of none of its {len(bands)} bands at which wavelength it lies: bring a "
            "product that does (EnMAP, ZY-1 with its side files), or search evidence with --area"
        )
    if not windows_nm:
        raise UsageError("no window of wavelengths is given: write some, e.g. --windows-nm 782-902,2014-2400")
    reach = f"its bands lie at {min(centers):g} to {max(centers):g} nm"
    empty = [window for window in windows_nm if not bands_in_windows(bands, [window])]
    if empty:
        raise UsageError(
            f"scene {product} has no band in {_windows_text(empty)}; {reach}: choose other --windows-nm"
        )
    return bands_in_windows(bands, windows_nm)


def check_windows(
    product: str,
    left: Sequence[SceneBand] | Sequence[Channel],
    windows_nm: Sequence[tuple[float, float]],
    why: str,
) -> None:
    """Check that each window keeps a band.

    Args:
        product: the scene.
        left: bands that can be used.
        windows_nm: the windows.
        why: what is wrong with the bands that cannot.

    Raises:
        UsageError: a window has none left.

    """
    empty = [window for window in windows_nm if not bands_in_windows(left, [window])]
    if empty:
        raise UsageError(
            f"scene {product} has no usable band left in {_windows_text(empty)}, for of each band there "
            f"{why}: `lode scene bands` lists them; choose other --windows-nm"
        )


def _windows_text(windows_nm: Sequence[tuple[float, float]]) -> str:
    return " and ".join(f"{low:g}-{high:g} nm" for low, high in windows_nm)
