"""Online Retail by hand: which lines are purchases, and what an item is called before anything later is known."""

from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.data.catalog import online_retail
from prismrec.data.catalog.online_retail import last_word, price_band
from prismrec.errors import DataError

NAMES = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
DAY = datetime(2011, 3, 1, 8, 26)
LINES = [
    ("536365", "85123A", "nan", 6, DAY, 2.55, 17850.0, "France"),
    ("536366", "85123A", "WHITE HANGING HEART T-LIGHT HOLDERS", 6, DAY.replace(day=3), 9.0, 12346.0, "Norway"),
    ("536367", "22", "RED MUG", 1, DAY.replace(day=2), 0.5, 17850.0, "Spain"),
    ("C536368", "22", "RED MUG", -1, DAY, 0.5, 17850.0, "France"),
    ("536369", "22", "RED MUG", 1, DAY, 0.5, None, "France"),
    ("536370", "POST", "POSTAGE", 1, DAY, 18.0, 17850.0, "France"),
]


@pytest.fixture
def tables(tmp_path):
    columns = dict(zip(NAMES, zip(*LINES, strict=True), strict=True))
    pq.write_table(
        pa.table({name: list(values) for name, values in columns.items()}), tmp_path / "online_retail.parquet"
    )
    return online_retail.read(tmp_path)


def test_clicks_are_purchases_by_known_customers_in_time_order(tables):
    rows = [(row["customer_id"], row["stock_code"], row["invoice_date"].day) for row in tables.clicks.to_pylist()]
    assert rows == [(12346, "85123A", 3), (17850, "85123A", 1), (17850, "22", 2)]
    assert pa.types.is_int64(tables.clicks["customer_id"].type)


def test_what_was_left_out_is_counted_by_reason(tables):
    assert tables.notes == (
        "Read 6 lines of 2 customers and 3 stock codes.",
        "Left out 1 lines: cancelled or returned.",
        "Left out 1 lines: postage, fees and other lines that are no product.",
        "Left out 1 lines: without a customer.",
    )


def test_items_take_name_and_price_from_their_first_sale(tables):
    assert tables.items.to_pylist() == [
        {"stock_code": "22", "name": "RED MUG", "code_prefix": "22", "word": "MUG", "price_band": "0 to 1"},
        {
            "stock_code": "85123A",
            "name": "WHITE HANGING HEART T-LIGHT HOLDERS",  # the first that is not missing
            "code_prefix": "851",
            "word": "HOLDER",
            "price_band": "2 to 5",
        },
    ]


def test_customers_have_their_first_country(tables):
    assert tables.users.to_pylist() == [
        {"customer_id": 12346, "country": "Norway"},
        {"customer_id": 17850, "country": "France"},
    ]


@pytest.mark.parametrize(
    ("name", "word"),
    [("PINK GLASS", "GLASS"), ("SET/6 OF 2", "SET"), (None, None), ("5 X 7", None), ("red pens ", "PEN")],
)
def test_the_last_word_is_singular(name, word):
    assert last_word(name) == word


@pytest.mark.parametrize(
    ("price", "band"), [(0, "0 to 1"), (0.99, "0 to 1"), (1, "1 to 2"), (5, "5 to 10"), (20, "20 and more")]
)
def test_price_bands_begin_at_their_lower_end(price, band):
    assert price_band(price) == band


def test_a_missing_column_is_named(tmp_path):
    pq.write_table(pa.table({"InvoiceNo": ["1"]}), tmp_path / "online_retail.parquet")
    with pytest.raises(DataError, match=r"column 'StockCode' is missing; it has InvoiceNo"):
        online_retail.read(tmp_path)
