"""A masked Vision Transformer that guesses hidden geochemistry and geophysics from what is left in sight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from db.errors import UsageError
from inference.evidence.masks import as_cells
from inference.evidence.networks.fusion import FusionLayer
from inference.evidence.networks.layout import SourceLayout
from inference.evidence.networks.transformer import (
    begin_as_loud,
    begin_blocks,
    blocks,
    square_positions,
)
from inference.networks.checks import require_count


@dataclass(frozen=True)
class VitOptions:
    """Sizes of a `MaskedViT`.

    Attributes:
        window_px, patch_px: edges, cells; a window is a whole number of patches.
        width, depth, heads: of the encoder.
        stem: channels of each source's stem; None: no fusion layer, patches of the channels as they are.
        decoder_width, decoder_depth: of the decoder, which has as many heads.

    """

    window_px: int
    patch_px: int
    width: int
    depth: int
    heads: int
    stem: int | None
    decoder_width: int
    decoder_depth: int

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit each other."""
        require_count("patch_px", self.patch_px)
        require_count("heads", self.heads)
        require_count("depth", self.depth)
        require_count("decoder_depth", self.decoder_depth, at_least=0)
        if self.stem is not None:
            require_count("stem", self.stem)
        _require_multiple("window_px", self.window_px, self.patch_px, "patch_px")
        for name in ("width", "decoder_width"):
            _require_multiple(name, getattr(self, name), self.heads, "heads")
            _require_multiple(name, getattr(self, name), 4, "the four parts of a position")


class MaskedViT(nn.Module):
    """Fusion layer, patch embedding, encoder, decoder, and one head per hidden source.

    Of hidden patches geochemistry and geophysics are set to 0 before anything else, and so is the channel
    that tells which share of a source is known there: nothing that is hidden reaches a weight. Geology and
    spectra stay in sight everywhere, so hidden patches are tokens like all others, and what is guessed there
    is what this geology and its surroundings lead one to expect. After He et al. (2022), "Masked autoencoders
    are scalable vision learners", whose encoder leaves hidden patches out; here they carry geology. A token
    holds the geology of all cells of its patch in few numbers; what changes from cell to cell, as at the edge
    of a rock, reaches the answer beside the tokens, by a convolution of what stays in sight.

    Shapes:
        values (n, channels, window_px, window_px) in the order of the layout, 0 where nothing is known;
        known (n, sources, window_px, window_px) share of a source's channels that are known, 0..1;
        is_hidden (n, edge, edge) of the patches -> (n, hidden channels, window_px, window_px)
    """

    hides = True
    is_local = False
    positions: Tensor
    decoder_positions: Tensor

    def __init__(self, layout: SourceLayout, options: VitOptions) -> None:
        super().__init__()
        self.layout, self.options = layout, options
        self.edge = options.window_px // options.patch_px
        self.fusion = None if options.stem is None else FusionLayer(layout.sizes, options.stem)
        channels = sum(layout.sizes) + len(layout.sizes) if self.fusion is None else self.fusion.out_channels
        self.embedding = nn.Linear(channels * options.patch_px**2, options.width)
        self.encoder = blocks(options.width, options.heads, options.depth)
        self.narrowed = nn.Linear(options.width, options.decoder_width)
        self.decoder = blocks(options.decoder_width, options.heads, options.decoder_depth)
        self.heads = nn.ModuleList(
            nn.Linear(options.decoder_width, size * options.patch_px**2) for size in layout.hidden_sizes
        )
        seen = sum(layout.sizes) - sum(layout.hidden_sizes)
        self.detail = _detail(seen, sum(layout.hidden_sizes)) if seen else None
        for name, width in (("positions", options.width), ("decoder_positions", options.decoder_width)):
            self.register_buffer(name, square_positions(self.edge, width), persistent=False)
        begin_blocks(self)
        begin_as_loud(self.embedding)
        begin_as_loud(self.narrowed)

    def forward(self, values: Tensor, known: Tensor, is_hidden: Tensor) -> Tensor:
        """What is expected of the hidden channels, everywhere."""
        sources = self._in_sight(values, known, is_hidden)
        cells = torch.cat(sources, 1) if self.fusion is None else self.fusion(sources)
        tokens = self.encoder(self.embedding(_patches(cells, self.options.patch_px)) + self.positions)
        decoded = self.decoder(self.narrowed(tokens) + self.decoder_positions)
        expected = torch.cat(
            [_cells(head(decoded), self.edge, self.options.patch_px) for head in self.heads], 1
        )
        if self.detail is None:
            return expected
        seen: Tensor = self.detail(values[:, sum(self.layout.hidden_sizes) :])
        return expected + seen

    def _in_sight(self, values: Tensor, known: Tensor, is_hidden: Tensor) -> list[Tensor]:
        """Of each source (n, size + 1, h, w): values and known share, both 0 where they are hidden."""
        cells = as_cells(is_hidden, self.options.patch_px)[:, None]
        hidden = len(self.layout.hidden_sizes)
        sources = []
        for place, part in enumerate(torch.split(values, self.layout.sizes, 1)):
            source = torch.cat((part, known[:, place : place + 1]), 1)
            # filled, not multiplied: whatever stands there, infinity too, is gone
            sources.append(source.masked_fill(cells, 0.0) if place < hidden else source)
        return sources


def _detail(seen: int, hidden: int) -> nn.Conv2d:
    """3x3 convolution from what stays in sight to what is expected; it begins at 0."""
    detail = nn.Conv2d(seen, hidden, 3, padding=1)
    nn.init.zeros_(detail.weight)
    nn.init.zeros_(detail.bias if detail.bias is not None else detail.weight)
    return detail


def _patches(cells: Tensor, patch_px: int) -> Tensor:
    """(n, c, h, w) -> (n, patches, c * patch_px**2), in rows from the top."""
    n, channels, height, width = cells.shape
    parted = cells.view(n, channels, height // patch_px, patch_px, width // patch_px, patch_px)
    return parted.permute(0, 2, 4, 1, 3, 5).reshape(n, -1, channels * patch_px**2)


def _cells(patches: Tensor, edge: int, patch_px: int) -> Tensor:
    """(n, edge**2, c * patch_px**2) -> (n, c, h, w), the inverse of `_patches`."""
    n = patches.shape[0]
    parted = patches.view(n, edge, edge, -1, patch_px, patch_px).permute(0, 3, 1, 4, 2, 5)
    return parted.reshape(n, -1, edge * patch_px, edge * patch_px)


def _require_multiple(name: str, got: int, of: int, what: str) -> None:
    require_count(name, got)
    if got % of:
        raise UsageError(f"{name} is {got}: it must be a multiple of {of} ({what})")
