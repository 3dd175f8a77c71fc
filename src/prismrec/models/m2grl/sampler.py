"""Which examples a step learns from: the sequences and edges of a process, and the noise that negatives come from."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prismrec.data.schema import ITEM_VIEW
from prismrec.data.training_data import TrainingData
from prismrec.errors import ConfigError
from prismrec.graphs.negatives import AliasTable, GroupTable, build_alias_table, build_group_table, popularity_weights
from prismrec.models.m2grl.batches import SkipGramBatch, draw_inter_batch, draw_intra_batch
from prismrec.models.m2grl.config import M2GRLConfig

EDGE_PASSES = 2
"""How often an epoch meets each item-node edge: once for either side of the tables."""


Order = Any
"""(n,) sequences or edges in the order of an epoch, or a slice of it: an array, or a tensor on the device."""


class Examples(Protocol):
    """What draws the examples of a step; the same ones for the same stream, wherever that happens."""

    def n_sequences(self, view: str) -> int:
        """Sequences of a view that an epoch goes through."""
        ...

    def n_edges(self, view: str) -> int:
        """Item-node edges that an epoch goes through: each `EDGE_PASSES` times."""
        ...

    def order(self, permutation: NDArray[np.int64], task: str) -> Order:
        """The order in which an epoch goes through the sequences or edges of a task, where slices of it are read.

        Args:
            task: a view, for its sequences; another name, for edges.
        """
        ...

    def intra(self, view: str, chosen: Order, stream: tuple[int, ...]) -> SkipGramBatch:
        """The examples of some sequences of a view."""
        ...

    def inter(self, view: str, chosen: Order, stream: tuple[int, ...]) -> SkipGramBatch:
        """The examples of some of the `n_edges` of a view."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the training log should say of it."""
        ...


def build_sampler(config: M2GRLConfig, data: TrainingData, device: str) -> Examples:
    """The compiled sampler for the CPU, the device's own for a GPU; both draw the same batches.

    Raises:
        ConfigError: `hard_view` is no view; no such device.
        ResourceError: the device has too little memory for what the sampler keeps there.
    """
    if not device.startswith("cuda"):
        return Sampler(config, data)
    from prismrec.models.m2grl.device_sampler import DeviceSampler
    from prismrec.models.m2grl.torch_device import TorchDevice

    return DeviceSampler(config, data, TorchDevice(device))


class Sampler:
    """Draws the examples of a process's share; negatives come from the counts of the whole.

    Raises:
        ConfigError: `hard_view` is no view.
    """

    def __init__(self, config: M2GRLConfig, data: TrainingData) -> None:
        self._config = config
        self._sequences = data.sequences
        self._edges = data.edges
        self._noise = noise_tables(config, data)
        self._groups = hard_groups(config, data)

    def n_sequences(self, view: str) -> int:
        """Sequences of a view that an epoch goes through."""
        return len(self._sequences[view])

    def n_edges(self, view: str) -> int:
        """Item-node edges that an epoch goes through: each `EDGE_PASSES` times."""
        return EDGE_PASSES * len(self._edges[view].items)

    def order(self, permutation: NDArray[np.int64], task: str) -> NDArray[np.int64]:
        """The order in which an epoch goes through the sequences or edges of a task, where slices of it are read."""
        return permutation

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing: this is where examples are drawn by default."""
        return ()

    def intra(self, view: str, chosen: NDArray[np.int64], stream: tuple[int, ...]) -> SkipGramBatch:
        """The examples of some sequences of a view."""
        groups = self._groups if view == ITEM_VIEW else None
        return draw_intra_batch(self._sequences[view], chosen, self._config, self._noise[view], stream, groups)

    def inter(self, view: str, chosen: NDArray[np.int64], stream: tuple[int, ...]) -> SkipGramBatch:
        """The examples of some of the `n_edges` of a view."""
        items, nodes = self._edges[view]
        chosen = chosen % max(1, len(items))
        n_negatives = max(1, self._config.negatives // 2)
        return draw_inter_batch(items[chosen], nodes[chosen], n_negatives, self._noise[view], stream)


def noise_tables(config: M2GRLConfig, data: TrainingData) -> dict[str, AliasTable]:
    """What the negatives of each view are drawn from."""
    return {v: build_alias_table(popularity_weights(n, config.negative_power)) for v, n in data.counts.items()}


def hard_groups(config: M2GRLConfig, data: TrainingData) -> GroupTable | None:
    """What hard negatives are drawn from; None where there are none.

    Raises:
        ConfigError: `hard_view` is no view.
    """
    view = config.hard_view
    if not config.hard_negatives:
        return None
    if view not in data.n_nodes or view == ITEM_VIEW:
        sides = ", ".join(v for v in data.view_names if v != ITEM_VIEW)
        raise ConfigError(f"model.hard_view = {view!r} is no view; views are {sides or 'none'}")
    weights = popularity_weights(data.counts[ITEM_VIEW], config.negative_power)
    return build_group_table(data.item_nodes[view], data.n_nodes[view], weights)


__all__ = ["EDGE_PASSES", "Examples", "Order", "Sampler", "build_sampler", "hard_groups", "noise_tables"]
