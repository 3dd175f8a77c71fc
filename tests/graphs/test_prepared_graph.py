from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from prismrec.data.reading import read_items
from prismrec.data.views import ViewSettings
from prismrec.errors import ConfigError, DataError
from prismrec.graphs.edge_list import EdgeListSettings, read_edge_list
from prismrec.graphs.prepared_graph import prepare_graph
from prismrec.graphs.walks import WalkSettings

JD = Path(__file__).parents[2] / ".." / "shared" / "data" / "jd-item-graph"
WALKS = WalkSettings(walks_per_node=4, walk_length=6)

COLUMNS = EdgeListSettings(source="a", target="b", symmetric=True)
EDGES = pa.table({"a": ["hub", "hub", "hub", "x"], "b": ["x", "y", "z", "y"]})
ITEMS = pa.table(
    {
        "item_id": ["z", "x", "new", "hub", "y"],
        "shop": ["s1", "s2", "s3", "s1", "s2"],
        "tags": ["p|q", "p", "q", "", "q"],
    }
)


def prepared(**settings):
    return prepare_graph(read_edge_list(EDGES, COLUMNS), WALKS, read_items(ITEMS), **settings)


def test_walks_become_the_sessions_and_nobody_is_a_user():
    data = prepared()
    assert len(data.sessions) == 4 * 4
    assert set(data.sessions.lengths.tolist()) == {6}
    assert len(data.users) == len(data.histories) == 0
    neighbours = {("hub", "x"), ("hub", "y"), ("hub", "z"), ("x", "y")}
    for row in data.sessions:
        ids = data.items.ids_of(row)
        assert all((a, b) in neighbours or (b, a) in neighbours for a, b in pairwise(ids))


def test_items_are_ordered_and_counted_by_their_visits():
    data = prepared()
    assert data.items.counts.tolist() == np.bincount(data.sessions.values).tolist()
    assert (np.diff(data.items.counts) <= 0).all()
    assert data.items.id_of(0) == "hub"


def test_ids_follow_their_items_when_visits_and_degrees_disagree():
    # the hub has most edges, but hardly any weight: x and y are walked over most
    weighted = EDGES.append_column("w", pa.array([0.01, 0.01, 0.01, 9.0]))
    edges = read_edge_list(weighted, COLUMNS.model_copy(update={"weight": "w"}))
    data = prepare_graph(edges, WalkSettings(walks_per_node=4, walk_length=200), read_items(ITEMS))
    assert edges.nodes.id_of(0) == "hub"
    assert set(data.items.ids_of([0, 1])) == {"x", "y"}
    assert data.items.counts.tolist() == np.bincount(data.sessions.values).tolist()
    assert data.item_columns is not None
    assert data.item_columns["item_id"].to_pylist() == data.items.ids.to_pylist()
    after_z = {data.items.id_of(row[1]) for row in data.sessions if data.items.id_of(row[0]) == "z"}
    assert after_z == {"hub"}


def test_views_are_the_walks_seen_through_the_item_table():
    data = prepared(views={"shop": "shop", "tag": ViewSettings(column="tags", separator="|")})
    shops = data.views["shop"]
    for walk, seen in zip(data.sessions, shops.sessions, strict=True):
        names = [{"hub": "s1", "z": "s1", "x": "s2", "y": "s2"}[i] for i in data.items.ids_of(walk)]
        collapsed = [n for n, before in zip(names, [None, *names], strict=False) if n != before]
        assert shops.nodes.ids_of(seen) == collapsed
    tags = data.views["tag"]
    assert sorted(tags.nodes.ids_of(tags.item_nodes[data.items.index_of("z")])) == ["p", "q"]


def test_side_columns_come_in_the_order_of_the_items():
    columns = prepared().item_columns
    assert columns["item_id"].to_pylist() == prepared().items.ids.to_pylist()
    assert dict(zip(*(columns[c].to_pylist() for c in ("item_id", "shop")), strict=True))["x"] == "s2"


def test_items_without_edges_get_an_index_only_when_asked():
    assert prepared().items.find("new") == -1
    data = prepared(keep_items_without_edges=True, views={"shop": "shop"})
    assert data.items.id_of(4) == "new"
    assert data.items.counts[4] == 0
    assert data.views["shop"].nodes.ids_of(data.views["shop"].item_nodes[4]) == ["s3"]
    assert data.report["items_without_edges"] == 1


def test_same_seed_same_training_data():
    assert prepared().sessions.values.tobytes() == prepared().sessions.values.tobytes()


def test_no_item_table_is_needed():
    data = prepare_graph(read_edge_list(EDGES, COLUMNS), WALKS)
    assert data.view_names == ("item",)
    assert data.item_columns is None
    assert data.report["walks"]["visits"] == 96


def test_views_that_cannot_be_are_refused():
    edges = read_edge_list(EDGES, COLUMNS)
    with pytest.raises(ConfigError, match=r"views \(shop\) need an item table"):
        prepare_graph(edges, WALKS, views={"shop": "shop"})
    with pytest.raises(ConfigError, match="'item' is the view of the items themselves"):
        prepare_graph(edges, WALKS, read_items(ITEMS), views={"item": "shop"})
    with pytest.raises(DataError, match="no column 'colour'"):
        prepare_graph(edges, WALKS, read_items(ITEMS), views={"colour": "colour"})


def test_a_real_item_graph_becomes_training_data():
    if not JD.exists():
        pytest.skip(f"the item graph is not at {JD}")
    names = ["sku", "brand", "shop", "category"]
    side = csv.read_csv(JD / "sku_side_info.csv", csv.ReadOptions(column_names=names), csv.ParseOptions(delimiter="\t"))
    edges = read_edge_list(JD / "graph.csv", EdgeListSettings(symmetric=True))
    views = {name: name for name in names[1:]}
    data = prepare_graph(edges, WALKS, read_items(side, "sku"), views, keep_items_without_edges=True)
    assert len(data.items) == 34_048
    assert len(data.sessions) == 4 * len(edges.nodes)
    for name, view in data.views.items():
        assert len(view.nodes) == len(side[name].unique())
        assert (view.item_nodes.lengths == 1).all()
    assert (data.items.counts[: len(edges.nodes)] > 0).all()
