"""Types that Spark lacks: how their values lie in it, and what has no place at all."""

import uuid

import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.data.engines.spark_types import as_declared, as_stored, declared, kept_type, reads_directly, stored_type
from prismrec.errors import DataError

ID = uuid.UUID("0102030405060708090a0b0c0d0e0f10")


def test_uuids_are_text_and_unsigned_integers_decimals():
    table = pa.table({"id": pa.array([ID.bytes, None], pa.uuid()), "n": pa.array([2**64 - 1, None], pa.uint64())})
    stored = as_stored(table)
    assert stored["id"].to_pylist() == [str(ID), None]
    assert stored.schema.field("n").type == pa.decimal128(20, 0)
    schema = declared(table.schema, "the table")
    assert dict(schema.items()) == {"id": dt.uuid, "n": dt.uint64}
    found = as_declared(stored, schema)
    assert found["n"].to_pylist() == [2**64 - 1, None]
    assert found.schema.field("n").type == pa.uint64()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.large_string(), dt.string),
        (pa.dictionary(pa.int32(), pa.string()), dt.string),
        (pa.large_list(pa.int32()), dt.Array(dt.int32)),
        (pa.timestamp("ns", "Europe/Berlin"), dt.Timestamp("UTC")),
        (pa.timestamp("s"), dt.Timestamp()),
        (pa.binary(3), dt.binary),
        (pa.struct([("x", pa.uint8())]), dt.Struct({"x": dt.uint8})),
    ],
)
def test_declared_types_know_nothing_of_the_layout(kind, expected):
    assert declared(pa.schema([("x", kind)]), "the table")["x"] == expected


@pytest.mark.parametrize("kind", [pa.time32("s"), pa.duration("us"), pa.month_day_nano_interval()])
def test_types_without_a_place_are_refused_by_name(kind):
    with pytest.raises(DataError, match=r"log.parquet: column 'x' has type .* cannot hold: cast it, or leave it out"):
        declared(pa.schema([("x", kind)]), "log.parquet")


@pytest.mark.parametrize(
    ("kind", "kept", "stored"),
    [
        (dt.uuid, dt.uuid, dt.string),
        (dt.uint64, dt.uint64, dt.Decimal(20, 0)),
        (dt.json, dt.string, dt.string),
        (dt.Array(dt.uint64), dt.Array(dt.uint64), dt.Array(dt.Decimal(20, 0))),
        (dt.Timestamp("Asia/Tokyo", 9), dt.Timestamp("UTC"), dt.Timestamp("Asia/Tokyo", 6)),
        (dt.Int8(nullable=False), dt.int8, dt.Int8(nullable=False)),
    ],
)
def test_columns_of_another_engine(kind, kept, stored):
    assert (kept_type(kind, "column 'x'"), stored_type(kind)) == (kept, stored)
    with pytest.raises(DataError, match=r"^column 'x' has type time, which Spark cannot hold"):
        kept_type(dt.time, "column 'x'")


@pytest.mark.parametrize(
    ("column", "is_plain"),
    [
        (pa.array([1], pa.uint64()), True),
        (pa.array([["x"]]), True),
        (pa.array([1], pa.timestamp("ms")), True),
        (pa.array([ID.bytes], pa.uuid()), False),
        (pa.array([b"abc"], pa.binary(3)), False),
        (pa.array([1], pa.time64("us")), False),
        (pa.array([[1]], pa.list_(pa.timestamp("ns"))), False),
    ],
)
def test_what_spark_reads_from_parquet_itself(tmp_path, column, is_plain):
    pq.write_table(pa.table({"x": column}), tmp_path / "x.parquet")
    assert reads_directly(pq.read_metadata(tmp_path / "x.parquet")) == is_plain


def test_old_timestamps_of_spark_are_read_as_they_are(tmp_path):
    table = pa.table({"x": pa.array([1], pa.timestamp("ns"))})
    pq.write_table(table, tmp_path / "x.parquet", use_deprecated_int96_timestamps=True)
    assert reads_directly(pq.read_metadata(tmp_path / "x.parquet"))
