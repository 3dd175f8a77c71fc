"""Planted logs: a few rows on an engine, with times in seconds."""

import pyarrow as pa
import pytest

from prismrec.data import engine
from prismrec.data.schema import Interactions, ItemTable


@pytest.fixture
def backend():
    return engine.connect(threads=1)


@pytest.fixture
def make_log(backend):
    """Build `Interactions` from (user, item, seconds) rows and further columns."""

    def make(rows, time_unit="us", **columns):
        users, items, seconds = zip(*rows, strict=True)
        times = list(seconds) if time_unit == "order" else [round(second * 1_000_000) for second in seconds]
        table = pa.table(
            {
                "user_id": list(users),
                "item_id": list(items),
                "timestamp": pa.array(times, pa.int64()),
                "source_row": pa.array(range(1, len(rows) + 1), pa.int64()),
                **columns,
            }
        )
        return Interactions(engine.register(backend, table), time_unit=time_unit)

    return make


@pytest.fixture
def make_items(backend):
    """Build an `ItemTable` from columns."""

    def make(**columns):
        return ItemTable(engine.register(backend, pa.table(columns)))

    return make
