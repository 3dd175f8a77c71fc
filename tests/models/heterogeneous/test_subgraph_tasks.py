"""What is hidden carries no message; what is asked is hidden; the losses by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.graphs.heterogeneous import HeteroGraph, Relation
from prismrec.graphs.subgraphs import Edges, Subgraph, SubgraphSettings
from prismrec.models.heterogeneous.subgraph_tasks import (
    CLICKS,
    Question,
    SubgraphBatches,
    Turns,
    asked_relations,
    hide,
    link_loss,
    link_losses,
    tensors,
)

CLICKED_BY, LINKED = ("item", "clicked_by", "user"), ("user", "linked", "user")
HAS, OF = ("item", "has", "genre"), ("genre", "of", "item")


def graph_of(seed: int = 0, n_users: int = 12, n_items: int = 15) -> HeteroGraph:
    """Users, items and three genres; users are linked in pairs."""
    rng = np.random.default_rng(seed)
    had = rng.random((n_users, n_items)) < 0.4
    genre = np.eye(3, dtype=bool)[rng.integers(3, size=n_items)]
    friends = np.triu(rng.random((n_users, n_users)) < 0.3, 1)
    relations = []
    for key, matrix in [
        (CLICKS, had.T), (CLICKED_BY, had), (HAS, genre.T), (OF, genre), (LINKED, friends | friends.T),
    ]:  # fmt: skip
        relations.append(Relation(*key, Sequences.from_lists([np.flatnonzero(row) for row in matrix])))
    return HeteroGraph({"user": n_users, "item": n_items, "genre": 3}, tuple(relations))


def whole(graph: HeteroGraph) -> Subgraph:
    """All of a graph."""
    edges = {
        relation.key: Edges(
            relation.neighbours.values.astype(np.int64),
            np.repeat(np.arange(len(relation.neighbours)), relation.neighbours.lengths),
        )
        for relation in graph.relations
    }
    return Subgraph({name: np.arange(n) for name, n in graph.n_nodes.items()}, edges)


def pairs(edges: Edges) -> set[tuple[int, int]]:
    return set(zip(edges.sources.tolist(), edges.targets.tolist(), strict=True))


def turned(edges: Edges) -> set[tuple[int, int]]:
    return {(t, s) for s, t in pairs(edges)}


# ---- what is hidden ----


def test_clicks_are_asked_alone_or_one_direction_of_every_relation():
    graph = graph_of()
    assert asked_relations(graph, all_links=False) == {CLICKS: CLICKED_BY}
    assert asked_relations(graph, all_links=True) == {CLICKS: CLICKED_BY, HAS: OF, LINKED: None}


@given(st.integers(0, 1000), st.floats(0.05, 1))
def test_hidden_edges_carry_no_message_in_either_direction_and_all_others_do(seed, share):
    graph = graph_of(seed % 5)
    subgraph, asked = whole(graph), asked_relations(graph, all_links=True)
    made = hide(subgraph, asked, share, np.random.default_rng(seed))
    for key, reverse in asked.items():
        hidden, all_edges = pairs(made.questions[key].positives), pairs(subgraph.edges[key])
        assert pairs(made.messages[key]) == all_edges - hidden
        assert hidden <= all_edges == pairs(made.questions[key].known)
        if reverse is None:
            assert turned(made.messages[key]) == pairs(made.messages[key])
        else:
            assert turned(made.messages[reverse]) == all_edges - hidden


def test_relations_that_are_not_asked_keep_their_messages():
    graph = graph_of()
    made = hide(whole(graph), {CLICKS: CLICKED_BY}, 1.0, np.random.default_rng(0))
    assert len(made.messages[CLICKS]) == len(made.messages[CLICKED_BY]) == 0
    assert pairs(made.messages[HAS]) == pairs(whole(graph).edges[HAS])
    assert set(made.questions) == {CLICKS}


def test_with_the_share_zero_all_edges_are_asked_and_carry_messages():
    graph = graph_of()
    made = hide(whole(graph), {CLICKS: CLICKED_BY}, 0.0, np.random.default_rng(0))
    assert pairs(made.questions[CLICKS].positives) == pairs(made.messages[CLICKS]) == pairs(whole(graph).edges[CLICKS])


def test_the_share_of_hidden_edges_is_as_set():
    graph = graph_of(n_users=100, n_items=100)
    made = hide(whole(graph), {CLICKS: CLICKED_BY}, 0.3, np.random.default_rng(0))
    question = made.questions[CLICKS]
    assert len(question.positives) / len(question.known) == pytest.approx(0.3, abs=0.03)


# ---- batches ----


def test_everyone_has_a_turn_in_every_round_and_rounds_differ():
    turns = Turns(10, 4, (7, 0))
    assert turns.n_per_round == 3
    rounds = [np.concatenate([turns.of(3 * r + n) for n in range(3)]).tolist() for r in range(2)]
    assert [sorted(r) for r in rounds] == [list(range(10))] * 2
    assert rounds[0] != rounds[1]
    assert turns.of(1).tolist() == rounds[0][4:8]  # going back, as a resumed run does


def test_batches_are_given_by_seed_epoch_and_step_alone():
    graph, settings = graph_of(), SubgraphSettings(nodes_per_type=8)
    one, other = (SubgraphBatches(graph, settings, {CLICKS: CLICKED_BY}, 0.5, seed=3) for _ in range(2))
    other.batch(4, 1)
    assert one.n_batches == 6  # 12 users, 8 / 4 at a time
    for epoch, step in [(0, 0), (2, 5)]:
        a, b = one.batch(epoch, step), other.batch(epoch, step)
        assert pairs(a.messages[CLICKS]) == pairs(b.messages[CLICKS])
        assert pairs(a.questions[CLICKS].positives) == pairs(b.questions[CLICKS].positives)
    assert pairs(one.batch(0, 0).messages[CLICKS]) != pairs(one.batch(1, 0).messages[CLICKS])


def test_log_without_clicks_is_refused():
    empty = Sequences.from_lists([[], []])
    graph = HeteroGraph(
        {"user": 2, "item": 2},
        (Relation("user", "clicked", "item", empty), Relation("item", "clicked_by", "user", empty)),
    )
    with pytest.raises(DataError, match="the log has no interactions to learn from"):
        SubgraphBatches(graph, SubgraphSettings(), {CLICKS: CLICKED_BY}, 0.5, seed=0)


# ---- losses ----

SOURCES = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
TARGETS = torch.tensor([[0.5, 0.5], [1.0, -1.0], [0.0, 1.0]])
SCORES = [[0.5, 1.0, 0.0], [1.0, -2.0, 2.0]]
QUESTION = Question(
    positives=Edges(np.array([0, 1]), np.array([1, 0])), known=Edges(np.array([0, 0, 1]), np.array([0, 1, 0]))
)
"""Source 0 has the edges 0 and 1, of which 1 is asked; source 1 has the edge 0, which is asked."""


def test_softmax_leaves_out_what_else_is_known():
    first = -math.log(math.exp(1.0) / (math.exp(1.0) + math.exp(0.0)))  # target 0 is known: no negative
    second = -math.log(math.exp(1.0) / (math.exp(1.0) + math.exp(-2.0) + math.exp(2.0)))
    assert float(link_loss(SOURCES, TARGETS, QUESTION, "softmax")) == pytest.approx((first + second) / 2)


def test_bpr_draws_among_targets_without_an_edge():
    first = math.log1p(math.exp(0.0 - 1.0))  # target 2 alone has no edge from source 0
    seconds = [math.log1p(math.exp(other - 1.0)) for other in (-2.0, 2.0)]
    torch.manual_seed(0)
    found = {round(float(link_loss(SOURCES, TARGETS, QUESTION, "bpr")), 5) for _ in range(40)}
    assert found == {round((first + second) / 2, 5) for second in seconds}


@pytest.mark.parametrize("loss", ["softmax", "bpr"])
def test_source_joined_to_everything_has_nothing_to_learn(loss):
    question = Question(Edges(np.array([0]), np.array([1])), Edges(np.array([0, 0, 0]), np.array([0, 1, 2])))
    vectors = SOURCES.clone().requires_grad_()
    value = link_loss(vectors, TARGETS, question, loss)
    value.backward()
    assert float(value.detach()) == 0.0
    assert vectors.grad.abs().sum() == 0


def test_relations_count_alike_whatever_their_number_of_edges():
    vectors = {"user": SOURCES, "item": TARGETS}
    one = Question(Edges(np.array([1]), np.array([2])), Edges(np.array([1]), np.array([2])))
    none = Question(*[Edges(np.zeros(0, np.int64), np.zeros(0, np.int64))] * 2)
    questions = {CLICKS: QUESTION, ("user", "rated", "item"): one, ("user", "sold", "item"): none}
    value, logged = link_losses(vectors, questions, "softmax")
    parts = [float(link_loss(SOURCES, TARGETS, q, "softmax")) for q in (QUESTION, one)]
    assert float(value) == pytest.approx(sum(parts) / 2)
    assert logged.mean == pytest.approx(sum(parts) / 2)
    assert logged.n_examples == 3


def test_subgraph_with_nothing_to_ask_costs_nothing_and_has_a_gradient():
    vectors = {"user": SOURCES.clone().requires_grad_(), "item": TARGETS}
    none = Question(*[Edges(np.zeros(0, np.int64), np.zeros(0, np.int64))] * 2)
    value, logged = link_losses(vectors, {CLICKS: none}, "softmax")
    value.backward()
    assert (float(value.detach()), logged.n_examples, logged.mean) == (0.0, 0, 0.0)
    assert vectors["user"].grad.abs().sum() == 0


def test_nodes_become_tensors_of_each_type():
    made = tensors({"user": np.array([2, 5])}, "cpu")
    assert made["user"].tolist() == [2, 5]
    assert made["user"].dtype == torch.int64
