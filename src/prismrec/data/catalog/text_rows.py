"""The rows of small files that separate their fields by tabs, whatever mixture of encodings they are in."""

from __future__ import annotations

from pathlib import Path

from prismrec.errors import DataError


def rows_of(path: Path, n_fields: int, *, skip: int = 0) -> list[list[str]]:
    """The rows, each line decoded on its own: UTF-8, and where it is not that, Latin-1.

    Args:
        path: of the file; quotation marks in it are part of the text.
        n_fields: how many fields a row has.
        skip: so many lines at the top are no rows.

    Raises:
        DataError: a row has too few or too many fields; names file and row.
    """
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines()[skip:], start=skip + 1):
        fields = _text(line).split("\t")
        if len(fields) != n_fields:
            raise DataError(f"{path}, row {number}: expected {n_fields} fields separated by tabs, got {len(fields)}")
        rows.append(fields)
    return rows


def integers_of(path: Path, n_fields: int, *, skip: int = 0) -> list[list[int]]:
    """As `rows_of`, for rows of whole numbers.

    Raises:
        DataError: also where a field is none.
    """
    try:
        return [[int(field) for field in row] for row in rows_of(path, n_fields, skip=skip)]
    except ValueError as error:
        raise DataError(f"{path}: expected whole numbers separated by tabs: {error}") from error


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


__all__ = ["integers_of", "rows_of"]
