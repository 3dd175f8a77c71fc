"""The same rules on two engines: what Spark prepares is what DuckDB prepares, id for id and array for array."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from prismrec.data import engine
from prismrec.data.preparation import prepare
from prismrec.data.quarantine import ROW_JSON
from prismrec.data.rating_bounds import RatingSettings
from prismrec.data.reading import read_interactions, read_items
from prismrec.data.schema import InteractionColumns
from prismrec.data.sequences import Sequences
from prismrec.data.sessions import SessionSettings
from prismrec.data.views import ViewSettings
from prismrec.errors import DataError
from prismrec.inputs import open_tables, prepare_log
from prismrec.settings import demo_settings

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
DAY = 1_577_836_800
CON = engine.connect(threads=1)


def assert_same_rows(found, expected):
    assert isinstance(found, Sequences)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.offsets, expected.offsets)


def assert_same_vocabulary(found, expected):
    assert found.ids.type == expected.ids.type
    assert found.ids.equals(expected.ids)
    np.testing.assert_array_equal(found.counts, expected.counts)


def quarantined(data):
    """The rows set aside, in an order of their own, JSON as what it says."""
    rows = {name: engine.arrow(table).to_pylist() for name, table in data.quarantine.items()}
    read = {name: [{**row, ROW_JSON: json_of(row[ROW_JSON])} for row in found] for name, found in rows.items()}
    return {name: sorted(found, key=repr) for name, found in read.items()}


def json_of(text):
    try:
        return json.loads(text)
    except ValueError:
        return text  # a malformed line is kept as it came


def assert_same(found, expected):
    """All of two preparations is equal."""
    assert_same_vocabulary(found.items, expected.items)
    assert_same_vocabulary(found.users, expected.users)
    assert_same_rows(found.sessions, expected.sessions)
    assert_same_rows(found.histories, expected.histories)
    assert found.view_names == expected.view_names
    for name, view in expected.views.items():
        assert_same_vocabulary(found.views[name].nodes, view.nodes)
        assert_same_rows(found.views[name].item_nodes, view.item_nodes)
        assert_same_rows(found.views[name].sessions, view.sessions)
    assert (found.item_columns is None) == (expected.item_columns is None)
    if expected.item_columns is not None:
        assert found.item_columns.to_pylist() == expected.item_columns.to_pylist()
        assert found.item_columns.column_names == expected.item_columns.column_names
    assert found.report == expected.report
    assert quarantined(found) == quarantined(expected)


@pytest.mark.slow
def test_the_bundled_data(spark, spark_settings):
    expected = prepare_log(*open_tables(demo_settings()), demo_settings())
    chosen = demo_settings(["engine=spark"]).model_copy(update={"spark": spark_settings})
    found = prepare_log(*open_tables(chosen), chosen)
    assert_same(found, expected)
    assert found.item_columns.schema.equals(expected.item_columns.schema)
    assert found.report["prepared"]["clicks_in_histories"] > 50_000


def prepared(backend, table, items, views, sessions, columns, unit, base=None):
    """What comes of a log on one engine: training data, or the words of the error."""
    try:
        log = read_interactions(table, columns, timestamp_unit=unit, max_bad_share=0.9, connection=backend)
        side = None if items is None else read_items(items, max_bad_share=0.9, connection=backend)
        return prepare(log, side, views, sessions, base=base)
    except DataError as error:
        return str(error)


IDS = {
    "text": st.sampled_from(["a", "b", "B", "é", "a b", "\u5b57", "0", "007", ""]),
    "number": st.one_of(st.integers(-3, 5), st.sampled_from([2**62, -(2**63)])),
    "unsigned": st.sampled_from([0, 1, 2, 2**64 - 1, 2**63]),
    "uuid": st.sampled_from([bytes([b]) * 16 for b in (0, 1, 127, 128, 255)]),
}
TYPES = {"text": pa.string(), "number": pa.int64(), "unsigned": pa.uint64(), "uuid": pa.uuid()}
MINUTES = {
    "integer": st.integers(0, 400),
    "text": st.sampled_from(["2020-01-01", "2020-01-01 00:20", "2020-01-01T00:40:00Z", "2020-1-1 1:5", "no", ""]),
    "moment": st.integers(0, 400),
}


def moments(draw, kind, n):
    values = draw(st.lists(st.none() | MINUTES[kind], min_size=n, max_size=n))
    if kind == "integer":
        return pa.array([None if v is None else DAY + 60 * v for v in values], pa.int64())
    if kind == "moment":
        return pa.array([None if v is None else (DAY + 60 * v) * 1_000_000 + 5 for v in values], pa.timestamp("us"))
    return pa.array(values, pa.string())


VIEWS: dict[str, str | ViewSettings] = {
    "kind": "kind",
    "code": ViewSettings(column="code", prefix=2),
    "genre": ViewSettings(column="genres", separator="|"),
    "tag": "tags",
    "shop": "shop",
}


@st.composite
def logs(draw):
    """A small log with ties, missing values and bad rows, an item table, and settings that cut deep."""
    n = draw(st.integers(30, 80))
    user, item = draw(st.sampled_from(list(IDS))), draw(st.sampled_from(list(IDS)))

    def of(length, values, kind):
        return pa.array(draw(st.lists(values, min_size=length, max_size=length)), kind)

    def column(kind, length):
        return of(length, st.none() | IDS[kind], TYPES[kind])

    time = draw(st.sampled_from(list(MINUTES)))
    dwell = st.sampled_from([None, 0.5, 2.0, 3.5, -1.0, float("nan"), float("inf")])
    table = {"user_id": column(user, n), "item_id": column(item, n), "timestamp": moments(draw, time, n)}
    table["dwell"] = of(n, dwell, pa.float64())
    table["rating"] = of(n, st.sampled_from(["1", " 2.5 ", "x", "", "1e1", "nan", "inf"]), pa.string())
    table["session"] = column("text", n)
    named = {name: name for name in draw(st.sets(st.sampled_from(["dwell", "rating", "session"])))}
    m = draw(st.integers(0, 8))
    tags = st.lists(st.none() | st.sampled_from(["p", "q", ""]), max_size=3)
    side = {
        "item_id": column(item, m),
        "kind": column("text", m),
        "code": of(m, st.sampled_from([None, "ab1", "ab2", "é字x"]), pa.string()),
        "genres": of(m, st.sampled_from([None, "p | q", "q|", "|", "p.q|p"]), pa.string()),
        "tags": of(m, st.none() | tags, pa.list_(pa.string())),
        "shop": of(m, st.none() | st.integers(0, 3), pa.int32()),
    }
    sessions = SessionSettings(
        min_session_length=draw(st.integers(1, 2)),
        max_session_length=draw(st.integers(1, 4)),
        min_item_interactions=draw(st.integers(1, 2)),
        min_user_interactions=draw(st.integers(1, 2)),
        max_user_interactions=draw(st.sampled_from([0, 8])),
        collapse_repeats=draw(st.booleans()),
        keep_unclicked_items=draw(st.booleans()),
        unknown_items=draw(st.sampled_from(["keep", "quarantine"])),
    )
    unit = draw(st.sampled_from(["auto", "order"])) if time == "integer" else "auto"
    views = draw(st.sets(st.sampled_from(sorted(VIEWS)), max_size=2)) if m else ()  # each costs Spark ten jobs
    chosen = {name: VIEWS[name] for name in sorted(views)}
    return pa.table(table), pa.table(side) if m else None, chosen, sessions, InteractionColumns(**named), unit


few = settings(max_examples=3, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
"""Each example is a hundred jobs of Spark, and shrinking takes minutes."""


@pytest.mark.slow
@few
@given(case=logs())
def test_random_logs(spark, case):
    expected = prepared(CON, *case)
    assume(not isinstance(expected, str))
    found = prepared(spark, *case)
    assert not isinstance(found, str), found
    assert_same(found, expected)


@pytest.mark.slow
@few
@given(case=logs())
def test_random_logs_that_are_refused(spark, case):
    expected = prepared(CON, *case)
    assume(isinstance(expected, str))
    assert prepared(spark, *case) == expected


@pytest.mark.slow
def test_online_retail_with_invoices_as_sessions_and_bad_rows(spark):
    table = pq.read_table(the("online-retail/online_retail_2010-12_2011-12.parquet"))
    customers = table["CustomerID"].cast(pa.int64())  # floats in the file, which are no ids
    table = table.set_column(table.schema.get_field_index("CustomerID"), "CustomerID", customers)
    columns = InteractionColumns(user="CustomerID", item="StockCode", time="InvoiceDate", session="InvoiceNo")
    chosen = SessionSettings(min_item_interactions=5, min_user_interactions=5)
    both = [
        prepare(read_interactions(table, columns, max_bad_share=0.5, connection=backend), settings=chosen)
        for backend in (spark, CON)
    ]
    assert_same(*both)
    assert both[0].report["input"]["bad_by_reason"] == {"missing user id": 135_080}


@pytest.mark.slow
def test_ml_1m_with_several_genres_per_film(spark):
    path = the("ml-1m/ratings.parquet")
    lines = (line.split("::") for line in the("ml-1m/movies.dat").read_text("latin-1").splitlines())
    films = pa.table(
        list(map(pa.array, zip(*((int(i), title, genres) for i, title, genres in lines), strict=True))),
        names=["movie_id", "title", "genres"],
    )
    columns = InteractionColumns(user="user_id", item="movie_id", time="timestamp", rating="rating")
    views: dict[str, str | ViewSettings] = {"genre": ViewSettings(column="genres", separator="|")}
    both = [
        prepare(
            read_interactions(path, columns, connection=backend),
            read_items(films, "movie_id", connection=backend),
            views,
        )
        for backend in (spark, CON)
    ]
    assert_same(*both)
    assert (len(both[0].users), len(both[0].items)) == (6_040, 3_706)


def test_dislikes_and_bounds_of_ratings(spark):
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "user_id": rng.integers(0, 60, 3000),
            "item_id": rng.integers(0, 80, 3000),
            "rating": rng.integers(1, 6, 3000).astype(float),
            "timestamp": np.sort(rng.integers(0, 10**7, 3000)) + 10**9,
        }
    )
    bounds = RatingSettings(min_user_deviation=1.3, max_item_deviation=1.55)
    both = [
        prepare(
            read_interactions(table, InteractionColumns(rating="rating"), connection=backend),
            settings=SessionSettings(min_rating=3),
            ratings=bounds,
        )
        for backend in (spark, CON)
    ]
    assert_same(*both)
    assert_same_rows(*(data.disliked for data in both))
    assert min(both[0].report["ratings"].values()) > 0, "both bounds should leave something out"


def the(name):
    """A file of the real data, or no test."""
    if not (DATA / name).is_file():
        pytest.skip(f"the real data are not at {DATA / name}")
    return DATA / name
