"""A softmax over the catalogue, whole or over items drawn by their popularity."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prismrec.models.neural.catalogue_softmax import CatalogueSoftmax
from prismrec.models.neural.losses import full_softmax

N_ITEMS = 3000
COUNTS = np.random.default_rng(0).integers(20, size=N_ITEMS)
torch.manual_seed(0)
QUERIES, TARGETS = torch.randn(8, 4), torch.randn(N_ITEMS, 4)
POSITIVES = torch.arange(8)
WHOLE = full_softmax(QUERIES, TARGETS, POSITIVES).item()


def value(n_drawn, seed=0):
    return CatalogueSoftmax(COUNTS, n_drawn).value(QUERIES, TARGETS, POSITIVES, np.random.default_rng(seed)).item()


@pytest.mark.parametrize("n_drawn", [0, N_ITEMS, 10 * N_ITEMS])
def test_as_many_draws_as_items_or_none_mean_the_whole_catalogue(n_drawn):
    assert value(n_drawn) == WHOLE


def test_fewer_draws_estimate_it():
    values = [value(N_ITEMS - 1, seed) for seed in range(20)]
    assert WHOLE not in values
    assert np.mean(values) == pytest.approx(WHOLE, rel=0.01)


def test_draws_follow_their_generator_alone():
    assert value(50) == value(50) != value(50, seed=1)


def test_items_are_drawn_by_their_counts_and_those_never_met_too():
    counts = np.r_[np.full(10, 99), np.zeros(90, np.int64)]
    weights = (counts + 1) ** 0.75
    shares = weights / weights.sum()
    softmax = CatalogueSoftmax(counts, 99)
    draws = [softmax.draw(np.random.default_rng(seed)) for seed in range(1000)]
    items = np.concatenate([drawn for drawn, _ in draws])
    found = np.bincount(items, minlength=100) / len(items)
    np.testing.assert_allclose(found, shares, rtol=0.25)
    assert found[:10].sum() == pytest.approx(shares[:10].sum(), abs=0.005)
    np.testing.assert_allclose(np.concatenate([e for _, e in draws]), np.log(99 * shares)[items], rtol=1e-5)
