"""Pan-sharpening of a scene: fitted on reduced images of both parts, applied strip by strip."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from db.errors import UsageError
from ingest.preprocess.pansharpening import fit_brovey, fit_gram_schmidt
from ingest.processing.material import Material
from ingest.processing.source import FloatArray, block_means
from ingest.processing.treatment import Treatment


@dataclass(frozen=True)
class SharpeningStep:
    """Sharpens a strip that begins at a row; ``step`` is what the catalogue keeps of it."""

    apply: Callable[[int, FloatArray], FloatArray]
    step: dict[str, Any]


def find_sharpening(
    material: Material, treatment: Treatment, reduced: FloatArray, factor: int, say: Callable[[str], None]
) -> SharpeningStep | None:
    """Fit the panchromatic image to the multispectral one.

    Args:
        material: what the scene is made from; its source is the multispectral image on the fine grid.
        treatment: names the method.
        reduced: the multispectral image (bands, rows, columns), calibrated.
        factor: how much it is reduced.
        say: told what is being done.

    Returns:
        None when nothing is to be sharpened.

    Raises:
        UsageError: the product has no panchromatic part, or it does not fit.

    """
    if treatment.pansharpen == "none":
        return None
    panchromatic = material.panchromatic
    if panchromatic is None:
        raise UsageError(
            f"{material.name}: has no panchromatic part to sharpen with; leave --pansharpen out, or name the "
            "package that holds both"
        )
    say("fitting the panchromatic image")
    pan = panchromatic.calibration.apply(panchromatic.source.reduced(factor))
    # Both must be as coarse as the multispectral image for the fit, whatever the reduction was.
    coarser = max(1, math.ceil(panchromatic.ratio / factor))
    fit = fit_brovey if treatment.pansharpen == "brovey" else fit_gram_schmidt
    fitted = fit(block_means(reduced, coarser), block_means(pan, coarser)[0])

    def apply(row: int, strip: FloatArray) -> FloatArray:
        fine = panchromatic.calibration.apply(panchromatic.source.read(row, strip.shape[1]))
        sharpened: FloatArray = fitted.apply(strip, fine[0])
        return sharpened

    step = {
        "step": "pansharpened",
        "method": treatment.pansharpen,
        **fitted.as_json(),
        "text": f"sharpened with the panchromatic part ({treatment.pansharpen}), "
        f"{panchromatic.ratio:.1f} times as fine",
    }
    return SharpeningStep(apply, step)
