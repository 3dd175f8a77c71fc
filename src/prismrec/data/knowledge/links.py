"""Files of two columns: which entity an item is, what an entity is called, which spellings are one name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prismrec.data.knowledge.lines import BadRow, Reading, first_line, read_lines
from prismrec.data.knowledge.names import key_of, name_of
from prismrec.data.knowledge.settings import Kind
from prismrec.data.sources import files_of
from prismrec.errors import DataError


@dataclass(frozen=True)
class Aliases:
    """Which name or entity id stands for which other.

    Attributes:
        names: as the file has them: another spelling or id -> the one meant.
    """

    names: Mapping[str, str] = field(default_factory=dict)

    def entity(self, entity_id: str) -> str:
        """The entity that an id stands for: itself where the file says nothing."""
        return self.names.get(entity_id, entity_id)

    def keys(self, kind: Kind) -> dict[str, str]:
        """Key of a name of this kind -> that of the name it stands for."""
        keys = {key_of(name_of(other, kind), kind): key_of(name_of(meant, kind), kind)
                for other, meant in self.names.items()}  # fmt: skip
        return {other: meant for other, meant in keys.items() if other and meant and other != meant}


def read_aliases(place: str, reading: Reading) -> Aliases:
    """Read pairs of a spelling or id and the one that it stands for; chains lead to their end.

    Raises:
        DataError: the file cannot be read, or its pairs go round in a circle.
    """
    direct = _unique(place, reading, "alias of two names") if place else {}
    return Aliases({other: _end_of(other, direct, place) for other in direct})


def read_labels(place: str, reading: Reading) -> dict[str, str]:
    """Read what entities are called: entity id -> name.

    Raises:
        DataError: the file cannot be read.
    """
    return _unique(place, reading, "entity with two names") if place else {}


def read_links(place: str, reading: Reading) -> dict[str, str]:
    """Read which entity an item is: item id -> entity id, each once; later rows that repeat one are set aside.

    A line that KGAT's `item_list.txt` has above its rows is no link, and of its three columns the first two count.

    Raises:
        DataError: the file cannot be read.
    """
    links: dict[str, str] = {}
    taken: set[str] = set()
    for bad, (item, entity) in _pairs(place, reading):
        if item in links:
            reading.bad.append(bad("item with two entities"))
        elif entity in taken:
            reading.bad.append(bad("entity of another item"))
        else:
            links[item] = entity
            taken.add(entity)
    return links


class _Row:
    """Makes the bad row of a place in a file, once there is a reason."""

    def __init__(self, file: str, row: int, text: str) -> None:
        self._file, self._row, self._text = file, row, text

    def __call__(self, reason: str) -> BadRow:
        return BadRow(reason, self._file, self._row, self._text)


def _pairs(place: str, reading: Reading) -> Iterator[tuple[_Row, tuple[str, str]]]:
    """The rows with two fields, neither empty; others are set aside."""
    for path in files_of(place):
        first = first_line(path)
        separator = next((mark for mark in ("\t", ",") if mark in first), None)
        skip = int(first.split()[:2] == ["org_id", "remap_id"])
        for lines in read_lines(path, reading, skip=skip):
            for row, text in zip(lines.rows.to_pylist(), lines.texts.to_pylist(), strict=True):
                fields = _fields(text, separator, n_fields=3 if skip else 2)
                if fields is None:
                    reading.bad.append(BadRow("malformed line: expected two fields", str(path), row, text))
                else:
                    yield _Row(str(path), row, text), fields


def _fields(text: str, separator: str | None, n_fields: int) -> tuple[str, str] | None:
    parts = [part.strip() for part in text.split(separator, n_fields - 1 if separator == "," else -1)]
    return (parts[0], parts[1]) if len(parts) == n_fields and parts[0] and parts[1] else None


def _unique(place: str, reading: Reading, repeated: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for bad, (key, value) in _pairs(place, reading):
        if found.setdefault(key, value) != value:
            reading.bad.append(bad(repeated))
    return found


def _end_of(name: str, direct: Mapping[str, str], place: str) -> str:
    seen = {name}
    while (name := direct[name]) in direct:
        if name in seen:
            raise DataError(
                f"{place}: the aliases go round in a circle at {name!r}: one name must stand for the others"
            )
        seen.add(name)
    return name


__all__ = ["Aliases", "read_aliases", "read_labels", "read_links"]
