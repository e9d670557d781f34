"""Whether the content of an exported file is what `schema` or `prospect_schema` says, by the model's task."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from db.errors import UsageError
from inference.models.exchange.prospect_schema import ProspectRecord
from inference.models.exchange.schema import BaseRecord, SceneFacts, SegmentationRecord
from inference.prospect.settings import PROSPECT


class CheckedContent(BaseModel):
    """What stands in the header of an exported file, beside its format.

    Attributes:
        record: the columns of ``lode.model`` but its key.
        scenes: what the model was trained on.
        weights_sha256: of the weights without the record.

    """

    model_config = ConfigDict(strict=True, extra="allow")

    record: BaseRecord
    scenes: list[SceneFacts] = []
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _OfSegmentation(CheckedContent):
    record: SegmentationRecord


class _OfProspect(CheckedContent):
    record: ProspectRecord


def checked(content: Any, what: str) -> CheckedContent:
    """The content, where it is what `CheckedContent` says.

    Raises:
        UsageError: it is not; names the place, what is wrong there and what was got.

    """
    record = content.get("record") if isinstance(content, dict) else None
    is_of_ore = isinstance(record, dict) and record.get("task") == PROSPECT
    try:
        return (_OfProspect if is_of_ore else _OfSegmentation).model_validate(content)
    except ValidationError as error:
        raise UsageError(f"the record in {what} is no model's: {_told(error)}") from error


def _told(error: ValidationError) -> str:
    """The first few of what is wrong, each with its place and what was got."""
    said = []
    found = error.errors(include_url=False, include_context=False)
    for each in found[:3]:
        place = ".".join(str(step) for step in each["loc"]) or "it"
        got = repr(each["input"])
        said.append(f"{place}: {each['msg']}, got {got if len(got) <= 60 else got[:57] + '...'}")
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(said) + more
