"""Corrupted triples: which end is replaced, by whom, and that nothing true is ever a negative."""

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.knowledge.graph import KnowledgeGraph
from prismrec.data.vocabulary import Vocabulary
from prismrec.graphs.triple_answers import known_and_asked
from prismrec.graphs.triple_negatives import TripleNegatives, head_odds


def graph_of(triples, n_entities, n_relations):
    names = [f"e{i}" for i in range(n_entities)]
    relations = tuple(f"r{i}" for i in range(n_relations))
    return KnowledgeGraph(Vocabulary.from_ids(names), relations, np.array(triples, np.int32), pa.array(names))


@pytest.fixture
def graph():
    """Relation 0 leads from 0..4 to 5..9, one tail each but for head 0, which has three; relation 1 back."""
    forward = [[i, 0, i + 5] for i in range(5)] + [[0, 0, 6], [0, 0, 7]]
    return graph_of(forward + [[t, 1, h] for h, _, t in forward[:5]], 12, 3)


def drawn(graph, batch=None, n=100, corruption="both", seed=0, **more):
    negatives = TripleNegatives(graph, n, corruption, **more)
    return negatives.draw(graph.triples if batch is None else batch, np.random.default_rng(seed))


def test_both_replaces_each_end_of_each_triple(graph):
    parts = drawn(graph)
    assert [part.side for part in parts] == ["head", "tail"]
    assert all(part.rows.tolist() == list(range(graph.n_triples)) for part in parts)


@pytest.mark.parametrize("corruption", ["uniform", "bernoulli"])
def test_one_end_of_each_triple_is_replaced(graph, corruption):
    rows = np.concatenate([part.rows for part in drawn(graph, corruption=corruption)])
    assert sorted(rows) == list(range(graph.n_triples))


def test_all_entities_are_candidates_where_there_are_no_more_than_asked_for(graph):
    for part in drawn(graph, n=12):
        assert part.candidates.tolist() == list(range(12))


def test_fewer_are_drawn_without_repeats_and_differ_from_draw_to_draw(graph):
    first, second = (drawn(graph, n=5, seed=seed)[0].candidates for seed in (0, 1))
    assert len(set(first.tolist())) == 5
    assert set(first.tolist()) != set(second.tolist())


def test_every_entity_is_drawn_as_often(graph):
    negatives, rng = TripleNegatives(graph, 3, "both"), np.random.default_rng(0)
    counts = np.zeros(12)
    for _ in range(2000):
        np.add.at(counts, negatives.draw(graph.triples[:2], rng)[0].candidates, 1)
    assert np.allclose(counts / 2000, 3 / 12, atol=0.05)


@pytest.mark.parametrize("n", [4, 12])
def test_hidden_are_exactly_the_candidates_that_make_a_true_triple(graph, n):
    true = set(map(tuple, graph.triples.tolist()))
    for part in drawn(graph, n=n):
        for row, hidden in zip(part.rows, part.hidden, strict=True):
            for candidate, out in zip(part.candidates, hidden, strict=True):
                triple = graph.triples[row].tolist()
                triple[known_and_asked(part.side)[1]] = int(candidate)
                assert out == (tuple(triple) in true)


def test_with_types_only_ends_of_the_relation_are_left(graph):
    for part in drawn(graph, n=12, type_constrained=True):
        asked = known_and_asked(part.side)[1]
        for row, hidden in zip(part.rows, part.hidden, strict=True):
            relation = graph.triples[row, 1]
            own = set(graph.triples[graph.triples[:, 1] == relation, asked].tolist())
            shown = set(part.candidates[~hidden].tolist())
            assert shown <= own
            assert shown, "of five ends of the relation at most three are true"


def test_with_types_nothing_is_drawn_that_no_relation_of_the_batch_has(graph):
    part = drawn(graph, graph.triples[graph.triples[:, 1] == 0], n=12, type_constrained=True)[1]
    assert part.candidates.tolist() == [5, 6, 7, 8, 9]


def test_odds_of_the_head_are_those_of_transh():
    """Relation 0: heads 0, 1 and tails 2, 3, 4, six triples: tph = 3, hpt = 2. Relation 1 has no triple."""
    graph = graph_of([[h, 0, t] for h in (0, 1) for t in (2, 3, 4)], 5, 2)
    assert head_odds(graph).tolist() == [3 / (3 + 2), 0.5]


def test_bernoulli_replaces_the_head_as_often_as_its_odds_say(graph):
    negatives, rng, n = TripleNegatives(graph, 2, "bernoulli"), np.random.default_rng(0), 0
    batch = graph.triples[graph.triples[:, 1] == 0]
    for _ in range(500):
        n += sum(len(part.rows) for part in negatives.draw(batch, rng) if part.side == "head")
    assert n / (500 * len(batch)) == pytest.approx(head_odds(graph)[0], abs=0.03)


def test_equal_seeds_draw_equal_negatives(graph):
    for one, two in zip(*(drawn(graph, n=4, corruption="uniform", seed=3) for _ in range(2)), strict=True):
        assert one.rows.tolist() == two.rows.tolist()
        assert one.candidates.tolist() == two.candidates.tolist()
