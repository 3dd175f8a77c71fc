"""What items of a node share, against the formulas written out item by item."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.retrieval.node_effects import NodeEffects, known_nodes, node_means, node_shares

NODES = Sequences.from_lists([[0], [0], [0], [1], [1], [1], []])
VALUES = np.array([[4.0, 0.0], [5.0, 1.0], [6.0, 0.5], [-4.0, 0.0], [-5.0, 1.0], [-6.0, 0.5], [0.0, 4.0]])
TRUST = np.array([1.0, 0.5, 1.0, 1.0, 1.0, 0.25, 0.5])


def fitted(values=VALUES, trust=TRUST, nodes=NODES, shrinkage=1.0, n_nodes=2):
    return NodeEffects.fitted(values, trust, {"category": nodes}, {"category": n_nodes}, shrinkage)


def kappa_by_pairs(left, trust, rows):
    """Variance within over variance between, pair by pair."""
    placed = [(j, c) for j, row in enumerate(rows) for c in row]
    pairs = [(trust[i] * trust[j], left[i] @ left[j]) for i, c in placed for j, d in placed if i != j and c == d]
    between = sum(weight * product for weight, product in pairs) / sum(weight for weight, _ in pairs)
    within = np.mean([trust[j] * (left[j] @ left[j] - between) for j, _ in placed])
    return within / between


def test_an_effect_is_the_trusted_sum_of_residuals_over_their_number_and_the_shrinkage():
    mean = TRUST @ VALUES / TRUST.sum()
    left = VALUES - mean
    kappa = kappa_by_pairs(left, TRUST, NODES)
    assert kappa > 0
    expected = [(TRUST[a:b] @ left[a:b]) / (TRUST[a:b].sum() + kappa) for a, b in ((0, 3), (3, 6))]
    found = fitted()
    np.testing.assert_allclose(found.mean, mean)
    np.testing.assert_allclose(found.effects["category"], expected, rtol=1e-9)


def test_shrinkage_multiplies_what_the_data_say():
    left = VALUES - TRUST @ VALUES / TRUST.sum()
    kappa = 7.0 * kappa_by_pairs(left, TRUST, NODES)
    np.testing.assert_allclose(
        fitted(shrinkage=7.0).effects["category"][0], (TRUST[:3] @ left[:3]) / (TRUST[:3].sum() + kappa), rtol=1e-9
    )


def test_nodes_whose_items_are_no_more_alike_than_others_get_nothing():
    values = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    nodes = Sequences.from_lists([[0], [0], [1], [1]])
    assert not fitted(values, np.ones(4), nodes).effects["category"].any()


def test_a_node_with_one_item_says_nothing_of_what_items_share():
    values = np.array([[1.0], [-3.0], [2.0]])
    assert not fitted(values, np.ones(3), Sequences.from_lists([[0], [1], [2]]), n_nodes=3).effects["category"].any()


def test_two_views_share_what_both_explain():
    rng = np.random.default_rng(0)
    own = {"category": rng.normal(size=(4, 3)), "shop": rng.normal(size=(5, 3))}
    places = {"category": np.repeat(np.arange(4), 50), "shop": np.tile(np.arange(5), 40)}
    values = own["category"][places["category"]] + own["shop"][places["shop"]] + rng.normal(0, 0.1, (200, 3))
    nodes = {view: Sequences.from_lists(place[:, None]) for view, place in places.items()}
    found = NodeEffects.fitted(values, np.ones(200), nodes, {"category": 4, "shop": 5})
    expected = found.of_items(nodes, 200)
    assert ((values - expected) ** 2).mean() < 0.02


def test_an_item_is_the_mean_and_the_mean_effect_of_its_nodes():
    effects = NodeEffects(np.array([1.0]), {"category": np.array([[2.0], [6.0]])})
    nodes = {"category": Sequences.from_lists([[0], [0, 1], []])}
    assert effects.of_items(nodes, 3).tolist() == [[3.0], [5.0], [1.0]]


def test_without_any_item_everything_is_zero():
    found = fitted(np.zeros((0, 2)), np.zeros(0), Sequences.from_lists([]))
    assert found.mean.tolist() == [0, 0]
    assert not found.effects["category"].any()


@given(st.permutations(range(7)))
def test_the_order_of_the_items_does_not_matter(order):
    again = fitted(VALUES[order], TRUST[order], NODES.take(order))
    np.testing.assert_allclose(again.effects["category"], fitted().effects["category"], atol=1e-12)


def test_shares_and_means_over_several_nodes():
    nodes = Sequences.from_lists([[0, 2], [1], []])
    assert node_shares(nodes, 3).toarray().tolist() == [[0.5, 0, 0.5], [0, 1, 0], [0, 0, 0]]
    assert node_means(nodes, np.array([[2.0], [3.0], [4.0]])).tolist() == [[3.0], [3.0], [0.0]]


def test_unknown_nodes_go_and_rows_stay():
    assert known_nodes("shop", Sequences.from_lists([[-1, 1], [-1], [0]]), 2).to_lists() == [[1], [], [0]]


@pytest.mark.parametrize("bad", [-2, 2])
def test_an_index_that_is_no_node_is_refused(bad):
    with pytest.raises(DataError, match=r"view 'shop' must be -1 \(unknown\) or 0..1, got"):
        known_nodes("shop", Sequences.from_lists([[0, bad]]), 2)
