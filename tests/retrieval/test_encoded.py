"""Query vectors to scores: products, prior and repeats, by hand."""

import numpy as np
import pytest

from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError, DataError
from prismrec.models.contract import CandidateScorer, UserRecommender
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.encoded import EncodedScorer, check_encoded, encoded_query

TARGETS = np.array([[1, 0], [0, 1], [2, -1]], np.float32)
COUNTS = np.array([4, 1, 2])
PRIOR = np.log([4, 1, 2]) - np.log([4, 1, 2]).mean()
HISTORIES = Sequences.from_lists([[0, 1], [], [2]])
USERS = np.array([-1, -1, 1])


class Counting:
    """(length of the history, user + 1) as the query."""

    def encode(self, histories, users):
        return np.column_stack([histories.lengths, users + 1]).astype(np.float32)


class Opinionated(Counting):
    """Its own score of item i: 10 i for each item of the history, whatever its products say."""

    def score_candidates(self, histories, users, candidates):
        return (10.0 * candidates * histories.lengths[:, None]).astype(np.float32)


def opinionated(**settings):
    return EncodedScorer(Opinionated(), TARGETS, COUNTS, QuerySettings(**{"popularity_weight": 0.0, **settings}))


def scorer(**settings):
    return EncodedScorer(Counting(), TARGETS, COUNTS, QuerySettings(**{"popularity_weight": 0.0, **settings}))


def test_scores_are_products_of_query_and_targets():
    scores = scorer().score_users(HISTORIES, USERS)
    np.testing.assert_allclose(scores[0], [2, 0, 4])  # query (2, 0)
    np.testing.assert_allclose(scores[2], [1, 2, 0])  # query (1, 2)
    assert scores.dtype == np.float32


def test_the_prior_is_added_with_its_weight():
    plain, lifted = scorer().score_users(HISTORIES, USERS), scorer(popularity_weight=0.5).score_users(HISTORIES, USERS)
    np.testing.assert_allclose(lifted[[0, 2]] - plain[[0, 2]], [0.5 * PRIOR] * 2, rtol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_where_nothing_is_known_popularity_answers_with_weight_1(weight):
    np.testing.assert_allclose(scorer(popularity_weight=weight).score_users(HISTORIES, USERS)[1], PRIOR, rtol=1e-5)


def test_a_known_user_without_history_is_not_answered_by_popularity():
    scores = scorer().score_users(Sequences.from_lists([[]]), np.array([3]))
    np.testing.assert_allclose(scores[0], [0, 4, -4])  # query (0, 4)


def test_a_user_without_history_is_answered_by_popularity_where_the_model_knows_no_users():
    class OfHistories:
        def encode(self, histories, users):
            return np.repeat(histories.lengths[:, None], 2, axis=1).astype(np.float32)

    asked = EncodedScorer(OfHistories(), TARGETS, COUNTS, QuerySettings(popularity_weight=0.0))
    scores = asked.score_users(Sequences.from_lists([[], [0]]), np.array([3, 3]))
    np.testing.assert_allclose(scores, [PRIOR, [1, 1, 1]], rtol=1e-5)


def test_repeats_gain_by_their_age_as_far_as_the_history_counts():
    histories, unknown = Sequences.from_lists([[2, 0, 1, 0]]), np.array([-1])
    plain = scorer().score_users(histories, unknown)
    gain = scorer(repeat_weight=10.0, recency_decay=0.5).score_users(histories, unknown) - plain
    np.testing.assert_allclose(gain[0], [10 * (1 + 0.25), 10 * 0.5, 10 * 0.125])
    gain = scorer(repeat_weight=10.0, recency_decay=0.5, history_length=2).score_users(histories, unknown) - plain
    np.testing.assert_allclose(gain[0], [10, 5, 0])


def test_without_users_all_are_unknown():
    assert (scorer().score(HISTORIES) == scorer().score_users(HISTORIES, np.full(3, -1))).all()
    assert isinstance(scorer(), UserRecommender)


def test_other_settings_share_the_vectors():
    first = scorer()
    other = first.with_settings(QuerySettings(popularity_weight=2.0))
    assert other.targets is first.targets
    assert first.settings.popularity_weight == 0.0
    assert other.settings.popularity_weight == 2.0


def test_nothing_is_added_unless_asked_for():
    assert EncodedScorer(Counting(), TARGETS, COUNTS).settings == QuerySettings(popularity_weight=0.0)


def test_targets_and_counts_must_be_of_as_many_items():
    with pytest.raises(DataError, match="targets of 3 items, but counts of 2"):
        EncodedScorer(Counting(), TARGETS, COUNTS[:2])


def test_a_model_with_scores_of_its_own_scores_the_whole_catalogue_where_the_pool_holds_it():
    scores = opinionated().score_users(HISTORIES, USERS)
    np.testing.assert_allclose(scores[0], [0, 20, 40])
    np.testing.assert_allclose(scores[1], PRIOR, rtol=1e-5)  # nothing is known: popularity
    np.testing.assert_allclose(scores[2], [0, 10, 20])


def test_products_choose_who_is_in_the_pool_and_the_rest_ranks_behind_in_their_order():
    scores = opinionated(rescored=2).score_users(HISTORIES, USERS)
    np.testing.assert_allclose(scores[0], [0, -1, 40])  # products 2, 0, 4: items 0 and 2 are in the pool
    np.testing.assert_allclose(scores[2], [0, 10, -1])  # products 1, 2, 0
    scores = opinionated(rescored=1).score_users(HISTORIES, USERS)
    np.testing.assert_allclose(scores[0], [39, 37, 40])  # products 2 and 0 keep their distance, one behind the pool


def test_prior_and_repeats_are_added_to_the_own_score():
    asked = opinionated(popularity_weight=0.5, repeat_weight=3.0, recency_decay=0.5)
    scores = asked.score_users(HISTORIES, USERS)
    np.testing.assert_allclose(scores[0], [1.5, 20 + 3, 40] + 0.5 * PRIOR, rtol=1e-5)
    assert opinionated(popularity_weight=100.0, rescored=1).score_users(HISTORIES, USERS)[0].argmax() == 0


@pytest.mark.parametrize("make", [scorer, opinionated])
def test_some_candidates_score_as_they_do_in_the_whole_catalogue(make):
    asked = make(popularity_weight=0.5, repeat_weight=3.0, recency_decay=0.5)
    whole, some = asked.score_users(HISTORIES, USERS), np.array([[2, 0], [1, 1], [0, 2]])
    assert asked.comparable == (make is opinionated)
    scores = asked.score_candidates(HISTORIES, USERS, some)
    np.testing.assert_allclose(scores, np.take_along_axis(whole, some, axis=1), rtol=1e-5)
    assert scores.dtype == np.float32
    assert isinstance(asked, CandidateScorer)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"view_weights": {"item": 1.0, "genre": 2.0}}, r"query.view_weights = .*'genre'"),
        ({"view_weights": {"item": 2.0}}, r"leave it out, or set it to \{'item': 1.0\}"),
        ({"similarity": "cosine"}, "query.similarity = 'cosine' is for models whose queries mix vectors of views"),
    ],
)
def test_what_only_vectors_of_views_can_follow_is_refused(settings, message):
    query = QuerySettings(popularity_weight=0.25, **settings)
    with pytest.raises(ConfigError, match=message):
        scorer().with_settings(query)
    assert encoded_query(query) == QuerySettings(popularity_weight=0.25)
    check_encoded(encoded_query(query))
