"""A graph of items and an item table as `PreparedData`: M2GRL trains on walks where there are no logs.

    edge list -> random walks -> item vocabulary by falling number of visits -> views of the walks

The walks are the sessions; there are no users, so `users` and `histories` are empty and what needs them
(item-kNN, EASE, `next_item`) has nothing to learn from.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from prismrec.data import engine
from prismrec.data.encoding import index_table
from prismrec.data.item_tables import aligned, columns_in_order, unclicked_ids
from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_ID, ITEM_VIEW, Interactions, ItemTable
from prismrec.data.sequences import Sequences
from prismrec.data.views import ViewSettings, build_view
from prismrec.data.vocabulary import UUID_TYPE, Vocabulary
from prismrec.errors import ConfigError
from prismrec.graphs.edge_list import EdgeList
from prismrec.graphs.walks import WalkSettings, random_walks


def prepare_graph(
    edges: EdgeList,
    walks: WalkSettings,
    items: ItemTable | None = None,
    views: Mapping[str, str | ViewSettings] | None = None,
    keep_items_without_edges: bool = False,
) -> PreparedData:
    """Walk over a graph and prepare the walks for training.

    Args:
        edges: what `read_edge_list` gave.
        walks: how many, how long, where they lean.
        items: the item table, for views and side columns.
        views: view name -> column of the item table, or `ViewSettings`.
        keep_items_without_edges: give items that only the item table knows an index, at the end with count 0.

    Raises:
        ConfigError: views without an item table, or one called "item".
        DataError: the graph has no edge, ids of the two tables differ in type, or a view's column is missing.
    """
    chosen = {n: ViewSettings(column=v) if isinstance(v, str) else v for n, v in (views or {}).items()}
    _check_views(chosen, items)
    visited = random_walks(edges.graph, walks)
    vocabulary, sessions = _by_falling_visits(edges.nodes, visited)
    table = None if items is None else _on_one_engine(items, vocabulary).table
    n_without_edges = 0
    if table is not None and keep_items_without_edges:
        fresh = unclicked_ids(table, index_table(engine.backend_of(table), vocabulary, "item_index"))
        n_without_edges = len(fresh)
        vocabulary = _with_unvisited(vocabulary, fresh)
    built = {n: build_view(n, v, table, vocabulary, sessions, None) for n, v in chosen.items()}
    nobody = Vocabulary(pa.array([], pa.int64()), np.zeros(0, np.int64))
    columns = None if table is None else columns_in_order(table, vocabulary)
    report = {
        "edges": {**edges.notes, "nodes": edges.graph.n_nodes, "distinct": edges.graph.n_edges},
        "walks": {"settings": walks.model_dump(), "walks": len(sessions), "visits": len(sessions.values)},
        "items_without_edges": n_without_edges,
    }
    return PreparedData(vocabulary, sessions, nobody, Sequences.from_lists([]), built, columns, report)


def _check_views(views: Mapping[str, ViewSettings], items: ItemTable | None) -> None:
    if views and items is None:
        raise ConfigError(f"views ({', '.join(views)}) need an item table: give one, or leave the views out")
    if ITEM_VIEW in views:
        raise ConfigError(f"{ITEM_VIEW!r} is the view of the items themselves: give the side view another name")


def _by_falling_visits(nodes: Vocabulary, walks: Sequences) -> tuple[Vocabulary, Sequences]:
    """Renumber the nodes by how often they are walked over, so that hot rows lie together; ties keep their order."""
    visits = np.bincount(walks.values, minlength=len(nodes)).astype(np.int64)
    order = np.argsort(-visits, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return Vocabulary(nodes.ids.take(pa.array(order)), visits[order]), Sequences(place[walks.values], walks.offsets)


def _on_one_engine(items: ItemTable, vocabulary: Vocabulary) -> ItemTable:
    """The item table with its ids in the type of the graph's."""
    backend = engine.backend_of(items.table)
    ids = vocabulary.ids
    if ids.type == UUID_TYPE:
        ids = pa.ExtensionArray.from_storage(pa.uuid(), ids)
    return aligned(items, Interactions(engine.register(backend, pa.table({ITEM_ID: ids}))))


def _with_unvisited(vocabulary: Vocabulary, fresh: pa.Array) -> Vocabulary:
    ids = pa.concat_arrays([vocabulary.ids, fresh.cast(vocabulary.ids.type)])
    return Vocabulary(ids, np.concatenate([vocabulary.counts, np.zeros(len(fresh), np.int64)]))


__all__ = ["prepare_graph"]
