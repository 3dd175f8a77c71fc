"""A program that one process of a crew runs: steps of the torch engine on sharded tables, every array saved at the end.

`python sharded_steps.py FOLDER`; what it trains on is made here, for the test to make it too.
"""

import sys
from pathlib import Path

import numpy as np

from prismrec.cluster.process_group import process_group
from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.engines import Shape, build_engine
from prismrec.models.m2grl.sharding import ShardingSettings
from prismrec.models.m2grl.tables import SIDES

SHAPE = Shape({"item": 40, "category": 4, "brand": 7}, 8, ("category", "brand"), seed=5)
SHARE = 4
"""Anchors of one process in one update."""


def random_state():
    """Arrays of the right shapes in which nothing is special: no zeros, no identity."""
    rng = np.random.default_rng(4)
    state = SHAPE.initial_state()
    for name, array in state.items():
        noise = rng.uniform(0.1, 0.9, array.shape) if "memory" in name else rng.normal(0, 0.5, array.shape)
        array += noise.astype(np.float32)
    return state


def batch_of(rank, view, seed):
    """Two full updates of a process and a part of a third one, which some processes have none of; rows repeat."""
    rng = np.random.default_rng([rank, seed])
    n_anchors = 2 * SHARE + [3, 0, 2][rank]
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 4, n_anchors))])
    n_nodes = SHAPE.n_nodes[view]
    anchors = rng.integers(0, SHAPE.n_nodes["item"] if seed else n_nodes, n_anchors).astype(np.int32)
    contexts = rng.integers(0, n_nodes, offsets[-1]).astype(np.int32)
    return SkipGramBatch(anchors, offsets, contexts, rng.integers(0, n_nodes, (n_anchors, 3)).astype(np.int32))


def offsets_of(view):
    return np.random.default_rng(8).standard_normal(SHAPE.n_nodes[view]).astype(np.float32)


def take_steps(engine, batches):
    """Every task once; `batches(view, seed)` gives the examples. Returns the loss of each."""
    intra = [float(engine.learn_intra(v, batches(v, 0), offsets_of(v), 0.3, 0.7)) for v in SHAPE.n_nodes]
    tasks = [(view, side, number) for number, view in enumerate(SHAPE.aligned, 1) for side in SIDES]
    return intra + [float(engine.learn_inter(v, side, batches(v, number), 0.2, 1.3)) for v, side, number in tasks]


def own(state, rows):
    return {n: a[rows[n].begin : rows[n].end] if n in rows else a for n, a in state.items()}


def save(path, arrays, losses=()):
    np.savez(path, **{"losses": np.array(losses), **arrays})


def main():
    folder = Path(sys.argv[1])
    with process_group(timeout_seconds=60) as crew:
        for storage in ("fp32", "fp16"):
            settings = ShardingSettings(anchors_per_update=SHARE * crew.size, storage=storage)
            engine = build_engine(SHAPE, "torch", crew=crew, sharding=settings)
            rows = engine.own_rows()
            save(folder / f"{storage}-begin-{crew.rank}.npz", engine.state())
            engine.restore(own(random_state(), rows))
            losses = take_steps(engine, lambda view, seed: batch_of(crew.rank, view, seed))
            save(folder / f"{storage}-end-{crew.rank}.npz", engine.state(), losses)


if __name__ == "__main__":
    main()
