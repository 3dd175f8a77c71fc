"""Bad rows are set aside with the reason, the file and the row; they are counted, and too many of them are an error.

A table and an expression that gives each row's reason (null for a good row) become two lazy tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa

from prismrec.data import engine
from prismrec.data.engines.functions import finite, hexadecimal
from prismrec.data.schema import ROW
from prismrec.data.sources import PLACE, Source
from prismrec.errors import DataError
from prismrec.files import whole_file

REASON = "reason"
FILE = "file"
ROW_JSON = "row"

_REASON = "prismrec_reason"


@dataclass(frozen=True)
class Split:
    """The rows of an input, parted.

    Attributes:
        good: the input's columns without the bad rows.
        bad: reason, file, source_row (1-based within the file, header not counted), row (JSON); None if there are none.
        n_rows: all rows, malformed lines included.
        by_reason: how many rows are bad, and why.
    """

    good: Any
    bad: Any
    n_rows: int
    by_reason: dict[str, int]

    @property
    def n_bad(self) -> int:
        """Rows set aside."""
        return sum(self.by_reason.values())


def split(source: Source, reasons: Sequence[tuple[Any, str]], max_bad_share: float) -> Split:
    """Part good rows from bad ones.

    Args:
        reasons: (condition, reason) pairs; the first condition that holds names a bad row's reason.
        max_bad_share: the run goes on up to this share of bad rows.

    Raises:
        DataError: the input is empty, or more rows are bad than allowed: gives counts by reason and the first bad row.
    """
    reason = ibis.cases(*reasons, else_=ibis.null("string"))
    counted = engine.few_rows(source.table.select(reason=reason).group_by("reason").aggregate(n=lambda t: t.count()))
    counts = {entry["reason"]: entry["n"] for entry in counted.to_pylist()}
    n_good = counts.pop(None, 0)
    for line in source.malformed:
        counts[line.reason] = counts.get(line.reason, 0) + 1
    by_reason = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    n_bad = sum(by_reason.values())
    if n_good + n_bad == 0:
        raise DataError(f"{source.name} is empty: it has columns but no rows")
    if not n_bad:
        return Split(source.table, None, n_good, {})
    bad = _bad_rows(source, reason)
    if n_bad > max_bad_share * (n_good + n_bad):
        raise DataError(_too_many(source.name, bad, n_good + n_bad, by_reason, max_bad_share))
    marked = source.table.mutate(**{_REASON: reason})  # a column first: Spark filters by no window
    return Split(marked.filter(marked[_REASON].isnull()).drop(_REASON), bad, n_good + n_bad, by_reason)


def row_json(table: Any, columns: Iterable[str]) -> Any:
    """Each row as the text of a JSON object: times as text, bytes as hexadecimal digits, NaN and infinity as null."""
    return ibis.struct({column: _json_value(table[column]) for column in columns}).cast("json").cast("string")


def write_quarantine(bad: Any, path: Path) -> None:
    """Write bad rows to one Parquet file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        engine.write_parquet(bad, temporary)


def _json_value(value: Any) -> Any:
    """A value of a type that every engine writes in one way."""
    kind = value.type()
    if kind.is_floating() or kind.is_decimal():
        return finite(value.cast("float64"))
    if kind.is_timestamp():
        text = value.cast("timestamp").cast("string")
        return text + "+00" if kind.timezone else text
    if kind.is_date() or kind.is_uuid():
        return value.cast("string")
    return hexadecimal(value) if kind.is_binary() else value


def _bad_rows(source: Source, reason: Any) -> Any:
    table = source.table
    files = engine.register(
        engine.backend_of(table),
        pa.table(
            {
                FILE: [f.name for f in source.files],
                "first": pa.array([f.first for f in source.files], pa.int64()),
                "next": pa.array([f.first for f in source.files[1:]] + [2**62], pa.int64()),
            }
        ),
    )
    row = row_json(table, [c for c in table.columns if c != PLACE])
    marked = table.mutate(reason=reason, row=row).select("reason", "row", PLACE)
    bad = marked.filter(marked.reason.notnull())
    located = bad.join(files, [bad[PLACE] >= files.first, bad[PLACE] < files.next])
    rows = located.select(REASON, FILE, **{ROW: located[PLACE] - located.first + 1}, row=located.row)
    return rows if not source.malformed else rows.union(_malformed_rows(source), distinct=False)


def _malformed_rows(source: Source) -> Any:
    lines = source.malformed
    table = pa.table(
        {
            REASON: [line.reason for line in lines],
            FILE: [line.file for line in lines],
            ROW: pa.array([line.row for line in lines], pa.int64()),
            ROW_JSON: [line.text for line in lines],
        }
    )
    return engine.register(engine.backend_of(source.table), table)


def _too_many(name: str, bad: Any, n_rows: int, by_reason: dict[str, int], max_bad_share: float) -> str:
    first = engine.one_row(bad.order_by([FILE, ROW]).limit(1))
    n_bad = sum(by_reason.values())
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in by_reason.items())
    return (
        f"{n_bad:,} of {n_rows:,} rows of {name} are bad ({n_bad / n_rows:.1%}, max_bad_share is {max_bad_share:.1%}): "
        f"{reasons}. First: {first[FILE]} row {first[ROW]}: {first[REASON]}: {first[ROW_JSON]}. "
        "Mend the input, or raise max_bad_share"
    )


__all__ = ["FILE", "REASON", "ROW_JSON", "Split", "row_json", "split", "write_quarantine"]
