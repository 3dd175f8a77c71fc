"""Online Retail (UCI 352): a year of invoices of a British gift shop.

Left out of the clicks, and counted in the notes: lines without a customer, cancellations and other returns (not a
purchase), and lines that are no product (postage, bank charges, ...). What an item is called and costs is taken from
its first sale, so that nothing later than a split reaches the item table.
"""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pyarrow as pa

from prismrec.data.catalog.dataset import Tables, find_file
from prismrec.data.catalog.workbook import read_sheet
from prismrec.errors import DataError

FILES = ("Online Retail.xlsx", "online_retail*.parquet")
NOT_PRODUCTS = ("POST", "DOT", "M", "m", "C2", "D", "S", "B", "CRUK", "BANK CHARGES", "AMAZONFEE")
"""Stock codes of the source that are postage, fees, manual corrections, discounts, samples and the like."""

_COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
_ROWS = """
    create temp table lines as
    select row_number() over () as source_row, cast(InvoiceNo as varchar) as invoice_no,
           trim(cast(StockCode as varchar)) as stock_code, nullif(trim(Description), 'nan') as description,
           cast(Quantity as integer) as quantity, cast(InvoiceDate as timestamp_ms) as invoice_date,
           cast(UnitPrice as double) as unit_price, cast(cast(CustomerID as decimal(12, 0)) as bigint) as customer_id,
           Country as country
    from source
"""
_KINDS = """
    select case when customer_id is null then 'without a customer'
                when invoice_no like 'C%' or quantity <= 0 then 'cancelled or returned'
                when list_contains(?, stock_code) then 'postage, fees and other lines that are no product'
                else '' end
"""
_CLICKS = """
    select customer_id, stock_code, invoice_date, invoice_no, quantity, unit_price
    from kinds where kind = '' order by customer_id, invoice_date, source_row
"""
_ITEMS = """
    select stock_code, arg_min(description, source_row) filter (description <> '') as name,
           upper(stock_code[:3]) as code_prefix, arg_min(unit_price, source_row) as price
    from kinds where kind = '' group by stock_code order by stock_code
"""
_USERS = """
    select customer_id, arg_min(country, source_row) as country
    from kinds where kind = '' group by customer_id order by customer_id
"""


def read(folder: Path) -> Tables:
    """Canonical tables: clicks by customer and time with their invoice, items with code prefix, word and price band."""
    with duckdb.connect() as connection:
        source = _source(find_file(folder, "online_retail*.parquet", "Online Retail.xlsx"))
        connection.register("source", source)
        connection.execute(_ROWS)
        connection.execute(f"create temp table kinds as select *, ({_KINDS}) as kind from lines", [NOT_PRODUCTS])
        clicks, items, users = (connection.sql(query).to_arrow_table() for query in (_CLICKS, _ITEMS, _USERS))
        return Tables(clicks, _with_words(items), users, _notes(connection))


def _source(path: Path) -> pa.Table:
    table = duckdb.read_parquet(str(path)).to_arrow_table() if path.suffix == ".parquet" else read_sheet(path)
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise DataError(f"{path}: column {missing[0]!r} is missing; it has {', '.join(table.column_names)}")
    return table


def _notes(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    totals = "select count(*), count(distinct customer_id), count(distinct stock_code) from lines"
    rows, customers, codes = connection.sql(totals).fetchall()[0]
    left_out = connection.sql(
        "select kind, count(*) from kinds where kind <> '' group by kind order by kind"
    ).fetchall()
    read_all = f"Read {rows:,} lines of {customers:,} customers and {codes:,} stock codes."
    return (read_all, *(f"Left out {count:,} lines: {kind}." for kind, count in left_out))


def _with_words(items: pa.Table) -> pa.Table:
    """Add the last word of the name (mostly the noun: HOLDER, LANTERN, BAG) and a price band; the price itself goes."""
    words = [last_word(name) for name in items["name"].to_pylist()]
    bands = [price_band(price) for price in items["price"].to_pylist()]
    table = items.drop_columns(["price"]).append_column("word", pa.array(words, pa.string()))
    return table.append_column("price_band", pa.array(bands, pa.string()))


def last_word(name: str | None) -> str | None:
    """The last word of three letters or more, its plural s taken off.

    >>> last_word("PACK OF 72 RETROSPOT CAKE CASES")
    'CASE'
    """
    words = re.findall(r"[A-Z]{3,}", (name or "").upper())
    if not words:
        return None
    word = str(words[-1])
    return word[:-1] if word.endswith("S") and not word.endswith("SS") and len(word) > 3 else word


def price_band(price: float) -> str:
    """The band of a price in pounds; each is about twice the one below.

    >>> price_band(2.55)
    '2 to 5'
    """
    for low, high in ((0, 1), (1, 2), (2, 5), (5, 10), (10, 20)):
        if price < high:
            return f"{low} to {high}"
    return "20 and more"


__all__ = ["FILES", "NOT_PRODUCTS", "last_word", "price_band", "read"]
