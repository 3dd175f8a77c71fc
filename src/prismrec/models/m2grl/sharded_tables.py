"""Embedding tables whose rows are shared out among the processes of a crew, by TorchRec.

All tables are one `EmbeddingCollection`, sharded row-wise in blocks of equal height (`crew.rows_of`): row ids travel to
the process that holds the row, rows travel back, gradients go the same way. There FBGEMM adds up the gradients of a
row and takes the step of row-wise Adagrad within the backward pass (EXACT_ROWWISE_ADAGRAD):

    momentum += mean(g^2)        row -= learning_rate * g / (sqrt(momentum) + eps)

Differs from what TorchRec does by itself
- Gradients are summed, not divided by the number of processes: the loss is a sum over examples.
- FBGEMM keeps one accumulator per table. That of the inter-view task takes its place for the one backward pass that
  needs it: 8 bytes per own row of that table moved each way.
- Checkpoints are not TorchRec's, whose files are pickles: `state` gives plain arrays.

Memory per process: (bytes of a number x dim + 4) per own row and table, and 4 more per own row of an aligned view.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prismrec.cluster.crew import Crew, rows_of
from prismrec.cluster.process_group import processes_here
from prismrec.models.contract import OwnRows
from prismrec.models.m2grl.sharding import ShardingSettings
from prismrec.models.m2grl.tables import ADAGRAD_START, SIDES, initial_sources
from prismrec.models.m2grl.torch_device import TorchDevice
from prismrec.models.m2grl.torchrec_collection import import_torchrec, kernel_of, sharded_collection, summed_gradients

if TYPE_CHECKING:
    from torch import Tensor


class ShardedTables:
    """`RowTables` over TorchRec. Rows begin as in `tables.initial_state`, whoever holds which.

    Args:
        n_nodes: nodes of each view, the item view first.
        aligned: views with an inter-view task.
        crew: whose process group is up; each process builds its own part.

    Raises:
        ConfigError: storage or placement that the device does not have.
        MissingExtraError: TorchRec is not installed.
    """

    def __init__(
        self,
        n_nodes: Mapping[str, int],
        dim: int,
        aligned: Sequence[str],
        seed: int,
        crew: Crew,
        device: TorchDevice,
        settings: ShardingSettings,
    ) -> None:
        self._n_rows = {f"{view}.{side}": n for view, n in n_nodes.items() for side in SIDES}
        self._dim = dim
        self._device = device
        self._crew = crew
        self._collection = sharded_collection(self._n_rows, dim, crew.size, device, settings, processes_here())
        self._jagged: Any = import_torchrec().KeyedJaggedTensor
        self._kernel: Any = kernel_of(self._collection)
        self._aligned_tables = {f"{v}.aligned_{side}_memory": f"{v}.{side}" for v in aligned for side in SIDES}
        memories = self._memories()
        self._aligned = {
            name: device.torch.full_like(memories[table], ADAGRAD_START) for name, table in self._aligned_tables.items()
        }
        self._begin(n_nodes, seed)

    def look_up(self, ids: Mapping[str, Tensor], learning_rate: float, *, aligned: bool = False) -> ShardedLookup:
        """Fetch rows from the processes that hold them.

        Rows of an aligned step are fetched once more when their gradients are there: between the two, others learn, and
        torch refuses a backward pass over what has changed since, although FBGEMM's does not look at it.
        """
        fetched = self.fetch(ids, learning_rate, learning=not aligned)
        rows = {table: found.detach().float() for table, found in fetched.items()}
        return ShardedLookup(rows, ids, fetched, self, learning_rate, aligned)

    def fetch(self, ids: Mapping[str, Tensor], learning_rate: float, *, learning: bool) -> dict[str, Tensor]:
        """Rows by table; where they are to learn, a backward pass may begin from them."""
        torch = self._device.torch
        none = torch.empty(0, dtype=torch.int64, device=self._device.device)
        asked = [ids.get(table, none) for table in self._n_rows]
        lengths = torch.tensor([len(chosen) for chosen in asked], device=self._device.device)
        features = self._jagged.from_lengths_sync(keys=list(self._n_rows), values=torch.cat(asked), lengths=lengths)
        self._kernel.set_learning_rate(learning_rate)  # FBGEMM reads it here, not in the backward pass
        with torch.set_grad_enabled(learning):
            found = self._collection(features)
            return {table: found[table].values() for table in ids}

    def descend(self, lookup: ShardedLookup, gradients: Mapping[str, Tensor]) -> None:
        """The backward pass from fetched rows with these gradients; FBGEMM takes the steps in it."""
        with summed_gradients(), self._exchanged(lookup.ids if lookup.aligned else ()):
            fetched = lookup.fetched
            if lookup.aligned:
                fetched = self.fetch(lookup.ids, lookup.learning_rate, learning=True)
            own = [gradients[table].to(rows.dtype) for table, rows in fetched.items()]
            self._device.torch.autograd.backward(list(fetched.values()), own)

    def state(self) -> Mapping[str, NDArray[np.float32]]:
        """Own rows of all arrays: on the CPU in fp32 as they are, else as copies."""
        found = {table: rows.float() for table, rows in self._weights().items()}
        found |= {f"{table}_memory": memory for table, memory in self._memories().items()}
        return {name: tensor.cpu().numpy() for name, tensor in (found | self._aligned).items()}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over own rows of these arrays."""
        for table, rows in self._weights().items():
            rows.copy_(self._device.tensor(state[table]))
        for table, memory in self._memories().items():
            memory.copy_(self._device.tensor(state[f"{table}_memory"]))
        for name, memory in self._aligned.items():
            memory.copy_(self._device.tensor(state[name]))
        self._kernel.reset_cache_states()

    def own_rows(self) -> dict[str, OwnRows]:
        """Which rows of each array `state` gives."""
        places = {t: OwnRows(*rows_of(n, self._crew.rank, self._crew.size), n) for t, n in self._n_rows.items()}
        found = {name: place for table, place in places.items() for name in (table, f"{table}_memory")}
        return found | {name: places[table] for name, table in self._aligned_tables.items()}

    def _begin(self, n_nodes: Mapping[str, int], seed: int) -> None:
        weights = self._weights()
        for place, (view, n) in enumerate(n_nodes.items()):
            own = initial_sources(seed, place, rows_of(n, self._crew.rank, self._crew.size), self._dim)
            weights[f"{view}.source"].copy_(self._device.tensor(own))
            weights[f"{view}.target"].zero_()
        for memory in self._memories().values():
            memory.fill_(ADAGRAD_START)
        self._kernel.reset_cache_states()

    def _weights(self) -> dict[str, Tensor]:
        """Table -> (own rows, dim), where FBGEMM keeps them."""
        self._kernel.flush()
        return dict(zip(self._n_rows, self._kernel.split_embedding_weights(), strict=True))

    def _memories(self) -> dict[str, Tensor]:
        """Table -> (own rows,) accumulators, where FBGEMM keeps them."""
        self._kernel.flush()
        states = (state[0] for state in self._kernel.split_optimizer_states())
        return dict(zip(self._n_rows, states, strict=True))

    @contextmanager
    def _exchanged(self, tables: Collection[str]) -> Iterator[None]:
        """The accumulators of the inter-view task in the place of the tables' own."""
        memories = self._memories()
        pairs = [
            (memories[table], self._aligned[name]) for name, table in self._aligned_tables.items() if table in tables
        ]
        _exchange(pairs)
        try:
            yield
        finally:
            _exchange(pairs)


@dataclass(frozen=True, eq=False)
class ShardedLookup:
    """`Lookup` in `ShardedTables`.

    Attributes:
        fetched: the rows as a backward pass begins from them.
    """

    rows: Mapping[str, Tensor]
    ids: Mapping[str, Tensor]
    fetched: Mapping[str, Tensor]
    tables: ShardedTables
    learning_rate: float
    aligned: bool

    def descend(self, gradients: Mapping[str, Tensor]) -> None:
        """One step of every row that any process asked for."""
        self.tables.descend(self, gradients)


def _exchange(pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    for one, other in pairs:
        kept = one.clone()
        one.copy_(other)
        other.copy_(kept)


__all__ = ["ShardedLookup", "ShardedTables"]
