"""How the arrays begin, and what a warm start keeps."""

from itertools import pairwise

import numpy as np
import pytest

from prismrec.cluster.crew import rows_of
from prismrec.errors import DataError
from prismrec.models.contract import EmbeddingTable, OwnRows
from prismrec.models.m2grl import tables
from prismrec.models.m2grl.tables import (
    ADAGRAD_START,
    SOURCE_SCALE,
    alignment_matrices,
    embedding_tables,
    initial_sources,
    initial_state,
    start_from,
)

N_NODES = {"item": 500, "category": 7, "shop": 3}
DIM = 6


def fresh(**sizes):
    return initial_state({**N_NODES, **sizes}, DIM, ["category"], seed=1)


def old_table(n, dim=DIM, seed=9):
    return EmbeddingTable(*np.random.default_rng(seed).normal(size=(2, n, dim)).astype(np.float32))


def test_every_view_has_its_tables_and_only_aligned_views_a_matrix():
    shapes = {name: array.shape for name, array in fresh().items()}
    expected: dict[str, tuple[int, ...]] = {}
    for view, n in N_NODES.items():
        expected |= {f"{view}.source": (n, DIM), f"{view}.target": (n, DIM)}
        expected |= {f"{view}.source_memory": (n,), f"{view}.target_memory": (n,)}
    for side in ("source", "target"):
        expected |= {f"category.alignment_{side}": (DIM, DIM), f"category.alignment_{side}_memory": (1,)}
        expected |= {f"category.aligned_{side}_memory": (7,)}
    assert shapes == expected
    assert all(array.dtype == np.float32 for array in fresh().values())


def test_targets_begin_at_zero_sources_small_matrices_as_the_identity():
    state = fresh()
    assert not state["item.target"].any()
    assert state["item.source"].std() == pytest.approx(SOURCE_SCALE, rel=0.05)
    assert abs(state["item.source"].mean()) < 0.01
    assert state["category.alignment_source"].tolist() == np.eye(DIM).tolist()
    assert {float(a.min()) for n, a in state.items() if "memory" in n} == {float(np.float32(ADAGRAD_START))}


def test_vectors_depend_on_the_seed_and_the_view():
    one, same, other = fresh(), fresh(), initial_state(N_NODES, DIM, ["category"], seed=2)
    assert one["item.source"].tobytes() == same["item.source"].tobytes()
    assert (one["item.source"] != other["item.source"]).all()
    assert (one["item.source"][:7] != one["category.source"]).all()


@pytest.mark.parametrize("cuts", [[0, 50], [0, 10, 11, 50], [0, 7, 32, 50], [0, 25, 25, 50]])
def test_source_vectors_are_the_same_whoever_draws_which_rows(monkeypatch, cuts):
    monkeypatch.setattr(tables, "ROWS_PER_DRAW", 8)
    whole = initial_sources(3, 1, (0, 50), DIM)
    parts = [initial_sources(3, 1, rows, DIM) for rows in pairwise(cuts)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert len(np.unique(whole[:, 0])) == 50  # no block repeats another


def test_first_rows_are_the_same_however_many_nodes_follow():
    assert fresh()["item.source"].tobytes() == fresh(item=900)["item.source"][:500].tobytes()


def test_warm_start_gives_known_rows_their_vectors_and_leaves_new_ones_fresh():
    state, begun, old = fresh(), fresh(), old_table(420)
    start_from(state, {"item": old}, {})
    np.testing.assert_array_equal(state["item.source"][:420], old.source)
    np.testing.assert_array_equal(state["item.target"][:420], old.target)
    np.testing.assert_array_equal(state["item.source"][420:], begun["item.source"][420:])
    assert not state["item.target"][420:].any()
    unchanged = [name for name in state if name not in ("item.source", "item.target")]
    assert all(state[name].tobytes() == begun[name].tobytes() for name in unchanged)


def test_warm_start_takes_over_alignments_and_skips_views_that_are_gone():
    state = fresh()
    matrix = np.arange(DIM * DIM, dtype=np.float32).reshape(DIM, DIM)
    names = {"category.alignment_target": matrix, "brand.alignment_source": matrix, "shop.alignment_source": matrix}
    start_from(state, {"brand": old_table(50)}, names)
    np.testing.assert_array_equal(state["category.alignment_target"], matrix)
    assert state["category.alignment_source"].tolist() == np.eye(DIM).tolist()
    assert not any("brand" in name or "shop.alignment" in name for name in state)


@pytest.mark.parametrize(("n", "dim"), [(501, DIM), (400, DIM + 2)])
def test_vectors_that_do_not_fit_are_refused(n, dim):
    message = rf"vectors of shape \({n}, {dim}\) in view 'item', where \(500, 6\) are trained: keep model.embedding_dim"
    with pytest.raises(DataError, match=message):
        start_from(fresh(), {"item": old_table(n, dim)}, {})


def test_tables_and_matrices_are_copies():
    state = fresh()
    tables, matrices = (
        embedding_tables(state, ["item", "category"]),
        alignment_matrices(state, ["item", "category", "shop"]),
    )
    assert list(tables) == ["item", "category"]
    assert list(matrices) == ["category.alignment_source", "category.alignment_target"]
    before = state["item.source"].copy()
    tables["item"].source[:] = 7
    matrices["category.alignment_source"][:] = 7
    np.testing.assert_array_equal(state["item.source"], before)
    assert state["category.alignment_source"].tolist() == np.eye(DIM).tolist()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_warm_start_of_a_share_gives_the_rows_that_the_whole_has_there(size):
    whole, old = fresh(), old_table(420)
    start_from(whole, {"item": old}, {})
    for rank in range(size):
        begin, end = rows_of(500, rank, size)
        own = {name: array[begin:end] if name.startswith("item.") else array for name, array in fresh().items()}
        places = {f"item.{side}": OwnRows(begin, end, 500) for side in ("source", "target")}
        start_from(own, {"item": old}, {}, places)
        for side in ("source", "target"):
            np.testing.assert_array_equal(own[f"item.{side}"], whole[f"item.{side}"][begin:end])
        with pytest.raises(DataError, match=r"vectors of shape \(501, 6\) .* where \(500, 6\) are trained"):
            start_from(own, {"item": old_table(501)}, {}, places)
