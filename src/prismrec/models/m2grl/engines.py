"""Which implementation of the step learns: compiled on the CPU, torch on whole tables, or torch on sharded ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, SupportsFloat

import numpy as np
from numpy.typing import NDArray

from prismrec.cluster.crew import ALONE, Crew
from prismrec.errors import ConfigError
from prismrec.models.contract import OwnRows
from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.sharding import ShardingSettings
from prismrec.models.m2grl.tables import Side, initial_state


class Engine(Protocol):
    """What an implementation of the step offers; the examples of a batch are the same for all of them."""

    def learn_intra(
        self, view: str, batch: SkipGramBatch, offsets: NDArray[np.float32], learning_rate: float, weight: float
    ) -> SupportsFloat:
        """Skip-gram within a view, in place; returns the summed loss, which a device may still be working on."""
        ...

    def learn_inter(
        self, view: str, side: Side, batch: SkipGramBatch, learning_rate: float, weight: float
    ) -> SupportsFloat:
        """Items beside nodes of a view, in place; returns the summed loss."""
        ...

    def state(self) -> Mapping[str, NDArray[np.float32]]:
        """All arrays by name; of some only `own_rows`."""
        ...

    def own_rows(self) -> Mapping[str, OwnRows]:
        """The arrays of which other processes hold the other rows."""
        ...

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over the content of these arrays."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the training log should say of it."""
        ...


@dataclass(frozen=True)
class Shape:
    """How many vectors of which length there are, and what they begin from.

    Attributes:
        n_nodes: of each view, the item view first.
        aligned: views with an inter-view task.
    """

    n_nodes: Mapping[str, int]
    dim: int
    aligned: Sequence[str]
    seed: int

    def initial_state(self) -> dict[str, NDArray[np.float32]]:
        """All arrays; see `tables.initial_state`."""
        return initial_state(self.n_nodes, self.dim, self.aligned, self.seed)

    def initial_matrices(self) -> dict[str, NDArray[np.float32]]:
        """The alignment matrices and their accumulators alone."""
        state = initial_state(dict.fromkeys(self.n_nodes, 0), self.dim, self.aligned, self.seed)
        return {name: array for name, array in state.items() if ".alignment_" in name}


def build_engine(
    shape: Shape,
    implementation: str = "numba",
    device: str = "cpu",
    *,
    deterministic: bool = False,
    crew: Crew = ALONE,
    sharding: ShardingSettings = ShardingSettings(),  # noqa: B008 - frozen
) -> Engine:
    """An engine with fresh vectors.

    Args:
        implementation: "numba", or "torch", which alone can share the tables out among a crew.

    Raises:
        ConfigError: no such implementation, device or storage; several processes without torch.
        MissingExtraError: torch, or TorchRec for several processes, is not installed.
    """
    if implementation not in ("numba", "torch"):
        raise ConfigError(f"training.implementation must be numba or torch, got {implementation!r}")
    if crew is ALONE and sharding.placement != "device":
        raise ConfigError(
            f'sharding.placement = "{sharding.placement}" is of tables that TorchRec keeps: train by '
            "`torchrun --standalone --nproc-per-node 1 -m prismrec train ...`, also with one GPU"
        )
    if implementation == "numba":
        if sharding.storage != "fp32":
            raise ConfigError(f'sharding.storage = "{sharding.storage}" needs training.implementation = "torch"')
        if crew is not ALONE:
            raise ConfigError('several processes train with training.implementation = "torch", got "numba"')
        from prismrec.models.m2grl.cpu_engine import CpuEngine

        return CpuEngine(shape.initial_state())
    from prismrec.models.m2grl.torch_device import TorchDevice
    from prismrec.models.m2grl.torch_engine import TorchEngine, local_engine

    own = TorchDevice(device, deterministic)
    if crew is ALONE:
        return local_engine(shape.initial_state(), own, sharding.anchors_per_update, sharding.storage)
    from prismrec.models.m2grl.sharded_tables import ShardedTables

    tables = ShardedTables(shape.n_nodes, shape.dim, shape.aligned, shape.seed, crew, own, sharding)
    return TorchEngine(tables, shape.initial_matrices(), shape.n_nodes, own, crew, sharding.anchors_per_update)


__all__ = ["Engine", "Shape", "build_engine"]
