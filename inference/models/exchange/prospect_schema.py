"""What the record of an exported model that tells where ore may lie must look like; see `schema`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from inference.models.exchange.schema import MAX_BANDS, BaseRecord, Count, Interval, Loose, Share, Split, Word
from inference.prospect.figures import FIGURES
from inference.prospect.request import MOST_PATCH_PX

_Row = Annotated[list[Count], Field(min_length=2, max_length=2)]
_Drop = Annotated[float, Field(ge=-1, le=1)]


class _Intervals(Loose):
    blocks: Count = 0
    blocks_with_ore: Count | None = None
    blocks_with_barren: Count | None = None
    resamples: Count = 0
    level: Share = 0.95

    @model_validator(mode="after")
    def _of_all(self) -> _Intervals:
        for figure in FIGURES:
            if (found := (self.model_extra or {}).get(figure)) is not None:
                Interval.model_validate(found)
        return self


class _Figures(Loose):
    patches: Count = 0
    positives: Count = 0
    threshold: Share | None = None
    confusion: Annotated[list[_Row], Field(max_length=2)] = Field(default_factory=list)
    accuracy: Share | None = None
    balanced_accuracy: Share | None = None
    precision: Share | None = None
    recall: Share | None = None
    f1: Share | None = None
    macro_f1: Share | None = None
    roc_auc: Share | None = None
    pr_auc: Share | None = None
    intervals: _Intervals | None = None

    @model_validator(mode="after")
    def _square(self) -> _Figures:
        is_told = "balanced_accuracy" in self.model_fields_set
        if len(self.confusion) not in ((2,) if is_told else (0, 2)):
            raise ValueError("figures come without their confusion matrix")
        return self


class _Answers(Loose):
    blocks: list[Annotated[int, Field(ge=-(2**63), lt=2**63)]]
    is_positive: list[Annotated[int, Field(ge=0, le=1)]]
    probabilities: list[Share]


class _Importance(Loose):
    name: Word
    channels: Annotated[list[Word], Field(min_length=1)]
    balanced_accuracy_drop: _Drop
    balanced_accuracy_spread: Share
    roc_auc_drop: _Drop
    roc_auc_spread: Share
    repeats: Count | None = None


class _Metrics(_Figures):
    baselines: dict[str, _Figures] = Field(default_factory=dict)
    test: _Answers | None = None
    importance: list[_Importance] = Field(default_factory=list)


_Wavelength = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Channel(Loose):
    name: Word
    kind: Literal["spectral", "evidence", "geology"]
    center_nm: Annotated[float, Field(gt=0)] | None = None
    width_nm: Annotated[float, Field(ge=0)] | None = None
    is_log: bool = False
    is_geology: bool = False
    least: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    relative_to_nm: tuple[_Wavelength, _Wavelength] | None = None


class _Evidence(Loose):
    kind: Word | None = None
    element: Word | None = None
    unit: Word | None = None


class _Labels(Loose):
    buffer_m: float
    positive_share: Share
    deposits: Count


class _Geology(Loose):
    proximity_m: Annotated[float, Field(gt=0)] | None = None
    density_radius_m: Annotated[float, Field(gt=0)] | None = None


class _Part(Loose):
    ore: Count
    barren: Count
    blocks: Count


class _Training(Loose):
    channels: Annotated[list[_Channel], Field(min_length=1)]
    threshold: Share
    threshold_rule: Word | None = None
    processing_level: Word | None = None
    evidence: dict[str, _Evidence] = Field(default_factory=dict)
    elements: dict[str, Word | None] = Field(default_factory=dict)
    geology: _Geology | None = None
    labels: _Labels | None = None
    ground: Word | None = None
    set: Word | None = None
    split: Split | None = None
    patches: dict[str, _Part] = Field(default_factory=dict)
    settings: dict[str, Any] | None = None
    warnings: list[Word] = Field(default_factory=list)
    trials: list[dict[str, float | int | str | None]] = Field(default_factory=list)
    importance: list[_Importance] = Field(default_factory=list)
    best_epoch: Count | None = None
    device: str = ""
    seconds: float | None = None

    @model_validator(mode="after")
    def _told_alike(self) -> _Training:
        if any(trial.keys() != self.trials[0].keys() for trial in self.trials):
            raise ValueError("the trials tell different things")
        if any(
            name.startswith("validation") and isinstance(trial[name], str)
            for trial in self.trials
            for name in trial
        ):
            raise ValueError("a figure of a trial is no number")
        if self.geology is not None and any(channel.kind == "geology" for channel in self.channels):
            settings = self.geology.proximity_m, self.geology.density_radius_m
            if None in settings:
                raise ValueError("the settings of the rasters of geology are missing")
        return self


class _Epoch(Loose):
    epoch: Count
    loss: float
    validation_loss: float
    validation_balanced_accuracy: Share


class ProspectRecord(BaseRecord):
    """The columns of ``lode.model`` but its key, of a model that tells where ore may lie."""

    task: Literal["prospect"]
    class_codes: Annotated[list[int], Field(min_length=2, max_length=2)]
    mapped_codes: Annotated[list[int], Field(min_length=2, max_length=2)]
    band_names: Annotated[list[Word], Field(min_length=1, max_length=MAX_BANDS)]
    tile_px: Annotated[int, Field(ge=1, le=MOST_PATCH_PX)]
    training: _Training
    history: list[_Epoch]
    metrics: _Metrics

    @model_validator(mode="after")
    def _of_ore(self) -> ProspectRecord:
        if self.class_codes != [0, 1] or self.mapped_codes != [0, 1]:
            raise ValueError("class_codes and mapped_codes of a model for ore are 0, barren, and 1, ore")
        return self
