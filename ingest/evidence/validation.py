"""How well samples are estimated from the others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ingest.evidence.blocks import Estimator, Floats, Neighbourhood

MOST_JUDGED = 1000
"""So many samples, drawn at random, tell the figures to a few per cent."""

_SEED = 1


@dataclass(frozen=True)
class CrossValidation:
    """Leave-one-out figures, in the unit of the error.

    Attributes:
        samples: so many were left out, one at a time.
        bias: mean of estimate minus value.
        rmse: root mean square of it.
        standardised_rmse: the same in errors that were stated for it: 1 where those are right, above 1 where
            they are too small; None: errors of 0 were stated.
        correlation: of estimates with values; None: all estimates are alike.

    """

    samples: int
    bias: float
    rmse: float
    standardised_rmse: float | None
    correlation: float | None

    def as_json(self) -> dict[str, Any]:
        """For the catalogue."""
        return asdict(self)


def judged(estimates: Floats, values: Floats, errors: Floats) -> CrossValidation:
    """Compare estimates of samples with their values, (samples,) each."""
    residuals = estimates - values
    is_stated = bool((errors > 0).all())
    is_varied = min(np.ptp(estimates), np.ptp(values)) > 0
    return CrossValidation(
        len(values),
        float(residuals.mean()),
        float(np.sqrt((residuals**2).mean())),
        float(np.sqrt(((residuals / errors) ** 2).mean())) if is_stated else None,
        float(np.corrcoef(estimates, values)[0, 1]) if is_varied else None,
    )


def left_out(near: Neighbourhood, values: Floats, estimate: Estimator) -> CrossValidation:
    """Estimate samples from their neighbours without themselves.

    Args:
        near: the samples, all at different places, and how many neighbours count.
        values: (samples,) their values.
        estimate: does it.

    """
    count = len(values)
    drawn = np.arange(count)
    if count > MOST_JUDGED:
        drawn = np.sort(np.random.default_rng(_SEED).choice(count, MOST_JUDGED, replace=False))
    nearest = near.tree().query(near.xy_m[drawn], min(near.neighbours + 1, count))[1]
    found = np.array(
        [
            np.concatenate(estimate(others[others != sample], near.xy_m[sample : sample + 1]))
            for sample, others in zip(drawn, nearest, strict=True)
        ]
    )
    return judged(found[:, 0], values[drawn], found[:, 1])
