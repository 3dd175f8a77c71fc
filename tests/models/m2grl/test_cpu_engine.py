"""The inter-view step against its loss in double precision, differentiated numerically."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.cpu import learn_skip_gram
from prismrec.models.m2grl.cpu_engine import ALIGNMENT_RATE, CpuEngine, compact
from prismrec.models.m2grl.tables import SIDES, initial_state

N_NODES = {"item": 14, "category": 6}
DIM = 8


def random_state(seed=3):
    """Arrays in which nothing is special: no zeros, no identity."""
    rng = np.random.default_rng(seed)
    state = initial_state(N_NODES, DIM, ["category"], seed=0)
    for name, array in state.items():
        noise = rng.uniform(0.1, 0.9, array.shape) if "memory" in name else rng.normal(0, 0.4, array.shape)
        array += noise.astype(np.float32)
    return state


def edge_batch(seed=5):
    """Distinct items, repeating nodes, negatives that hit the node of their edge; node 5 is not met."""
    rng = np.random.default_rng(seed)
    items = rng.permutation(N_NODES["item"])[:11].astype(np.int32)
    nodes, negatives = rng.integers(0, 5, 11).astype(np.int32), rng.integers(0, 5, (11, 3)).astype(np.int32)
    assert (negatives == nodes[:, None]).any()
    return SkipGramBatch(items, np.arange(12, dtype=np.int64), nodes, negatives)


def slow_loss(exact, batch):
    """-log s((W i).(W c)) - sum_k log s(-(W i).(W c_k)) over the edges, one term at a time."""
    items, nodes, alignment = exact
    loss = 0.0
    for item, node, negatives in zip(batch.anchors, batch.contexts, batch.negatives, strict=True):
        related = alignment @ items[item]
        loss += np.log1p(np.exp(-related @ (alignment @ nodes[node])))
        loss += sum(np.log1p(np.exp(related @ (alignment @ nodes[k]))) for k in negatives if k != node)
    return loss


def slopes(arrays, loss):
    """Central differences of the loss by every entry of every array."""
    found = []
    for array in arrays:
        slope = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            middle = array[place]
            array[place] = middle + 1e-5
            slope[place] = loss()
            array[place] = middle - 1e-5
            slope[place] = (slope[place] - loss()) / 2e-5
            array[place] = middle
        found.append(slope)
    return found


@pytest.mark.parametrize("side", SIDES)
def test_inter_view_step_goes_down_the_gradients_of_items_nodes_and_alignment(side):
    state, batch, rate, weight = random_state(), edge_batch(), 0.3, 0.7
    names = [f"item.{side}", f"category.{side}", f"category.alignment_{side}"]
    exact = [state[name].astype(np.float64) for name in names]
    of_items, of_nodes, of_alignment = (weight * g for g in slopes(exact, lambda: slow_loss(exact, batch)))
    assert not of_nodes[5].any()

    engine = CpuEngine({name: array.copy() for name, array in state.items()})
    loss = engine.learn_inter("category", side, batch, rate, weight)
    after = engine.state()
    assert loss == pytest.approx(slow_loss(exact, batch), rel=1e-5)
    memory = state[f"item.{side}_memory"] + np.mean(of_items**2, axis=1)
    np.testing.assert_allclose(after[f"item.{side}_memory"], memory, rtol=1e-4)
    np.testing.assert_allclose(after[names[0]], exact[0] - rate * of_items / np.sqrt(memory)[:, None], atol=2e-6)
    memory = state[f"category.aligned_{side}_memory"] + np.mean(of_nodes**2, axis=1)
    np.testing.assert_allclose(after[f"category.aligned_{side}_memory"], memory, rtol=1e-4)
    np.testing.assert_allclose(after[names[1]], exact[1] - rate * of_nodes / np.sqrt(memory)[:, None], atol=2e-6)
    memory = state[f"category.alignment_{side}_memory"] + np.mean(of_alignment**2)
    step = ALIGNMENT_RATE * rate * of_alignment / np.sqrt(memory)
    np.testing.assert_allclose(after[f"category.alignment_{side}_memory"], memory, rtol=1e-4)
    np.testing.assert_allclose(after[names[2]] - exact[2], -step, atol=1e-6)
    assert np.abs(step).max() > 1e-4  # or the line above would hold of an alignment that never learns


@pytest.mark.parametrize("side", SIDES)
def test_inter_view_step_leaves_all_other_arrays_alone(side):
    state = random_state()
    engine = CpuEngine({name: array.copy() for name, array in state.items()})
    engine.learn_inter("category", side, edge_batch(), 0.3, 0.7)
    changed = {name for name, array in engine.state().items() if (array != state[name]).any()}
    assert changed == {
        f"item.{side}", f"item.{side}_memory", f"category.{side}", f"category.aligned_{side}_memory",
        f"category.alignment_{side}", f"category.alignment_{side}_memory",
    }  # fmt: skip


def test_inter_view_loss_falls():
    engine = CpuEngine(random_state())
    losses = [engine.learn_inter("category", "target", edge_batch(), 0.2, 1.0) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_step_without_edges_changes_nothing():
    none = np.zeros(0, np.int32)
    empty = SkipGramBatch(none, np.zeros(1, np.int64), none, np.zeros((0, 3), np.int32))
    engine = CpuEngine(random_state())
    assert engine.learn_inter("category", "source", empty, 0.3, 0.7) == 0
    for name, array in random_state().items():
        np.testing.assert_array_equal(engine.state()[name], array, err_msg=name)


def test_intra_view_step_is_the_skip_gram_of_the_views_own_tables():
    state, expected = random_state(), random_state()
    offsets = np.linspace(-1, 1, N_NODES["category"]).astype(np.float32)
    batch = SkipGramBatch(
        np.array([0, 3], np.int32), np.array([0, 2, 3]), np.array([1, 2, 4], np.int32), np.array([[5], [0]], np.int32)
    )
    parts = ("source", "target", "source_memory", "target_memory")
    source, target, source_memory, target_memory = (expected[f"category.{part}"] for part in parts)
    expected_loss = learn_skip_gram(source, target, source_memory, target_memory, offsets, batch, 0.3, 0.6)
    engine = CpuEngine(state)
    assert engine.learn_intra("category", batch, offsets, 0.3, 0.6) == pytest.approx(expected_loss, rel=1e-6)
    for name, array in engine.state().items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, err_msg=name)


def test_engine_takes_over_what_it_is_given():
    engine, saved = CpuEngine(random_state()), random_state()
    engine.learn_inter("category", "source", edge_batch(), 0.3, 0.7)
    own = dict(engine.state())
    engine.restore(saved)
    for name, array in engine.state().items():
        assert array is own[name]
        np.testing.assert_array_equal(array, saved[name])


@given(data=st.data(), n_nodes=st.integers(1, 9), n_edges=st.integers(0, 12), n_negatives=st.integers(0, 4))
def test_compact_names_the_nodes_in_use_and_the_batch_by_places_among_them(data, n_nodes, n_edges, n_negatives):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    nodes = rng.integers(0, n_nodes, n_edges).astype(np.int32)
    negatives = rng.integers(0, n_nodes, (n_edges, n_negatives)).astype(np.int32)
    batch = SkipGramBatch(np.arange(n_edges, dtype=np.int32), np.arange(n_edges + 1), nodes, negatives)
    used, local = compact(batch, n_nodes)
    assert used.tolist() == sorted({*nodes.tolist(), *negatives.ravel().tolist()})
    np.testing.assert_array_equal(used[local.contexts], nodes)
    np.testing.assert_array_equal(used[local.negatives], negatives)
    assert local.negatives.shape == negatives.shape
    assert local.contexts.dtype == local.negatives.dtype == np.int32
    assert local.anchors is batch.anchors
    assert local.context_offsets is batch.context_offsets
