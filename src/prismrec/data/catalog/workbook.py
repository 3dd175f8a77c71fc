"""Read the first sheet of an Excel workbook (Office Open XML) as a table, with nothing but the standard library.

Enough for data tables: shared and inline text, numbers, and dates as Excel's serial days. Formulas give their last
value; formats are ignored, so a date comes as a number unless its column is named in `DATE_COLUMNS`.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa

from prismrec.errors import DataError

DATE_COLUMNS = ("InvoiceDate",)
_NAMESPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_EPOCH = datetime(1899, 12, 30)  # day 0 of Excel's calendar, its 29 February 1900 taken into account


def read_sheet(path: Path) -> pa.Table:
    """The first sheet; its first row names the columns. Columns that mix numbers and text become text.

    Raises:
        DataError: it is not a workbook, or has no sheet or no rows.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            texts = _shared_texts(archive)
            with archive.open("xl/worksheets/sheet1.xml") as sheet:
                rows = list(_rows(sheet, texts))
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError) as error:
        raise DataError(f"{path} is not a readable workbook: {error}") from error
    if len(rows) < 2:
        raise DataError(f"{path}: the first sheet holds no rows below its header")
    names = [str(rows[0].get(place, "")) for place in range(1 + max(rows[0]))]
    return pa.table({name: _column(name, [row.get(place) for row in rows[1:]]) for place, name in enumerate(names)})


def _shared_texts(archive: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    with archive.open("xl/sharedStrings.xml") as file:
        root = ElementTree.parse(file).getroot()
    return ["".join(part.text or "" for part in entry.iter(f"{_NAMESPACE}t")) for entry in root]


def _rows(sheet: zipfile.ZipExtFile | object, texts: list[str]) -> Iterator[dict[int, float | str]]:
    """Rows as {column place: value}; each element is freed once read, so a sheet never lies in memory as a tree."""
    for _, element in ElementTree.iterparse(sheet):  # type: ignore[arg-type]
        if element.tag != f"{_NAMESPACE}row":
            continue
        cells = ((_place(cell.get("r", "")), _value(cell, texts)) for cell in element.iter(f"{_NAMESPACE}c"))
        yield {place: value for place, value in cells if value is not None}
        element.clear()


def _place(reference: str) -> int:
    """The 0-based column of a cell reference: A1 is 0, AA7 is 26."""
    letters = re.match(r"[A-Z]+", reference)
    if letters is None:
        raise DataError(f"a cell without a valid reference: {reference!r}")
    place = 0
    for letter in letters[0]:
        place = place * 26 + ord(letter) - ord("A") + 1
    return place - 1


def _value(cell: ElementTree.Element, texts: list[str]) -> float | str | None:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return "".join(part.text or "" for part in cell.iter(f"{_NAMESPACE}t"))
    raw = cell.findtext(f"{_NAMESPACE}v")
    if raw is None:
        return None
    if kind == "s":
        return texts[int(raw)]
    return float(raw) if kind == "n" else raw


def _column(name: str, values: list[float | str | None]) -> pa.Array:
    if name in DATE_COLUMNS:
        return pa.array([None if value is None else _date(value) for value in values], pa.timestamp("ms"))
    if any(isinstance(value, str) for value in values):
        return pa.array([_text(value) for value in values], pa.string())
    return pa.array(values, pa.float64())


def _date(serial: float | str) -> datetime:
    # a serial day is a double: 08:26 comes as 0.35138888..., so the nearest second is meant
    return _EPOCH + timedelta(seconds=round(float(serial) * 86_400))


def _text(value: float | str | None) -> str | None:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return value


__all__ = ["DATE_COLUMNS", "read_sheet"]
