"""Atmosphere and noise: from what the instrument saw to the reflectance of the ground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from db.errors import UsageError
from ingest.processing.atmosphere import find_atmosphere
from ingest.processing.denoising import find_denoising
from ingest.processing.material import Material
from ingest.processing.source import FloatArray
from ingest.processing.treatment import Treatment
from ingest.products.product import Level


@dataclass(frozen=True)
class Correction:
    """Steps that work on every strip in the same way.

    Attributes:
        level: what the values are afterwards.
        functions: from strip to strip, in order.
        steps: what was done, for the catalogue.

    """

    level: Level
    functions: tuple[Callable[[FloatArray], FloatArray], ...]
    steps: tuple[dict[str, Any], ...]

    def apply(self, strip: FloatArray) -> FloatArray:
        """Correct a strip (bands, height, width)."""
        for function in self.functions:
            strip = function(strip)
        return strip


def find_correction(
    material: Material,
    treatment: Treatment,
    reduced: FloatArray,
    hidden: np.ndarray[Any, np.dtype[np.bool_]] | None,
    say: Callable[[str], None],
) -> Correction:
    """Find what air and noise added, where a correction is asked for.

    Args:
        material: what the scene is made from.
        treatment: names the methods.
        reduced: calibrated image (bands, rows, columns), NaN without data.
        hidden: cloud and shadow in it, which tell nothing of dark ground; None when nobody looked.
        say: told what is being done.

    Raises:
        UsageError: a method does not suit the scene.

    """
    functions: list[Callable[[FloatArray], FloatArray]] = []
    steps: list[dict[str, Any]] = []
    level = material.level
    clear = reduced if hidden is None else np.where(hidden, np.float32(np.nan), reduced)
    if treatment.atmosphere != "none":
        if level == "surface_reflectance":
            raise UsageError(f"{material.name}: is surface reflectance already: leave --atmosphere out")
        if level != "toa_reflectance":
            raise UsageError(f"{material.name}: holds {level}; an atmosphere is taken off reflectance only")
        say("estimating the atmosphere")
        function, step = find_atmosphere(material, treatment, clear)
        functions.append(function)
        steps.append(step)
        clear, level = function(clear), "surface_reflectance"
    if treatment.denoise != "none":
        say("estimating noise")
        function, step = find_denoising(material, treatment.denoise, clear)
        functions.append(function)
        steps.append(step)
    return Correction(level, tuple(functions), tuple(steps))
