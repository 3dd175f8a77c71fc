"""Attention as walks: each told once with all that lies on it, in words that lead somewhere."""

import numpy as np
import pytest

from prismrec.data.knowledge.graph import ItemKnowledge
from prismrec.data.sequences import Sequences
from prismrec.graphs.ripples import RippleSets, ripple_graph, ripple_sets
from prismrec.models.knowledge.ripple_paths import explained_paths

FILM_A, FILM_B, FILM_C, DIRECTOR, GENRE = range(5)
HAS, INVERSE = 0, 1
TRIPLES = [
    (FILM_A, HAS, DIRECTOR), (FILM_B, HAS, DIRECTOR), (FILM_C, HAS, DIRECTOR), (FILM_A, HAS, GENRE),
    (FILM_B, HAS, GENRE), (DIRECTOR, INVERSE, FILM_A), (DIRECTOR, INVERSE, FILM_B), (DIRECTOR, INVERSE, FILM_C),
    (GENRE, INVERSE, FILM_A), (GENRE, INVERSE, FILM_B),
]  # fmt: skip


@pytest.fixture
def graph(make_graph):
    """Films 0..2 and one more that is no entity."""
    return ripple_graph(ItemKnowledge(make_graph(5, TRIPLES, ("has", "is had by")), np.array([0, 1, 2, -1])))


def sets(*hops):
    """One history's ripples, from the triples of each hop."""
    heads, relations, tails = np.array(hops, np.int32)[None].transpose(3, 0, 1, 2)
    return RippleSets(heads, relations, tails, np.array([True]))


def told(graph, ripples, shares, candidate=FILM_C, n_paths=9):
    paths = explained_paths(graph, ripples, np.array(shares, np.float32), candidate, n_paths)
    return [(path.entities, path.relations, round(path.weight, 6)) for path in paths]


def test_a_triple_of_the_first_hop_is_a_walk_and_goes_on_to_the_candidate_where_it_can(graph):
    ripples = sets([(FILM_A, HAS, GENRE), (FILM_A, HAS, DIRECTOR)])
    assert told(graph, ripples, [[0.7, 0.3]]) == [
        ((FILM_A, GENRE), (HAS,), 0.7),
        ((FILM_A, DIRECTOR, FILM_C), (HAS, INVERSE), 0.3),
    ]


def test_a_triple_of_the_second_hop_is_told_with_the_strongest_that_led_to_it(graph):
    first = [(FILM_A, HAS, DIRECTOR), (FILM_B, HAS, DIRECTOR)]
    second = [(DIRECTOR, INVERSE, FILM_C), (DIRECTOR, INVERSE, FILM_C)]
    assert told(graph, sets(first, second), [[0.1, 0.2], [0.4, 0.3]]) == [
        ((FILM_B, DIRECTOR, FILM_C), (HAS, INVERSE), 0.9),  # 0.4 + 0.3, and 0.2 that goes on to the candidate
        ((FILM_A, DIRECTOR, FILM_C), (HAS, INVERSE), 0.1),
    ]


def test_a_walk_that_comes_back_is_told_without_its_last_step(graph):
    ripples = sets([(FILM_A, HAS, GENRE)], [(GENRE, INVERSE, FILM_A)])
    assert told(graph, ripples, [[0.5], [0.5]]) == [((FILM_A, GENRE), (HAS,), 1.0)]


def test_a_hop_that_only_repeats_the_one_before_adds_to_its_walks(graph):
    hop = [(FILM_A, HAS, GENRE), (FILM_B, HAS, GENRE)]
    assert told(graph, sets(hop, hop), [[0.3, 0.2], [0.4, 0.1]]) == [
        ((FILM_A, GENRE), (HAS,), 0.7),
        ((FILM_B, GENRE), (HAS,), 0.3),
    ]


def test_items_that_stand_for_themselves_have_no_walk(graph):
    itself = 2
    assert told(graph, sets([(5, itself, 5)]), [[1.0]], candidate=3) == []


def test_three_hops_are_told_from_their_first(graph):
    ripples = sets([(FILM_A, HAS, GENRE)], [(GENRE, INVERSE, FILM_B)], [(FILM_B, HAS, DIRECTOR)])
    assert told(graph, ripples, [[0.1], [0.2], [0.7]])[0] == (
        (FILM_A, GENRE, FILM_B, DIRECTOR, FILM_C), (HAS, INVERSE, HAS, INVERSE), 0.7
    )  # fmt: skip


def test_only_the_strongest_are_told(graph):
    ripples = sets([(FILM_A, HAS, GENRE), (FILM_A, HAS, DIRECTOR), (FILM_B, HAS, GENRE)])
    assert [weight for _, _, weight in told(graph, ripples, [[0.2, 0.5, 0.3]], n_paths=2)] == [0.5, 0.3]


def test_weights_of_real_ripples_add_up_to_all_attention(graph):
    ripples = ripple_sets(graph, Sequences.from_lists([[FILM_A, FILM_B]]), 2, 16, np.zeros(1, np.uint64))
    shares = np.random.default_rng(0).random((2, 16)).astype(np.float32)
    shares /= shares.sum()
    found = told(graph, ripples, shares, n_paths=100)
    assert sum(weight for _, _, weight in found) == pytest.approx(1, abs=1e-4)
    known = {(h, r, t) for h, r, t in TRIPLES}
    for entities, relations, _ in found:
        assert entities[0] in (FILM_A, FILM_B)
        assert set(zip(entities, relations, entities[1:], strict=False)) <= known
