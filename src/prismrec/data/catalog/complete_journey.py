"""Complete Journey (84.51°): a year of grocery baskets of some 2,500 households.

Read from the CSV files that R's `write.csv` makes of the package's tables (`products`, `transactions` and, if there,
`demographics`), or from the cut inside this package. R writes a few round ids in exponent form (`9e+05`): ids go
through exact decimals, never through a float.
"""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from prismrec.data.catalog.dataset import Tables, find_file, find_optional

FILES = ("products.csv*", "transactions*.csv*", "demographics.csv*", "clicks.parquet", "items.parquet")
_CLICK_IDS = ("household_id", "product_id", "basket_id", "store_id")
_WHOLE = "cast(cast({0} as decimal(20, 0)) as bigint) as {0}"


def read(folder: Path) -> Tables:
    """Canonical tables from the CSV files, or from the bundled cut where the folder holds that."""
    cut = find_optional(folder, "clicks.parquet")
    if cut is not None:
        clicks, items = pq.read_table(cut), pq.read_table(find_file(folder, "items.parquet"))
        return Tables(clicks, items, notes=("The cut inside the package: a random sample of 100,000 rows.",))
    clicks = _read_clicks(find_file(folder, "transactions*.csv*"))
    people = find_optional(folder, "demographics.csv*")
    users = None if people is None else _read_users(people)
    return Tables(clicks, _read_items(find_file(folder, "products.csv*")), users)


def _read_clicks(path: Path) -> pa.Table:
    """All rows by household and time; rows of one basket share their second and keep the order of the source."""
    ids = ", ".join(_WHOLE.format(name) for name in _CLICK_IDS)
    return duckdb.sql(
        f"""
        select {ids}, cast(transaction_timestamp as timestamp_ms) as transaction_timestamp,
               cast(cast(quantity as decimal(12, 2)) as integer) as quantity, cast(sales_value as double) as sales_value
        from (select *, row_number() over () as source_row from read_csv(?, all_varchar = true, nullstr = ['', 'NA']))
        order by household_id, transaction_timestamp, source_row
        """,
        params=[str(path)],
    ).to_arrow_table()


def _read_items(path: Path) -> pa.Table:
    """All products by id, each with a readable name."""
    table = duckdb.sql(
        f"""
        select {_WHOLE.format("product_id")}, product_type, product_category, department,
               cast(manufacturer_id as integer) as manufacturer_id, brand, package_size
        from read_csv(?, all_varchar = true, nullstr = ['', 'NA']) order by 1
        """,
        params=[str(path)],
    ).to_arrow_table()
    parts = (table[column].to_pylist() for column in ("product_category", "product_type", "package_size"))
    names = [readable_name(*row) for row in zip(*parts, strict=True)]
    return table.drop_columns(["package_size"]).add_column(1, "name", pa.array(names, pa.string()))


def _read_users(path: Path) -> pa.Table:
    return duckdb.sql(
        f"""
        select {_WHOLE.format("household_id")}, * exclude (household_id)
        from read_csv(?, all_varchar = true, nullstr = ['', 'NA']) order by 1
        """,
        params=[str(path)],
    ).to_arrow_table()


def readable_name(category: str | None, product_type: str | None, package_size: str | None) -> str | None:
    """A name a person can read; None where the source knows nothing.

    The source has no product names, only upper-case types such as `BREAD:ITALIAN/FRENCH` in categories such as
    `BREAD`. The category goes in front where the type does not repeat its first word.

    >>> readable_name("CITRUS", "GRAPEFRUIT", "40 LB")
    'Citrus: Grapefruit, 40 LB'
    """
    words = [text for text in (category, product_type) if text]
    if not words:
        return None
    if len(words) == 2 and words[0].split()[0].rstrip("S") in words[1]:
        words = words[1:]
    name = re.sub(r"[^\W\d_]+", lambda word: word[0].capitalize(), ": ".join(words))
    name = re.sub(r":\s*", ": ", name)
    return f"{name}, {' '.join(package_size.split())}" if package_size else name


__all__ = ["FILES", "read", "readable_name"]
