"""KCNN: a title as one vector, its words and its entities as aligned channels of a convolution.

    X_i = [w_i, g(e_i), g(c_i)]          word i, its entity, the mean of this entity's neighbours; g(0) is 0     (1)
    g(v) = tanh(M v + b)                 nonlinear;  M v + b linear;  v none                                     (2)
    c_l(i) = relu(h_l * X_{i..i+l-1})    a filter h_l over windows of l words                                    (3)
    e(t) = [max_i c_l(i)] for all filters of all l                                                               (4)

Equations (7) to (10) of DKN. The filters of all windows are one matrix product over the words of a batch; sums of its
columns, shifted, are the windows. Windows that reach beyond the title are left out, but for a title shorter than l,
which has one. Titles lie one behind the other, without padding: what one is does not depend on what it is read beside.

Cost of n titles of L words: n L d C (sum of l) filters multiplications, C channels of d numbers.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from prismrec.data.schema import UNKNOWN

Channels = Literal["both", "entity", "context", "none"]
Mapping = Literal["nonlinear", "linear", "none"]

_LOWEST = -1e30
"""What no window is below; finite, so that gradients are."""


class EntityChannels(nn.Module):
    """Vectors of entities, and of their contexts, in the space of words."""

    def __init__(
        self, vectors: torch.Tensor, values: torch.Tensor, offsets: torch.Tensor, mapping: Mapping, dim: int
    ) -> None:
        """Bind the graph.

        Args:
            vectors: (n_entities, k) float32: what entities begin with.
            values, offsets: int64: the neighbours of each entity, ragged.
            mapping: g; with none, k must be dim.
            dim: of words.
        """
        super().__init__()
        self.vectors = nn.Parameter(vectors)
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("offsets", offsets, persistent=False)
        self.mapping = mapping
        self.values: torch.Tensor
        self.offsets: torch.Tensor
        if mapping != "none":
            self.matrix = nn.Parameter(torch.empty(dim, vectors.shape[1]))
            self.shift = nn.Parameter(torch.zeros(dim))

    def entity(self, places: torch.Tensor) -> torch.Tensor:
        """(..., D): g(e) of each place, zero where there is no entity."""
        return self._mapped(F.embedding(places.clamp(min=0), self.vectors), places != UNKNOWN)

    def context(self, places: torch.Tensor) -> torch.Tensor:
        """(..., D): g of the mean of the neighbours, zero where there is no entity or it has none."""
        known, inverse = torch.unique(places.clamp(min=0), return_inverse=True)
        lengths = self.offsets[known + 1] - self.offsets[known]
        starts = torch.cumsum(lengths, 0) - lengths
        positions = torch.arange(int(lengths.sum()), device=places.device)
        positions = positions + torch.repeat_interleave(self.offsets[known] - starts, lengths)
        means = F.embedding_bag(self.values[positions], self.vectors, starts, mode="mean")
        return self._mapped(means[inverse], (places != UNKNOWN) & (lengths > 0)[inverse])

    def _mapped(self, vectors: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Equation (2)."""
        if self.mapping != "none":
            vectors = vectors @ self.matrix.T + self.shift
        if self.mapping == "nonlinear":
            vectors = torch.tanh(vectors)
        return vectors * there[..., None]


class KCNN(nn.Module):
    """Titles, as words and entities, to vectors."""

    def __init__(
        self,
        words: torch.Tensor,
        entities: EntityChannels,
        channels: Channels,
        windows: tuple[int, ...],
        filters: int,
    ) -> None:
        """Bind what places of a title are made of.

        Args:
            words: (n_words, d) float32: what words begin with.
        """
        super().__init__()
        self.words = nn.Parameter(words)
        self.entities = entities
        self.channels = channels
        self.windows = windows
        self.n_filters = filters
        n_channels = {"both": 3, "entity": 2, "context": 2, "none": 1}[channels]
        self.filters = nn.Parameter(torch.empty(n_channels * words.shape[1], sum(windows) * filters))
        self.bias = nn.Parameter(torch.zeros(len(windows), filters))

    @property
    def dim(self) -> int:
        """Numbers per title."""
        return len(self.windows) * self.n_filters

    def forward(self, words: torch.Tensor, entities: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(T, F) float32: the vectors of titles, zero for one without words.

        Args:
            words: (N,) int64: of all titles, one title after the other.
            entities: (N,) int64, `UNKNOWN` where a word is of none.
            lengths: (T,) int64: words of each title.
        """
        if not len(lengths):
            return self.bias.new_zeros(0, self.dim)
        products = self.placed(words, entities) @ self.filters  # (N, sum of l x filters)
        columns = products.float().split(self.n_filters, dim=1)
        left = _words_left(lengths)
        begins = left == torch.repeat_interleave(lengths, lengths)
        found, first = [], 0
        for number, width in enumerate(self.windows):
            sums = _window_sums(columns[first : first + width], left) + self.bias[number]
            first += width
            beyond = (left < width) & ~begins
            found.append(sums.masked_fill(beyond[:, None], _LOWEST))
        flat = torch.cat(found, dim=1)
        return torch.relu(torch.segment_reduce(flat, "max", lengths=lengths, axis=0, initial=_LOWEST))

    def placed(self, words: torch.Tensor, entities: torch.Tensor) -> torch.Tensor:
        """(N, C d): equation (1)."""
        channels = [F.embedding(words, self.words)]
        if self.channels in ("both", "entity"):
            channels.append(self.entities.entity(entities))
        if self.channels in ("both", "context"):
            channels.append(self.entities.context(entities))
        return torch.cat(channels, dim=1)


def _words_left(lengths: torch.Tensor) -> torch.Tensor:
    """(N,) int64: words from each place to the end of its title, its own included."""
    ends = torch.cumsum(lengths, 0)
    return torch.repeat_interleave(ends, lengths) - torch.arange(int(lengths.sum()), device=lengths.device)


def _window_sums(columns: tuple[torch.Tensor, ...], left: torch.Tensor) -> torch.Tensor:
    """(N, filters): sum_o columns[o][i + o], where what lies behind the end of a title is zero."""
    total = columns[0]
    for shift, column in enumerate(columns[1:], start=1):
        following = F.pad(column[shift:], (0, 0, 0, min(shift, len(column))))
        total = total + following * (left > shift)[:, None]
    return total


__all__ = ["KCNN", "Channels", "EntityChannels", "Mapping"]
