"""What an index misses is measured under every weighting, told, and refused below the floor."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data import blocks
from prismrec.errors import ConfigError
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.index import item_index as index_module
from prismrec.retrieval.index import recall as recall_module
from prismrec.retrieval.index.approximate import ApproximateIndex
from prismrec.retrieval.index.item_index import ItemIndex
from prismrec.retrieval.index.recall import RecallProbe, Weighting, build_index, weightings
from prismrec.retrieval.index.settings import IndexSettings
from prismrec.retrieval.matrices import ItemMatrices

N_ITEMS = 2000
QUERY = QuerySettings(view_weights={"item": 1.0, "shop": 0.5}, popularity_weight=0.3, history_length=4)


@pytest.fixture(scope="module")
def matrices():
    """Items of 40 shops: all items of a shop have one shop vector, so the shop view alone ties by fifties."""
    rng = np.random.default_rng(0)
    shops = np.repeat(rng.normal(size=(40, 6)), N_ITEMS // 40, axis=0)
    items = rng.normal(size=(N_ITEMS, 8)) + shops[:, [0, 1, 2, 3, 4, 5, 0, 1]]
    prior = np.log(1000 / np.arange(1, N_ITEMS + 1))
    rows = np.column_stack([items, shops]).astype(np.float32)
    targets = np.column_stack([rows, prior - prior.mean()]).astype(np.float32)
    return ItemMatrices(rows, targets, {"item": slice(0, 8), "shop": slice(8, 14)})


@pytest.fixture(autouse=True)
def never_selective(monkeypatch):
    """This small catalogue goes through faiss, as one of millions does."""
    monkeypatch.setattr(index_module, "_SELECTIVE", 0)
    monkeypatch.setattr(index_module, "_FEW_PER_CANDIDATE", 0)


def find_share_of_best(monkeypatch, targets, share):
    """Candidates are this share of the best items, and the worst items: recall is known beforehand."""

    def candidates(self, queries, m, allowed=None):
        order = np.argsort(-(queries @ targets.T), axis=1, kind="stable")
        n_good = round(share * 50)
        return np.concatenate([order[:, :n_good], order[:, n_good - m :]], axis=1).astype(np.int64)

    monkeypatch.setattr(ApproximateIndex, "candidates", candidates)


def test_weightings_are_those_that_requests_may_use():
    assert weightings(QUERY, ["item", "shop"]) == {
        "bundle": Weighting({"item": 1.0, "shop": 0.5}, 0.3),
        "equal": Weighting({"item": 1.0, "shop": 1.0}, 0.3),
        "item alone": Weighting({"item": 1.0}, 0.0),
        "shop alone": Weighting({"shop": 1.0}, 0.0),
        "away from shop": Weighting({"item": 1.0, "shop": -0.5}, 0.3),
        "no popularity": Weighting({"item": 1.0, "shop": 0.5}, 0.0),
        "popularity alone": Weighting({}, 1.0),
    }


def test_queries_are_source_rows_and_mixtures_with_their_weights(matrices):
    queries = RecallProbe(matrices, QUERY).queries
    alone = queries["item alone"]
    single, mixed = alone[:64, :8], alone[64:, :8]
    assert alone.shape == (128, 15)
    assert (alone[:, 8:] == 0).all()
    assert all((row == matrices.sources[:, :8]).all(axis=1).any() for row in single)
    assert not any((row == matrices.sources[:, :8]).all(axis=1).any() for row in mixed)
    np.testing.assert_allclose(queries["bundle"][:, 8:14], 0.5 * queries["shop alone"][:, 8:14], rtol=1e-6)
    np.testing.assert_allclose(queries["away from shop"][:, 8:14], -0.5 * queries["shop alone"][:, 8:14], rtol=1e-6)
    assert {name: float(rows[0, -1]) for name, rows in queries.items()} == pytest.approx({
        "bundle": 0.3,
        "equal": 0.3,
        "item alone": 0,
        "shop alone": 0,
        "away from shop": 0.3,
        "no popularity": 0,
        "popularity alone": 1,
    })  # fmt: skip
    assert queries["popularity alone"].tolist() == [[0.0] * 14 + [1.0]]


def test_mixtures_draw_items_in_proportion_to_their_counts():
    """The prior is the log of the count: one item with 999 of 1000 clicks is all of nearly every history."""
    sources = np.eye(3, dtype=np.float32)
    prior = np.log([1, 1998, 1]).astype(np.float32)
    probe = RecallProbe(
        ItemMatrices(sources, np.column_stack([sources, prior]), {"item": slice(0, 3)}), QuerySettings()
    )
    mixtures = probe.queries["item alone"][64:, :3]
    assert mixtures[:, 1].mean() > 0.98
    np.testing.assert_allclose(mixtures.sum(axis=1), 1, rtol=1e-5)


def test_exact_search_recalls_everything(matrices):
    measured = RecallProbe(matrices, QUERY).measure(ItemIndex(matrices.targets, IndexSettings(kind="exact")))
    assert set(measured.values()) == {1.0}


def test_recall_is_the_share_of_the_best_that_is_found(matrices, monkeypatch):
    index = ItemIndex.build(matrices.targets, IndexSettings(kind="scan"))
    for share in (1.0, 0.9, 0.5):
        find_share_of_best(monkeypatch, matrices.targets, share)
        measured = RecallProbe(matrices, QUERY).measure(index)
        for name in ("bundle", "item alone", "away from shop", "popularity alone"):
            assert measured[name] == pytest.approx(share, abs=0.001), name


def test_of_items_with_equal_scores_any_will_do(matrices, monkeypatch):
    """Under the shop view alone the 50 items of a shop tie; those that faiss found are as good as those it did not."""

    def last_of_equals(self, queries, m, allowed=None):
        scores = queries @ matrices.targets.T
        return np.argsort(-scores - np.arange(N_ITEMS) * 1e-9, axis=1, kind="stable")[:, :m].astype(np.int64)

    monkeypatch.setattr(ApproximateIndex, "candidates", last_of_equals)
    index = ItemIndex.build(matrices.targets, IndexSettings(kind="scan", over_fetch=1))
    assert RecallProbe(matrices, QUERY).measure(index)["shop alone"] == 1


def test_same_seed_same_figures(matrices):
    index = ItemIndex.build(matrices.targets, IndexSettings(kind="ivf", n_lists=20, n_probes=2))
    one, two, other = (RecallProbe(matrices, QUERY, seed).measure(index) for seed in (0, 0, 1))
    assert one == two
    assert one != other


def test_auto_takes_the_scan_where_it_finds_enough(matrices):
    index, recall = build_index(matrices, IndexSettings(exact_below=0), QUERY)
    assert index.kind == "scan"
    assert index.settings == IndexSettings(exact_below=0)
    assert set(recall) == set(weightings(QUERY, ["item", "shop"]))
    assert min(recall.values()) >= 0.95


def test_auto_measures_nothing_where_search_is_exact(matrices, monkeypatch):
    monkeypatch.setattr(recall_module, "RecallProbe", None)
    index, recall = build_index(matrices, IndexSettings(), QUERY)
    assert (index.kind, recall) == ("exact", {})


def test_auto_fetches_more_and_then_searches_exactly(matrices, monkeypatch):
    asked = []
    original = RecallProbe.measure

    def short_of(enough):
        def measure(self, index):
            asked.append(index.settings.over_fetch)
            recall = original(self, index)
            return recall if index.settings.over_fetch >= enough else {**recall, "shop alone": 0.4}

        monkeypatch.setattr(RecallProbe, "measure", measure)

    short_of(16)
    index, recall = build_index(matrices, IndexSettings(exact_below=0), QUERY)
    assert (index.kind, index.settings.over_fetch, asked) == ("scan", 16, [4, 8, 16])
    assert recall["shop alone"] > 0.95
    asked.clear()
    short_of(1000)
    index, recall = build_index(matrices, IndexSettings(exact_below=0), QUERY)
    assert (index.kind, recall, asked) == ("exact", {}, [4, 8, 16, 32])


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        (IndexSettings(kind="ivf", n_lists=30, n_probes=1), "set index.n_probes above 1,"),
        (
            IndexSettings(kind="hnsw", n_links=4, over_fetch=1, search_effort=50, recall_floor=1.0),
            "set index.search_effort above 50,",
        ),
        (IndexSettings(kind="scan", over_fetch=1, recall_floor=1.0), "set index.over_fetch above 1,"),
    ],
)
def test_a_chosen_index_that_finds_too_little_is_refused_with_figures(matrices, settings, advice):
    with pytest.raises(ConfigError, match=rf"the {settings.kind} index finds too few of the 50 best items") as refused:
        build_index(matrices, settings, QUERY)
    message = str(refused.value)
    assert f'{advice} or index.kind = "auto" or "exact", or lower index.recall_floor' in message
    assert f"the floor is {settings.recall_floor}" in message
    figures = [float(figure) for figure in re.findall(r"(?:alone|equal|bundle|shop|popularity) (\d\.\d{3})", message)]
    assert len(figures) == 7
    assert figures == sorted(figures)
    assert figures[0] < settings.recall_floor


def test_a_lower_floor_lets_it_pass_and_says_what_was_measured(matrices):
    settings = IndexSettings(kind="ivf", n_lists=30, n_probes=1, recall_floor=0.0)
    index, recall = build_index(matrices, settings, QUERY)
    assert index.kind == "ivf"
    assert min(recall.values()) < 0.95


def test_more_probes_find_more(matrices):
    probe = RecallProbe(matrices, QUERY)
    few, many = (
        probe.measure(ItemIndex.build(matrices.targets, IndexSettings(kind="ivf", n_lists=30, n_probes=n)))
        for n in (2, 30)
    )
    assert all(many[name] >= few[name] for name in few)
    assert min(many.values()) > 0.99


def test_a_catalogue_smaller_than_the_list_is_measured_too(matrices):
    few = ItemMatrices(matrices.sources[:30], matrices.targets[:30], matrices.columns)
    _, recall = build_index(few, IndexSettings(kind="scan"), QUERY)
    assert set(recall.values()) == {1.0}


@given(st.integers(0, 10**6), st.integers(1, 3000))
def test_histories_are_drawn_as_numpy_draws_them_however_small_the_blocks(seed, block_bytes):
    rng = np.random.default_rng(seed)
    prior = (2 * rng.normal(size=300)).astype(np.float32)
    counts = np.exp(prior.astype(np.float64))
    expected = np.random.default_rng(seed).choice(300, (8, 5), p=counts / counts.sum())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block_bytes)
        drawn = recall_module._by_popularity(prior, (8, 5), np.random.default_rng(seed))
    np.testing.assert_array_equal(drawn, expected)


def test_recall_does_not_depend_on_blocks_and_threads(matrices, monkeypatch):
    whole = build_index(matrices, IndexSettings(kind="ivf", n_lists=16, n_probes=2, recall_floor=0), QUERY)[1]
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1000)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert build_index(matrices, IndexSettings(kind="ivf", n_lists=16, n_probes=2, recall_floor=0), QUERY)[1] == whole
    assert min(whole.values()) < 0.9
