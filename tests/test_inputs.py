"""Tables named in the settings or passed by hand, and graphs, as training data."""

import os
import shutil

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.data.prepared import load_prepared, save_prepared
from prismrec.data.sessions import SessionSettings
from prismrec.errors import ConfigError, DataError, ResourceError
from prismrec.graphs.knowledge import with_inverses, without_inverses
from prismrec.inputs import (
    keep_quarantine,
    open_tables,
    prepare_edges,
    prepare_log,
    prepare_shards,
    read_graph,
    read_tables,
    reading_notes,
)
from prismrec.settings import build_settings, read_settings

CLICKS = {
    "user_id": ["a", "a", "a", "b", "b"],
    "item_id": ["x", "x", "y", "y", "z"],
    "timestamp": [1_700_000_000 + 60 * minute for minute in (0, 1, 2, 0, 1)],
}
ITEMS = {"item_id": ["x", "y", "z"], "kind": ["k", "k", "l"]}


@pytest.mark.parametrize("table", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "arrow"])
def test_tables_at_hand_take_the_place_of_those_in_the_settings(table):
    settings = build_settings({"data": {"interactions": "absent.parquet"}, "views": {"category": "kind"}})
    log, items = read_tables(settings, table(CLICKS), table(ITEMS))
    data = prepare_log(log, items, settings)
    assert sorted(data.items.ids_of(range(3))) == ["x", "y", "z"]
    assert len(data.views["category"].nodes) == 2


def test_open_tables_change_nothing_and_read_tables_clean(tmp_path):
    pq.write_table(pa.table(CLICKS), tmp_path / "clicks.parquet")
    settings = build_settings({"data": {"interactions": str(tmp_path / "clicks.parquet")}})
    opened, no_items = open_tables(settings)
    assert no_items is None
    assert opened.table.to_pyarrow().num_rows == 5
    assert read_tables(settings)[0].table.to_pyarrow().num_rows == 4, "a repeated click is one click"


def test_without_a_log_says_what_to_set():
    with pytest.raises(ConfigError, match="there is no click log: set data"):
        read_tables(build_settings({}))


def test_quarantine_is_written_counted_and_told_of(tmp_path):
    clicks = {**CLICKS, "item_id": ["x", None, "y", "y", "z"]}
    items = {"item_id": ["x", "y", "z", "x"], "kind": ["k", "k", "l", "m"]}
    settings = build_settings({"data": {"max_bad_share": 0.5}})
    log, table = read_tables(settings, pa.table(clicks), pa.table(items))
    told = keep_quarantine(log, table, tmp_path / "aside")
    assert told[1:3] == [
        "interactions: 1 rows set aside: 1 missing item id",
        "items: 1 rows set aside: 1 duplicate item id",
    ]
    assert told[:3] == reading_notes(log, table)
    assert pq.read_table(tmp_path / "aside" / "interactions.parquet")["source_row"].to_pylist() == [2]
    assert pq.read_table(tmp_path / "aside" / "items.parquet")["source_row"].to_pylist() == [4]


def test_nothing_bad_writes_nothing(tmp_path):
    log, items = read_tables(build_settings({}), pa.table(CLICKS), pa.table(ITEMS))
    told = keep_quarantine(log, items, tmp_path / "aside")
    assert len(told) == 1
    assert told[0].startswith("read 5 rows from ")
    assert not (tmp_path / "aside").exists()


USERS = {"user_id": ["a", "b", "b"], "age": [30, 40, 50]}
FRIENDS = {"one": ["a"], "other": ["b"]}


def test_tables_of_users_are_read_where_the_settings_name_them(tmp_path):
    for name, table in (("clicks", CLICKS), ("people", USERS), ("friends", FRIENDS)):
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
    places = {"interactions": "clicks.parquet", "users": "people.parquet", "user_links": "friends.parquet"}
    lines = [f'{key} = "{value}"' for key, value in places.items()]
    text = "\n".join(["[data]", "max_bad_share = 0.5", *lines, "[user_views]", 'age = "age"'])
    (tmp_path / "shop.toml").write_text(text)
    settings = read_settings(tmp_path / "shop.toml")
    log, items = read_tables(settings)
    assert any(line == "users: 1 rows set aside: 1 duplicate user id" for line in reading_notes(log, items))
    data = prepare_log(log, items, settings)
    assert data.user_views["age"].nodes.ids.to_pylist() == [30, 40]
    assert data.user_links.to_lists() == [[1], [0]]


def test_tables_of_users_at_hand_take_the_place_of_those_in_the_settings():
    settings = build_settings({"data": {"users": "absent", "user_column": "who"}, "user_views": {"age": "age"}})
    users = pa.table({"who": ["a", "b"], "age": [1, 2]})
    data = prepare_log(*read_tables(settings, pa.table(CLICKS), None, users, pa.table(FRIENDS)), settings)
    assert len(data.user_views["age"].nodes) == 2
    assert data.user_links is not None


def test_user_views_without_a_user_table_are_refused():
    settings = build_settings({"user_views": {"age": "age"}})
    with pytest.raises(ConfigError, match="user views age are columns of the user table, but no user table was given"):
        prepare_log(*read_tables(settings, pa.table(CLICKS)), settings)


def test_shards_say_that_they_leave_the_users_tables_out(tmp_path):
    pq.write_table(pa.table(CLICKS), tmp_path / "clicks.parquet")
    named = {"interactions": str(tmp_path / "clicks.parquet"), "users": str(tmp_path / "never read.parquet")}
    told: list[str] = []
    prepare_shards(build_settings({"data": named}), tmp_path / "prepared", 2, tell=told.append)
    assert told[0].startswith("left out: the tables of users and their links; shards hold what M2GRL")


def test_edges_become_walks_with_views_of_the_item_table(tmp_path):
    (tmp_path / "edges.txt").write_text("x y\ny z\nz x\n")
    pq.write_table(pa.table(ITEMS), tmp_path / "items.parquet")
    values = {"data": {"items": str(tmp_path / "items.parquet")}, "views": {"category": "kind"}}
    data = prepare_edges(tmp_path / "edges.txt", build_settings({**values, "walks": {"walks_per_node": 4}}))
    assert len(data.sessions) == 4 * 3
    assert len(data.views["category"].nodes) == 2
    assert len(data.users) == 0
    assert data.quarantine == {}


def test_edges_that_are_none_are_an_error(tmp_path):
    (tmp_path / "edges.txt").write_text("x\ny\n")
    with pytest.raises(DataError, match="expected source, target and perhaps a weight"):
        prepare_edges(tmp_path / "edges.txt", build_settings({}))


def test_a_log_whose_stages_cannot_fit_is_refused_before_it_is_read(tmp_path):
    rows, log = 50_000_000, tmp_path / "log"
    log.mkdir()
    pq.write_table(pa.table({"x": pa.nulls(rows)}), log / "0.parquet", row_group_size=rows)
    for number in range(shutil.disk_usage(tmp_path).free // (11 * rows) + 10):
        os.link(log / "0.parquet", log / f"{number + 1}.parquet")  # one small file, many rows
    settings = build_settings({"data": {"interactions": str(log)}})
    with pytest.raises(ResourceError, match="for preparing .* clicks in 1 view: disk .* for stages: .* needed"):  # noqa: RUF043
        prepare_shards(settings, tmp_path / "prepared", 2, tell=print)
    assert not (tmp_path / "prepared.stages").exists()


def test_shards_that_are_there_are_kept_whatever_the_disk_has(tmp_path):
    pq.write_table(pa.table(CLICKS), tmp_path / "clicks.parquet")
    settings = build_settings({"data": {"interactions": str(tmp_path / "clicks.parquet")}})
    told: list[str] = []
    first = prepare_shards(settings, tmp_path / "prepared", 2, tell=told.append)
    assert prepare_shards(settings, tmp_path / "prepared", 2, tell=told.append) == first
    assert told[-1].endswith("whole, kept from the earlier run")


# ---- the knowledge graph ----

MADE = {"item_id": ["x", "y", "z"], "kind": ["k", "k", "l"], "maker": ["Ann", "ann", "?"]}


def knowing(**knowledge):
    relations = {"kind": "kind", "maker": {"column": "maker", "kind": "person"}}
    return build_settings({"data": {"max_bad_share": 0.5}, "knowledge": {"relations": relations, **knowledge}})


def prepared_with(settings):
    return prepare_log(*read_tables(settings, pa.table(CLICKS), pa.table(MADE)), settings)


def named_triples(graph):
    ids = graph.entities.ids.to_pylist()
    return {(ids[h], graph.relations[r], ids[t]) for h, r, t in graph.triples.tolist()}


def test_prepared_data_know_the_graph_of_their_items(tmp_path):
    data = prepared_with(knowing())
    assert named_triples(data.knowledge.graph) == {
        ("item:x", "kind", "kind:k"), ("item:y", "kind", "kind:k"), ("item:z", "kind", "kind:l"),
        ("item:x", "maker", "person:ann"), ("item:y", "maker", "person:ann"),
    }  # fmt: skip
    of_items = data.knowledge.graph.entities.ids_of(data.knowledge.item_entities)
    assert of_items == [f"item:{item}" for item in data.items.ids.to_pylist()]
    assert data.report["knowledge"]["control"] == "none"
    save_prepared(data, tmp_path / "prepared")
    aside = pq.read_table(tmp_path / "prepared" / "quarantine" / "knowledge.parquet").to_pylist()
    assert [row["reason"] for row in aside] == ["no name in 'maker'"]
    assert named_triples(load_prepared(tmp_path / "prepared").knowledge.graph) == named_triples(data.knowledge.graph)


def test_without_settings_of_a_graph_there_is_none():
    data = prepared_with(build_settings({}))
    assert data.knowledge is None
    assert "knowledge" not in data.report


def test_the_control_of_the_settings_is_applied_and_inverses_after_it():
    assert prepared_with(knowing(control="absent")).knowledge.graph.n_triples == 0
    both = prepared_with(knowing(inverse=True)).knowledge.graph
    assert (both.n_triples, both.relations[2:]) == (10, ("inverse of kind", "inverse of maker"))
    other = prepared_with(knowing(control="shuffled", inverse=True))
    assert other.report["knowledge"]["control"] == "shuffled"
    assert np.array_equal(with_inverses(without_inverses(other.knowledge.graph)).triples, other.knowledge.graph.triples)


def test_a_graph_can_be_looked_at_with_a_log_and_without(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no knowledge graph: set knowledge\.triples"):
        read_graph(build_settings({}))
    (tmp_path / "kg.tsv").write_text("x\tr\tw\n")
    pq.write_table(pa.table(CLICKS), tmp_path / "clicks.parquet")
    alone = read_graph(build_settings({"knowledge": {"triples": str(tmp_path / "kg.tsv")}}))
    assert (alone.knowledge.graph.n_triples, len(alone.items), len(alone.knowledge.item_entities)) == (1, 0, 0)
    both = read_graph(build_settings({"knowledge": {"triples": str(tmp_path / "kg.tsv"), "inverse": True}}))
    assert both.knowledge.graph.relations == ("r", "inverse of r")
    place = {"interactions": str(tmp_path / "clicks.parquet")}
    found = read_graph(build_settings({"data": place, "knowledge": {"triples": str(tmp_path / "kg.tsv")}}))
    linked = dict(zip(found.items.ids.to_pylist(), found.knowledge.item_entities.tolist(), strict=True))
    assert found.knowledge.graph.entities.id_of(linked["x"]) == "x"
    assert (linked["y"], linked["z"]) == (-1, -1)


def test_shards_leave_the_graph_out_and_say_so(tmp_path):
    clicks = {**CLICKS, "stars": [5.0, 5.0, 4.0, 5.0, 1.0]}
    pq.write_table(pa.table(clicks), tmp_path / "clicks.parquet")
    settings = build_settings(
        {
            "data": {"interactions": str(tmp_path / "clicks.parquet"), "columns": {"rating": "stars"}},
            "knowledge": {"triples": "never read"},
            "sessions": {"min_rating": 4.0},
        }
    )
    told: list[str] = []
    manifest = prepare_shards(settings, tmp_path / "prepared", 1, keep_stages=True, tell=told.append)
    assert told[0].startswith("left out: the knowledge graph and dislikes; shards hold")
    assert manifest.report["interactions"]["read"] == 4, "the row with one star is no click in shards either"
    all_rows = settings.model_copy(update={"sessions": SessionSettings()})
    again = prepare_shards(all_rows, tmp_path / "prepared", 1, tell=told.append)
    assert again.report["interactions"]["read"] == 5, "another least rating is another log: no stage of it is kept"
