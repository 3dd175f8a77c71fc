"""Draws of items by their popularity."""

from __future__ import annotations

import numpy as np
import torch

from prismrec.models.neural.popular import PopularItems

COUNTS = np.array([1, 2, 2, 1, 0])
CPU = torch.device("cpu")


def test_items_are_drawn_by_their_counts_and_those_never_met_too():
    items, expected = PopularItems(COUNTS, 100_000).draw(np.random.default_rng(0), CPU)
    weights = (COUNTS + 1) ** 0.75
    shares = weights / weights.sum()
    np.testing.assert_allclose(np.bincount(items) / 100_000, shares, atol=0.01)
    np.testing.assert_allclose(expected.numpy(), np.log(100_000 * shares)[items], rtol=1e-5)
    assert (items.dtype, expected.dtype) == (torch.int64, torch.float32)


def test_a_draw_follows_its_generator_alone():
    popular = PopularItems(COUNTS, 8)
    (first, _), (again, _), (other, _) = (popular.draw(np.random.default_rng(seed), CPU) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
