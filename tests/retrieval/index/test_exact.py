"""The exact scan against a sort of all scores: same items, same order of ties, whatever is asked together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.retrieval.index import exact
from prismrec.retrieval.index.exact import best_candidates, best_of_all, best_rows


def sorted_by_numpy(targets, rows, queries, k):
    """The definition: all scores, a stable sort, padding."""
    indices = np.full((len(queries), k), -1, np.int64)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    every = queries.astype(np.float64) @ targets[rows].T.astype(np.float64)
    for b, row in enumerate(every):
        order = np.argsort(-row, kind="stable")[:k]
        indices[b, : len(order)] = rows[order]
        scores[b, : len(order)] = row[order]
    return indices, scores


def whole_numbers(rng, *shape):
    return rng.integers(-2, 3, shape).astype(np.float32)


def assert_same(found, expected):
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    assert found[0].dtype == np.int64
    assert found[1].dtype == np.float32


def test_three_rows_by_hand():
    targets = np.array([[1, 0], [0, 2], [1, 0]], np.float32)
    indices, scores = best_rows(targets, np.arange(3, dtype=np.int32), np.array([[1, 1], [-1, 0]], np.float32), 2)
    assert indices.tolist() == [[1, 0], [1, 0]]
    assert scores.tolist() == [[2, 1], [0, -1]]


@given(
    n_items=st.integers(0, 300),
    n_queries=st.integers(0, 9),
    k=st.integers(1, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_best_rows_is_the_sorted_definition(n_items, n_queries, k, share, seed):
    rng = np.random.default_rng(seed)
    targets, queries = whole_numbers(rng, n_items, 5), whole_numbers(rng, n_queries, 5)
    rows = np.flatnonzero(rng.random(n_items) < share).astype(np.int32)
    assert_same(best_rows(targets, rows, queries, k), sorted_by_numpy(targets, rows, queries, k))


@given(n_candidates=st.integers(0, 60), k=st.integers(1, 70), seed=st.integers(0, 2**32 - 1))
def test_best_candidates_is_the_sorted_definition_in_any_order_of_candidates(n_candidates, k, seed):
    rng = np.random.default_rng(seed)
    targets, queries = whole_numbers(rng, 80, 5), whole_numbers(rng, 6, 5)
    candidates = np.stack([rng.permutation(80)[:n_candidates] for _ in queries])
    found = best_candidates(targets, candidates, queries, k)
    for b in range(len(queries)):
        expected = sorted_by_numpy(targets, np.sort(candidates[b]), queries[b : b + 1], k)
        assert_same((found[0][b : b + 1], found[1][b : b + 1]), expected)


def test_candidates_that_are_no_rows_are_passed_over():
    """An index file with a flipped bit may name any number."""
    targets = np.eye(3, dtype=np.float32)
    indices, scores = best_candidates(targets, np.array([[2, -1, 3, 2**40, -(2**40)]]), targets[2:], 2)
    assert indices.tolist() == [[2, -1]]
    assert scores.tolist() == [[1, -np.inf]]


def test_scores_are_inner_products_in_float32():
    rng = np.random.default_rng(0)
    targets, queries = rng.normal(size=(2, 500, 193)).astype(np.float32)
    indices, scores = best_rows(targets, np.arange(500, dtype=np.int32), queries[:7], 20)
    exact = np.einsum("qd,qkd->qk", queries[:7].astype(np.float64), targets[indices].astype(np.float64))
    np.testing.assert_allclose(scores, exact, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(best_candidates(targets, indices, queries[:7], 20)[0], indices)


@pytest.mark.parametrize("n_queries", [1, 2, 3, 4, 5, 8, 11])
def test_a_batch_answers_as_its_queries_one_by_one(n_queries):
    rng = np.random.default_rng(1)
    targets, queries = rng.normal(size=(700, 33)).astype(np.float32), rng.normal(size=(11, 33)).astype(np.float32)
    rows = np.arange(700, dtype=np.int32)
    together = best_rows(targets, rows, queries[:n_queries], 9)
    for b in range(n_queries):
        alone = best_rows(targets, rows, queries[b : b + 1], 9)
        np.testing.assert_array_equal(together[0][b], alone[0][0])
        np.testing.assert_allclose(together[1][b], alone[1][0], rtol=1e-5)


@pytest.mark.parametrize("n_queries", [1, 4])
def test_equal_rows_have_equal_scores_and_come_in_the_order_of_their_index(n_queries):
    """Sums that depend on where a row lies in a block would tear ties apart."""
    rng = np.random.default_rng(2)
    targets = np.tile(rng.normal(size=193).astype(np.float32), (1000, 1))
    queries = rng.normal(size=(n_queries, 193)).astype(np.float32)
    indices, scores = best_rows(targets, np.arange(1000, dtype=np.int32), queries, 600)
    assert (indices == np.arange(600)).all()
    assert (scores == scores[:, :1]).all()


def test_a_memory_mapped_matrix_is_searched_where_it_lies(tmp_path):
    targets = whole_numbers(np.random.default_rng(3), 50, 4)
    np.save(tmp_path / "targets.npy", targets)
    mapped = np.asarray(np.load(tmp_path / "targets.npy", mmap_mode="r"))
    rows = np.arange(50, dtype=np.int32)
    assert_same(best_rows(mapped, rows, targets[:2], 5), sorted_by_numpy(targets, rows, targets[:2], 5))


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 30), st.integers(1, 7), st.integers(0, 99))
def test_threads_share_the_rows_and_answer_as_one_does(n, n_queries, k, n_threads, seed):
    rng = np.random.default_rng(seed)
    targets, queries = whole_numbers(rng, n, 4), whole_numbers(rng, n_queries, 4)
    expected = sorted_by_numpy(targets, np.arange(n), queries, min(k, n))
    assert_same(best_of_all(targets, queries, min(k, n), n_threads), expected)


def test_rows_from_one_number_to_another_are_looked_at_without_writing_all_numbers_down(monkeypatch):
    monkeypatch.setattr(exact, "_NUMBERED", 7)
    rng = np.random.default_rng(5)
    targets, queries = whole_numbers(rng, 100, 4), whole_numbers(rng, 6, 4)
    for rows in (slice(0, 100), slice(13, 60), slice(4, 5), slice(9, 9)):
        expected = sorted_by_numpy(targets, np.arange(rows.start, rows.stop), queries, 12)
        assert_same(best_rows(targets, rows, queries, 12), expected)


def test_rows_beyond_the_answer_of_one_thread_are_padded():
    indices, scores = best_of_all(np.ones((2, 1), np.float32), np.ones((1, 1), np.float32), 2, n_threads=9)
    assert (indices.tolist(), scores.tolist()) == ([[0, 1]], [[1.0, 1.0]])
