"""A small real log: the purchases of some households of the bundled data."""

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prismrec.data.bundled import bundled_paths
from prismrec.inputs import open_tables, read_tables
from prismrec.settings import demo_settings

FAST = ["training.epochs=3", "training.deterministic=true", "model.embedding_dim=8", "split.min_history=4"]


@pytest.fixture(scope="session")
def settings():
    """Of the demo, quick to train."""
    return demo_settings(FAST)


def _bought():
    paths = bundled_paths()
    clicks, items = pq.read_table(paths.clicks), pq.read_table(paths.items)
    clicks = clicks.filter(pc.is_in(clicks["household_id"], clicks["household_id"].unique()[:25]))
    return clicks, items.filter(pc.is_in(items["product_id"], clicks["product_id"]))


@pytest.fixture(scope="session")
def tables(settings):
    """Log and items of 25 households."""
    return read_tables(settings, *_bought())


@pytest.fixture(scope="session")
def raw_tables(settings):
    """The same, the log not cleaned."""
    return open_tables(settings, *_bought())
