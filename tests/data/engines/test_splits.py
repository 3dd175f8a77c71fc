"""Training rows and held-out queries are the same, whichever engine cuts the log."""

import pyarrow as pa
import pytest

from prismrec.data import engine
from prismrec.data.cold_items import cold_item
from prismrec.data.reading import read_interactions, read_items
from prismrec.data.schema import InteractionColumns
from prismrec.data.sessions import DEFAULTS, clean
from prismrec.data.splits import SplitSettings, split
from prismrec.data.views import ViewSettings

CON = engine.connect(threads=1)
ROWS = [(f"u{n % 7}", f"i{n * n % 11}", 1_577_836_800 + 60 * (n // 2) + 3000 * (n // 40)) for n in range(200)]


def log(backend):
    users, items, times = zip(*ROWS, strict=True)
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    return read_interactions(table, InteractionColumns(), connection=backend)


def plain(table):
    return sorted(engine.arrow(table).to_pylist(), key=repr)


@pytest.mark.parametrize("protocol", ["next_item", "next_in_session", "ratio", "kfold"])
def test_splits(spark, protocol):
    chosen = SplitSettings(protocol=protocol, n_folds=2, max_queries=20)
    found, expected = (next(split(clean(log(backend), DEFAULTS), chosen)) for backend in (spark, CON))
    assert found.queries.queries.to_pylist() == expected.queries.queries.to_pylist()
    assert dict(found.queries.left_out) == dict(expected.queries.left_out)
    assert plain(found.train.table) == plain(expected.train.table)


def test_withheld_items(spark):
    side = pa.table({"item_id": [f"i{n}" for n in range(11)], "kind": ["x", "y", None, "x"] * 2 + ["y"] * 3})
    views = {"kind": ViewSettings(column="kind")}
    found, expected = (
        cold_item(log(backend), read_items(side, connection=backend), views, SplitSettings(cold_share=0.4), DEFAULTS)
        for backend in (spark, CON)
    )
    assert found.withheld.ids.equals(expected.withheld.ids)
    assert found.queries.queries.to_pylist() == expected.queries.queries.to_pylist()
    assert plain(found.items.table) == plain(expected.items.table)
    assert plain(found.train.table) == plain(expected.train.table)
