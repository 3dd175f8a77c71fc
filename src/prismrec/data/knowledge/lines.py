"""Text files by lines, many at a time, and the rows of them that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from prismrec.data.quarantine import FILE, REASON, ROW_JSON
from prismrec.data.schema import ROW
from prismrec.errors import DataError

BLOCK_BYTES = 1 << 24
"""Text that is in memory as lines at a time."""


@dataclass(frozen=True)
class BadRow:
    """A row that is set aside: why, of which file, which row of it (from 1; None in a table), and its text."""

    reason: str
    file: str
    row: int | None
    text: str


@dataclass
class Reading:
    """What was counted while files were read; every reader adds to it.

    Attributes:
        n_rows: rows seen, bad ones included.
        bad: those set aside.
        notes: further counts by name, in the order in which they came up.
    """

    n_rows: int = 0
    bad: list[BadRow] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def by_reason(self) -> dict[str, int]:
        """How many rows are bad, and why, the most frequent reason first."""
        counts: dict[str, int] = {}
        for row in self.bad:
            counts[row.reason] = counts.get(row.reason, 0) + 1
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def check(self, max_bad_share: float) -> None:
        """Go on up to a share of bad rows.

        Raises:
            DataError: there are more; gives counts by reason and the first bad row.
        """
        if len(self.bad) <= max_bad_share * self.n_rows:
            return
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in self.by_reason().items())
        first = self.bad[0]
        place = first.file if first.row is None else f"{first.file} row {first.row}"
        raise DataError(
            f"{len(self.bad):,} of {self.n_rows:,} rows of the knowledge graph are bad "
            f"({len(self.bad) / self.n_rows:.1%}, max_bad_share is {max_bad_share:.1%}): {reasons}. First: {place}: "
            f"{first.reason}: {first.text}. Mend the input, or raise max_bad_share"
        )

    def table(self) -> pa.Table:
        """The bad rows with the columns of every quarantine."""
        return pa.table(
            {
                REASON: pa.array([row.reason for row in self.bad], pa.string()),
                FILE: pa.array([row.file for row in self.bad], pa.string()),
                ROW: pa.array([row.row for row in self.bad], pa.int64()),
                ROW_JSON: pa.array([row.text for row in self.bad], pa.string()),
            }
        )


@dataclass(frozen=True)
class Lines:
    """Neighbouring lines of one file.

    Attributes:
        file: its path.
        rows: int64: the row of each line in the file, from 1.
        texts: string: the lines, without what ends them.
    """

    file: str
    rows: pa.Array
    texts: pa.Array

    def where(self, mask: pa.Array) -> Lines:
        """Those lines for which the mask is true."""
        return Lines(self.file, self.rows.filter(mask), self.texts.filter(mask))

    def set_aside(self, mask: pa.Array, reason: str, reading: Reading) -> None:
        """Put the lines for which the mask is true into quarantine."""
        bad = self.where(mask)
        pairs = zip(bad.rows.to_pylist(), bad.texts.to_pylist(), strict=True)
        reading.bad.extend(BadRow(reason, self.file, row, text) for row, text in pairs)


def read_lines(path: Path, reading: Reading, *, skip: int = 0) -> Iterator[Lines]:
    """The lines of a text file (.gz too) that hold something, in blocks; lines that are no UTF-8 are set aside.

    Args:
        skip: so many lines at the top are no rows, such as a header or a count.

    Raises:
        DataError: the file cannot be read.
    """
    first = 1
    for block in _whole_lines(path):
        texts, broken = _decoded(block)
        rows = range(first, first + len(texts))
        for place in broken:
            if rows[place] > skip:
                reading.n_rows += 1
                reading.bad.append(BadRow("malformed line: not UTF-8", str(path), rows[place], repr(block[place])))
        first += len(texts)
        lines = Lines(str(path), pa.array(rows, pa.int64()), pc.utf8_rtrim(pa.array(texts, pa.string()), "\r"))
        filled = pc.and_(pc.greater(lines.rows, skip), pc.not_equal(pc.utf8_trim_whitespace(lines.texts), ""))
        lines = lines.where(filled.fill_null(False))
        reading.n_rows += len(lines.rows)
        yield lines


def first_line(path: Path) -> str:
    """The first line that holds something; empty where none does.

    Raises:
        DataError: the file cannot be read.
    """
    for block in _whole_lines(path):
        for text in _decoded(block)[0]:
            if text and text.strip():
                return text.rstrip("\r")
    return ""


def _whole_lines(path: Path) -> Iterator[list[bytes]]:
    rest = b""
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            while chunk := stream.read(BLOCK_BYTES):
                *whole, rest = (rest + chunk).split(b"\n")
                if whole:
                    yield whole
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if rest:
        yield [rest]


def _decoded(lines: Sequence[bytes]) -> tuple[list[str | None], list[int]]:
    """Lines as text, None where they are no UTF-8, and the places of those."""
    try:
        texts: list[str | None] = [*b"\n".join(lines).decode("utf-8-sig").split("\n")]
        return texts, []
    except UnicodeDecodeError:
        texts = [_text(line) for line in lines]
        return texts, [place for place, text in enumerate(texts) if text is None]


def _text(line: bytes) -> str | None:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return None


__all__ = ["BLOCK_BYTES", "BadRow", "Lines", "Reading", "first_line", "read_lines"]
