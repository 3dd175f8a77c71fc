"""The k best, whatever finds them: k results wherever k may be answered, with exact scores, in one order."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.errors import ArtifactError, ConfigError, DataError
from prismrec.retrieval.index import item_index as index_module
from prismrec.retrieval.index.approximate import ApproximateIndex
from prismrec.retrieval.index.item_index import ItemIndex
from prismrec.retrieval.index.settings import IndexSettings

KINDS = ("exact", "scan", "ivf", "hnsw")
N_ITEMS, DIM = 400, 6

every_kind = pytest.mark.parametrize("kind", KINDS)


def whole_numbers(n, seed):
    """Small whole numbers: float32 sums of their products are exact, and ties are many."""
    return np.random.default_rng(seed).integers(-3, 4, (n, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def targets():
    return whole_numbers(N_ITEMS, 0)


@pytest.fixture(scope="module")
def indexes(targets):
    return {kind: ItemIndex.build(targets, IndexSettings(kind=kind, n_lists=8, n_probes=2)) for kind in KINDS}


@pytest.fixture
def never_selective(monkeypatch):
    """A mask of any size goes through faiss, as in a catalogue of millions."""
    monkeypatch.setattr(index_module, "_SELECTIVE", 0)
    monkeypatch.setattr(index_module, "_FEW_PER_CANDIDATE", 0)


def sorted_by_numpy(targets, query, k, allowed):
    scores = np.where(allowed, targets @ query, -np.inf)
    order = np.argsort(-scores, kind="stable")[:k]
    return order[scores[order] > -np.inf], scores[order][scores[order] > -np.inf]


@pytest.mark.usefixtures("never_selective")
@every_kind
@given(
    k=st.integers(1, 60),
    share=st.sampled_from([0.0, 0.01, 0.2, 0.9, None]),
    n=st.integers(1, 6),
    seed=st.integers(0, 999),
)
def test_every_kind_gives_k_results_with_exact_scores_best_first(indexes, targets, kind, k, share, n, seed):
    queries = whole_numbers(n, seed)
    mask = None if share is None else np.random.default_rng(seed).random(N_ITEMS) < share
    allowed = np.ones(N_ITEMS, bool) if mask is None else mask
    indices, scores = indexes[kind].search(queries, k, mask)
    assert indices.shape == scores.shape == (n, k)
    assert (indices.dtype, scores.dtype) == (np.int64, np.float32)
    n_found = min(k, int(allowed.sum()))
    assert (indices[:, :n_found] >= 0).all()
    assert (indices[:, n_found:] == -1).all()
    assert (scores[:, n_found:] == -np.inf).all()
    for query, row, values in zip(queries, indices[:, :n_found], scores[:, :n_found], strict=True):
        assert len(set(row.tolist())) == n_found
        assert allowed[row].all()
        np.testing.assert_array_equal(values, targets[row] @ query)
        assert sorted(zip(-values, row, strict=True)) == list(zip(-values, row, strict=True))
        if kind == "exact":
            np.testing.assert_array_equal(row, sorted_by_numpy(targets, query, k, allowed)[0])


@every_kind
def test_selective_masks_are_answered_exactly(indexes, targets, kind):
    allowed = np.arange(N_ITEMS) % 7 == 3
    for query in whole_numbers(5, 1):
        indices, scores = indexes[kind].search(query[None], 20, allowed)
        expected = sorted_by_numpy(targets, query, 20, allowed)
        np.testing.assert_array_equal(indices[0], expected[0])
        np.testing.assert_array_equal(scores[0], expected[1])


@pytest.mark.usefixtures("never_selective")
def test_what_faiss_finds_too_little_of_is_searched_exactly(indexes, targets, monkeypatch):
    """Half the queries get one candidate only; they are answered as by exact search, the others as found."""

    def starved(self, queries, m, allowed=None):
        candidates = np.argsort(-(queries @ targets.T), axis=1, kind="stable")[:, :m].astype(np.int64)
        candidates[::2, 1:] = -1
        return candidates

    monkeypatch.setattr(ApproximateIndex, "candidates", starved)
    queries = whole_numbers(6, 2)
    found = indexes["scan"].search(queries, 10)
    expected = indexes["exact"].search(queries, 10)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0][::2], expected[0][::2])


@pytest.mark.usefixtures("never_selective")
def test_candidates_are_over_fetched(indexes, monkeypatch):
    asked = []
    original = ApproximateIndex.candidates

    def watched(self, queries, m, allowed=None):
        asked.append(m)
        return original(self, queries, m, allowed)

    monkeypatch.setattr(ApproximateIndex, "candidates", watched)
    indexes["scan"].search(whole_numbers(1, 3), 5)
    indexes["scan"].with_over_fetch(9).search(whole_numbers(1, 3), 5)
    assert asked == [20, 45]


@every_kind
def test_a_query_of_nothing_answers_in_the_order_of_index(indexes, kind):
    indices, scores = indexes[kind].search(np.zeros((1, DIM), np.float32), 5)
    assert (scores == 0).all()
    assert kind != "exact" or indices.tolist() == [[0, 1, 2, 3, 4]]


@every_kind
def test_no_queries_and_no_items_are_no_trouble(indexes, kind):
    assert indexes[kind].search(np.zeros((0, DIM), np.float32), 3)[0].shape == (0, 3)
    empty = ItemIndex.build(np.zeros((0, DIM), np.float32), IndexSettings(kind=kind))
    assert empty.search(np.ones((2, DIM), np.float32), 3)[0].tolist() == [[-1] * 3] * 2


def test_auto_is_exact_for_small_catalogues_and_a_scan_for_others(targets):
    assert ItemIndex.build(targets).kind == "exact"
    assert ItemIndex.build(targets, IndexSettings(exact_below=N_ITEMS + 1)).kind == "exact"
    assert ItemIndex.build(targets, IndexSettings(exact_below=N_ITEMS)).kind == "scan"


@every_kind
def test_saved_and_loaded_are_equal(tmp_path, indexes, targets, kind):
    indexes[kind].save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ([] if kind == "exact" else ["items.faiss"])
    loaded = ItemIndex.load(tmp_path, targets, indexes[kind].settings, kind)
    assert loaded.kind == kind
    for found, expected in zip(
        loaded.search(whole_numbers(9, 4), 12), indexes[kind].search(whole_numbers(9, 4), 12), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_missing_file_is_named(tmp_path, targets):
    with pytest.raises(ArtifactError, match=r"items.faiss is damaged"):
        ItemIndex.load(tmp_path, targets, IndexSettings(), "scan")


@pytest.mark.usefixtures("never_selective")
def test_an_index_file_with_wrong_codes_costs_order_never_scores(tmp_path, indexes, targets):
    """Flipped bits that lengths do not show: results may be others, but are real items with their real scores."""
    indexes["scan"].save(tmp_path)
    file = tmp_path / "items.faiss"
    content = bytearray(file.read_bytes())
    codes = content.index(b"ilfs") if b"ilfs" in content else len(content) // 2
    for place in range(codes + 200, len(content) - 200, 97):
        content[place] ^= 0xFF
    file.write_bytes(content)
    loaded = ItemIndex.load(tmp_path, targets, IndexSettings(), "scan")
    queries = whole_numbers(20, 5)
    indices, scores = loaded.search(queries, 8)
    np.testing.assert_array_equal(scores, np.einsum("qd,qkd->qk", queries, targets[indices]))


def test_what_does_not_fit_is_refused(indexes):
    index = indexes["exact"]
    good = np.ones((1, DIM), np.float32)
    with pytest.raises(ConfigError, match="must be at least 1, got 0"):
        index.search(good, 0)
    with pytest.raises(DataError, match=r"shape \(n, 6\) of 6 target columns, got \(1, 5\)"):
        index.search(good[:, 1:], 1)
    with pytest.raises(DataError, match=r"got \(6,\)"):
        index.search(good[0], 1)
    with pytest.raises(DataError, match="query 1 is not finite: use smaller view weights"):
        index.search(np.array([[1] * DIM, [np.inf] * DIM]), 1)
    with pytest.raises(DataError, match=r"400 booleans, got bool of shape \(399,\)"):
        index.search(good, 1, np.ones(399, bool))
    with pytest.raises(DataError, match=r"400 booleans, got int64 of shape \(400,\)"):
        index.search(good, 1, np.arange(400))


@pytest.mark.parametrize(
    ("name", "value"), [("kind", "fast"), ("over_fetch", 0), ("recall_floor", 1.5), ("n_probes", 0)]
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        IndexSettings(**{name: value})


def test_queries_of_other_types_and_layouts_are_taken(indexes):
    queries = whole_numbers(4, 6)
    expected = indexes["exact"].search(queries, 7)
    for same in (queries.astype(np.float64), np.asfortranarray(queries)):
        np.testing.assert_array_equal(indexes["exact"].search(same, 7)[0], expected[0])


@every_kind
def test_threads_share_an_index(indexes, kind):
    queries = whole_numbers(5, 7)
    expected = indexes[kind].search(queries, 9)[0]
    wrong: list[object] = []

    def ask():
        answers = [indexes[kind].search(queries, 9)[0] for _ in range(30)]
        wrong.extend(answer for answer in answers if not (answer == expected).all())

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
