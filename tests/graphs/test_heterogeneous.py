"""Users, items and attributes as one typed graph: every edge both ways, every node once, nothing but training data."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.prepared import PreparedData, UserView, View
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError
from prismrec.graphs.heterogeneous import HeteroGraph, Relation, heterogeneous_graph


def vocabulary(n: int) -> Vocabulary:
    return Vocabulary.from_ids(list(range(n)))


def prepared(histories, item_nodes=None, user_nodes=None, links=None, n_items=4, n_nodes=3) -> PreparedData:
    """Users click items; items may have a genre, users an age."""
    clicks = Sequences.from_lists(histories)
    views = {}
    if item_nodes is not None:
        views["genre"] = View("genre", vocabulary(n_nodes), Sequences.from_lists(item_nodes), Sequences.from_lists([]))
    ages = {}
    if user_nodes is not None:
        ages["age"] = UserView("age", vocabulary(n_nodes), Sequences.from_lists(user_nodes))
    return PreparedData(
        items=vocabulary(n_items),
        sessions=clicks,
        users=vocabulary(len(histories)),
        histories=clicks,
        views=views,
        user_views=ages,
        user_links=None if links is None else Sequences.from_lists(links),
    )


FULL = prepared(
    [[2, 0, 2], [], [0]],
    item_nodes=[[1], [0, 1], [], [2]],
    user_nodes=[[0], [0], [2]],
    links=[[2], [], [0]],
)


def rows(graph: HeteroGraph, source: str, name: str, target: str):
    return graph.relation(source, name, target).neighbours.to_lists()


# ---- what is joined ----


def test_clicks_join_users_and_items_both_ways_and_repeats_make_one_edge():
    graph = heterogeneous_graph(FULL)
    assert rows(graph, "user", "clicked", "item") == [[0, 2], [], [0], []]
    assert rows(graph, "item", "clicked_by", "user") == [[0, 2], [], [0]]


def test_views_join_items_and_nodes_clicked_or_not():
    graph = heterogeneous_graph(FULL)
    assert rows(graph, "item", "has", "genre") == [[1], [0, 1], [3]]
    assert rows(graph, "genre", "of", "item") == [[1], [0, 1], [], [2]]


def test_user_views_and_links_join_users():
    graph = heterogeneous_graph(FULL)
    assert rows(graph, "user", "has", "age") == [[0, 1], [], [2]]
    assert rows(graph, "age", "of", "user") == [[0], [0], [2]]
    assert rows(graph, "user", "linked", "user") == [[2], [], [0]]


def test_types_and_relations_stand_in_a_fixed_order():
    graph = heterogeneous_graph(FULL)
    assert graph.types == ("user", "item", "genre", "age")
    assert [relation.key for relation in graph.relations] == [
        ("user", "clicked", "item"), ("item", "clicked_by", "user"),
        ("item", "has", "genre"), ("genre", "of", "item"),
        ("user", "has", "age"), ("age", "of", "user"),
        ("user", "linked", "user"),
    ]  # fmt: skip
    assert dict(graph.n_nodes) == {"user": 3, "item": 4, "genre": 3, "age": 3}
    assert dict(graph.starts) == {"user": 0, "item": 3, "genre": 7, "age": 10}
    assert [relation.key[0] for relation in graph.into("user")] == ["item", "age", "user"]


def test_degrees_sum_over_all_relations():
    graph = heterogeneous_graph(FULL)
    assert graph.degrees("user").tolist() == [2 + 1 + 1, 0 + 1 + 0, 1 + 1 + 1]
    assert graph.degrees("item").tolist() == [2 + 1, 0 + 2, 1 + 0, 0 + 1]
    assert graph.degrees("genre").tolist() == [1, 2, 1]
    assert graph.n_edges == 2 * (3 + 4 + 3) + 2


def test_without_side_information_there_are_users_and_items():
    graph = heterogeneous_graph(prepared([[1], [3]]))
    assert graph.types == ("user", "item")
    assert len(graph.relations) == 2


def test_a_graph_without_users_has_items_and_views():
    graph = heterogeneous_graph(prepared([], item_nodes=[[0], [1], [2], []]))
    assert graph.degrees("user").tolist() == []
    assert graph.degrees("item").tolist() == [1, 1, 1, 0]


def test_prepared_arrays_stay_as_they_were():
    data = prepared([[3, 1, 3, 0]])
    data.histories.values.flags.writeable = False
    heterogeneous_graph(data)
    assert data.histories.to_lists() == [[3, 1, 3, 0]]


HISTORIES = st.lists(st.lists(st.integers(0, 6), max_size=8), max_size=6)


@given(HISTORIES)
def test_edges_are_the_distinct_pairs_and_their_reverse(histories):
    graph = heterogeneous_graph(prepared(histories, n_items=7))
    expected = {(user, item) for user, history in enumerate(histories) for item in history}
    backward = {(u, i) for u, row in enumerate(rows(graph, "item", "clicked_by", "user")) for i in row}
    forward = {(u, i) for i, row in enumerate(rows(graph, "user", "clicked", "item")) for u in row}
    assert forward == backward == expected
    assert graph.n_edges == 2 * len(expected)
    for relation in graph.relations:
        assert all(a < b for row in relation.neighbours for a, b in pairwise(row))
        assert relation.neighbours.values.dtype == np.int32
        assert relation.neighbours.offsets.dtype == np.int64


# ---- what is refused ----


def test_a_user_view_cannot_take_the_name_of_another_type():
    data = prepared([[0]], item_nodes=[[0], [], [], []], user_nodes=[[0]])
    taken = PreparedData(
        data.items, data.sessions, data.users, data.histories, data.views,
        user_views={"genre": data.user_views["age"]},
    )  # fmt: skip
    with pytest.raises(DataError, match="user view 'genre' has the name of another node type"):
        heterogeneous_graph(taken)


def relation(lists, source="a", target="b", name="to") -> Relation:
    return Relation(source, name, target, Sequences.from_lists(lists))


def test_relations_must_fit_their_types():
    with pytest.raises(DataError, match="a to c needs nodes of type 'c', which are not there"):
        HeteroGraph({"a": 1, "b": 1}, (relation([[0]], target="c"),))
    with pytest.raises(DataError, match="a to b has 2 rows, but there are 1 nodes of type 'b'"):
        HeteroGraph({"a": 1, "b": 1}, (relation([[0], [0]]),))
    with pytest.raises(DataError, match=r"a to b must hold indices 0\.\.0, got 0\.\.1"):
        HeteroGraph({"a": 1, "b": 1}, (relation([[0, 1]]),))
    with pytest.raises(DataError, match="two relations are called a to b"):
        HeteroGraph({"a": 1, "b": 1}, (relation([[0]]), relation([[0]])))


def test_unknown_types_and_relations_are_named():
    graph = heterogeneous_graph(FULL)
    with pytest.raises(ConfigError, match="no nodes of type 'tag' here; known types are user, item, genre, age"):
        graph.degrees("tag")
    with pytest.raises(ConfigError, match="no relation user has genre here; known are user clicked item"):
        graph.relation("user", "has", "genre")
