"""PureSVD against a dense decomposition."""

import numpy as np
import pytest

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.baselines.svd import SVD, SVDConfig

N_USERS, N_ITEMS = 12, 8
PAPER = {"history_length": 0, "recency_decay": 1.0}


def some_data(seed=0):
    rng = np.random.default_rng(seed)
    rows = [rng.choice(N_ITEMS, rng.integers(1, 6), replace=False) for _ in range(N_USERS)]
    rows[0] = np.append(rows[0], rows[0][0])  # had twice: still one
    histories = Sequences.from_lists(rows)
    counts = np.bincount(histories.values, minlength=N_ITEMS)
    items = Vocabulary.from_ids(list(range(N_ITEMS)), counts)
    return PreparedData(items, histories, Vocabulary.from_ids(list(range(N_USERS))), histories)


def binary(data):
    matrix = np.zeros((N_USERS, N_ITEMS))
    for user, row in enumerate(data.histories):
        matrix[user, row] = 1
    return matrix


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_scores_are_projections_onto_the_leading_directions(rank):
    data = some_data()
    directions = np.linalg.svd(binary(data), full_matrices=False)[2][:rank].T
    histories = Sequences.from_lists([[0, 3], [5], []])
    asked = np.zeros((3, N_ITEMS))
    asked[0, [0, 3]] = asked[1, 5] = 1
    scores = SVD(SVDConfig(rank=rank, **PAPER)).fit(data).score(histories)
    np.testing.assert_allclose(scores, asked @ directions @ directions.T, atol=1e-5)


def test_every_direction_gives_the_history_back():
    data = some_data()
    scores = SVD(SVDConfig(rank=50, **PAPER)).fit(data).score(data.histories.slice(1, N_USERS))
    np.testing.assert_allclose(scores, binary(data)[1:], atol=1e-5)


def test_later_items_weigh_more():
    model = SVD(SVDConfig(rank=3, history_length=0, recency_decay=0.5)).fit(some_data())
    alone = model.score(Sequences.from_lists([[2], [6]]))
    together = model.score(Sequences.from_lists([[2, 6]]))
    np.testing.assert_allclose(together[0], 0.5 * alone[0] + alone[1], atol=1e-6)


def test_another_start_finds_the_same_directions():
    data = some_data()
    first, second = (SVD(SVDConfig(rank=3, seed=seed)).fit(data).score(data.histories) for seed in (0, 1))
    np.testing.assert_allclose(first, second, atol=1e-5)
