"""What the knob of diversity means, how alike items are, and what a list is said to have kept and gained."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError
from prismrec.retrieval.diversity.rerank import likeness, pool_size, report, rerank
from prismrec.retrieval.ranking import top_k
from prismrec.retrieval.request import Diversity

COLUMNS = {"item": slice(0, 2), "category": slice(2, 4), "shop": slice(4, 6)}
VIEWS = list(COLUMNS)
METHODS = ["mmr", "dpp"]


def rows_of(*rows):
    return np.array(rows, np.float32)


def spread(scores, alike, level, k, method="mmr", nodes=None, **settings):
    diversity = Diversity(level=level, method=method, **settings)
    return rerank(np.asarray(scores, np.float32), np.asarray(alike, np.float32), nodes or {}, diversity, k).tolist()


# ---- likeness ----


def test_likeness_is_the_mean_of_the_cosines_in_the_side_views():
    rows = rows_of([9, 9, 1, 0, 0, 2], [1, 0, 3, 0, 3, 4], [0, 1, 0, 5, 1, 0])
    alike = likeness(rows, COLUMNS, Diversity(), VIEWS)
    np.testing.assert_allclose(alike @ alike.T, [[1, (1 + 0.8) / 2, 0], [0.9, 1, 0.6 / 2], [0, 0.3, 1]], atol=1e-6)
    assert alike.dtype == np.float32


def test_views_are_weighed_as_asked():
    rows = rows_of([1, 0, 1, 0, 0, 2], [0, 1, 1, 0, 3, 4])
    alike = likeness(rows, COLUMNS, Diversity(views={"category": 1, "shop": 3, "item": 0}), VIEWS)
    assert alike[0] @ alike[1] == pytest.approx((1 * 1 + 3 * 0.8) / 4)
    alone = likeness(rows, COLUMNS, Diversity(views={"item": 2.5}), VIEWS)
    np.testing.assert_allclose(alone @ alone.T, np.eye(2), atol=1e-6)


def test_an_item_without_a_node_is_like_nothing_in_that_view():
    rows = rows_of([1, 0, 0, 0, 0, 2], [1, 0, 0, 0, 0, 1], [1, 0, 1, 0, 0, 0])
    alike = likeness(rows, COLUMNS, Diversity(), VIEWS)
    np.testing.assert_allclose(alike @ alike.T, [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 0.5]], atol=1e-6)


def test_without_side_views_the_items_themselves_are_compared_and_without_weights_nothing():
    rows = rows_of([1, 0], [2, 0], [0, 1])
    alike = likeness(rows, {"item": slice(0, 2)}, Diversity(), ["item"])
    np.testing.assert_allclose(alike @ alike.T, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    nothing = likeness(rows, {"item": slice(0, 2)}, Diversity(views={"item": 0}), ["item"])
    assert spread([1, 2, 3], nothing, 1.0, 3) == [2, 1, 0]


def test_unknown_view_names_the_nearest():
    with pytest.raises(ConfigError, match=r"diversity.views: there is no view 'categori'; did you mean 'category'"):
        likeness(np.zeros((1, 6), np.float32), COLUMNS, Diversity(views={"categori": 1}), VIEWS)
    with pytest.raises(ConfigError, match=r"diversity.quotas: there is no view 'brand'; views are shop"):
        spread([1], [[1]], 0, 1, nodes={"shop": Sequences.from_lists([[0]])}, quotas={"brand": 1})


# ---- the knob ----


@pytest.mark.parametrize("method", METHODS)
@given(
    scores=arrays(np.float32, 30, elements=st.floats(-5, 5, width=32).map(lambda x: round(x, 1))), k=st.integers(1, 30)
)
def test_level_0_is_the_ranking_by_score(method, scores, k):
    alike = np.random.default_rng(0).normal(size=(30, 3))
    assert spread(scores, alike, 0, k, method) == top_k(scores, k).tolist()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("level", "further"), [(0.0, 0), (0.1, 1 / 9), (0.2, 0.25), (0.3, 3 / 7), (0.5, 1), (0.8, 4)])
def test_what_is_just_like_an_item_above_stands_so_many_list_lengths_further_down(method, level, further):
    k, m = 10, 100
    vectors = np.eye(m)
    vectors[1] = vectors[0]  # the second best is just like the best
    # d^2 of an equal item is 1 - (1 - e)^2 = 0.0199: for DPP it is nearly, not wholly, e
    lost = 1 if method == "mmr" else np.log(0.0199) / np.log(0.01)
    before = [place for place in range(m) if place != 1 and place < 1 + further * k * lost]
    listed = spread(-np.arange(m), vectors, level, k, method)
    assert listed == [*before, 1, *range(len(before) + 1, m)][:k]


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 1000))
def test_level_1_looks_at_the_scores_for_the_first_item_alone(method, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(20, 30))  # no ties: likeness differs everywhere
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = np.sort(rng.normal(size=20))[::-1]
    other = np.concatenate([scores[:1], rng.permutation(scores[1:])])
    found, again = (spread(s, np.abs(vectors), 1, 10, method) for s in (scores, other))
    assert found[0] == 0
    assert found == again


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 1000), level=st.floats(0, 1), scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_the_knob_means_the_same_on_every_scale_of_scores(method, seed, level, scale, shift):
    rng = np.random.default_rng(seed)
    scores, vectors = rng.permutation(20).astype(np.float64), rng.normal(size=(20, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = spread(scores, vectors, level, 8, method)
    assert spread(scores * scale + shift, vectors, level, 8, method) == expected
    assert spread(np.exp(scores), vectors, level, 8, method) == expected
    mixed = rng.permutation(20)
    assert [mixed[i] for i in spread(scores[mixed], vectors[mixed], level, 8, method)] == expected


@pytest.mark.parametrize("method", METHODS)
def test_a_higher_level_spreads_more_and_keeps_less(method):
    rng = np.random.default_rng(4)
    kept, shown = [], []
    groups = rng.integers(0, 30, (40, 200)) ** 3 // 900  # some large, some small
    centres = rng.normal(size=(30, 16))
    for level in (0, 0.2, 0.4, 0.6, 0.8, 1):
        reports = []
        for row in groups:
            vectors = centres[row] / np.linalg.norm(centres[row], axis=1, keepdims=True)
            scores = -np.arange(200, dtype=np.float32)
            places = np.array(spread(scores, vectors, level, 20, method))
            reports.append(report(scores, places, {"group": Sequences.from_lists(row[:, None])}))
        kept.append(np.mean([r.relevance_kept for r in reports]))
        shown.append(np.mean([r.distinct["group"][1] for r in reports]))
    assert kept[0] == 1
    assert np.all(np.diff(kept) <= 0)
    assert np.all(np.diff(shown) >= 0)
    assert shown[-1] > 1.5 * shown[0]


@pytest.mark.parametrize("method", METHODS)
def test_extreme_pools(method):
    assert spread([], np.zeros((0, 2)), 0.5, 3, method) == []
    assert spread([7], [[1]], 0.5, 3, method) == [0]
    assert spread([1, 1, 1], [[1], [1], [1]], 1.0, 3, method) == [0, 1, 2]
    assert spread([3e38, -3e38, 0], [[1], [1], [1]], 0.5, 3, method) == [0, 2, 1]


# ---- quotas ----

SHOPS = Sequences.from_lists([[0], [0], [0], [1], [1], [2], [0, 3], []])
SIZES = Sequences.from_lists([[1], [2], [1], [1], [2], [1], [9], [9]])
FALLING = np.arange(8, 0, -1)


@pytest.mark.parametrize("method", METHODS)
def test_quotas_hold_at_every_level_and_the_list_is_refilled(method):
    for level in (0, 0.3, 1):
        found = spread(FALLING, np.eye(8), level, 5, method, {"shop": SHOPS}, quotas={"shop": 1})
        assert found == [0, 3, 5, 7]
        found = spread(FALLING, np.eye(8), level, 5, method, {"shop": SHOPS}, quotas={"shop": 2})
        assert found == [0, 1, 3, 4, 5]


def test_quota_beyond_all_items_holds_nobody_back():
    assert spread(FALLING, np.eye(8), 0, 5, nodes={"shop": SHOPS}, quotas={"shop": 10**30}) == [0, 1, 2, 3, 4]


def test_quotas_of_several_views_hold_together():
    nodes = {"shop": SHOPS, "size": SIZES}
    assert spread(FALLING, np.eye(8), 0, 8, nodes=nodes, quotas={"shop": 2, "size": 1}) == [0, 1, 7]
    assert spread(FALLING, np.eye(8), 0, 8, nodes=nodes, quotas={"shop": 1, "size": 2}) == [0, 3, 7]


def test_quotas_look_at_the_nodes_of_the_ranked_item():
    scores = [1, 3, 2, 4]
    shops = Sequences.from_lists([[5], [6], [5], [6]])
    assert spread(scores, np.eye(4), 0, 4, nodes={"shop": shops}, quotas={"shop": 1}) == [3, 2]


# ---- pool and report ----


def test_pool_is_as_large_as_asked_and_never_below_the_list():
    assert pool_size(Diversity(), 20) == 20
    assert pool_size(Diversity(level=0.1), 20) == 80
    assert pool_size(Diversity(quotas={"shop": 3}), 20) == 80
    assert pool_size(Diversity(level=0.1, pool=500), 20) == 500
    assert pool_size(Diversity(level=0.1, pool=5), 20) == 20


def test_report_by_hand():
    nodes = {"shop": SHOPS, "size": SIZES}
    told = report(FALLING.astype(np.float32), np.array([0, 6, 7]), nodes)
    best = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert told.relevance_kept == pytest.approx((1 + 1 / np.log2(8) + 1 / np.log2(9)) / best)
    assert told.distinct == {"shop": (1, 2), "size": (2, 2)}
    same = report(FALLING[::-1].astype(np.float32), np.array([7, 6, 5]), nodes)
    assert same.relevance_kept == 1
    assert same.distinct == {"shop": (3, 3), "size": (2, 2)}
    assert report(np.zeros(0, np.float32), np.zeros(0, np.int64), {}).relevance_kept == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_list_of_fifty_from_five_hundred_takes_about_a_millisecond(method):
    rng = np.random.default_rng(0)
    alike = likeness(rng.normal(size=(500, 6)).astype(np.float32), COLUMNS, Diversity(), VIEWS)
    scores = rng.normal(size=500).astype(np.float32)
    diversity = Diversity(level=0.5, method=method)
    rerank(scores, alike, {}, diversity, 50)
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        rerank(scores, alike, {}, diversity, 50)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.005  # far above what it takes, far below what plain Python would


def test_views_without_vectors_are_alike_by_their_common_nodes():
    rows = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    nodes = {"genre": Sequences.from_lists([[5, 7], [7], [], [5, 7, 9, 11]])}
    alike = likeness(rows, {"item": slice(0, 2)}, Diversity(), ["item", "genre"], nodes)
    products = alike @ alike.T
    assert products[0, 1] == pytest.approx(1 / np.sqrt(2))
    assert products[0, 3] == pytest.approx(2 / np.sqrt(2 * 4))
    assert products[1, 3] == pytest.approx(1 / 2)
    assert products[2].tolist() == [0, 0, 0, 0]
    assert alike.shape == (4, 2)  # 9 and 11 are of one candidate each
    both = likeness(rows, {"item": slice(0, 2)}, Diversity(views={"item": 1, "genre": 3}), ["item", "genre"], nodes)
    assert (both @ both.T)[0, 3] == pytest.approx((1 + 3 * 2 / np.sqrt(8)) / 4)
