"""From texts to indices, against a slow version with dicts and sets."""

from collections import Counter

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.knowledge.building import build_graph
from prismrec.data.knowledge.statements import Statements

entity = st.sampled_from(list("abcdefgh"))
rows_strategy = st.lists(st.tuples(entity, st.sampled_from(["r", "s", "t"]), entity), max_size=25)


def table(rows):
    block = tuple(pa.array([row[i] for row in rows], pa.string()) for i in range(3))
    return Statements.from_columns([block], {}).table


def readable(graph, triples=None):
    """Triples as texts again."""
    ids = graph.entities.ids.to_pylist()
    chosen = graph.triples if triples is None else triples
    return [(ids[h], graph.relations[r], ids[t]) for h, r, t in chosen.tolist()]


def slow(rows, kept, least):
    """The distinct triples that are left, by the definition."""
    triples = set(rows)
    while True:
        degrees = Counter(e for h, _, t in triples for e in {h, t})
        fine = {e for e in degrees if degrees[e] >= least or e in kept}
        left = {(h, r, t) for h, r, t in triples if h in fine and t in fine}
        if left == triples:
            return triples
        triples = left


def test_frequent_entities_come_first_and_ties_are_by_id():
    built = build_graph(table([("c", "r", "b"), ("b", "s", "a"), ("c", "r", "b")]), ["z"], {"b": "Bee"})
    graph = built.graph
    assert graph.entities.ids.to_pylist() == ["b", "a", "c", "z"]
    assert graph.entities.counts.tolist() == [2, 1, 1, 0]
    assert graph.labels.to_pylist() == ["Bee", "a", "c", "z"]
    assert graph.relations == ("r", "s")
    assert readable(graph) == [("b", "s", "a"), ("c", "r", "b")]
    assert (built.repeats, built.rare_entities) == (1, 0)


@given(rows_strategy, st.sets(entity, max_size=3), st.integers(1, 4))
def test_rare_entities_go_until_nothing_changes(rows, kept, least):
    built = build_graph(table(rows), kept, {}, min_degree=least)
    expected = slow(rows, kept, least)
    assert sorted(readable(built.graph)) == sorted(expected)
    counts = Counter(e for h, _, t in expected for e in {h, t})
    found = dict(zip(built.graph.entities.ids.to_pylist(), built.graph.entities.counts.tolist(), strict=True))
    assert found == {**dict.fromkeys(kept, 0), **counts}
    assert built.repeats == len(rows) - len(set(rows))


def test_held_out_triples_are_numbered_and_not_in_the_graph():
    built = build_graph(
        table([("a", "r", "b")]), (), {}, held_out=[table([("b", "new", "c"), ("b", "new", "c")]), table([])]
    )
    assert readable(built.graph) == [("a", "r", "b")]
    assert [readable(built.graph, part) for part in built.held_out] == [[("b", "new", "c")], []]
    assert dict(zip(built.graph.entities.ids.to_pylist(), built.graph.entities.counts, strict=True))["c"] == 0


def test_no_triples_are_a_graph_too():
    built = build_graph(table([]), ["a"], {})
    assert (built.graph.n_entities, built.graph.n_triples, built.graph.n_relations) == (1, 0, 0)


def test_relations_without_a_triple_go_unless_held_out_triples_may_need_them():
    rows = [("a", "r", "b"), ("b", "r", "a"), ("c", "s", "d")]
    assert build_graph(table(rows), (), {}, min_degree=2).graph.relations == ("r",)
    assert build_graph(table(rows), (), {}, min_degree=2, held_out=[table(rows[:1])]).graph.relations == ("r", "s")
    assert build_graph(table(rows), (), {}, min_degree=2, held_out=[table([])]).graph.relations == ("r",)
