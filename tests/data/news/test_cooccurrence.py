"""The graph of entities that titles name together."""

from prismrec.data.news.cooccurrence import NAMED_WITH, cooccurrence_graph, neighbours
from prismrec.data.news.mentions import Mention

A, B, C, D = Mention("a", "Ann"), Mention("b", "Bob"), Mention("c", "Cid"), Mention("d", "Dan")


def test_entities_of_one_title_are_joined_once_and_those_alone_are_there():
    graph = cooccurrence_graph([[B, A], [A, B], [C], [A, C, C], []])
    assert graph.entities.ids.to_pylist() == ["a", "b", "c"]
    assert graph.relations == (NAMED_WITH,)
    assert graph.triples.tolist() == [[0, 0, 1], [0, 0, 2]]
    assert graph.entities.counts.tolist() == [2, 1, 1]


def test_a_label_is_the_most_frequent_name():
    graph = cooccurrence_graph([[A], [Mention("a", "Anna")], [Mention("a", "Anna")], [B]])
    assert graph.labels.to_pylist() == ["Anna", "Bob"]


def test_no_title_gives_an_empty_graph():
    graph = cooccurrence_graph([[], []])
    assert (graph.n_entities, graph.n_triples, len(neighbours(graph))) == (0, 0, 0)


def test_neighbours_are_heads_and_tails_without_the_entity_itself():
    graph = cooccurrence_graph([[A, B], [C, A], [D], [B, C]])
    assert neighbours(graph).to_lists() == [[1, 2], [0, 2], [0, 1], []]


def test_an_edge_that_comes_both_ways_or_leads_back_counts_once_or_not():
    graph = cooccurrence_graph([[A, B]])
    looped = type(graph)(graph.entities, graph.relations, graph.triples.repeat(2, axis=0), graph.labels)
    looped.triples[1] = [1, 0, 1]
    assert neighbours(looped).to_lists() == [[1], [0]]
