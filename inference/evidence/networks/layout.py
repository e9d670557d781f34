"""Which channels a network reads, source by source, and which of them it has to guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from db.errors import UsageError
from inference.evidence.types import HIDDEN_KINDS, KINDS, EvidenceChannel


@dataclass(frozen=True)
class SourceLayout:
    """The order in which a network gets its channels.

    Attributes:
        kinds: of the sources that are there, the hidden ones first.
        places: of each source's channels within the ground.

    """

    kinds: tuple[str, ...]
    places: tuple[tuple[int, ...], ...]

    @property
    def order(self) -> list[int]:
        """Places of all channels within the ground, source by source."""
        return [place for places in self.places for place in places]

    @property
    def sizes(self) -> list[int]:
        """Channels of each source."""
        return [len(places) for places in self.places]

    @property
    def hidden_sizes(self) -> list[int]:
        """Channels of each source that is hidden."""
        return [len(places) for kind, places in zip(self.kinds, self.places, strict=True) if is_hidden(kind)]

    @property
    def hidden_order(self) -> list[int]:
        """Places of the hidden channels within the ground, source by source."""
        return self.order[: sum(self.hidden_sizes)]


def is_hidden(kind: str) -> bool:
    """Whether channels of a kind have to be guessed."""
    return kind in HIDDEN_KINDS


def layout_of(channels: Sequence[EvidenceChannel], *, with_geology: bool = True) -> SourceLayout:
    """The layout of a ground's channels.

    Args:
        channels: of the ground, in its order.
        with_geology: whether the network may see mapped geology.

    Raises:
        UsageError: nothing there that could be hidden, or no geology to leave out.

    """
    kinds = [*HIDDEN_KINDS, *(kind for kind in KINDS if not is_hidden(kind))]
    found = {
        kind: tuple(place for place, channel in enumerate(channels) if channel.kind == kind) for kind in kinds
    }
    if not any(found[kind] for kind in HIDDEN_KINDS):
        raise UsageError(
            f"got {len(channels)} channels, none of {' or '.join(HIDDEN_KINDS)}: a network guesses those "
            "from the rest; ingest a layer of one of them"
        )
    if not with_geology:
        if not found["geology"]:
            raise UsageError("the evidence has no geology to leave out: use the method vit")
        found["geology"] = ()
    left = {kind: places for kind, places in found.items() if places}
    return SourceLayout(tuple(left), tuple(left.values()))
