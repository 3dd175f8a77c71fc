"""Types that Spark lacks, and how their values lie in it: every table keeps the type it was declared with.

| declared | in Spark | why |
|---|---|---|
| uuid | text of 36 characters | sorts alike; `encoding.storable` makes its 16 bytes |
| uint64 | decimal(20, 0) | the largest integer has 64 bits with a sign |
| uint32, uint16, uint8 | the next wider signed type | |
| timestamp of any unit | microseconds | rounded by DuckDB, as it does when it reads them |

What has no place at all (times of day, intervals, ...) is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.parquet as pq

from prismrec.errors import DataError

_UINT64 = pa.decimal128(20, 0)

_PLAIN = (
    pa.types.is_integer, pa.types.is_float32, pa.types.is_float64, pa.types.is_boolean, pa.types.is_date32,
    pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary,
    pa.types.is_decimal128, pa.types.is_null,
)  # fmt: skip
"""What Spark reads from Parquet as it is."""


def declared(schema: pa.Schema, where: str) -> ibis.Schema:
    """The types of an Arrow table or a Parquet file, free of how they are laid out in memory.

    Raises:
        DataError: names the column that Spark cannot hold.
    """
    return ibis.schema({field.name: _declared(field.type, f"{where}: column {field.name!r}") for field in schema})


def kept_type(kind: Any, where: str) -> Any:
    """The type that a column from another engine is declared with.

    Raises:
        DataError: Spark cannot hold it; `where` names the column.
    """
    if kind.is_timestamp():
        return dt.Timestamp("UTC" if kind.timezone else None)
    if kind.is_json():
        return dt.string
    if kind.is_array():
        return dt.Array(kept_type(kind.value_type, where))
    if kind.is_struct():
        return dt.Struct({name: kept_type(each, where) for name, each in kind.fields.items()})
    spark_type(kind, where)
    return kind.copy(nullable=True)


def stored_type(kind: Any) -> Any:
    """The type that a column of a declared type has in the Parquet files that Spark reads."""
    if kind.is_uuid() or kind.is_json():
        return dt.string
    if kind.is_uint64():
        return dt.Decimal(20, 0)
    if kind.is_null():
        return dt.int32
    if kind.is_timestamp():
        return dt.Timestamp(kind.timezone, 6)
    if kind.is_array():
        return dt.Array(stored_type(kind.value_type))
    if kind.is_struct():
        return dt.Struct({name: stored_type(each) for name, each in kind.fields.items()})
    return kind


def spark_type(kind: Any, where: str = "a column") -> Any:
    """Spark's type for a declared one."""
    from pyspark.sql import types

    if kind.is_timestamp():
        return types.TimestampType() if kind.timezone else types.TimestampNTZType()
    if kind.is_decimal():
        return types.DecimalType(kind.precision or 38, kind.scale or 0)
    if kind.is_array():
        return types.ArrayType(spark_type(kind.value_type, where))
    if kind.is_map():
        return types.MapType(spark_type(kind.key_type, where), spark_type(kind.value_type, where))
    if kind.is_struct():
        return types.StructType([types.StructField(n, spark_type(t, where)) for n, t in kind.fields.items()])
    plain: Mapping[type, Any] = {
        dt.Boolean: types.BooleanType(), dt.Int8: types.ByteType(), dt.Int16: types.ShortType(),
        dt.Int32: types.IntegerType(), dt.Int64: types.LongType(), dt.UInt8: types.ShortType(),
        dt.UInt16: types.IntegerType(), dt.UInt32: types.LongType(), dt.UInt64: types.DecimalType(20, 0),
        dt.Float32: types.FloatType(), dt.Float64: types.DoubleType(), dt.String: types.StringType(),
        dt.JSON: types.StringType(), dt.UUID: types.StringType(), dt.Binary: types.BinaryType(),
        dt.Date: types.DateType(), dt.Null: types.IntegerType(),
    }  # fmt: skip
    found = plain.get(type(kind))
    if found is None:
        raise DataError(f"{where} has type {kind}, which Spark cannot hold: cast it, or leave it out")
    return found


def spark_schema(schema: ibis.Schema) -> Any:
    """Spark's schema for declared types."""
    from pyspark.sql import types

    return types.StructType([types.StructField(name, spark_type(kind)) for name, kind in schema.items()])


def reads_directly(metadata: pq.FileMetaData) -> bool:
    """Whether Spark reads every column of a Parquet file without a loss."""
    physical = {
        metadata.schema.column(i).path: metadata.schema.column(i).physical_type for i in range(metadata.num_columns)
    }
    return all(
        _is_plain(field.type) or physical.get(field.name) == "INT96" for field in metadata.schema.to_arrow_schema()
    )


def as_declared(table: pa.Table, schema: ibis.Schema) -> pa.Table:
    """Rows that came out of Spark, in the Arrow types that DuckDB would have given."""
    columns = [table.column(name).cast(_arrow_type(kind)) for name, kind in schema.items()]
    return pa.table(columns, names=list(schema.names))


def as_stored(table: pa.Table) -> pa.Table:
    """An Arrow table in types that Spark reads from Parquet."""
    return pa.table([_stored(table.column(i)) for i in range(table.num_columns)], names=table.column_names)


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_plain(kind.value_type)
    if pa.types.is_struct(kind):
        return all(_is_plain(field.type) for field in kind)
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    if pa.types.is_timestamp(kind):
        return kind.unit in ("us", "ms")
    return any(is_such(kind) for is_such in _PLAIN)


def _declared(kind: pa.DataType, where: str) -> Any:
    if isinstance(kind, pa.UuidType):
        return dt.uuid
    if pa.types.is_dictionary(kind):
        return _declared(kind.value_type, where)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return dt.Array(_declared(kind.value_type, where))
    if pa.types.is_struct(kind):
        return dt.Struct({field.name: _declared(field.type, where) for field in kind})
    if pa.types.is_timestamp(kind):
        return dt.Timestamp("UTC" if kind.tz else None)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return dt.string
    if pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind):
        return dt.binary
    try:
        found = dt.DataType.from_pyarrow(kind)
    except (NotImplementedError, ValueError, KeyError) as error:
        raise DataError(f"{where} has type {kind}, which Spark cannot hold: cast it, or leave it out") from error
    spark_type(found, where)
    return found


def _arrow_type(kind: Any) -> pa.DataType:
    if kind.is_uuid() or kind.is_json():
        return pa.string()
    if kind.is_array():
        return pa.list_(_arrow_type(kind.value_type))
    if kind.is_timestamp():
        return pa.timestamp("us", kind.timezone)
    return kind.to_pyarrow()


def _stored(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if isinstance(kind, pa.UuidType):
        return _uuid_text(column)
    if pa.types.is_dictionary(kind):
        return _stored(column.cast(kind.value_type))
    if pa.types.is_uint64(kind):
        return column.cast(_UINT64)
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz))
    if pa.types.is_null(kind):
        return column.cast(pa.int32())
    if pa.types.is_fixed_size_binary(kind):
        return column.cast(pa.binary())
    return column


def _uuid_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    texts = [None if value is None else str(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


__all__ = [
    "as_declared",
    "as_stored",
    "declared",
    "kept_type",
    "reads_directly",
    "spark_schema",
    "spark_type",
    "stored_type",
]
