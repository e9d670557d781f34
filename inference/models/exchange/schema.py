"""What the record of an exported model must look like before any of it is read.

Keys that this version does not know pass; those that it reads must be what it reads them as, so that a model
from elsewhere cannot break `lode model show`, `compare` or `lode infer` later. Models of older versions lack
keys.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from inference.evaluation.figures import OF_ALL

MAX_BANDS = 2000
MAX_OPTION = 100_000
"""Largest whole number in the options of a network: widths, counts, rates."""
MAX_OPTIONS = 20_000
"""Values in the options of a network; an ensemble's hold the bands of all its members."""
_CLOCKS_MAY_DIFFER = datetime.timedelta(days=1)


def _aware(text: str) -> str:
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment needs its time zone")
    if moment > datetime.datetime.now(datetime.UTC) + _CLOCKS_MAY_DIFFER:
        raise ValueError("it lies in the future")
    return text


def _a_day(text: str) -> str:
    if datetime.date.fromisoformat(text).isoformat() != text:
        raise ValueError("a day is written as 2020-07-14")
    return text


Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Code = Annotated[int, Field(ge=0, le=255)]
Word = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]
Day = Annotated[str, AfterValidator(_a_day)]
Moment = Annotated[str, AfterValidator(_aware)]


class Loose(BaseModel):
    """Known keys are checked, others pass."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _OfClass(Loose):
    code: Code
    pixels: Count = 0
    precision: Share | None = None
    recall: Share | None = None
    iou: Share | None = None
    dice: Share | None = None


class _Figures(Loose):
    pixels: Count = 0
    overall_accuracy: Share | None = None
    mean_iou: Share | None = None
    mean_iou_without_background: Share | None = None
    mean_recall: Share | None = None
    mean_recall_without_background: Share | None = None
    mean_precision: Share | None = None
    mean_precision_without_background: Share | None = None
    mean_dice: Share | None = None
    mean_dice_without_background: Share | None = None
    kappa: float | None = None
    by_class: dict[str, _OfClass] = {}
    class_codes: list[Code] = []
    confusion: list[list[Count]] = []


class _BoundaryOfClass(Loose):
    code: Code
    f1: Share | None = None
    reference_px: Count = 0
    left_out_px: Count = 0


class _Boundary(Loose):
    tolerance_px: float
    mean_f1: Share | None = None
    mean_f1_without_background: Share | None = None
    by_class: dict[str, _BoundaryOfClass] = {}


class _Bin(Loose):
    low: Share
    high: Share
    pixels: Count
    probability: Share | None
    hit_rate: Share | None


class _Probabilities(Loose):
    pixels: Count = 0
    ece: Share | None = None
    overconfidence: float | None = None
    mean_classwise_ece: Share | None = None
    reliability: list[_Bin] = []


class _Temperature(Loose):
    value: Annotated[float, Field(gt=0)]
    pixels: Count = 0


class _Calibration(Loose):
    temperature: _Temperature | None = None
    before: _Probabilities | None = None
    after: _Probabilities | None = None


class Interval(Loose):
    """A figure and the ends of its interval."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class _Intervals(Loose):
    blocks: Count = 0
    resamples: Count = 0
    level: Share = 0.95
    by_class: dict[str, dict[str, Interval]] = {}

    @model_validator(mode="after")
    def _of_all(self) -> _Intervals:
        for figure in OF_ALL:
            if (found := (self.model_extra or {}).get(figure)) is not None:
                Interval.model_validate(found)
        return self


class _Block(Loose):
    key: Word
    confusion: list[list[Count]]


class _Metrics(_Figures):
    boundary: _Boundary | None = None
    calibration: _Calibration | None = None
    intervals: _Intervals | None = None
    blocks: list[_Block] = []
    labels_sha256: Word | None = None
    baselines: dict[str, _Figures] = {}

    @model_validator(mode="after")
    def _square(self) -> _Metrics:
        classes = len(self.class_codes)
        for matrix in (self.confusion, *(block.confusion for block in self.blocks)):
            if len(matrix) != classes or any(len(row) != classes for row in matrix):
                raise ValueError(f"a confusion matrix is not of the {classes} classes in class_codes")
        return self


class _Epoch(Loose):
    epoch: Count
    loss: float | None = None
    validation_mean_iou: float | None = None


class _Scene(Loose):
    product: Word


class _Member(Loose):
    name: Word
    weight: float | None = None


class Split(Loose):
    """What held the test ground back."""

    sample_set: Word | None = None
    digest: Word | None = None
    srid: int | None = None
    edge_m: float | None = None
    blocks: list[Annotated[list[int | str], Field(min_length=3, max_length=3)]] = []


class _Settings(Loose):
    augmentation: dict[str, bool | float] | None = None


class _Training(Loose):
    processing_level: Word
    settings: _Settings | None = None
    scenes: list[_Scene] = []
    members: list[_Member] = []
    split: Split | None = None
    pixels: dict[str, dict[str, Count]] = {}
    best_epoch: Count | None = None
    device: str = ""
    seconds: float | None = None


class BaseRecord(BaseModel):
    """The columns of ``lode.model`` but its key that models of every task fill alike."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    name: str
    task: Word
    architecture: Word
    options: dict[str, Any]
    class_codes: Annotated[list[Code], Field(min_length=1)]
    mapped_codes: Annotated[list[Code], Field(min_length=2)]
    band_names: Annotated[list[Word], Field(min_length=1, max_length=MAX_BANDS)]
    resolution_m: Annotated[float, Field(gt=0, le=1e6)]
    normalisation: dict[str, Any]
    versions: dict[str, str]
    trained_at: Moment
    temperature: Annotated[float, Field(ge=1e-6, le=1e6)]
    licence: str | None
    retired_at: Moment | None
    retired_reason: str | None

    @model_validator(mode="after")
    def _alike(self) -> BaseRecord:
        for each in (self.class_codes, self.mapped_codes, self.band_names):
            if len(set(map(str, each))) < len(each):
                raise ValueError(f"{each} names one twice")
        if not set(self.mapped_codes) <= set(self.class_codes):
            raise ValueError(f"mapped_codes {self.mapped_codes} are not all among the class_codes")
        _check_options(self.options)
        return self


class SegmentationRecord(BaseRecord):
    """The columns of ``lode.model`` but its key, of a network that classifies scenes."""

    tile_px: Annotated[int, Field(ge=32, le=8192, multiple_of=16)]
    training: _Training
    history: list[_Epoch]
    metrics: _Metrics


class SceneFacts(BaseModel):
    """A scene that a model was trained on, as the catalogue knew it when the model was exported."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    product: Word
    version: int | None = None
    sensor: Word | None = None
    acquired_on: Day | None = None
    resolution_m: Annotated[float, Field(gt=0)] | None = None
    processing_level: Word | None = None


def _check_options(options: Mapping[str, Any]) -> None:
    """Refuse options that would have a network built which no machine holds."""
    waiting: list[Any] = [options]
    seen = 0
    while waiting:
        each = waiting.pop()
        seen += 1
        if seen > MAX_OPTIONS:
            raise ValueError(f"options hold more than {MAX_OPTIONS} values")
        if isinstance(each, int) and abs(each) > MAX_OPTION:
            raise ValueError(f"options hold {each}: whole numbers are at most {MAX_OPTION}")
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
