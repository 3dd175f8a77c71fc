"""Triples in files: head, relation and tail of every row as texts.

| form | files | a row |
|---|---|---|
| `tsv` | any | head, relation, tail between tabs; between spaces where the first line has no tab |
| `ntriples` | `.nt` | `<head> <relation> <tail> .`; literals are labels where the relation says so |
| `openke` | `train2id.txt`, `entity2id.txt`, `relation2id.txt` | head, tail, relation as numbers; counts come first |
| `kgat` | `kg_final.txt`, `entity_list.txt`, `relation_list.txt` | head, relation, tail as numbers, under headers |
| `mkr` | `kg.txt`, or `kg_final.txt` | as `tsv`; `item_index2entity_id.txt` beside it links the items |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from prismrec.data.knowledge.lines import Lines, Reading, first_line, read_lines
from prismrec.data.knowledge.settings import TripleForm
from prismrec.data.knowledge.statements import Columns, Statements
from prismrec.data.sources import files_of
from prismrec.errors import DataError

LABEL_RELATIONS = frozenset(
    {
        "http://www.w3.org/2000/01/rdf-schema#label",
        "http://www.w3.org/2004/02/skos/core#prefLabel",
        "http://xmlns.com/foaf/0.1/name",
        "http://schema.org/name",
        "https://schema.org/name",
    }
)
"""Relations whose literal is what a person calls the head."""

_NODE = r"<[^<>\s]+>|_:\S+"
_STATEMENT = (
    rf"^\s*(?P<head>{_NODE})\s+<(?P<relation>[^<>\s]+)>\s+(?:(?P<tail>{_NODE})|"
    r'"(?P<literal>(?:[^"\\]|\\.)*)"(?:@(?P<language>[A-Za-z0-9-]+)|\^\^<[^<>\s]+>)?)\s*\.\s*(?:#.*)?$'
)
_OPENKE_NAMES = ("train2id.txt", "entity2id.txt", "relation2id.txt")
_KGAT_NAMES = ("kg_final.txt", "entity_list.txt", "relation_list.txt")


@dataclass(frozen=True)
class TripleFiles:
    """What a setting of triples names.

    Attributes:
        form: how they are written, no longer "auto".
        paths: the files with triples.
        folder: where the lists of names lie.
    """

    form: TripleForm
    paths: tuple[Path, ...]
    folder: Path


def find_triples(place: str, form: TripleForm = "auto") -> TripleFiles:
    """Which files a setting names, and in which form they are.

    Raises:
        DataError: there are none, or the lists that their form needs are missing.
    """
    path = Path(place)
    folder = path if path.is_dir() else path.parent
    if form == "auto":
        form = _form_of(path, folder)
    names = {"openke": _OPENKE_NAMES[:1], "kgat": _KGAT_NAMES[:1], "mkr": ("kg.txt", "kg_final.txt")}.get(form, ())
    inside = [path / name for name in names if (path / name).is_file()][:1]
    found = TripleFiles(form, tuple(inside or files_of(place)), folder)
    for name in {"openke": _OPENKE_NAMES[1:], "kgat": _KGAT_NAMES[1:]}.get(form, ()):
        if not (folder / name).is_file():
            raise DataError(f"{place} is read in the form {form!r}, which needs {name} in {folder}: it is not there")
    return found


def read_triples(files: TripleFiles, reading: Reading) -> Statements:
    """Read all triples; rows that are none are set aside in `reading`.

    Raises:
        DataError: a file cannot be read.
    """
    labels: dict[str, str] = {}
    read = _block_reader(files, labels, reading)
    found = Statements.from_columns((columns for path in files.paths for columns in read(path)), labels)
    reading.notes["form"] = files.form
    if not found.table.num_rows and not labels and not reading.bad:
        raise DataError(f"{', '.join(map(str, files.paths))} holds no triple (read in the form {files.form!r})")
    return found


def _form_of(path: Path, folder: Path) -> TripleForm:
    """What the names of the files and the first line say."""
    names = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    is_folder = path.is_dir()
    if "entity2id.txt" in names and (is_folder or path.name.endswith("2id.txt")):
        return "openke"
    if set(_KGAT_NAMES[1:]) <= names and (is_folder or path.name.startswith("kg_final")):
        return "kgat"
    if "item_index2entity_id.txt" in names and (is_folder or path.name in ("kg.txt", "kg_final.txt")):
        return "mkr"
    first = files_of(str(path))[0]
    if ".nt" in first.suffixes or first_line(first).lstrip().startswith(("<", "_:")):
        return "ntriples"
    return "tsv"


def _block_reader(files: TripleFiles, labels: dict[str, str], reading: Reading) -> Callable[[Path], Iterator[Columns]]:
    """The reader of one file in this form."""
    if files.form == "ntriples":
        return lambda path: (_statements(lines, labels, reading) for lines in read_lines(path, reading))
    if files.form == "openke":
        return _openke_reader(files.folder, reading)
    if files.form == "kgat":
        return _kgat_reader(files.folder, reading)
    return lambda path: _separated(path, reading)


def _separated(path: Path, reading: Reading) -> Iterator[Columns]:
    by_tabs = "\t" in first_line(path)
    for lines in read_lines(path, reading):
        yield _three(lines, by_tabs=by_tabs, reading=reading)[1]


def _openke_reader(folder: Path, reading: Reading) -> Callable[[Path], Iterator[Columns]]:
    entities = numbered_names(folder / "entity2id.txt", reading)
    relations = numbered_names(folder / "relation2id.txt", reading)

    def read(path: Path) -> Iterator[Columns]:
        for lines in read_lines(path, reading, skip=1):
            kept, (heads, tails, links) = _three(lines, by_tabs=False, reading=reading)
            yield _named(kept, (heads, links, tails), entities, relations, reading)

    return read


def _kgat_reader(folder: Path, reading: Reading) -> Callable[[Path], Iterator[Columns]]:
    entities = numbered_names(folder / "entity_list.txt", reading)
    relations = numbered_names(folder / "relation_list.txt", reading)

    def read(path: Path) -> Iterator[Columns]:
        for lines in read_lines(path, reading):
            yield _named(*_three(lines, by_tabs=False, reading=reading), entities, relations, reading)

    return read


def _three(lines: Lines, *, by_tabs: bool, reading: Reading) -> tuple[Lines, Columns]:
    """The lines that have three fields, none empty, and these."""
    split = pc.split_pattern(lines.texts, "\t") if by_tabs else pc.utf8_split_whitespace(lines.texts)
    if not by_tabs:  # spaces at the ends leave an empty field
        split = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(lines.texts))
    right = pc.equal(pc.list_value_length(split), 3)
    lines.set_aside(pc.invert(right), "malformed line: expected head, relation and tail", reading)
    lines, fields = lines.where(right), split.filter(right).flatten()
    columns = [pc.utf8_trim_whitespace(fields.take(pa.array(range(i, len(fields), 3), pa.int64()))) for i in range(3)]
    empty = pc.or_(pc.or_(*(pc.equal(c, "") for c in columns[:2])), pc.equal(columns[2], ""))
    lines.set_aside(empty, "missing head, relation or tail", reading)
    full = pc.invert(empty)
    head, relation, tail = (column.filter(full) for column in columns)
    return lines.where(full), (head, relation, tail)


def _named(
    lines: Lines, columns: Columns, entities: dict[str, str], relations: dict[str, str], reading: Reading
) -> Columns:
    """Numbers as the names that the lists give them; triples with other numbers are set aside."""
    named = [_looked_up(c, names) for c, names in zip(columns, (entities, relations, entities), strict=True)]
    unknown = pc.or_(pc.or_(*(pc.is_null(c) for c in named[:2])), pc.is_null(named[2]))
    lines.set_aside(unknown, "number that the lists of entities and relations lack", reading)
    head, relation, tail = (column.filter(pc.invert(unknown)) for column in named)
    return head, relation, tail


def _looked_up(numbers: pa.Array, names: dict[str, str]) -> pa.Array:
    coded = numbers.dictionary_encode()
    values = pa.array([names.get(number) for number in coded.dictionary.to_pylist()], pa.string())
    return values.take(coded.indices)


def numbered_names(path: Path, reading: Reading) -> dict[str, str]:
    """Number -> name from rows of a name and a number; the first line is a count or a header."""
    names: dict[str, str] = {}
    aside = Reading()
    for lines in read_lines(path, aside, skip=1):
        for row, text in zip(lines.rows.to_pylist(), lines.texts.to_pylist(), strict=True):
            name, _, number = text.strip().replace("\t", " ").rpartition(" ")
            if not name.strip() or not number.isdecimal() or number in names:
                raise DataError(f"{path} row {row}: expected a name and a number of its own, got {text!r}")
            names[number] = name.strip()
    reading.bad.extend(aside.bad)
    return names


def _statements(lines: Lines, labels: dict[str, str], reading: Reading) -> Columns:
    """Statements of N-Triples between resources; literals of label relations go into `labels`."""
    lines = lines.where(pc.invert(pc.match_substring_regex(lines.texts, r"^\s*#")))
    parts = pc.extract_regex(lines.texts, _STATEMENT)
    wrong = pc.is_null(parts)
    lines.set_aside(wrong, "malformed line: no statement of N-Triples", reading)
    parts = parts.drop_null()
    heads, relations, tails = (pc.utf8_trim(parts.field(part), "<>") for part in ("head", "relation", "tail"))
    literal = pc.equal(tails, "")
    found = zip(*(c.filter(literal).to_pylist() for c in (heads, relations, parts.field("literal"))), strict=True)
    n_literals = 0
    for head, relation, text in found:
        if relation in LABEL_RELATIONS:
            labels.setdefault(_unescaped(head), _unescaped(text))
        else:
            n_literals += 1
    reading.notes["literals_left_out"] = reading.notes.get("literals_left_out", 0) + n_literals
    between = pc.invert(literal)
    head, relation, tail = (_all_unescaped(column.filter(between)) for column in (heads, relations, tails))
    return head, relation, tail


def _all_unescaped(texts: pa.Array) -> pa.Array:
    if not pc.any(pc.match_substring(texts, "\\"), min_count=0).as_py():
        return texts
    return pa.array([_unescaped(text) for text in texts.to_pylist()], pa.string())


def _unescaped(text: str) -> str:
    r"""`\"`, `\n` and `é` as the letters that they stand for."""
    if "\\" not in text:
        return text
    plain = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
    pattern = r"\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})|\\(.)"
    return re.sub(pattern, lambda m: plain.get(m[3], m[3]) if m[3] else chr(int(m[1] or m[2], 16)), text)


__all__ = ["LABEL_RELATIONS", "TripleFiles", "find_triples", "numbered_names", "read_triples"]
