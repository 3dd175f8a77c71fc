"""Sums of integers come back as ints, whatever the engine widened them to."""

import datetime

import pyarrow as pa

from prismrec.data import engine
from prismrec.data.profile.aggregates import all_rows, one_row


def test_a_sum_of_integers_is_an_int(backend):
    table = engine.register(backend, pa.table({"n": [2**40, 1]}))
    row = one_row(table.aggregate(total=table.n.sum(), flags=(table.n > 1).sum(), mean=table.n.mean()))
    assert row == {"total": 2**40 + 1, "flags": 1, "mean": (2**40 + 1) / 2}
    assert {name: type(value) for name, value in row.items()} == {"total": int, "flags": int, "mean": float}


def test_other_values_stay_what_they_are(backend):
    values = {
        "text": ["x"],
        "day": [datetime.date(2020, 1, 1)],
        "none": pa.array([None], pa.string()),
        "list": [[1, 2]],
    }
    (row,) = all_rows(engine.register(backend, pa.table(values)))
    assert row == {"text": "x", "day": datetime.date(2020, 1, 1), "none": None, "list": [1, 2]}
