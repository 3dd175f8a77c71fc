"""Sharded preparation of a log at hand, and its comparison with the ordinary one."""

import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.preparation import checked_views, prepare
from prismrec.data.reading import connect, read_interactions, read_items
from prismrec.data.schema import InteractionColumns
from prismrec.data.sharded import read_shards, read_whole
from prismrec.data.sharded.job import ShardJob, Tables
from prismrec.data.sharded.preparation import prepare_sharded
from prismrec.data.training_data import training_data

DAY = 1_577_836_800

SMALL = [
    ("ann", "b", 0), ("ann", "a", 1), ("ann", "b", 2), ("ann", "c", 90), ("ann", "b", 95),
    ("bob", "d", 0), ("bob", "b", 5), ("bob", "b", 6), ("bob", "e", 500),
]  # fmt: skip
ITEMS = {"item_id": ["a", "b", "c", "d", "z"], "kind": ["x", "x", "y", None, "q"], "shop": [7, 8, 8, 9, 7]}


@pytest.fixture(scope="session")
def connection():
    return connect(threads=1)


@pytest.fixture(scope="session")
def log(connection):
    """`log(rows)` reads rows of (user, item, minute)."""

    def read(rows=tuple(SMALL), backend=None, **columns):
        users, items, minutes = zip(*rows, strict=True)
        times = [DAY + 60 * minute for minute in minutes]
        source = pa.table({"user_id": users, "item_id": items, "timestamp": times, **columns})
        named = InteractionColumns(**{name: name for name in columns})
        return read_interactions(source, named, max_bad_share=0.5, connection=backend or connection)

    return read


@pytest.fixture(scope="session")
def side(connection):
    """`side(item_id=[...], ...)` reads an item table."""

    def read(backend=None, **columns):
        return read_items(pa.table(columns or ITEMS), max_bad_share=0.5, connection=backend or connection)

    return read


@pytest.fixture(scope="session")
def shard():
    """`shard(folder, log, items, views, **job)` prepares in shards and gives the manifest.

    `identity` stands for the input: another one is another input.
    """

    def make(folder, log, items=None, views=None, *, identity="", tell=lambda text: None, **job):
        tables = Tables(
            lambda: (log, items), identity or uuid.uuid4().hex, "" if items is None else f"items {identity}"
        )
        chosen = checked_views(views or {}, has_items=items is not None)
        job.setdefault("shards", 3)
        return prepare_sharded(tables, log.table.get_backend(), ShardJob(Path(folder), views=chosen, **job), tell)

    return make


def equal(one, two):
    return np.array_equal(one.values, two.values) and np.array_equal(one.offsets, two.offsets)


@pytest.fixture(scope="session")
def same_data():
    """`same_data(one, two, kind)` fails unless both are equal, array for array and id for id."""

    def check(one, two, kind="sessions"):
        assert one.view_names == two.view_names
        for name in ("user", *two.view_names):
            before, after = (d.users if name == "user" else d.nodes(name) for d in (one, two))
            assert after.ids.equals(before.ids), name
            assert after.counts.tolist() == before.counts.tolist(), name
        assert equal(getattr(one, kind), getattr(two, kind))
        for name in two.views:
            assert equal(one.views[name].item_nodes, two.views[name].item_nodes), name
            if kind == "sessions":
                assert equal(one.views[name].sessions, two.views[name].sessions), name
        if two.item_columns is None:
            assert one.item_columns is None
        else:
            assert one.item_columns.to_pylist() == two.item_columns.to_pylist()

    return check


def filled(rows):
    return sorted(row for row in rows.to_lists() if row)


@pytest.fixture(scope="session")
def check(shard, same_data):
    """`check(folder, log, items, views, **job)`: the shards hold what `prepare` gives, read as a whole and by rank."""

    def compare(folder, log, items=None, views=None, **job):
        kind = job.get("sequences", "sessions")
        sessions = {"settings": job["sessions"]} if "sessions" in job else {}
        expected = prepare(log, items, views, base=job.get("base"), **sessions)
        manifest = shard(folder, log, items, views, **job)
        same_data(read_whole(folder, checksums=True), expected, kind)
        shared = {k: v for k, v in expected.report["prepared"].items() if k in manifest.report["prepared"]}
        assert {**manifest.report["prepared"], **shared} == manifest.report["prepared"]
        for part in ("input", "item_table", "unknown_items", "interactions", "activity", "sessions"):
            assert manifest.report[part] == expected.report[part], part
        wanted = training_data(expected, kind)
        whole = read_shards(folder, 0, 1, kind=kind)
        for view in wanted.view_names:
            assert whole.n_nodes[view] == wanted.n_nodes[view]
            assert whole.counts[view].tolist() == wanted.counts[view].tolist(), view
            assert filled(whole.sequences[view]) == filled(wanted.sequences[view]), view
        for view, edges in wanted.edges.items():
            assert [each.tolist() for each in whole.edges[view]] == [each.tolist() for each in edges]
            assert equal(whole.item_nodes[view], wanted.item_nodes[view])
        return expected, manifest

    return compare
