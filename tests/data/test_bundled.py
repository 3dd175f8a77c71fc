"""The data inside the package: whole, small, credited, and with the ids of its source."""

import csv
import gzip
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from prismrec.data.bundled import bundled_paths
from prismrec.errors import ArtifactError

SOURCE = Path(__file__).parents[2] / ".." / "shared" / "data" / "completejourney"


def source_rows(name):
    path = SOURCE / name
    if not path.exists():
        pytest.skip(f"the source of the bundled data is not here: {path}")
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def whole(text):
    """An integer as R wrote it, `9e+05` among them."""
    return int(Decimal(text))


@pytest.fixture(scope="module")
def clicks():
    return pq.read_table(bundled_paths().clicks)


@pytest.fixture(scope="module")
def items():
    return pq.read_table(bundled_paths().items)


def test_both_files_together_take_at_most_two_megabytes():
    paths = bundled_paths()
    assert paths.clicks.stat().st_size + paths.items.stat().st_size <= 2_000_000


def test_credits_name_source_and_licence():
    credits = (bundled_paths().clicks.parent / "CREDITS.md").read_text()
    assert "84.51°" in credits
    assert "CC0 1.0" in credits


def test_counts_are_those_of_the_sample(clicks, items):
    distinct = {name: len(clicks[name].unique()) for name in ("household_id", "product_id", "basket_id", "store_id")}
    assert clicks.num_rows == 100_000
    assert distinct == {"household_id": 2405, "product_id": 23_950, "basket_id": 56_625, "store_id": 308}
    known = set(items["product_id"].to_pylist())
    assert len(known) == items.num_rows == 23_945
    assert len(set(clicks["product_id"].to_pylist()) - known) == 5


def test_views_have_the_known_number_of_values(items):
    counts = {name: len(items[name].drop_null().unique()) for name in ("product_type", "product_category")}
    assert counts == {"product_type": 1770, "product_category": 291}
    assert len(items["manufacturer_id"].drop_null().unique()) == 2651


def test_clicks_are_ordered_by_household_and_time(clicks):
    keys = list(zip(clicks["household_id"].to_pylist(), clicks["transaction_timestamp"].to_pylist(), strict=True))
    assert keys == sorted(keys)


def test_every_click_is_a_row_of_the_source_unchanged(clicks):
    names = ["household_id", "product_id", "basket_id", "store_id"]
    expected = sorted(
        (*(whole(row[name]) for name in names), row["transaction_timestamp"], float(row["sales_value"]))
        for row in source_rows("transactions_sample_100k.csv.gz")
    )
    times = [time.isoformat(sep=" ") for time in clicks["transaction_timestamp"].to_pylist()]
    columns = [clicks[name].to_pylist() for name in names]
    assert sorted(zip(*columns, times, clicks["sales_value"].to_pylist(), strict=True)) == expected


def test_every_item_is_a_row_of_the_source_unchanged(items):
    names = ["product_type", "product_category", "department", "manufacturer_id", "brand"]
    source = {whole(row["product_id"]): row for row in source_rows("products.csv.gz")}
    for item in items.to_pylist():
        row = source[item["product_id"]]
        found = ["NA" if item[name] is None else str(item[name]) for name in names]
        assert found == [row[name] or "NA" for name in names]


def test_an_id_that_the_source_wrote_as_a_float_keeps_its_digits(clicks):
    assert 40_128_000_000 in clicks["basket_id"].to_pylist()  # 4.0128e+10 in the source


def test_names_are_readable(items):
    names = dict(zip(items["product_id"].to_pylist(), items["name"].to_pylist(), strict=True))
    assert names[876_932] == "Paper And Foam Drinking Cups, 51 CT"  # the category repeats in the type
    assert names[877_368] == "Citrus: Grapefruit"


def test_a_missing_file_is_a_clear_error(tmp_path, monkeypatch):
    (tmp_path / "clicks.parquet").touch()
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    with pytest.raises(ArtifactError, match=r"items\.parquet is missing; install prismrec again"):
        bundled_paths()


def test_an_archive_is_a_clear_error(monkeypatch):
    monkeypatch.setattr("importlib.resources.files", lambda _: "prismrec.zip/data")
    with pytest.raises(ArtifactError, match=r"inside an archive \(prismrec\.zip/data\)"):
        bundled_paths()
