"""Every kind of time column ends as the same microseconds, or as an error that says what to set."""

import datetime as dt

import pyarrow as pa
import pytest

from prismrec.data import engine
from prismrec.data.timestamps import read_moments
from prismrec.errors import DataError

CON = engine.connect(threads=1)
SECONDS = 1_577_836_800  # 2020-01-01 UTC
MICROS = SECONDS * 1_000_000
MOMENT = dt.datetime(2020, 1, 1)


def read(values, unit="auto", kind=None):
    """(values, bad flags, note) of a column."""
    table = engine.register(CON, pa.table({"t": pa.array(values, kind)}))
    moments = read_moments(table, "t", unit, "log.csv", 0.05)
    bad = moments.missing | moments.unparsable | moments.impossible
    rows = engine.arrow(table.select(value=moments.value, bad=bad))
    return rows["value"].to_pylist(), rows["bad"].to_pylist(), moments


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([SECONDS], "epoch seconds"),
        ([SECONDS * 1_000], "epoch milliseconds"),
        ([MICROS], "epoch microseconds"),
        ([MICROS * 1_000], "epoch nanoseconds"),
        ([float(SECONDS)], "epoch seconds"),
        ([str(SECONDS)], "epoch seconds"),
        ([f"{MICROS}000"], "epoch nanoseconds"),
        ([f"{SECONDS}.0"], "epoch seconds"),
        ([MOMENT], "datetimes"),
        ([MOMENT.date()], "datetimes"),
        ([MOMENT.replace(tzinfo=dt.UTC)], "datetimes"),
        (["2020-01-01"], "datetimes"),
        (["2020-01-01T00:00:00Z"], "datetimes"),
        (["2020-01-01 02:00:00+02:00"], "datetimes"),
        (["2020-01-01T02:30+0230"], "datetimes"),
        (["2019-12-31 19:00:00.000-05"], "datetimes"),
    ],
)
def test_all_kinds_of_times_are_one_moment(values, name):
    found, bad, moments = read(values)
    assert (found, bad) == ([MICROS], [False])
    assert name in moments.note
    assert moments.time_unit == "us"


def test_fractions_of_a_second_are_kept_to_the_microsecond():
    assert read([SECONDS + 0.25])[0] == [MICROS + 250_000]
    assert read([f"{SECONDS}.123456"])[0] == [MICROS + 123_456]
    assert read(["2020-01-01 00:00:00.123456"])[0] == [MICROS + 123_456]
    assert read([SECONDS * 1000 + 7])[0] == [MICROS + 7_000]


def test_nanosecond_datetimes_and_zones_are_read():
    assert read([MICROS * 1000 + 400], kind=pa.timestamp("ns"))[0] == [MICROS]
    assert read([MICROS], kind=pa.timestamp("us", tz="Asia/Tokyo"))[0] == [MICROS]


@pytest.mark.parametrize(
    ("values", "bad"),
    [
        ([SECONDS] * 40 + [-5], "impossible"),
        ([SECONDS] * 40 + [9_999_999_999], "impossible"),
        ([MOMENT, dt.datetime(1956, 1, 1)], "impossible"),
        ([MOMENT, dt.datetime(2150, 1, 1)], "impossible"),
        (["2020-01-01", "2020-13-45"], "unparsable"),
        ([str(SECONDS)] * 40 + ["soon"], "unparsable"),
        ([MOMENT, None], "missing"),
        (["2020-01-01", ""], "missing"),
    ],
)
def test_bad_times_are_flagged_and_only_they(values, bad):
    found, flags, _ = read(values)
    assert flags == [False] * (len(values) - 1) + [True]
    table = engine.register(CON, pa.table({"t": values}))
    moments = read_moments(table, "t", "auto", "log.csv", 0.05)
    assert engine.arrow(table.select(x=getattr(moments, bad)))["x"].to_pylist()[-1] is True
    assert found[0] == MICROS


def test_huge_numbers_are_impossible_and_no_overflow():
    values, bad, _ = read([SECONDS, 2**63 - 1], "s")
    assert values == [MICROS, None]
    assert bad == [False, True]


@pytest.mark.parametrize("values", [[1, 2, 3], [20_200_101], [SECONDS, SECONDS * 1000], ["1", "2"]])
def test_a_unit_that_cannot_be_told_must_be_given(values):
    with pytest.raises(
        DataError, match=r"log\.csv: cannot tell the unit .* column 't' \(from .*\): set timestamp_unit to s"
    ):
        read(values)


def test_a_given_unit_is_not_second_guessed():
    values, bad, moments = read([SECONDS * 1000], "s")
    assert (values, bad) == ([None], [True])
    assert moments.note == "timestamps read as epoch seconds, as given"


@pytest.mark.parametrize("values", [[3, 1, 2], ["3", "1", "2"], [3.0, 1.0, 2.0]])
def test_an_order_keeps_its_numbers(values):
    found, bad, moments = read(values, "order")
    assert (found, bad) == ([3, 1, 2], [False] * 3)
    assert moments.time_unit == "order"


def test_an_order_between_whole_numbers_is_unparsable():
    assert read([1.0, 1.5], "order")[1] == [False, True]


def test_an_order_of_datetimes_keeps_their_order():
    found, _, moments = read([MOMENT, dt.datetime(1956, 1, 1)], "order")
    assert found[0] > found[1]
    assert moments.time_unit == "order"


def test_a_unit_against_the_type_is_refused():
    with pytest.raises(DataError, match=r"column 't' holds datetimes, but timestamp_unit is 's'"):
        read([MOMENT], "s")
    with pytest.raises(DataError, match=r"column 't' holds numbers, but timestamp_unit is 'datetime'"):
        read([SECONDS], "datetime")
    with pytest.raises(DataError, match="type boolean, which is no time"):
        read([True])
