"""Tables shared out among processes against whole ones: real processes, each with its own rows and its own batch."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torchrec", reason='needs pip install "prismrec[cluster]"', exc_type=ImportError)

from prismrec.cluster.crew import rows_of
from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.engines import build_engine
from prismrec.models.m2grl.sharding import ShardingSettings

PROGRAM = Path(__file__).with_name("sharded_steps.py")


def loaded_program():
    spec = importlib.util.spec_from_file_location("prismrec_sharded_steps", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


steps = loaded_program()


@pytest.fixture(scope="module", params=[1, 2, 3])
def crew(request, run_crew, tmp_path_factory):
    """How many processes, and the folder with what each of them saved."""
    folder = tmp_path_factory.mktemp("crew")
    run_crew(request.param, PROGRAM, folder)
    return request.param, folder


def gathered(folder, when, size):
    """The arrays of all processes put together; what is not sharded must be the same bits in all of them."""
    parts = [dict(np.load(folder / f"{when}-{rank}.npz")) for rank in range(size)]
    whole = {}
    for name, array in steps.SHAPE.initial_state().items():
        if ".alignment_" in name:
            assert all(part[name].tobytes() == parts[0][name].tobytes() for part in parts), name
            whole[name] = parts[0][name]
        else:
            shares = [rows_of(len(array), rank, size) for rank in range(size)]
            assert [len(part[name]) for part in parts] == [end - begin for begin, end in shares]
            whole[name] = np.concatenate([part[name] for part in parts])
    return whole, sum(part["losses"] for part in parts)


def union(batches):
    """One batch whose k-th update is the k-th updates of all: what several processes learn from at once."""
    parts = [part(batch, k) for k in range(3) for batch in batches]
    n_contexts = np.concatenate([np.diff(p.context_offsets) for p in parts])
    return SkipGramBatch(
        np.concatenate([p.anchors for p in parts]),
        np.concatenate([[0], np.cumsum(n_contexts)]),
        np.concatenate([p.contexts for p in parts]),
        np.concatenate([p.negatives for p in parts]),
    )


def part(batch, k):
    anchors = slice(k * steps.SHARE, (k + 1) * steps.SHARE)
    offsets = batch.context_offsets[k * steps.SHARE : (k + 1) * steps.SHARE + 1]
    return SkipGramBatch(
        batch.anchors[anchors], offsets, batch.contexts[offsets[0] : offsets[-1]], batch.negatives[anchors]
    )


def expected(size):
    """What one process with whole tables makes of all batches together."""
    engine = build_engine(steps.SHAPE, "torch", sharding=ShardingSettings(anchors_per_update=steps.SHARE * size))
    engine.restore(steps.random_state())
    losses = steps.take_steps(
        engine, lambda view, seed: union([steps.batch_of(rank, view, seed) for rank in range(size)])
    )
    return engine.state(), losses


def test_rows_begin_the_same_whoever_holds_them(crew):
    size, folder = crew
    found, _ = gathered(folder, "fp32-begin", size)
    for name, array in steps.SHAPE.initial_state().items():
        assert found[name].tobytes() == array.tobytes(), name


def test_steps_of_several_processes_equal_steps_of_one_on_all_their_batches(crew):
    size, folder = crew
    found, losses = gathered(folder, "fp32-end", size)
    state, single = expected(size)
    np.testing.assert_allclose(losses, single, rtol=1e-5)
    before = steps.random_state()
    for name, array in state.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5, err_msg=name)
        assert (array != before[name]).any(), name


def test_half_precision_storage_stays_near_single_precision(crew):
    size, folder = crew
    found, _ = gathered(folder, "fp16-end", size)
    state, _ = expected(size)
    for name, array in state.items():
        np.testing.assert_allclose(found[name], array, rtol=0.02, atol=0.02, err_msg=name)
    rows = found["item.source"]
    np.testing.assert_array_equal(rows, rows.astype(np.float16))  # what was stored, exactly
