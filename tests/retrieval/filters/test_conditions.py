"""Values against conditions, without any items: types, conversions, and a plain definition in Python."""

import datetime as dt
import time
import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.errors import DataError
from prismrec.retrieval.filters.conditions import ValueType, condition_masks, converted, stored_values, value_type
from prismrec.retrieval.request import Condition


def comparable(arrow: pa.DataType) -> ValueType:
    found = value_type(arrow)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("arrow", "kind", "stored"),
    [
        (pa.bool_(), "truth", pa.bool_()),
        (pa.int8(), "integer", pa.int64()),
        (pa.uint64(), "integer", pa.uint64()),
        (pa.float16(), "number", pa.float32()),
        (pa.float64(), "number", pa.float64()),
        (pa.decimal128(9, 2), "number", pa.float64()),
        (pa.string(), "text", pa.large_string()),
        (pa.string_view(), "text", pa.large_string()),
        (pa.dictionary(pa.int32(), pa.string()), "text", pa.large_string()),
        (pa.null(), "text", pa.large_string()),
        (pa.date32(), "time", pa.int64()),
        (pa.date64(), "time", pa.int64()),
        (pa.timestamp("ns", "UTC"), "time", pa.int64()),
        (pa.uuid(), "uuid", pa.binary(16)),
        (pa.binary(16), "uuid", pa.binary(16)),
    ],
)
def test_every_comparable_type_has_a_kind_and_a_stored_type(arrow, kind, stored):
    found = comparable(arrow)
    assert (found.kind, found.stored) == (kind, stored)
    assert stored_values(pa.nulls(2, arrow), found).type == stored


@pytest.mark.parametrize("arrow", [pa.struct([("a", pa.int64())]), pa.binary(), pa.time64("us"), pa.duration("s")])
def test_other_types_have_none(arrow):
    assert value_type(arrow) is None


@pytest.mark.parametrize(
    ("arrow", "expected"),
    [
        (pa.date32(), 1),
        (pa.timestamp("s"), 86400 + 1),
        (pa.timestamp("ms"), 86401500),
        (pa.timestamp("ns"), 86401500000000),
    ],
)
def test_times_become_ticks_of_the_column_rounded_down(arrow, expected):
    kind = comparable(arrow)
    moment = dt.datetime(1970, 1, 2, 0, 0, 1, 500_000)
    for value in (moment, moment.isoformat(), moment.replace(tzinfo=dt.UTC), moment.isoformat() + "Z"):
        assert converted([value], kind, str).to_pylist() == [expected]


def test_conversion_names_what_cannot_be_converted():
    kind = comparable(pa.int64())
    with pytest.raises(DataError, match=r"value 1 must be a number \(int64\), got 'two'"):
        converted([1, "two"], kind, lambda place: f"value {place}")
    assert converted([1.0, None], kind, str).to_pylist() == [1, None]
    assert converted([str(uuid.UUID(int=3))], comparable(pa.uuid()), str).to_pylist() == [uuid.UUID(int=3).bytes]


NUMBERS = st.one_of(st.integers(-5, 5), st.integers(-(2**70), 2**70), st.floats(-6, 6))


@given(
    column=st.lists(st.none() | st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1), max_size=8),
    any_of=st.none() | st.lists(NUMBERS, max_size=3),
    none_of=st.lists(NUMBERS, max_size=3),
    low=st.none() | NUMBERS,
    high=st.none() | NUMBERS,
)
def test_integers_are_compared_as_python_compares_them(column, any_of, none_of, low, high):
    kind = comparable(pa.int64())
    condition = Condition(any_of=any_of, none_of=none_of, min=low, max=high)
    found = condition_masks(pa.array(column, pa.int64()), kind, condition, "column 'n'")
    if any_of is None:
        assert found.any_of is None
    else:
        assert np.asarray(found.any_of).tolist() == [value in any_of for value in column]
    if none_of:
        assert np.asarray(found.none_of).tolist() == [value in none_of for value in column]
    else:
        assert found.none_of is None
    if low is None and high is None:
        assert found.between is None
    else:
        expected = [
            value is not None and (low is None or low <= value) and (high is None or value <= high) for value in column
        ]
        assert np.asarray(found.between).tolist() == expected


@given(
    column=st.lists(st.none() | st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 4)), max_size=8),
    low=st.none() | st.dates(dt.date(2020, 1, 1), dt.date(2020, 1, 4)),
    high=st.none() | st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 4)),
    days=st.lists(st.dates(dt.date(2020, 1, 1), dt.date(2020, 1, 4)), max_size=2),
)
def test_moments_are_compared_as_python_compares_them(column, low, high, days):
    arrow = pa.timestamp("us")
    condition = Condition(
        any_of=[day.isoformat() for day in days],
        min=low.isoformat() if low else None,
        max=high.isoformat(timespec="microseconds") if high else None,
    )
    kind = comparable(arrow)
    found = condition_masks(stored_values(pa.array(column, arrow), kind), kind, condition, "column 'at'")
    assert np.asarray(found.any_of).tolist() == [value is not None and value.date() in days for value in column]
    if low or high:
        inside = [
            value is not None and (not low or value.date() >= low) and (not high or value <= high) for value in column
        ]
        assert np.asarray(found.between).tolist() == inside


MOMENTS = st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 9)).map(
    lambda moment: moment.replace(microsecond=0)
)


@given(
    column=st.lists(st.none() | MOMENTS, max_size=12),
    days=st.lists(st.dates(dt.date(2020, 1, 1), dt.date(2020, 1, 9)), max_size=5),
    moments=st.lists(MOMENTS, max_size=5),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
)
def test_days_and_moments_are_found_in_one_look(column, days, moments, unit):
    kind, values = comparable(pa.timestamp(unit)), pa.array(column, pa.timestamp(unit))
    asked = [
        *(day.isoformat() for day in days),
        *(moment.isoformat() for moment in moments),
        "0001-01-01",
        "9999-12-31",
    ]
    found = condition_masks(stored_values(values, kind), kind, Condition(any_of=asked), "column 'at'").any_of
    expected = [value is not None and (value.date() in days or value in moments) for value in column]
    assert np.asarray(found).tolist() == expected


def test_a_thousand_days_cost_hardly_more_than_one():
    kind = comparable(pa.date32())
    values = stored_values(pa.array(np.arange(200_000) % 20_000, pa.int32()).cast(pa.date32()), kind)
    days = [(dt.date(1970, 1, 1) + dt.timedelta(days=2 * day)).isoformat() for day in range(1000)]
    started = time.process_time()
    found = condition_masks(values, kind, Condition(any_of=days), "column 'day'").any_of
    assert time.process_time() - started < 0.3
    assert found is not None
    assert np.flatnonzero(found).tolist() == [i for i in range(200_000) if i % 20_000 < 2000 and i % 2 == 0]
