"""How far recommendations reach: counted by hand on small bundles, the same for the same seed."""

from itertools import pairwise

import numpy as np
import pytest

from prismrec.retrieval.bundle import Bundle
from prismrec.serving.page.reach import concentration, reach_of


@pytest.fixture
def bundle(shop) -> Bundle:
    return Bundle.open(shop)


def test_reach_is_that_of_the_lists_a_visitor_would_get(bundle):
    found = reach_of(bundle, n_visitors=40, seed=1, list_length=3)
    counts = np.asarray(bundle.items.counts, float)
    drawn = np.random.default_rng(1).choice(len(counts), 40, p=counts / counts.sum())
    lists = [bundle.recommend([bundle.items.id_of(int(i))], k=3).item_ids for i in drawn]
    shown = {item for items in lists for item in items}
    assert (found.n_shown, found.share) == (len(shown), len(shown) / 30)
    for visitors, share in found.growth:
        assert share == len({item for items in lists[:visitors] for item in items}) / 30
    assert found.growth[-1] == (40, found.share)


def test_lists_as_long_as_the_catalogue_reach_all_of_it(bundle):
    found = reach_of(bundle, n_visitors=20, seed=0, list_length=30)
    assert (found.n_shown, found.share) == (30, 1.0)
    assert found.gini < 0.1


def test_same_seed_draws_the_same_visitors(bundle):
    assert reach_of(bundle, 25, 4) == reach_of(bundle, 25, 4)
    assert reach_of(bundle, 25, 4, 2) != reach_of(bundle, 25, 5, 2)


def test_small_batches_change_nothing(bundle, monkeypatch):
    whole = reach_of(bundle, 30, 2, 4)
    monkeypatch.setattr("prismrec.serving.page.reach._SCORES_AT_ONCE", 70)
    assert reach_of(bundle, 30, 2, 4) == whole


def test_concentration_by_hand():
    assert concentration(np.array([0, 4, 1, 5])) == ((0.0, 0.0), (0.25, 0.5), (0.5, 0.9), (0.75, 1.0), (1.0, 1.0))
    assert concentration(np.array([], np.int64)) == ()
    assert concentration(np.zeros(4, np.int64)) == ()


def test_concentration_of_many_is_a_rising_bent_curve():
    points = concentration(np.random.default_rng(0).zipf(1.4, 10_000))
    assert len(points) <= 61
    assert points[-1] == (1.0, 1.0)
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points)]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(slopes))
