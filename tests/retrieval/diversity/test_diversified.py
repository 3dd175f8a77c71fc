"""Re-ranked lists as a recommender: the list on top in its order, the rest as it was."""

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.sequences import Sequences
from prismrec.evaluation.lists import Catalogue
from prismrec.evaluation.protocols import EvaluationSettings, evaluate
from prismrec.evaluation.queries import Queries
from prismrec.retrieval.blend import MultiViewScorer, QuerySettings
from prismrec.retrieval.diversity.diversified import Diversified
from prismrec.retrieval.diversity.rerank import likeness, pool_size, rerank
from prismrec.retrieval.ranking import top_k
from prismrec.retrieval.request import Diversity

HISTORIES = Sequences.from_lists([[0, 1], [4], [], [7, 7, 2]])


@pytest.fixture
def scorer(contents):
    counts = contents.vocabularies["item"].counts
    query = QuerySettings(view_weights={"item": 1.0, "category": 0.5})
    return MultiViewScorer(contents.vectors, contents.item_nodes, counts, query)


def ranked(scores):
    return [top_k(row, len(row)).tolist() for row in scores]


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_the_list_stands_on_top_and_the_rest_keeps_its_order(scorer, contents, method):
    diversity = Diversity(level=0.6, method=method, pool=9)
    found = ranked(Diversified(scorer, contents.item_nodes, diversity, 5).score(HISTORIES))
    changed = 0
    for row, scores in zip(found, scorer.score(HISTORIES), strict=True):
        pool = top_k(scores, 9)
        alike = likeness(scorer.sources[pool], scorer.columns, diversity, list(scorer.columns))
        listed = pool[rerank(scores[pool], alike, {}, diversity, 5)].tolist()
        assert row == listed + [item for item in top_k(scores, len(scores)).tolist() if item not in listed]
        changed += row[:5] != pool[:5].tolist()
    assert changed


def test_level_0_leaves_every_score_as_it_is(scorer, contents):
    plain = Diversified(scorer, contents.item_nodes, Diversity(), 5).score(HISTORIES)
    np.testing.assert_array_equal(plain, scorer.score(HISTORIES))


def test_scores_stay_finite_and_distinct_at_the_top(scorer, contents):
    class Huge:
        columns, sources = scorer.columns, scorer.sources

        def score(self, histories):
            return scorer.score(histories) * np.float32(1e30)

    scores = Diversified(Huge(), contents.item_nodes, Diversity(level=1), 10).score(HISTORIES)
    assert np.isfinite(scores).all()
    for row in scores:
        assert len(np.unique(row)) == len(row)


def test_excluded_items_take_no_place_in_the_list(scorer, contents):
    diversity = Diversity(level=0.9)
    found = Diversified(scorer, contents.item_nodes, diversity, 5, exclude_seen=True).score(HISTORIES)
    for row, history, scores in zip(found, HISTORIES, scorer.score(HISTORIES), strict=True):
        seen = set(history.tolist())
        open_scores = scores.copy()
        open_scores[history] = -np.inf
        pool = top_k(open_scores, pool_size(diversity, 5))
        alike = likeness(scorer.sources[pool], scorer.columns, diversity, list(scorer.columns))
        expected = pool[rerank(scores[pool], alike, {}, diversity, 5)].tolist()
        assert [item for item in top_k(row, len(row)).tolist() if item not in seen][:5] == expected


def test_quotas_hold_and_the_pool_grows_until_the_list_is_full(scorer, contents):
    nodes = contents.item_nodes["category"]  # three categories, one item without
    for row in ranked(
        Diversified(scorer, contents.item_nodes, Diversity(quotas={"category": 1}, pool=4), 4).score(HISTORIES)
    ):
        shown = [nodes[item].tolist() for item in row[:4]]
        assert sorted(shown) == [[], [0], [1], [2]]


def test_a_list_that_quotas_leave_short_is_followed_by_the_rest(scorer, contents):
    diversity = Diversity(quotas={"category": 1, "shop": 1})
    for row, scores in zip(
        ranked(Diversified(scorer, contents.item_nodes, diversity, 6).score(HISTORIES)),
        scorer.score(HISTORIES),
        strict=True,
    ):
        assert sorted(row) == list(range(len(scores)))
        assert row[0] == int(np.argmax(scores))


def test_the_ordinary_evaluation_measures_it(scorer, contents):
    queries = Queries(
        histories=HISTORIES,
        truths=Sequences.from_lists([[2], [5], [6], [8]]),
        clusters=pa.array(range(4)),
        exclude_seen=False,
    )
    catalogue = Catalogue(contents.vocabularies["item"].counts, contents.item_nodes)
    settings = EvaluationSettings(ks=(3, 15))
    plain = evaluate(scorer, queries, settings, catalogue)
    spread = evaluate(Diversified(scorer, contents.item_nodes, Diversity(level=1), 15), queries, settings, catalogue)
    assert spread.mean("HR@15") == plain.mean("HR@15") == 1
    assert spread.mean("category_distinct@3") > plain.mean("category_distinct@3")
