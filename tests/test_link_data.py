"""Triples to learn from and triples held out: named by the settings, or set aside at random."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.knowledge.graph import KnowledgeGraph, entity_degrees
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError
from prismrec.link_data import held_out, read_links
from prismrec.settings import read_settings


def graph_of(triples, n_entities, n_relations=2):
    rows = np.array(triples, np.int32).reshape(-1, 3)
    names = [f"e{i}" for i in range(n_entities)]
    relations = tuple(f"r{i}" for i in range(n_relations))
    return KnowledgeGraph(
        Vocabulary.from_ids(names, entity_degrees(rows, n_entities)), relations, rows, pa.array(names)
    )


def named(split, triples):
    ids, relations = split.graph.entities.ids.to_pylist(), split.graph.relations
    return {(ids[h], relations[r], ids[t]) for h, r, t in triples.tolist()}


def test_files_of_held_out_triples_are_read_into_the_same_indices(write_links, tmp_path):
    path = write_links(tmp_path)
    split = read_links(read_settings(path))
    for name, triples in (("train", split.graph.triples), ("valid", split.valid), ("test", split.test)):
        lines = (path.parent / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
        assert named(split, triples) == {tuple(line.split("\t")) for line in lines}


def test_everything_is_all_three_parts_with_their_counts(write_links, tmp_path):
    split = read_links(read_settings(write_links(tmp_path)))
    whole = split.everything
    assert whole.n_triples == split.graph.n_triples + len(split.valid) + len(split.test)
    np.testing.assert_array_equal(whole.entities.counts, entity_degrees(whole.triples, whole.n_entities))
    assert whole.entities.ids.equals(split.graph.entities.ids)


def test_without_files_of_held_out_triples_two_shares_are_drawn(write_links, tmp_path):
    path = write_links(tmp_path)
    drop = ["knowledge.valid_triples=''", "knowledge.test_triples=''", "links.held_out_share=0.1"]
    split = read_links(read_settings(path, drop))
    parts = [named(split, part) for part in (split.graph.triples, split.valid, split.test)]
    n = sum(map(len, parts))
    assert len(set().union(*parts)) == n
    assert len(parts[2]) == round(0.1 * n)
    assert len(parts[1]) == round(0.1 * (n - len(parts[2])))
    other = read_links(read_settings(path, [*drop, "split.seed=1"]))
    assert named(other, other.test) != parts[2]


def test_inverse_relations_are_left_out(write_links, tmp_path):
    plain, inverse = (
        read_links(read_settings(write_links(tmp_path), [f"knowledge.inverse={value}"])) for value in ("false", "true")
    )
    assert inverse.graph.relations == plain.graph.relations


def test_shuffled_control_changes_the_training_triples_alone(write_links, tmp_path):
    path = write_links(tmp_path)
    plain, control = read_links(read_settings(path)), read_links(read_settings(path, ["knowledge.control=shuffled"]))
    assert named(control, control.test) == named(plain, plain.test)
    assert named(control, control.graph.triples) != named(plain, plain.graph.triples)


def test_graph_of_the_items_is_split_too(tmp_path):
    n = 30
    pq.write_table(pa.table({"user_id": [0] * n, "item_id": range(n), "timestamp": range(n)}), tmp_path / "clicks.pq")
    columns = {"directors": [f"director {i % 5}" for i in range(n)], "genre": [f"genre {i % 3}" for i in range(n)]}
    pq.write_table(pa.table({"item_id": range(n), **columns}), tmp_path / "items.pq")
    (tmp_path / "shop.toml").write_text(
        '[data]\ninteractions = "clicks.pq"\nitems = "items.pq"\ntimestamp_unit = "order"\n'
        '[knowledge]\ninverse = true\n[knowledge.relations]\ndirector = "directors"\ngenre = "genre"\n'
        "[links]\nheld_out_share = 0.2\n",
        encoding="utf-8",
    )
    split = read_links(read_settings(tmp_path / "shop.toml"))
    assert split.graph.relations == ("director", "genre")
    assert split.graph.n_entities == n + 5 + 3
    assert len(split.test) == round(0.2 * 2 * n)
    assert split.everything.n_triples == 2 * n


def test_nothing_to_learn_from_is_refused(write_links, tmp_path):
    path = write_links(tmp_path)
    with pytest.raises(ConfigError, match=r"set knowledge\.triples, or \[knowledge\.relations\]"):
        read_links(read_settings(path, ["knowledge.triples=''"]))
    with pytest.raises(ConfigError, match="absent leaves no triple to learn links from: use shuffled"):
        read_links(read_settings(path, ["knowledge.control=absent"]))


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1), st.integers(0, 6)), min_size=12, unique=True),
    st.integers(0, 9),
)
def test_no_entity_and_no_relation_loses_its_last_triple(rows, seed):
    graph = graph_of(rows, 7)
    try:
        rest, aside = held_out(graph, 0.4, seed)
    except DataError:
        return
    assert sorted([*map(tuple, rest.triples.tolist()), *map(tuple, aside.tolist())]) == sorted(rows)
    assert len(aside) <= round(0.4 * len(rows))
    np.testing.assert_array_equal(rest.entities.counts > 0, graph.entities.counts > 0)
    assert set(rest.triples[:, 1]) == set(graph.triples[:, 1])


def test_graph_of_which_nothing_can_be_spared_is_refused():
    with pytest.raises(DataError, match="none of the 2 triples can be held out"):
        held_out(graph_of([(0, 0, 1), (2, 0, 3)], 4), 0.5, 0)
