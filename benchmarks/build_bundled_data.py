"""Cut the data that ships inside the package out of the Complete Journey tables (CC0 1.0, 84.51°).

    python benchmarks/build_bundled_data.py FOLDER

FOLDER holds `products.csv.gz` and `transactions_sample_100k.csv.gz`: the product table of the R package
`completejourney`, and a random sample of 100,000 of its 1.47 M transaction rows. Written into
`src/prismrec/data/bundled/`: `clicks.parquet` with every row of the sample, and `items.parquet` with every product
that occurs in it and that the product table knows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from prismrec.data.catalog import complete_journey

BUNDLED = Path(__file__).resolve().parents[1] / "src" / "prismrec" / "data" / "bundled"


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
    tables = complete_journey.read(folder)
    occurs = pc.is_in(tables.items["product_id"], value_set=tables.clicks["product_id"].combine_chunks())
    write(tables.clicks, BUNDLED / "clicks.parquet")
    write(tables.items.filter(occurs), BUNDLED / "items.parquet")


if __name__ == "__main__":
    main()
