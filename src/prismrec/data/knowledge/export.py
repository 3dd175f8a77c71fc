"""A knowledge graph as text files that `[knowledge]` of another settings file, or any other tool, can read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from prismrec.data.knowledge.graph import ItemKnowledge
from prismrec.data.schema import UNKNOWN
from prismrec.data.vocabulary import Vocabulary

TRIPLES, LABELS, LINKS = "triples.tsv", "labels.tsv", "item_links.tsv"

_BLANK = str.maketrans("\t\r\n", "   ")


def export_knowledge(knowledge: ItemKnowledge, items: Vocabulary, folder: Path) -> list[Path]:
    """Write `triples.tsv` (head, relation, tail), `labels.tsv` (entity, name), and `item_links.tsv` (item, entity).

    Args:
        knowledge: the graph.
        items: the vocabulary that its items are of; empty for a graph without items.
        folder: is there; the caller makes it appear whole or not at all.

    Returns:
        what was written: links only where there are items.
    """
    graph = knowledge.graph
    entities = graph.entities.ids.to_pylist()
    columns = (graph.triples[:, i].tolist() for i in range(3))
    triples = ((entities[h], graph.relations[r], entities[t]) for h, r, t in zip(*columns, strict=True))
    written = [
        _write(folder / TRIPLES, triples),
        _write(folder / LABELS, zip(entities, graph.labels.to_pylist(), strict=True)),
    ]
    linked = np.flatnonzero(knowledge.item_entities != UNKNOWN)
    if len(linked):
        pairs = zip(items.ids_of(linked), knowledge.item_entities[linked].tolist(), strict=True)
        written.append(_write(folder / LINKS, ((str(item), entities[entity]) for item, entity in pairs)))
    return written


def _write(path: Path, rows: Iterable[Sequence[str]]) -> Path:
    """Fields between tabs; a tab within a field becomes a space."""
    with open(path, "w", encoding="utf-8") as file:
        file.writelines("\t".join(field.translate(_BLANK) for field in row) + "\n" for row in rows)
    return path


__all__ = ["LABELS", "LINKS", "TRIPLES", "export_knowledge"]
