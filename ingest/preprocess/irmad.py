"""Relative radiometric normalisation on ground that did not change.

Unchanged pixels are found by iteratively reweighted multivariate alteration detection (Nielsen 2007,
doi:10.1109/TIP.2006.888195); a line is fitted to them band by band by orthogonal regression (Canty and
Nielsen 2008, doi:10.1016/j.rse.2007.07.013).

Two traps are dealt with. Weighting by probability makes the variance of unchanged pixels look smaller than it
is, round after round, until a chance few are left: the variance is divided by what the weighting costs a
normal distribution. And the method is blind to change that some linear mixture of
bands explains (a season's vegetation, brighter in one band): the line of each band starts from the largest
consensus of pixels, not from their mean, so that a season is followed only where most pixels follow it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import integrate, linalg, stats

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

FEWEST_PX = 1000
LARGEST_SAMPLE = 500_000
COMPARED_BANDS = 10
"""More bands than these tell nothing new of change and make the covariance ill-conditioned."""

UNCHANGED_PROBABILITY = 0.95
FEWEST_UNCHANGED_PX = 200
FEWEST_UNCHANGED_SHARE = 0.02
LEAST_CORRELATION = 0.5
MOST_UNFITTED_SHARE = 0.5
"""Of the bands of a hyperspectral scene; of up to COMPARED_BANDS bands every one that has data must fit."""

LEAST_AGREEMENT = 0.1
"""Of the fitted scene with its reference, beyond chance: 0 for unrelated images, 1 without change."""

STEEPEST = 2.0
"""Gains beyond this, or below its inverse, are not what light and air do between two dates."""

_AGREES = 0.1
_ALIKE = 0.05
_LEAST_DATA_SHARE = 0.9
_LEAST_DEVIATION = 1e-6
_ROUNDS = 50
_SETTLED = 1e-3
_RIDGE = 1e-9
_SMALLEST_NOISE = 1e-5
_CANDIDATES = 300
_SCORED_PX = 3000
_TOLERANCE = 4.0
_ADVICE = "name another --reference, or say --normalise dark, histogram or none"


@dataclass(frozen=True)
class Normalisation:
    """A line for each band: fitted = gain * value + offset.

    Attributes:
        gain, offset: by band; 1 and 0 for bands that could not be fitted.
        correlation: of the pixels the line is fitted to, by band; NaN where there is no data to compare.
        fitted: which bands have a line.
        agreement: share of pixels that agree in all bands once fitted, beyond chance (0..1).
        unchanged_px: pixels that look unchanged.
        compared_px: pixels that were looked at.
        iterations: rounds of reweighting.

    """

    gain: Matrix
    offset: Matrix
    correlation: Matrix
    fitted: BoolArray
    agreement: float
    unchanged_px: int
    compared_px: int
    iterations: int

    def apply(self, strip: FloatArray) -> FloatArray:
        """Fit the values of a strip (bands, height, width); NaN stays.

        Raises:
            ValueError: another number of bands.

        """
        if len(strip) != len(self.gain):
            raise ValueError(f"normalisation of {len(self.gain)} bands, pixels of {len(strip)}")
        fitted: FloatArray = np.multiply(strip, self.gain[:, None, None].astype(np.float32), dtype=np.float32)
        fitted += self.offset[:, None, None].astype(np.float32)
        return fitted

    def as_json(self) -> dict[str, Any]:
        """Parameters and figures for the catalogue; bands without a line are counted from 1."""
        return {
            "gain": [float(value) for value in self.gain],
            "offset": [float(value) for value in self.offset],
            "correlation": [None if np.isnan(value) else float(value) for value in self.correlation],
            "bands_not_fitted": [int(place) + 1 for place in np.flatnonzero(~self.fitted)],
            "agreement": self.agreement,
            "unchanged_px": self.unchanged_px,
            "compared_px": self.compared_px,
            "iterations": self.iterations,
        }


def irmad(target: FloatArray, reference: FloatArray, valid: BoolArray) -> Normalisation:
    """Fit the radiometry of one date to that of another.

    Args:
        target: reflectance to be fitted (bands, height, width), NaN without data.
        reference: the other date on the same pixels.
        valid: clear pixels that both have (height, width).

    Raises:
        UsageError: the dates have too little unchanged ground in common.
        ValueError: the shapes differ.

    """
    if target.ndim != 3 or target.shape != reference.shape or target.shape[1:] != valid.shape:
        raise ValueError(
            f"images of {target.shape} and {reference.shape} and valid pixels of {valid.shape}: the images' "
            "shapes (bands, height, width) must be alike, and that of the pixels (height, width)"
        )
    usable, places = _comparable(target, reference, valid)
    if len(places) < FEWEST_PX or not usable:
        raise UsageError(
            f"the scene and its reference have {len(places)} clear pixels in common and {len(usable)} of "
            f"{len(target)} bands with data that varies; at least {FEWEST_PX} pixels and 1 band are needed: "
            "name another --reference or say --normalise none"
        )
    chosen = usable
    if len(usable) > COMPARED_BANDS:
        chosen = [usable[i] for i in np.linspace(0, len(usable) - 1, COMPARED_BANDS).round().astype(int)]
    x, y = (_columns(image, chosen, places) for image in (target, reference))
    try:
        plain = _fitted(target, reference, places, usable, chosen, *_no_change(x, y, np.ones(len(places))))
        if _is_plausible(plain):
            return plain
        found, refused = [plain], None
    except UsageError as error:
        found, refused = [], error
    # Where most of the ground changed in the same way, the weights lead to that change: they are started anew
    # from pixels that agree in all bands at once.
    alike = _alike_in_all_bands(x, y)
    for probability, iterations in (_no_change(x, y, alike), (alike, 0)):
        with suppress(UsageError):
            found.append(_fitted(target, reference, places, usable, chosen, probability, iterations))
    plausible = [each for each in found if _is_plausible(each)]
    if plausible:
        return max(plausible, key=lambda each: each.agreement)
    raise refused or UsageError(
        "no lines that light and air could make fit the scene to its reference (gains "
        f"{found[0].gain.min():.2f} to {found[0].gain.max():.2f}): most of the ground changed: {_ADVICE}"
    )


def _is_plausible(fit: Normalisation) -> bool:
    """Whether all gains are such as light and air make."""
    gain = fit.gain[fit.fitted]
    return bool(((gain >= 1.0 / STEEPEST) & (gain <= STEEPEST)).all())


def _fitted(
    target: FloatArray,
    reference: FloatArray,
    places: Places,
    usable: list[int],
    chosen: list[int],
    probability: Matrix,
    iterations: int,
) -> Normalisation:
    """Lines through the pixels that probably did not change."""
    least = max(FEWEST_UNCHANGED_PX, int(np.ceil(FEWEST_UNCHANGED_SHARE * len(places))))
    # A chance alignment of a few pixels must not decide: where few are sure, more of the likely ones count.
    bound = min(UNCHANGED_PROBABILITY, float(np.partition(probability, -least)[-least]))
    unchanged = places[probability >= max(bound, 0.5)]
    if len(unchanged) < least:
        raise UsageError(
            f"only {len(unchanged)} of {len(places)} pixels look unchanged since the reference, "
            f"at least {least} are needed: {_ADVICE}"
        )
    gain, offset = np.ones(len(target)), np.zeros(len(target))
    correlation = np.full(len(target), np.nan)
    fitted = np.zeros(len(target), np.bool_)
    for band in usable:
        x, y = (image[band].ravel()[unchanged].astype(np.float64) for image in (target, reference))
        slope, height, correlation[band] = _line(x, y)
        fitted[band] = correlation[band] >= LEAST_CORRELATION and slope > 0
        if fitted[band]:
            gain[band], offset[band] = slope, height
    _refuse_unfitted(usable, fitted, correlation, len(unchanged))
    compared = [band for band in chosen if fitted[band]]
    x, y = (_values(image, compared, places) for image in (target, reference))
    agreement = _agreement(x * gain[compared] + offset[compared], y)
    if agreement < LEAST_AGREEMENT:
        raise UsageError(
            f"the scene and its reference do not show the same ground: fitted, they agree {agreement:.0%} "
            f"more often than by chance, at least {LEAST_AGREEMENT:.0%} is needed: {_ADVICE}"
        )
    return Normalisation(
        gain, offset, correlation, fitted, agreement, len(unchanged), len(places), iterations
    )


def _alike_in_all_bands(x: Matrix, y: Matrix) -> Matrix:
    """1 for pixels that one line in each band explains in all bands at once, 0 for others.

    The lines run through two pixels that most others follow; none is steeper or flatter than light and air
    make one of calibrated reflectance.
    """
    random = np.random.default_rng(0)
    some = random.choice(len(x), min(_SCORED_PX, len(x)), replace=False)
    one, other = random.integers(0, len(x), (2, 40 * _CANDIDATES))
    run, rise = x[one] - x[other], y[one] - y[other]
    with np.errstate(invalid="ignore", divide="ignore"):
        gains = rise / run
    possible = ((gains >= 1.0 / STEEPEST) & (gains <= STEEPEST)).all(axis=1)
    gains, one = gains[possible][:_CANDIDATES], one[possible][:_CANDIDATES]
    offsets = y[one] - gains * x[one]
    low, high = np.percentile(y, (5, 95), axis=0)
    tolerance = np.maximum(_ALIKE * (high - low), _SMALLEST_NOISE)
    best, most = np.zeros(len(x), np.bool_), 0
    for gain, offset in zip(gains, offsets, strict=True):
        count = int((np.abs(y[some] - gain * x[some] - offset) <= tolerance).all(axis=1).sum())
        if count > most:
            most = count
            best = (np.abs(y - gain * x - offset) <= tolerance).all(axis=1)
    return best.astype(np.float64)


def _comparable(target: FloatArray, reference: FloatArray, valid: BoolArray) -> tuple[list[int], Places]:
    """Bands that vary and have data on both dates, and the pixels (or a sample) where they all do."""
    usable = []
    seen = valid.copy()
    for band, (one, other) in enumerate(zip(target, reference, strict=True)):
        finite = valid & np.isfinite(one) & np.isfinite(other)
        if np.count_nonzero(finite) < max(2, _LEAST_DATA_SHARE * np.count_nonzero(valid)):
            continue
        if min(one[finite].std(dtype=np.float64), other[finite].std(dtype=np.float64)) > _LEAST_DEVIATION:
            usable.append(band)
            seen &= finite
    places = np.flatnonzero(seen)
    if len(places) > LARGEST_SAMPLE:
        places = np.sort(np.random.default_rng(0).choice(places, LARGEST_SAMPLE, replace=False))
    return usable, places


def _values(image: FloatArray, bands: list[int], places: Places) -> Matrix:
    """Pixels of some bands (pixels, bands)."""
    return np.stack([image[band].ravel()[places] for band in bands], axis=1).astype(np.float64)


def _columns(image: FloatArray, bands: list[int], places: Places) -> Matrix:
    """Pixels of some bands (pixels, bands), each band with mean 0 and deviation 1."""
    columns = _values(image, bands, places)
    return np.asarray((columns - columns.mean(axis=0)) / np.maximum(columns.std(axis=0), 1e-12))


def _no_change(x: Matrix, y: Matrix, start: Matrix) -> tuple[Matrix, int]:
    """Probability of no change of each pixel, from weights to start with, and the rounds it took."""
    bands = x.shape[1]
    # Pixels that did not change have weights P(V > U) with U and V both chi-square: their weighted mean
    # square is E(min(U, V)) = integral of P(U > u)^2 instead of E(U) = bands.
    shrinking = integrate.quad(lambda u: stats.chi2.sf(u, bands) ** 2, 0.0, 20.0 * bands)[0] / bands
    weights = start
    before = np.zeros(bands)
    probability, iterations = start, 0
    if start.sum() < FEWEST_UNCHANGED_PX:
        return start, 0
    for iterations in range(1, _ROUNDS + 1):
        total = weights.sum()
        dx, dy = x - weights @ x / total, y - weights @ y / total
        sxx, syy, sxy = (
            (one * weights[:, None]).T @ other / total for one, other in ((dx, dx), (dy, dy), (dx, dy))
        )
        for square in (sxx, syy):  # bands that repeat each other
            square += _RIDGE * np.trace(square) / bands * np.eye(bands)
        squares, a = linalg.eigh(sxy @ linalg.solve(syy, sxy.T, assume_a="pos"), sxx)
        b = linalg.solve(syy, sxy.T @ a, assume_a="pos")
        b /= np.sqrt(np.maximum(np.einsum("ij,ij->j", b, syy @ b), 1e-30))
        variates = dx @ a - dy @ b
        variance = np.maximum(weights @ variates**2 / total, _SMALLEST_NOISE**2)
        if iterations > 1 or start.min() < 1.0:
            variance /= shrinking
        probability = np.asarray(stats.chi2.sf((variates**2 / variance).sum(axis=1), bands))
        rho = np.sqrt(np.clip(squares, 0.0, 1.0))
        if np.abs(rho - before).max() < _SETTLED or probability.sum() < FEWEST_UNCHANGED_PX / 2:
            break
        before, weights = rho, probability
    return probability, iterations


def _line(x: Matrix, y: Matrix) -> tuple[float, float, float]:
    """Gain, offset and correlation by orthogonal regression of the pixels that agree with most others."""
    gain, offset, noise = _consensus(x, y)
    keep = np.ones(len(x), np.bool_)
    for _ in range(5):
        kept = np.abs(y - gain * x - offset) <= _TOLERANCE * noise
        if np.count_nonzero(kept) < FEWEST_UNCHANGED_PX // 4:
            break
        keep = kept
        sxx, syy = x[keep].var(), y[keep].var()
        sxy = float(np.mean((x[keep] - x[keep].mean()) * (y[keep] - y[keep].mean())))
        if abs(sxy) < 1e-15:
            return 1.0, 0.0, 0.0
        gain = float((syy - sxx + np.sqrt((syy - sxx) ** 2 + 4.0 * sxy**2)) / (2.0 * sxy))
        offset = float(y[keep].mean() - gain * x[keep].mean())
        noise = max(1.4826 * float(np.median(np.abs(y - gain * x - offset)[keep])), _SMALLEST_NOISE)
    if min(x[keep].std(), y[keep].std()) < _SMALLEST_NOISE:
        return 1.0, 0.0, 0.0
    return gain, offset, float(np.corrcoef(x[keep], y[keep])[0, 1])


def _consensus(x: Matrix, y: Matrix) -> tuple[float, float, float]:
    """Line through two pixels that most others lie near (Torr and Zisserman 2000, MSAC), and their noise.

    The two pixels differ by an eighth of the range at least, so that a large dull area, in which every slope
    fits, does not choose the slope.
    """
    random = np.random.default_rng(0)
    low, high = np.percentile(x, (1, 99))
    one, other = random.integers(0, len(x), (2, 20 * _CANDIDATES))
    apart = np.flatnonzero((np.abs(x[one] - x[other]) > (high - low) / 8) & (x[one] != x[other]))[
        :_CANDIDATES
    ]
    some = random.choice(len(x), min(_SCORED_PX, len(x)), replace=False)
    one, other = one[apart], other[apart]
    gains = (y[one] - y[other]) / (x[one] - x[other])
    gains, one = gains[gains > 0], one[gains > 0]
    if not len(gains):
        return 1.0, float(np.median(y - x)), float(np.ptp(y)) + _SMALLEST_NOISE
    offsets = y[one] - gains * x[one]
    residual = np.abs(y[some] - gains[:, None] * x[some] - offsets[:, None])
    noise = max(1.4826 * float(np.median(residual, axis=1).min()), _SMALLEST_NOISE)
    best = int((np.minimum(residual / noise, _TOLERANCE) ** 2).sum(axis=1).argmin())
    return float(gains[best]), float(offsets[best]), noise


def _agreement(fitted: Matrix, reference: Matrix) -> float:
    """Share of pixels that agree in all bands, beyond the share that agree by chance (Cohen 1960, kappa).

    Lines through what a few pixels of unrelated images have in common fit those pixels only.
    """
    low, high = np.percentile(reference, (5, 95), axis=0)
    tolerance = _AGREES * (high - low)
    other = reference[np.random.default_rng(0).permutation(len(reference))]
    share, chance = (
        float((np.abs(fitted - values) <= tolerance).all(axis=1).mean()) for values in (reference, other)
    )
    return (share - chance) / max(1.0 - chance, 1e-9)


def _refuse_unfitted(usable: list[int], fitted: BoolArray, correlation: Matrix, unchanged_px: int) -> None:
    """Refuse when bands that should have a line have none."""
    failed = [band for band in usable if not fitted[band]]
    allowed = MOST_UNFITTED_SHARE * len(usable) if len(usable) > COMPARED_BANDS else 0
    if len(failed) > allowed:
        raise UsageError(
            f"even the {unchanged_px} unchanged pixels of scene and reference hardly agree: correlation "
            + ", ".join(f"{correlation[band]:.2f} in band {band + 1}" for band in failed[:4])
            + f" (at least {LEAST_CORRELATION} is needed): {_ADVICE}"
        )
