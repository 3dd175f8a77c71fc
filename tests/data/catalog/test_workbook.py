"""A workbook written by hand, part by part, and read back."""

import zipfile
from datetime import datetime

import pytest

from prismrec.data.catalog.workbook import read_sheet
from prismrec.errors import DataError

SPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
TEXTS = f"<sst {SPACE}><si><t>StockCode</t></si><si><r><t>8512</t></r><r><t>3A</t></r></si></sst>"


def workbook(path, rows, texts=TEXTS):
    with zipfile.ZipFile(path, "w") as archive:
        if texts:
            archive.writestr("xl/sharedStrings.xml", texts)
        archive.writestr("xl/worksheets/sheet1.xml", f"<worksheet {SPACE}><sheetData>{rows}</sheetData></worksheet>")
    return path


def test_text_numbers_dates_and_gaps_are_read(tmp_path):
    head = '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>InvoiceDate</t></is></c>'
    head += '<c r="C1" t="str"><v>UnitPrice</v></c></row>'
    first = (
        '<row r="2"><c r="A2" t="s"><v>1</v></c><c r="B2"><v>40513.351388888892</v></c><c r="C2"><v>2.55</v></c></row>'
    )
    second = '<row r="3"><c r="A3"><v>71053</v></c><c r="C3"><v>3</v></c></row>'
    table = read_sheet(workbook(tmp_path / "w.xlsx", head + first + second))
    assert table.to_pydict() == {
        "StockCode": ["85123A", "71053"],  # a column that mixes text and numbers is text, without a decimal point
        "InvoiceDate": [datetime(2010, 12, 1, 8, 26), None],
        "UnitPrice": [2.55, 3.0],
    }


def test_columns_past_z_keep_their_place(tmp_path):
    head = '<row><c r="A1" t="str"><v>first</v></c><c r="AA1" t="str"><v>last</v></c></row>'
    body = '<row><c r="AA2"><v>7</v></c></row>'
    table = read_sheet(workbook(tmp_path / "w.xlsx", head + body, texts=""))
    assert table["last"].to_pylist() == [7.0]


def test_a_sheet_without_rows_is_an_error(tmp_path):
    with pytest.raises(DataError, match="holds no rows below its header"):
        read_sheet(workbook(tmp_path / "w.xlsx", '<row><c r="A1"><v>1</v></c></row>'))


def test_a_cell_without_reference_is_an_error(tmp_path):
    with pytest.raises(DataError, match="a cell without a valid reference: '1'"):
        read_sheet(workbook(tmp_path / "w.xlsx", '<row><c r="1"><v>1</v></c></row>'))


def test_something_else_than_a_workbook_is_an_error(tmp_path):
    (tmp_path / "w.xlsx").write_text("not a zip")
    with pytest.raises(DataError, match="is not a readable workbook"):
        read_sheet(tmp_path / "w.xlsx")
    with zipfile.ZipFile(tmp_path / "v.xlsx", "w") as archive:
        archive.writestr("other.txt", "")
    with pytest.raises(DataError, match="is not a readable workbook"):
        read_sheet(tmp_path / "v.xlsx")
