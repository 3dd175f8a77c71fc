"""Cut the data that ships inside the package out of the Complete Journey tables (CC0 1.0, 84.51°).

    python benchmarks/build_bundled_data.py FOLDER

FOLDER holds `products.csv.gz` and `transactions_sample_100k.csv.gz`: the product table of the R package
`completejourney`, and a random sample of 100,000 of its 1.47 M transaction rows. Written into
`src/prismrec/data/bundled/`: `clicks.parquet` with every row of the sample, and `items.parquet` with every product
that occurs in it and that the product table knows. R wrote a few round ids in exponent form (`9e+05`): all ids go
through exact decimals, never through a float.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BUNDLED = Path(__file__).resolve().parents[1] / "src" / "prismrec" / "data" / "bundled"
CLICK_IDS = ["household_id", "product_id", "basket_id", "store_id"]


def read_clicks(folder: Path) -> pa.Table:
    """All sample rows by household and time; rows of one basket share their second and keep the order of the source."""
    ids = ", ".join(f"cast(cast({name} as decimal(20, 0)) as bigint) as {name}" for name in CLICK_IDS)
    return duckdb.sql(
        f"""
        select {ids}, cast(transaction_timestamp as timestamp_ms) as transaction_timestamp,
               cast(cast(quantity as decimal(12, 2)) as integer) as quantity,
               cast(sales_value as double) as sales_value
        from (select *, row_number() over () as source_row from read_csv(?, all_varchar = true))
        order by household_id, transaction_timestamp, source_row
        """,
        params=[str(folder / "transactions_sample_100k.csv.gz")],
    ).to_arrow_table()


def read_items(folder: Path, clicks: pa.Table) -> pa.Table:
    """The products that occur in `clicks`, by id, each with a readable name first."""
    table = duckdb.sql(
        """
        select cast(cast(product_id as decimal(20, 0)) as bigint) as product_id, product_type, product_category,
               department, cast(manufacturer_id as integer) as manufacturer_id, brand, package_size
        from read_csv(?, all_varchar = true) order by 1
        """,
        params=[str(folder / "products.csv.gz")],
    ).to_arrow_table()
    occurs = pc.is_in(table["product_id"], value_set=clicks["product_id"].combine_chunks())
    table = table.filter(occurs)
    parts = (table[column].to_pylist() for column in ("product_category", "product_type", "package_size"))
    names = [readable_name(*row) for row in zip(*parts, strict=True)]
    return table.drop_columns(["package_size"]).add_column(1, "name", pa.array(names, pa.string()))


def readable_name(category: str | None, product_type: str | None, package_size: str | None) -> str | None:
    """A name a person can read; None where the source knows nothing.

    The source has no product names, only upper-case types such as `BREAD:ITALIAN/FRENCH` in categories such as
    `BREAD`. The category goes in front where the type alone does not repeat its first word.
    """
    words = [text for text in (category, product_type) if text]
    if not words:
        return None
    if len(words) == 2 and words[0].split()[0].rstrip("S") in words[1]:
        words = words[1:]
    name = re.sub(r"[^\W\d_]+", lambda word: word[0].capitalize(), ": ".join(words))
    name = re.sub(r":\s*", ": ", name)
    return f"{name}, {' '.join(package_size.split())}" if package_size else name


def write(table: pa.Table, path: Path) -> None:
    """One small Parquet file: integers as packed differences, the rest as dictionaries, zstd over both."""
    numbers = [f.name for f in table.schema if pa.types.is_integer(f.type) or pa.types.is_timestamp(f.type)]
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in table.column_names if name not in numbers],
        column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
        store_schema=False,
    )
    print(f"{path.name}: {len(table):,} rows, {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds products.csv.gz and transactions_sample_100k.csv.gz")
    folder = parser.parse_args().folder
    clicks = read_clicks(folder)
    write(clicks, BUNDLED / "clicks.parquet")
    write(read_items(folder, clicks), BUNDLED / "items.parquet")


if __name__ == "__main__":
    main()
