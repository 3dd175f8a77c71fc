"""Which entity each item is: by a file of links, by its own id, or an entity of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from prismrec.data.knowledge.lines import BadRow, Reading
from prismrec.data.knowledge.links import Aliases, read_links
from prismrec.data.knowledge.names import is_missing, key_of, spelled
from prismrec.data.knowledge.settings import KnowledgeSettings
from prismrec.data.knowledge.statements import Statements
from prismrec.data.knowledge.triple_files import find_triples, numbered_names
from prismrec.data.schema import UNKNOWN
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError

ITEM_ENTITY = "item:{}"
"""The entity of an item that is none of the triples."""

LABEL_COLUMNS = ("name", "title")
"""Columns of the item table that hold what a person calls an item; the first there is."""

_LISTS = {"mkr": "item_index2entity_id.txt", "kgat": "item_list.txt"}
"""Files of links that lie beside triples of a form."""


def item_entities(
    settings: KnowledgeSettings, items: Vocabulary, statements: Statements, aliases: Aliases, reading: Reading
) -> tuple[list[str | None], dict[str, int]]:
    """The entity of each item, each once, and counts of the links.

    Items that no link names are no entity; where the settings name relations, which need a head, they become one.

    Args:
        settings: where links lie; without any, an item whose id is an entity of the triples is this entity.
        items: the vocabulary.
        statements: the triples.
        aliases: of entities.
        reading: is told of bad links.

    Raises:
        DataError: there are triples, and no item is any of their entities.
    """
    entities: list[str | None] = [None] * len(items)
    n_other = 0
    if settings.triples:
        links = _links(settings, aliases, reading)
        if links is None:
            entities = _by_own_id(items, statements)
        else:
            n_other = _assign(links, items, entities)
        if not any(entities):
            raise DataError(_none_linked(items, links, statements))
    n_linked = sum(entity is not None for entity in entities)
    if settings.relations:
        ids = items.ids_of(range(len(items)))
        entities = [ITEM_ENTITY.format(i) if e is None else e for i, e in zip(ids, entities, strict=True)]
    without = sum(entity is None for entity in entities)
    return entities, {"linked_items": n_linked, "links_of_other_items": n_other, "items_without_entity": without}


def item_labels(entities: Sequence[str | None], item_columns: pa.Table | None) -> dict[str, str]:
    """Entity -> the item's name, where the item table has names."""
    name = next((c for c in LABEL_COLUMNS if item_columns is not None and c in item_columns.column_names), None)
    if item_columns is None or name is None:
        return {}
    texts = item_columns[name].cast(pa.string()).to_pylist()
    pairs = zip(entities, texts, strict=True)
    return {e: spelled(text) for e, text in pairs if e is not None and text is not None and not is_missing(text)}


def _links(settings: KnowledgeSettings, aliases: Aliases, reading: Reading) -> dict[str, str] | None:
    """Item id -> entity, as the triples name it; None where there is no file of links."""
    files = find_triples(settings.triples, settings.form)
    beside = files.folder / _LISTS.get(files.form, "")
    place = settings.item_links or (str(beside) if beside.is_file() else "")
    if not place:
        return None
    links = read_links(place, reading)
    if files.form == "kgat" and not settings.item_links:
        names = numbered_names(files.folder / "entity_list.txt", Reading())
        links = {item: names.get(number, number) for item, number in links.items()}
    if not (settings.normalise or aliases.names):
        return links
    return _under_one_name(links, settings, aliases, reading, Path(place))


def _under_one_name(
    links: dict[str, str], settings: KnowledgeSettings, aliases: Aliases, reading: Reading, path: Path
) -> dict[str, str]:
    """Links to the entities that theirs stand for; of two items that are then one, the second is set aside."""
    meant = aliases.keys("text") if settings.normalise else {}
    found: dict[str, str] = {}
    taken: set[str] = set()
    for item, entity in links.items():
        key = key_of(entity, "text") if settings.normalise else entity
        name = aliases.entity(meant.get(key, key))
        if name in taken:
            reading.bad.append(BadRow("entity of another item", str(path), None, f"{item}\t{entity}"))
        else:
            found[item] = name
            taken.add(name)
    return found


def _by_own_id(items: Vocabulary, statements: Statements) -> list[str | None]:
    known = statements.occurrences()
    return [text if text in known else None for text in map(str, items.ids_of(range(len(items))))]


def _assign(links: dict[str, str], items: Vocabulary, entities: list[str | None]) -> int:
    """Fill in the entities of the items that there are; how many links are of others."""
    indices = items.find_all([items.parsed(item) for item in links])
    for index, entity in zip(indices.tolist(), links.values(), strict=True):
        if index != UNKNOWN:
            entities[index] = entity
    return int((indices == UNKNOWN).sum())


def _none_linked(items: Vocabulary, links: dict[str, str] | None, statements: Statements) -> str:
    item = items.id_of(0) if len(items) else None
    if links is None:
        entity = next(iter(statements.occurrences()), None)
        return (
            f"no item is an entity of the triples: items are such as {item!r}, entities such as {entity!r}; name a "
            "file of item ids and entity ids with knowledge.item_links"
        )
    linked = next(iter(links), None)
    return (
        f"no link is of an item of the log: items are such as {item!r}, those of the links such as {linked!r}; "
        "knowledge.item_links takes item ids first, entity ids second"
    )


__all__ = ["ITEM_ENTITY", "LABEL_COLUMNS", "item_entities", "item_labels"]
