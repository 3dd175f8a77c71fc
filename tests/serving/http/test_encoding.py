"""Whatever an item table holds can be written as JSON."""

import datetime as dt
import json
import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.serving.http.encoding import encoded


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (2**70, 2**70),
        (Decimal("1.50"), "1.50"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), "2026-01-02T03:04:05Z"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (b"\xff", "_w=="),
        ("half \ud800", "half \\ud800"),
        (dt.UTC, "UTC"),
        ({"a": [("\ud800",)]}, {"a": [["\\ud800"]]}),
        ({5: float("nan"), "half": "\ud800"}, {"5": None, "half": "\\ud800"}),
    ],
)
def test_what_json_has_no_type_for_becomes_null_or_text(value, written):
    assert json.loads(encoded({"value": value})) == {"value": written}


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
))  # fmt: skip
def test_what_json_has_comes_back_as_it_went(value):
    assert json.loads(encoded(value)) == value
