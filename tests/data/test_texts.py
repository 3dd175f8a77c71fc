"""Which texts are numbers and moments: the rule by examples, equal on both engines."""

import math
from typing import Any

import pyarrow as pa
import pytest

from prismrec.data import engine, texts

CON = engine.connect(threads=1)
NUMBERS = {
    "5": 5.0, "-1.50": -1.5, " 2e3 ": 2000.0, "+5": 5.0, ".5": 0.5, "5.": 5.0, "1E-2": 0.01, "-0": -0.0, "007": 7.0,
    "\t1": 1.0, "1.7976931348623157e308": 1.7976931348623157e308, "1e-400": 0.0,
    "NaN": math.nan, " nan": math.nan,
    "": None, " ": None, "0x1F": None, "1_000": None, "1,5": None, "inf": None, "-Infinity": None, "1e400": None,
    "1d": None, "1f": None, "e5": None, ".": None, "+": None, "1 2": None, "1\n": None, "\u0661": None, "\u00a01": None,
    "true": None, "None": None,
}  # fmt: skip
WHOLE = {
    "5": 5, "+5": 5, "-3": -3, " 7 ": 7, "007": 7, "-9223372036854775808": -(2**63), "9223372036854775807": 2**63 - 1,
    "9223372036854775808": None, "1.0": None, "1e3": None, "": None, "0x1F": None, "1_000": None, "one": None,
}  # fmt: skip
DAY = 1_577_836_800_000_000  # 2020-01-01
HOUR = 3_600_000_000
MOMENTS = {
    "2020-01-01": DAY, " 2020-01-01 ": DAY, "2020-1-2": DAY + 24 * HOUR, "2020/01/02": DAY + 24 * HOUR,
    "2020-01-01 10:00": DAY + 10 * HOUR, "2020-01-01T10:00:00": DAY + 10 * HOUR,
    "2020-01-01 1:2:3": DAY + 3_723_000_000,
    "2020-01-01 10:00:00.5": DAY + 10 * HOUR + 500_000, "2020-01-01 10:00:00.": DAY + 10 * HOUR,
    "2020-01-01 10:00:00.1234569": DAY + 10 * HOUR + 123_456,
    "2020-01-01T10:00:00.123456789Z": DAY + 10 * HOUR + 123_456,
    "2020-01-01T10:00:00Z": DAY + 10 * HOUR, "2020-01-01 10:00:00 UTC": DAY + 10 * HOUR,
    "2020-01-01 10:00:00 GMT": DAY + 10 * HOUR,
    "2020-01-01 10:00:00+05": DAY + 5 * HOUR, "2020-01-01 10:00:00-05:30": DAY + 15 * HOUR + HOUR // 2,
    "2020-01-01 10:00:00 +0530": DAY + 4 * HOUR + HOUR // 2, "2020-01-01 00:00+01": DAY - HOUR,
    "1000-01-01": -30_610_224_000_000_000, "9999-12-31 23:59:59.999999": 253_402_300_799_999_999,
    "2020-02-30": None, "2020-13-01": None, "2020": None, "2020-01": None, "2020-01-01 10": None, "10:00:00": None,
    "2020-01-01 24:00:00": None, "2020-01-01 10:00:60": None, "2020-01-01 10:00:00 Europe/Berlin": None,
    "2020-01/01": None, "epoch": None, "infinity": None, "now": None, "0999-01-01": None, "": None,
    "2020-01-01-05": None,
    "2020-01-01 10:00:00+25": None, "2020-01-01\n": None,
}  # fmt: skip


def read(backend, rule, given):
    table = engine.register(backend, pa.table({"n": range(len(given)), "text": given}))
    return engine.arrow(table.select("n", value=rule(table.text)).order_by("n"))["value"].to_pylist()


@pytest.mark.parametrize("engine_name", ["duckdb", "spark"])
@pytest.mark.parametrize("rule", ["number", "whole_number", "moment"])
def test_texts_are_read_by_one_rule(request, engine_name, rule):
    backend = CON if engine_name == "duckdb" else request.getfixturevalue("spark")
    expected: dict[str, Any] = {"number": NUMBERS, "whole_number": WHOLE, "moment": MOMENTS}[rule]  # type: ignore[assignment]
    found = read(backend, getattr(texts, rule), [*expected, None])
    told = {text: value for text, value in zip(expected, found, strict=False) if repr(value) != repr(expected[text])}
    assert told == {}
    assert found[-1] is None
