"""A profile says the same, whichever engine counts."""

import json
from datetime import UTC, datetime

import pyarrow as pa

from prismrec.data import engine
from prismrec.data.profile import profile
from prismrec.data.reading import read_interactions, read_items
from prismrec.data.schema import InteractionColumns

NOW = datetime(2021, 1, 1, tzinfo=UTC)


def test_a_profile_is_the_same_on_spark(spark):
    rows = [(f"u{n % 9}", f"i{n * n % 11}", 1_577_836_800 + 977 * n, float(n % 5 + 1)) for n in range(300)]
    users, items, times, ratings = zip(*rows, strict=True)
    clicks = pa.table({"user_id": users, "item_id": items, "timestamp": times, "rating": ratings})
    side = pa.table({"item_id": [f"i{n}" for n in range(12)], "kind": ["x", "y", None] * 4})
    columns = InteractionColumns(rating="rating")
    found, expected = (
        profile(
            read_interactions(clicks, columns, connection=backend),
            read_items(side, connection=backend),
            {"kind": "kind"},
            now=NOW,
        )
        for backend in (spark, engine.connect(threads=1))
    )
    assert plain(json.loads(found.to_json())) == plain(json.loads(expected.to_json()))


def plain(value):
    """Floats to 12 digits: engines add up in orders of their own."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value
