"""Triples as their sources have them, before anything is numbered, and under the names that they go by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from prismrec.data.knowledge.links import Aliases
from prismrec.data.knowledge.names import key_of, most_frequent, spelled

HEAD, RELATION, TAIL = "head", "relation", "tail"

_CODED = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema([(part, _CODED) for part in (HEAD, RELATION, TAIL)])

Columns = tuple[pa.Array, pa.Array, pa.Array]
"""Head, relation and tail of some triples, as text."""


@dataclass(frozen=True, eq=False)
class Statements:
    """Triples as texts.

    Attributes:
        table: columns head, relation, tail: dictionary-encoded text, one row per triple, repeats included.
        labels: entity -> what a person calls it, where the source says so.
    """

    table: pa.Table
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_columns(cls, blocks: Iterable[Columns], labels: Mapping[str, str]) -> Statements:
        """Pack blocks of triples; in memory is what is distinct in a block, and 12 bytes a triple."""
        batches = [pa.RecordBatch.from_arrays([_coded(column) for column in block], schema=_SCHEMA) for block in blocks]
        return cls(pa.Table.from_batches(batches, schema=_SCHEMA).unify_dictionaries(), labels)

    def occurrences(self) -> dict[str, int]:
        """Entity -> how many heads and tails it is."""
        counts: dict[str, int] = {}
        for part in (HEAD, TAIL):
            for entry in pc.value_counts(self.table[part].cast(pa.string())).to_pylist():
                counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
        return counts


def under_one_name(found: Statements, aliases: Aliases, *, normalise: bool) -> Statements:
    """Heads and tails as the entities that they stand for.

    Args:
        found: as the files have them.
        aliases: entity -> the one meant; with `normalise` in any spelling.
        normalise: spellings that differ in case, underscores or Unicode form are one entity, which is called as it is
            spelt most often.
    """
    if not (normalise or aliases.names):
        return found
    meant = aliases.keys("text") if normalise else {}
    ids: dict[str, str] = {}
    spellings: dict[str, dict[str, int]] = {}
    for text, n in found.occurrences().items():
        key = key_of(text, "text") if normalise else text
        ids[text] = aliases.entity(meant.get(key, key))
        if normalise and key not in meant:
            spelt = spellings.setdefault(ids[text], {})
            spelt[spelled(text)] = spelt.get(spelled(text), 0) + n
    labels = {entity: most_frequent(spelt.items()) for entity, spelt in spellings.items()}
    labels |= {ids.get(entity, entity): label for entity, label in found.labels.items()}
    heads, tails = (_mapped(found.table[part], ids) for part in (HEAD, TAIL))
    return Statements(pa.table([heads, found.table[RELATION], tails], schema=_SCHEMA).unify_dictionaries(), labels)


def _coded(column: pa.Array) -> pa.Array:
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def _mapped(column: pa.ChunkedArray, ids: Mapping[str, str]) -> pa.ChunkedArray:
    """Other texts for those of a dictionary-encoded column."""
    pieces = []
    for chunk in column.chunks:
        texts = pa.array([ids.get(text) for text in chunk.dictionary.to_pylist()], pa.string())  # some may not occur
        pieces.append(texts.take(chunk.indices).dictionary_encode())
    return pa.chunked_array(pieces, _CODED)


__all__ = ["HEAD", "RELATION", "TAIL", "Columns", "Statements", "under_one_name"]
