"""Losses at places, each against its definition; vectors at last places, whatever the batches."""

import math

import numpy as np
import pytest
import torch

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.sequential.next_item import NextItemLoss, at_places, last_vectors
from prismrec.models.sequential.pieces import PieceBatch


@pytest.fixture
def data():
    histories = Sequences.from_lists([[0, 1, 2, 3], [2, 1]])
    items = Vocabulary.from_ids(list("abcde"), np.array([1, 2, 2, 1, 0]))
    return PreparedData(items, histories, Vocabulary.from_ids(["u", "v"]), histories)


@pytest.fixture
def batch():
    """The places of user 0: after 0 comes 1, and so on."""
    return PieceBatch(np.array([[0, 1, 2]]), np.arange(3), np.array([1, 2, 3]), np.zeros(3, np.int64))


VECTORS = torch.tensor([[1.0, 0.0], [0.5, -1.0], [2.0, 1.0]])
TARGETS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5], [0.3, 0.3], [0.2, -2.0]])


def test_softmax_is_over_the_whole_catalogue(data, batch):
    scores = (VECTORS @ TARGETS.T).tolist()
    expected = np.mean([math.log(sum(map(math.exp, row))) - row[i] for row, i in zip(scores, [1, 2, 3], strict=True)])
    value = NextItemLoss(data, "softmax", 0, seed=0).value(VECTORS, TARGETS, batch, 0, 0)
    assert value.item() == pytest.approx(expected, rel=1e-6)


def test_bce_has_one_negative_per_place_that_its_user_never_had(data, batch):
    value = NextItemLoss(data, "bce", 1, seed=0).value(VECTORS, TARGETS, batch, 0, 0)
    scores = VECTORS @ TARGETS.T  # user 0 had all items but 4
    expected = [
        -math.log(1 / (1 + math.exp(-scores[place, right]))) - math.log(1 - 1 / (1 + math.exp(-scores[place, 4])))
        for place, right in enumerate([1, 2, 3])
    ]
    assert value.item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_draws_depend_on_seed_epoch_and_step_alone(data, batch):
    def value(seed, epoch, step):
        return NextItemLoss(data, "softmax", 3, seed).value(VECTORS, TARGETS, batch, epoch, step).item()

    assert value(1, 2, 3) == value(1, 2, 3)
    assert len({value(1, 2, 3), value(2, 2, 3), value(1, 3, 3), value(1, 2, 4)}) > 1


def test_places_are_counted_row_by_row():
    states = torch.arange(12.0).reshape(2, 3, 2)
    assert at_places(states, torch.tensor([0, 4])).tolist() == [[0.0, 1.0], [8.0, 9.0]]


def test_last_vectors_come_in_the_order_of_the_queries_and_are_zero_without_items(monkeypatch):
    monkeypatch.setattr("prismrec.models.sequential.next_item._PLACES_AT_ONCE", 4)
    widths = []

    def forward(items, last):
        widths.append(items.numel())
        ends = items[torch.arange(len(items)), last]
        return torch.stack([ends, items[:, 0]], dim=1)

    histories = Sequences.from_lists([[5, 6, 7], [], [8], [9, 1, 2, 3]])
    vectors = last_vectors(forward, histories, 3, 2, torch.device("cpu"))
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[7, 5], [0, 0], [8, 8], [3, 1]]
    assert max(widths) <= 4
