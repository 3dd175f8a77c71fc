"""Popularity within the user's categories, each part against its formula by hand."""

import math

import numpy as np
import pytest

from prismrec.data.prepared import PreparedData, View
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, NotFittedError
from prismrec.models.baselines.category_popularity import CategoryPopularity, CategoryPopularityConfig

NONE = Sequences.from_lists([])
# Items 0, 1 in node 0; 2, 3 in node 1; 4 in both; 5 in none. Items 3 and 4 are new.
COUNTS = [6, 2, 4, 0, 0, 8]
NODES = [[0], [0], [1], [1], [0, 1], []]


def data(counts=COUNTS, nodes=NODES, views=("category",)):
    found = {
        name: View(name, Vocabulary.from_ids(["a", "b"], [8, 4]), Sequences.from_lists(nodes), NONE) for name in views
    }
    return PreparedData(Vocabulary.from_ids(range(len(counts)), counts), NONE, Vocabulary.from_ids([], []), NONE, found)


def fitted(given=None, **config):
    return CategoryPopularity(CategoryPopularityConfig(**config)).fit(given or data())


def score(history, **config):
    return fitted(**config).score(Sequences.from_lists([history]))[0]


def test_by_hand():
    got = score([0, 0, 2], recency_decay=0.5, smoothing=3.0, lift=0.5, popularity_weight=0.7)
    weights = {0: 0.25 + 0.5, 1: 1.0}  # nodes a and b, the latest click weighs 1
    p = {0: 8 / 12, 1: 4 / 12}
    user = {node: (weights[node] + 3 * p[node]) / (1.75 + 3) for node in p}
    both_user, both_p = (user[0] + user[1]) / 2, (p[0] + p[1]) / 2
    expected_counts = [6, 2, 4, 4, (4 + 4) / 2, 8]  # node a: mean of 6 and 2; node b: 4
    shares = [(user[0], p[0]), (user[0], p[0]), (user[1], p[1]), (user[1], p[1]), (both_user, both_p)]
    wanted = [
        math.log(u) - 0.5 * math.log(q) + 0.7 * math.log(n) for (u, q), n in zip(shares, expected_counts, strict=False)
    ]
    np.testing.assert_allclose(got[:5], wanted, rtol=1e-5)
    assert got[5] == pytest.approx(0.7 * math.log(8))


def test_new_items_of_the_user_s_category_come_before_those_of_others():
    scores = score([2, 2], popularity_weight=0.0, lift=0.0, smoothing=1.0)
    assert scores[3] > scores[4] > scores[0]


def test_lift_forgets_what_everybody_does():
    plain, lifted = (score([], popularity_weight=0.0, lift=lift) for lift in (0.0, 1.0))
    assert plain[0] > plain[2]  # the larger category
    assert lifted[:4] == pytest.approx(0.0, abs=1e-6)


def test_an_item_without_node_and_click_is_expected_to_get_the_mean_count():
    scores = fitted(data(counts=[6, 2, 4, 0, 0, 0])).score(Sequences.from_lists([[]]))[0]
    assert scores[5] == pytest.approx(math.log(4))


def test_all_views_count_alike_or_one_that_is_named():
    both = data(views=("category", "shop"))
    both.views["shop"].item_nodes.values[:] = [0, 1, 1, 0, 0, 1]
    histories = Sequences.from_lists([[0]])
    alone = [fitted(both, view=v, popularity_weight=0.0).score(histories) for v in ("category", "shop")]
    together = fitted(both, popularity_weight=0.0).score(histories)
    np.testing.assert_allclose(together, (alone[0] + alone[1]) / 2, rtol=1e-5)
    assert not np.allclose(*alone)


def test_repeats_get_their_bonus():
    difference = score([0, 2], repeat_weight=2.0, recency_decay=0.5) - score([0, 2], recency_decay=0.5)
    np.testing.assert_allclose(difference, [1.0, 0, 2.0, 0, 0, 0], atol=1e-5)


def test_another_configuration_shares_the_counts():
    model = fitted(smoothing=1.0)
    other = model.with_config(CategoryPopularityConfig(smoothing=50.0))
    histories = Sequences.from_lists([[2]])
    np.testing.assert_array_equal(other.score(histories), fitted(smoothing=50.0).score(histories))
    np.testing.assert_array_equal(model.score(histories), fitted(smoothing=1.0).score(histories))


def test_batch_is_as_single():
    histories = [[0], [2, 4], []]
    together = fitted().score(Sequences.from_lists(histories))
    for row, history in zip(together, histories, strict=True):
        np.testing.assert_allclose(row, score(history), rtol=1e-6)


def test_the_scores_from_an_item_on_are_the_last_columns():
    histories = Sequences.from_lists([[0, 3], [2], []])
    model = fitted(repeat_weight=1.5)
    np.testing.assert_allclose(model.score_from(3, histories), model.score(histories)[:, 3:], rtol=1e-6)


def test_without_views_it_is_popularity():
    scores = fitted(data(views=())).score(Sequences.from_lists([[0]]))[0]
    assert np.argsort(-scores, kind="stable")[0] == 5


def test_a_view_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"category_popularity.view = 'brand' is no view; views are category"):
        fitted(view="brand")


def test_score_before_fit():
    with pytest.raises(NotFittedError, match="CategoryPopularity has no scores yet"):
        CategoryPopularity(CategoryPopularityConfig()).score(Sequences.from_lists([[0]]))
