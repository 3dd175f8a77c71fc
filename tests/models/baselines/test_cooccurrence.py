import numpy as np
import pytest

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.graphs.views import PairSettings
from prismrec.models.baselines.cooccurrence import Cooccurrence, CooccurrenceConfig

HISTORIES = [[0, 1, 2], [0, 1], [2, 1, 3]]  # item 0 occurs 2 times, 1: 3, 2: 2, 3: 1
SESSIONS = [[0, 1], [2], [0, 1], [2, 1], [3]]
ONE_STEP = PairSettings(window=1, direction="forward")


def similarity(**settings):
    """Row i: the scores of a history that holds item i alone."""
    items = Vocabulary.from_ids(list("abcd"), [2, 3, 2, 1])
    histories, sessions = Sequences.from_lists(HISTORIES), Sequences.from_lists(SESSIONS)
    data = PreparedData(items, sessions, Vocabulary.from_ids([1, 2, 3]), histories)
    config = CooccurrenceConfig(**{"pairs": ONE_STEP, **settings})
    return Cooccurrence(config).fit(data).score(Sequences.from_lists([[0], [1], [2], [3]]))


def test_counts_without_normalisation_are_the_pairs_themselves():
    assert similarity(normalisation="none").tolist() == [[0, 2, 0, 0], [0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_cosine_divides_by_both_occurrences():
    scores = similarity(normalisation="cosine")
    np.testing.assert_allclose(scores[0], [0, 2 / np.sqrt(2 * 3), 0, 0], rtol=1e-6)
    np.testing.assert_allclose(scores[1], [0, 0, 1 / np.sqrt(3 * 2), 1 / np.sqrt(3 * 1)], rtol=1e-6)


@pytest.mark.parametrize(
    ("exponent", "expected"), [(0.0, [1 / 3, 1 / 3]), (1.0, [1 / (3 * 2), 1 / 3]), (0.5, [1 / (3 * 2**0.5), 1 / 3])]
)
def test_conditional_is_the_chance_to_follow_with_popularity_divided_out(exponent, expected):
    scores = similarity(normalisation="conditional", target_exponent=exponent)
    np.testing.assert_allclose(scores[1, 2:], expected, rtol=1e-6)


def test_shrinkage_lowers_rare_pairs_more():
    scores = similarity(normalisation="cosine", shrinkage=2.0)
    np.testing.assert_allclose(scores[0, 1], 2 / (np.sqrt(6) + 2), rtol=1e-6)
    np.testing.assert_allclose(scores[1, 3], 1 / (np.sqrt(3) + 2), rtol=1e-6)


def test_sessions_cut_what_histories_join():
    assert similarity(normalisation="none", sequences="sessions").tolist() == [
        [0, 2, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]
    ]  # fmt: skip


def test_symmetric_pairs_score_backwards_too():
    scores = similarity(normalisation="none", pairs=PairSettings(window=1, direction="symmetric"))
    assert (scores == scores.T).all()
    assert scores[1, 0] == 2


def test_the_score_of_a_history_is_the_weighted_sum_of_its_items():
    items = Vocabulary.from_ids(list("abcd"), [2, 3, 2, 1])
    histories = Sequences.from_lists(HISTORIES)
    data = PreparedData(items, histories, Vocabulary.from_ids([1, 2, 3]), histories)
    config = CooccurrenceConfig(pairs=ONE_STEP, normalisation="none", recency_decay=0.5)
    scores = Cooccurrence(config).fit(data).score(Sequences.from_lists([[0, 1]]))
    assert scores.tolist() == [[0, 0.5 * 2, 1, 1]]
