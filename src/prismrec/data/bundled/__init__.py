"""Real shopping data inside the package: where its two Parquet files lie once installed.

A cut of Complete Journey (84.51°, CC0 1.0; CREDITS.md beside this file): 100,000 purchases by 2,405 households of
23,950 products in 56,625 baskets over 2017. `clicks.parquet`: household_id, product_id, basket_id, store_id,
transaction_timestamp, quantity, sales_value, by household and time. `items.parquet`: product_id, name, product_type,
product_category, department, manufacturer_id, brand. Five of the products have no row in the item table, as in the
source. `benchmarks/build_bundled_data.py` made both.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from prismrec.errors import ArtifactError


@dataclass(frozen=True)
class BundledData:
    """Where the bundled tables lie."""

    clicks: Path
    items: Path


def bundled_paths() -> BundledData:
    """The paths of the bundled tables, in a source tree as in an installed wheel.

    Raises:
        ArtifactError: the installation lacks a file, or is a zip archive that was not unpacked.
    """
    folder = resources.files(__name__)
    if not isinstance(folder, Path):
        raise ArtifactError(f"the bundled data lies inside an archive ({folder}); install prismrec unpacked")
    data = BundledData(folder / "clicks.parquet", folder / "items.parquet")
    for path in (data.clicks, data.items):
        if not path.is_file():
            raise ArtifactError(f"the bundled data is incomplete: {path} is missing; install prismrec again")
    return data


__all__ = ["BundledData", "bundled_paths"]
