"""The examples of a step, drawn on the device: bit for bit those that `Sampler` draws on the CPU for the same stream.

Everything that a batch is made of lies on the device: sequences, edges, alias tables, and the order in which an epoch
goes through them, so that a step brings nothing there but the states of its random numbers (8 bytes per 64 rows).
Every position of every sequence is worked on at once; where the CPU draws numbers one after the other, each of them is
computed from its place (`torch_random`).

Sequences that would take more than `RESIDENT_SHARE` of the memory that is free stay in host memory, and the rows of
each step are brought over (`notes` say so); the batch is the same.

Memory on the device: 4 bytes per click, 8 per sequence, 8 per edge, 8 per node of a view; 4 per sequence and edge for
the order of an epoch. Per step about 60 bytes per position and 8 per negative. The host waits for the device twice per
batch: for the number of positions, then for the number of anchors and pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.data.training_data import Edges, TrainingData
from prismrec.graphs.negatives import AliasTable, GroupTable
from prismrec.models.m2grl.batches import DRAWS_PER_MIXED, ROWS_PER_CHUNK, SkipGramBatch
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.sampler import EDGE_PASSES, hard_groups, noise_tables
from prismrec.models.m2grl.torch_device import TorchDevice
from prismrec.models.m2grl.torch_random import advanced, below, low_unit, next_bits, slot_states, unit

if TYPE_CHECKING:
    from torch import Tensor

TableT = TypeVar("TableT", AliasTable, GroupTable, Edges)

RESIDENT_SHARE = 0.5
"""The share of free device memory that sequences may take; tables are allocated before, and steps need room too."""

_ADVICE = "leave out a view, or spread training over more devices (train --processes)"


class DeviceSampler:
    """Draws the examples of a process's share on the device; takes and gives what `Sampler` does, in tensors.

    Raises:
        ConfigError: `hard_view` is no view.
        ResourceError: the device has too little memory for alias tables and edges.
    """

    def __init__(
        self, config: M2GRLConfig, data: TrainingData, device: TorchDevice, resident_share: float = RESIDENT_SHARE
    ) -> None:
        """Bring everything over that fits.

        Args:
            resident_share: of the free memory that sequences may take; on the CPU all is resident, whatever it says.
        """
        self._config = config
        self._device = device
        groups = hard_groups(config, data)
        device.require_room(_bytes_without_sequences(data, groups), "alias tables and edges", _ADVICE)
        self._noise = {view: _on_device(table, device) for view, table in noise_tables(config, data).items()}
        self._groups = None if groups is None else _on_device(groups, device)
        self._edges = {view: _on_device(edges, device) for view, edges in data.edges.items()}
        rows = {view: _bytes_of(sequences) for view, sequences in data.sequences.items()}
        free = device.free_bytes()
        self.resident = free is None or sum(rows.values()) <= resident_share * free
        self._sequences: Mapping[str, ResidentRows | StreamedRows] = {
            view: (ResidentRows if self.resident else StreamedRows)(sequences, device)
            for view, sequences in data.sequences.items()
        }
        self._sizes = sum(rows.values()), free

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the sequences lie."""
        n_bytes, free = self._sizes
        sequences = f"the sequences ({n_bytes / 1e9:.2f} GB)"
        if self.resident:
            return (f"{sequences} lie on {self._device.name}",)
        return (
            f"{sequences} stay in host memory, those of each step are brought over: {self._device.name} has "
            f"{(free or 0) / 1e9:.2f} GB free",
        )

    def n_sequences(self, view: str) -> int:
        """Sequences of a view that an epoch goes through."""
        return len(self._sequences[view])

    def n_edges(self, view: str) -> int:
        """Item-node edges that an epoch goes through: each `EDGE_PASSES` times."""
        return EDGE_PASSES * len(self._edges[view].items)

    def order(self, permutation: NDArray[np.int64], task: str) -> Tensor | NDArray[np.int64]:
        """The order of an epoch, brought to where it is read: once for all steps."""
        if task in self._sequences and not self.resident:
            return permutation
        small = len(permutation) < 1 << 31
        return self._device.tensor(permutation.astype(np.int32) if small else permutation)

    def intra(self, view: str, chosen: Tensor | NDArray[np.int64], stream: tuple[int, ...]) -> SkipGramBatch:
        """The examples of some sequences of a view, as tensors."""
        values, starts, lengths = self._sequences[view].take(chosen)
        states = slot_states(stream, max(1, -(-len(lengths) // ROWS_PER_CHUNK)), self._device)
        place, back, n_contexts = self._anchors(states, starts, lengths)
        contexts, offsets = _contexts(values, place, back, n_contexts, self._device)
        drawn = self._device.zeros(len(states), dtype=lengths.dtype)
        drawn.index_add_(0, self._device.range(len(lengths)) // ROWS_PER_CHUNK, lengths)  # one reach per place
        groups = self._groups if view == ITEM_VIEW else None
        negatives = self._negatives(
            advanced(states, drawn), values[place], self._config.negatives, self._noise[view], groups
        )
        return SkipGramBatch(values[place], offsets, contexts, negatives)

    def _anchors(self, states: Tensor, starts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where anchors with a context stand in the values, how many contexts lie before each, and how many in all."""
        torch, numbers = self._device.torch, self._device.range
        begins = lengths.cumsum(0) - lengths  # of each row, where all chosen places are numbered through
        n_places = int(lengths.sum())
        row = torch.repeat_interleave(numbers(len(lengths)), lengths, output_size=n_places)
        behind = numbers(n_places) - begins[row]
        ahead = lengths[row] - 1 - behind
        chunk = row // ROWS_PER_CHUNK
        drawn = numbers(n_places) - begins[chunk * ROWS_PER_CHUNK]
        reach = 1 + below(next_bits(advanced(states[chunk], drawn)), self._config.window)
        forward = self._config.context == "forward"
        back = torch.zeros_like(behind) if forward else torch.minimum(behind, reach)
        n_contexts = back + torch.minimum(ahead, reach)
        kept = n_contexts.nonzero().squeeze(1)
        return (starts[row] + behind)[kept], back[kept], n_contexts[kept]

    def inter(self, view: str, chosen: Tensor | NDArray[np.int64], stream: tuple[int, ...]) -> SkipGramBatch:
        """The examples of some of the `n_edges` of a view, as tensors."""
        items, nodes = self._edges[view]
        edge = self._device.tensor(chosen).long() % max(1, len(items))
        states = slot_states(stream, max(1, -(-len(edge) // ROWS_PER_CHUNK)), self._device)
        n_negatives = max(1, self._config.negatives // 2)
        negatives = self._negatives(states, items[edge], n_negatives, self._noise[view], None)
        return SkipGramBatch(items[edge], self._device.range(len(edge) + 1), nodes[edge], negatives)

    def _negatives(
        self, states: Tensor, anchors: Tensor, n_negatives: int, noise: AliasTable, groups: GroupTable | None
    ) -> Tensor:
        """(A, n_negatives) int32: the anchors are cut into as many chunks of equal length as there are states."""
        torch, n_anchors, n_chunks = self._device.torch, len(anchors), len(states)
        if groups is None and self._device.has_triton:
            from prismrec.models.m2grl.triton_draws import draw_negatives

            return draw_negatives(states, n_anchors, n_negatives, noise, self._device)
        borders = n_anchors * self._device.range(n_chunks + 1) // n_chunks
        chunk = torch.repeat_interleave(self._device.range(n_chunks), borders.diff(), output_size=n_anchors)
        before = n_negatives * (self._device.range(n_anchors) - borders[chunk])
        number = before[:, None] + self._device.range(n_negatives)
        if groups is None:
            return _drawn(next_bits(advanced(states[chunk][:, None], number)), noise)
        first = advanced(states[chunk][:, None], DRAWS_PER_MIXED * number)
        hard = unit(next_bits(first)) < np.float32(self._config.hard_negatives).item()
        return _mixed(hard, anchors, advanced(first, 1), noise, groups)


class ResidentRows:
    """Sequences on the device."""

    def __init__(self, sequences: Sequences, device: TorchDevice) -> None:
        self._values, self._offsets = device.tensor(sequences.values), device.tensor(sequences.offsets)
        self._device = device

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def take(self, chosen: Tensor | NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Values, and where in them the chosen rows begin and how long they are."""
        rows = self._device.tensor(chosen).long()
        starts = self._offsets[rows]
        return self._values, starts, self._offsets[rows + 1] - starts


class StreamedRows:
    """Sequences in host memory, memory-mapped perhaps; chosen rows are copied and brought over."""

    def __init__(self, sequences: Sequences, device: TorchDevice) -> None:
        self._sequences, self._device = sequences, device

    def __len__(self) -> int:
        return len(self._sequences)

    def take(self, chosen: Tensor | NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Values of the chosen rows alone, where each of them begins and how long it is."""
        rows = self._sequences.take(np.asarray(chosen))
        offsets = self._device.sent(rows.offsets)
        return self._device.sent(rows.values), offsets[:-1], offsets.diff()


def _contexts(
    values: Tensor, place: Tensor, back: Tensor, n_contexts: Tensor, device: TorchDevice
) -> tuple[Tensor, Tensor]:
    """(P,) contexts of the anchors at `place` in order of place, (A + 1,) where those of each begin."""
    offsets = device.torch.cat([device.range(1), n_contexts.cumsum(0)])
    n_pairs = int(offsets[-1])
    anchor = device.torch.repeat_interleave(device.range(len(place)), n_contexts, output_size=n_pairs)
    step = device.range(n_pairs) - offsets[anchor] - back[anchor]  # -back.. -1, then 0.. for what comes after
    return values[place[anchor] + step + (step >= 0)], offsets


def _drawn(bits: Tensor, table: AliasTable) -> Tensor:
    """Nodes by an alias table, as `negatives.draw`."""
    place = below(bits, len(table.probability))
    return place.int().where(low_unit(bits) < table.probability[place], table.alias[place])


def _mixed(hard: Tensor, anchors: Tensor, states: Tensor, noise: AliasTable, groups: GroupTable) -> Tensor:
    """Hard where asked for and possible, else by the global table; as `negatives.draw_hard`."""
    begin = groups.item_offsets[anchors.long()][:, None]
    n_groups = groups.item_offsets[anchors.long() + 1][:, None] - begin
    one, two = next_bits(states), next_bits(advanced(states, 1))
    plain = _drawn(one, noise)
    if not len(groups.members):
        return plain
    several = n_groups > 1
    choice = below(one, n_groups).where(several, 0)
    group = groups.item_groups[(begin + choice).clamp(max=len(groups.item_groups) - 1)].long()
    first, last = groups.group_offsets[group], groups.group_offsets[group + 1]
    bits = two.where(several, one)
    place = (first + below(bits, last - first)).clamp(max=len(groups.members) - 1)
    stays = low_unit(bits) < groups.probability[place]
    member = groups.members[place.where(stays, first + groups.alias[place])]
    return member.where(hard & (n_groups > 0), plain)


def _on_device(table: TableT, device: TorchDevice) -> TableT:
    return type(table)(*(device.tensor(array) for array in table))


def _bytes_without_sequences(data: TrainingData, groups: GroupTable | None) -> int:
    tables = 8 * sum(map(len, data.counts.values())) + 8 * sum(len(edges.items) for edges in data.edges.values())
    return tables + (0 if groups is None else sum(array.nbytes for array in groups))


def _bytes_of(sequences: Sequences) -> int:
    return sequences.values.nbytes + sequences.offsets.nbytes


__all__ = ["RESIDENT_SHARE", "DeviceSampler"]
