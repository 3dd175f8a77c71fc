"""What the engines call by different names means the same on both."""

import math

import pyarrow as pa
import pytest

from prismrec.data import engine
from prismrec.data.engines.functions import finite, hexadecimal, microseconds, parts, quotient, unhex


@pytest.fixture(params=["duckdb", "spark"])
def backend(request):
    return engine.connect(threads=1) if request.param == "duckdb" else request.getfixturevalue("spark")


def evaluated(backend, values, kind, function):
    table = engine.register(backend, pa.table({"n": range(len(values)), "x": pa.array(values, kind)}))
    return engine.arrow(table.select("n", y=function(table.x)).order_by("n"))["y"].to_pylist()


def test_microseconds_of_dates_and_moments(backend):
    assert evaluated(backend, [1, -1, None], pa.date32(), microseconds) == [86_400_000_000, -86_400_000_000, None]
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        assert evaluated(backend, [1, -1, None], kind, microseconds) == [1, -1, None]


def test_quotients_are_exact_beyond_53_bits(backend):
    values = [1_600_000_000_000_000_999, 1_600_000_000_000_001_000, -1_999, None]
    expected = [1_600_000_000_000_000, 1_600_000_000_000_001, -1, None]
    assert evaluated(backend, values, pa.int64(), lambda x: quotient(x, 1_000)) == expected


def test_parts_are_cut_at_the_very_text(backend):
    assert evaluated(backend, ["a|b", "|", "", None], pa.string(), lambda x: parts(x, "|")) == [
        ["a", "b"], ["", ""], [""], None,
    ]  # fmt: skip
    assert evaluated(backend, ["a.*b.c"], pa.string(), lambda x: parts(x, ".*")) == [["a", "b.c"]]


def test_finite_numbers(backend):
    values = [1.5, -1.7976931348623157e308, math.inf, -math.inf, math.nan, None]
    assert evaluated(backend, values, pa.float64(), finite) == [*values[:2], None, None, None, None]


def test_bytes_as_digits_and_back(backend):
    assert evaluated(backend, [b"\x00\xff", b"", None], pa.binary(), hexadecimal) == ["00FF", "", None]
    assert evaluated(backend, ["00ff", None], pa.string(), unhex) == [b"\x00\xff", None]
