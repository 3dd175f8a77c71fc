"""M2GRL: one vector per node per view, learned jointly, with learned alignment and learned task weights.

Paper: Wang, Lin, Xu et al., "M2GRL: A Multi-task Multi-view Graph Representation Learning Framework for Web-scale
Recommender Systems", KDD 2020, https://arxiv.org/abs/2005.10110

    intra-view task, per view     L = -sum over pairs [ log s(u.v) + sum_k log s(-u.v_k) ]            (skip-gram)
    inter-view task, per view c   L = -sum over item-node edges [ log s((W i).(W c)) + sum_k log s(-(W i).(W c_k)) ]
    joint loss                    sum_t L_t / (2 sigma_t^2) + log sigma_t           (`weighting`, log-variance form)

Task names: the view's own for intra-view (`item`, `category`, ...), `item-category` for inter-view.

Cost per anchor of a view: 1 + m + K rows of 4 * dim bytes read and written, m contexts, K negatives (`cpu`); an
inter-view task costs 2 + K/2 rows per edge of the cross-view graph, twice an epoch. Memory: 2 tables of 4 * dim bytes
per node and view, and the sequences.

Differs from the paper
- Negatives are shared by an anchor's contexts, weighted by their number: the same loss in expectation, far fewer rows.
- Contexts are forward only unless `context = "symmetric"`: what comes next is what is asked for.
- `popularity_offset`: the logit of a target carries log p(target) - log(K q(target)), as in noise-contrastive
  estimation with noise q. The vectors then learn what popularity leaves unexplained, a target that is hardly met stays
  at its prior, and retrieval adds log p back. Switch it off for the plain loss.
- The inter-view task aligns source vectors with source vectors and target vectors with target vectors, each side with
  a matrix of its own: both sides serve retrieval, and items without clicks need both. It has K/2 negatives.
- An epoch meets every item-node edge once per side, however often the item was clicked. The side information then acts
  as a prior of the same strength for each item: decisive where clicks are few (all there is where there are none),
  negligible where they are many. In proportion to clicks it would bind the items that need it least.
- Row-wise Adagrad with a linear decay instead of the demo's Adam; log-variance instead of sigma with a floor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, SupportsFloat

import numpy as np
from numba import get_num_threads, set_num_threads
from numpy.typing import NDArray

from prismrec.cluster.crew import ALONE, Crew
from prismrec.data.schema import ITEM_VIEW
from prismrec.data.training_data import TrainingData
from prismrec.errors import DataError
from prismrec.models.contract import EmbeddingTable, OwnRows, TaskLoss
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.engines import Shape, build_engine
from prismrec.models.m2grl.sampler import Order, build_sampler
from prismrec.models.m2grl.sharding import ShardingSettings
from prismrec.models.m2grl.tables import SIDES, alignment_matrices, embedding_tables, start_from
from prismrec.models.m2grl.weighting import TaskWeights

CLICKS_PER_STEP, STEPS_PER_EPOCH, MOST_CLICKS_PER_STEP = 16_384, 64, 131_072
"""A step takes 16 k session items; where that makes more than 64 steps an epoch, steps grow up to 131 k items: every
step is a few meetings of all threads, which should be rare against the work between them."""

FINAL_RATE = 0.01
"""The learning rate falls linearly to this share of itself."""


class PendingLoss(NamedTuple):
    """A task's summed losses, which a device may still be working on: they are read when the step has been sent off."""

    totals: Sequence[SupportsFloat]
    n_examples: int


class M2GRL:
    """A `Trainable`: draws the examples of each task, has the engine learn from them, and weighs the tasks."""

    def __init__(
        self,
        config: M2GRLConfig,
        data: TrainingData,
        *,
        learning_rate: float = 0.2,
        seed: int = 0,
        n_threads: int = 0,
        implementation: str = "numba",
        device: str = "cpu",
        crew: Crew = ALONE,
        sharding: ShardingSettings = ShardingSettings(),  # noqa: B008 - frozen
    ) -> None:
        """Fresh vectors for the nodes of `data`.

        Args:
            data: this process's share.
            n_threads: CPU threads; 0 is all. With one thread both engines give bit-equal vectors for a seed.
            implementation: "numba" or "torch".
            device: "cpu", or "cuda" with torch.
            crew: the processes that train together; each calls everything, in the same order.
            sharding: how torch learns, and where the rows of a crew lie.

        Raises:
            DataError: no session has two items, or none meets a node of some view.
            ConfigError: `hard_view` is no view; fixed weights do not fit the tasks; no such device.
        """
        self.config = config
        self.views = data.view_names
        self.aligned = tuple(data.edges) if config.alignment else ()
        self._learning_rate = learning_rate
        self._seed = seed
        self._n_threads = n_threads
        self._crew = crew
        self._n_clicks = data.n_clicks
        _check_learnable(data, crew)
        self._offsets = {v: _target_offsets(n, config) for v, n in data.counts.items()}
        self._weights = TaskWeights([*self.views, *(f"{ITEM_VIEW}-{v}" for v in self.aligned)], config)
        shape = Shape(data.n_nodes, config.embedding_dim, self.aligned, seed)
        self._engine = build_engine(
            shape, implementation, device, deterministic=n_threads == 1, crew=crew, sharding=sharding
        )
        self._sampler = build_sampler(config, data, device)  # after the tables, which need their room first
        self._orders: tuple[int, dict[str, Order]] = (-1, {})

    def start_from(self, tables: Mapping[str, EmbeddingTable], alignments: Mapping[str, NDArray]) -> None:
        """Warm start from the vectors of an earlier training; see `tables.start_from`."""
        state = {name: np.array(array) for name, array in self._engine.state().items()}
        start_from(state, tables, alignments, self._engine.own_rows())
        self._engine.restore(state)

    @property
    def steps_per_epoch(self) -> int:
        """How many steps make an epoch."""
        small, large = (-(-self._n_clicks // size) for size in (CLICKS_PER_STEP, MOST_CLICKS_PER_STEP))
        return max(1, min(small, max(STEPS_PER_EPOCH, large)))

    def step(self, epoch: int, step: int, progress: float) -> dict[str, TaskLoss]:
        """Learn from one slice of the sessions of every view, in an order drawn anew each epoch."""
        threads = get_num_threads()
        set_num_threads(min(self._n_threads or threads, threads))
        try:
            rate = self._learning_rate * max(1 - progress, FINAL_RATE)
            weights = self._weights.current()
            losses = {view: self._learn_intra(view, epoch, step, rate, weights[view]) for view in self.views}
            for view in self.aligned:
                task = f"{ITEM_VIEW}-{view}"
                losses[task] = self._learn_inter(view, epoch, step, rate, weights[task])
        finally:
            set_num_threads(threads)
        shared = self._of_the_crew(losses)
        self._weights.learn(shared)
        return shared

    @property
    def notes(self) -> tuple[str, ...]:
        """How and where is computed, for the log: nothing falls back to anything unseen."""
        return (*self._engine.notes, *self._sampler.notes)

    def task_weights(self) -> dict[str, float]:
        """The current weight of each task."""
        return self._weights.current()

    def state(self) -> dict[str, NDArray]:
        """All arrays that training changes."""
        return {**self._engine.state(), "log_variances": self._weights.log_variances}

    def own_rows(self) -> Mapping[str, OwnRows]:
        """The arrays of which other processes hold the other rows."""
        return self._engine.own_rows()

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state` gave."""
        self._weights.log_variances[:] = state["log_variances"]
        self._engine.restore(state)

    def tables(self) -> dict[str, EmbeddingTable]:
        """The vectors of each view; only where one process holds all of them."""
        return embedding_tables(self._engine.state(), self.views)

    def alignments(self) -> dict[str, NDArray]:
        """The alignment matrices by name, `view.alignment_source` and `view.alignment_target`."""
        return alignment_matrices(self._engine.state(), self.aligned)

    def _learn_intra(self, view: str, epoch: int, step: int, rate: float, weight: float) -> PendingLoss:
        chosen = self._slice(view, self._sampler.n_sequences(view), epoch, step)
        batch = self._sampler.intra(view, chosen, self._stream(epoch, step, view))
        loss = self._engine.learn_intra(view, batch, self._offsets[view], rate, weight)
        return PendingLoss([loss], batch.n_pairs)

    def _learn_inter(self, view: str, epoch: int, step: int, rate: float, weight: float) -> PendingLoss:
        """Half of the edges align the source vectors, the others the target vectors."""
        task = f"{ITEM_VIEW}-{view}"
        chosen = self._slice(task, self._sampler.n_edges(view), epoch, step)
        middle = -(-len(chosen) // 2)
        losses = []
        for side, part in zip(SIDES, (chosen[:middle], chosen[middle:]), strict=True):
            batch = self._sampler.inter(view, part, (*self._stream(epoch, step, task), SIDES.index(side)))
            losses.append(self._engine.learn_inter(view, side, batch, rate, weight))
        return PendingLoss(losses, len(chosen))

    def _of_the_crew(self, losses: Mapping[str, PendingLoss]) -> dict[str, TaskLoss]:
        """The losses of all processes together, which is what weights are learned from and the log shows."""
        own = np.array([(sum(map(float, loss.totals)), loss.n_examples) for loss in losses.values()], np.float64)
        totals = self._crew.total(own).tolist()
        return {task: TaskLoss(total, int(n)) for task, (total, n) in zip(losses, totals, strict=True)}

    def _stream(self, epoch: int, step: int, task: str) -> tuple[int, ...]:
        """What the random numbers of a task come from: others in every process."""
        stream = (self._seed, epoch, step, self._place(task))
        return stream if self._crew.size == 1 else (*stream, self._crew.rank)

    def _place(self, task: str) -> int:
        """The number of a task, which keeps its random numbers apart from those of others."""
        return self._weights.tasks.index(task)

    def _slice(self, task: str, n: int, epoch: int, step: int) -> Order:
        """What of n sessions or edges this step takes: a slice of the epoch's permutation."""
        if self._orders[0] != epoch:
            self._orders = (epoch, {})
        orders = self._orders[1]
        if task not in orders:
            permutation = np.random.default_rng([self._seed, epoch, self._place(task)]).permutation(n)
            orders[task] = self._sampler.order(permutation, task)
        return orders[task][n * step // self.steps_per_epoch : n * (step + 1) // self.steps_per_epoch]


def _target_offsets(counts: NDArray[np.int64], config: M2GRLConfig) -> NDArray[np.float32]:
    """(n_nodes,) log p - log(K q), or zeros; a node never met counts as half a meeting."""
    if not config.popularity_offset:
        return np.zeros(len(counts), np.float32)
    met = np.maximum(counts, 0.5)
    noise = met**config.negative_power
    log_odds = np.log(met / met.sum()) - np.log(config.negatives * noise / noise.sum())
    return np.asarray(log_odds, np.float32)


def _check_learnable(data: TrainingData, crew: Crew) -> None:
    if not crew.most(int((data.sequences[ITEM_VIEW].lengths >= 2).any())):
        raise DataError("there is nothing to learn from: no sequence has two items")
    for view, counts in data.counts.items():
        if not counts.any():
            raise DataError(f"no sequence meets a node of view {view!r}: check its column, or leave the view out")


__all__ = ["M2GRL"]
