"""Filtered ranks by hand: what is known to be right is left out, ties share their mean rank, memory does not matter."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.config import build
from prismrec.data.knowledge.graph import KnowledgeGraph, entity_degrees
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError, TrainingError
from prismrec.evaluation.links import LinkQueries, LinkSettings, evaluate_links, mean_reciprocal_rank, rank_links
from prismrec.graphs.triple_answers import SIDES, known_and_asked

N = 5
BUDGET = 1.0


def graph_of(triples, n_entities=N):
    rows = np.array(triples, np.int32).reshape(-1, 3)
    names = [f"e{i}" for i in range(n_entities)]
    entities = Vocabulary.from_ids(names, entity_degrees(rows, n_entities))
    return KnowledgeGraph(entities, ("likes", "knows"), rows, pa.array(names))


class Fixed:
    """Scores that do not depend on the query but for its side."""

    def __init__(self, heads, tails):
        self.scores = {"head": heads, "tail": tails}
        self.asked = []

    def score_links(self, side, known, relations):
        self.asked.append((side, known.tolist(), relations.tolist()))
        return np.tile(np.array(self.scores[side], np.float32), (len(known), 1))


def queries(asked, train=(), known=(), **more):
    others = [np.array(part, np.int32).reshape(-1, 3) for part in known]
    return LinkQueries.of(np.array(asked, np.int32).reshape(-1, 3), graph_of(train), others, **more)


def ranks(scorer, asked, **more):
    return rank_links(scorer, queries(asked, **more), BUDGET).ranks.tolist()


def test_rank_is_one_more_than_the_number_of_better_entities():
    scorer = Fixed(heads=[5, 4, 3, 2, 1], tails=[1, 2, 3, 4, 5])
    assert ranks(scorer, [[2, 0, 2]]) == [[3, 3]]
    assert ranks(scorer, [[0, 0, 0]]) == [[1, 5]]


def test_entities_known_to_be_right_are_left_out():
    """For (0, likes, ?) the better tails 3 and 4 are true, in training and among other held-out triples."""
    scorer = Fixed(heads=[0, 1, 2, 3, 4], tails=[0, 1, 2, 3, 4])
    assert ranks(scorer, [[0, 0, 2]])[0][1] == 3
    assert ranks(scorer, [[0, 0, 2]], train=[[0, 0, 3]], known=[[[0, 0, 4]]])[0][1] == 1
    assert ranks(scorer, [[0, 0, 2], [0, 0, 4]])[0][1] == 2, "asked triples are known to each other"
    assert ranks(scorer, [[0, 0, 2]], train=[[0, 1, 3], [1, 0, 4]])[0][1] == 3, "of another relation, another head"


def test_ties_share_their_mean_rank():
    level = Fixed(heads=[1] * N, tails=[2, 2, 0, 0, 3])
    assert ranks(level, [[0, 0, 1]]) == [[3, 2.5]]
    found = evaluate_links(level, queries([[0, 0, 1]]), LinkSettings(hits=(1, 2, 3)), BUDGET)
    assert found.values["Hits@2"].tolist() == [0, 0]
    assert found.values["Hits@3"].tolist() == [1, 1]


def test_metrics_are_sums_of_fractions():
    """Ranks 3 and 1, 1 and 4 among four others."""
    scorer = Fixed(heads=[9, 7, 5, 3, 1], tails=[9, 7, 5, 3, 1])
    found = evaluate_links(scorer, queries([[2, 0, 0], [0, 1, 3]]), LinkSettings(), BUDGET)
    assert found.mean("MRR") == pytest.approx((1 / 3 + 1 + 1 + 1 / 4) / 4)
    assert found.mean("MRR", "head") == pytest.approx((1 / 3 + 1) / 2)
    assert found.mean("MRR", "tail") == pytest.approx((1 + 1 / 4) / 2)
    assert [found.mean(f"Hits@{k}") for k in (1, 3, 10)] == [0.5, 0.75, 1.0]
    assert found.mean("AUC") == pytest.approx((2 / 4 + 1 + 1 + 1 / 4) / 4)
    assert found.clusters.to_pylist() == [0, 0, 1, 1]
    assert found.counts["queries"] == 4
    assert found.n_items == N
    assert mean_reciprocal_rank(scorer, queries([[2, 0, 0], [0, 1, 3]]), BUDGET) == found.mean("MRR")


def test_only_one_entity_is_ranked_first_and_above_all():
    scorer = Fixed(heads=[0] * N, tails=[0] * N)
    known = [[[0, 0, t] for t in range(N)]]
    found = evaluate_links(scorer, queries([[0, 0, 1]], known=known), LinkSettings(), BUDGET)
    assert found.values["MRR"][1] == 1
    assert found.values["AUC"][1] == 1


def test_with_types_only_ends_of_the_relation_are_ranked():
    """Likes leads to 1 and 2 in training: 4 and 3, though better, are no tails of it."""
    scorer = Fixed(heads=[0] * N, tails=[0, 1, 2, 3, 4])
    train = [[3, 0, 1], [3, 0, 2], [0, 1, 4]]
    assert ranks(scorer, [[0, 0, 1]], train=train)[0][1] == 4
    assert ranks(scorer, [[0, 0, 1]], train=train, type_constrained=True)[0][1] == 2


def test_truth_of_a_foreign_type_is_ranked_all_the_same():
    scorer = Fixed(heads=[0] * N, tails=[0, 1, 2, 3, 4])
    assert ranks(scorer, [[0, 0, 0]], train=[[3, 0, 1], [3, 0, 2]], type_constrained=True)[0][1] == 3


def test_blocks_change_nothing_and_hold_few_relations():
    rng = np.random.default_rng(0)
    asked = np.column_stack([rng.integers(0, N, 40), rng.integers(0, 2, 40), rng.integers(0, N, 40)])
    scorer = Fixed(rng.normal(size=N), rng.normal(size=N))
    whole = rank_links(scorer, queries(asked), BUDGET)
    scorer.asked.clear()
    parts = rank_links(scorer, queries(asked), 7 * 12 * N / 1e6)
    np.testing.assert_array_equal(whole.ranks, parts.ranks)
    assert max(len(known) for _, known, _ in scorer.asked) == 7
    assert sum(len(set(relations)) > 1 for _, _, relations in scorer.asked) <= 2, "once per side"


def test_unseen_ends_are_counted():
    found = evaluate_links(
        Fixed([0] * N, [0] * N), queries([[0, 0, 4], [1, 0, 2]], train=[[0, 0, 1], [1, 0, 2]]), LinkSettings(), BUDGET
    )
    assert found.counts["unknown_targets"] == 1


def test_sample_is_drawn_once_and_whole_where_nothing_is_to_be_drawn():
    asked = queries([[i % N, 0, (i * i) % N] for i in range(N)])
    assert asked.sample(0, 1) is asked
    assert asked.sample(99, 1) is asked
    few = asked.sample(2, 1)
    assert len(few.triples) == 2
    np.testing.assert_array_equal(few.triples, asked.sample(2, 1).triples)
    assert few.answers is asked.answers


@given(st.data())
def test_ranks_are_those_of_a_plain_loop(data):
    triple = st.tuples(st.integers(0, N - 1), st.integers(0, 1), st.integers(0, N - 1))
    train = data.draw(st.lists(triple, max_size=8, unique=True))
    asked = data.draw(st.lists(triple, min_size=1, max_size=5, unique=True))
    scores = data.draw(st.lists(st.integers(0, 3), min_size=N, max_size=N))
    found = ranks(Fixed(scores, scores), asked, train=train)
    true = {*train, *asked}
    for triple, row in zip(asked, found, strict=True):
        for side, rank in zip(SIDES, row, strict=True):
            place = known_and_asked(side)[1]
            others = [e for e in range(N) if (*triple[:place], e, *triple[place + 1 :]) not in true]
            better = sum(scores[e] > scores[triple[place]] for e in others)
            equal = sum(scores[e] == scores[triple[place]] for e in others)
            assert rank == 1 + better + equal / 2


def test_score_that_is_not_finite_is_refused():
    with pytest.raises(TrainingError, match=r"asked for the tail of the triple \(1, 0, 2\), entity 3 scores nan"):
        ranks(Fixed([0] * N, [0, 0, 0, np.nan, 0]), [[1, 0, 2]])


def test_nothing_to_ask_is_refused():
    with pytest.raises(DataError, match=r"there are no held-out triples: set knowledge\.test_triples"):
        queries([])


def test_budget_below_one_query_is_refused():
    with pytest.raises(ConfigError, match="does not hold the scores of one query over 5 entities: give at least 6e-05"):
        rank_links(Fixed([0] * N, [0] * N), queries([[0, 0, 1]]), 1e-5)


def test_list_lengths_must_rise():
    with pytest.raises(ConfigError, match="list lengths must rise"):
        build(LinkSettings, {"hits": [3, 1]})
