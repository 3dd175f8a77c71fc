"""The knowledge graph that the settings describe, over a vocabulary of items: files, item table, links, names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from prismrec.data.knowledge.building import Built, build_graph
from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph, Triples
from prismrec.data.knowledge.item_entities import item_entities, item_labels
from prismrec.data.knowledge.item_relations import Facts, best_labels, facts_of
from prismrec.data.knowledge.lines import Reading
from prismrec.data.knowledge.links import Aliases, read_aliases, read_labels
from prismrec.data.knowledge.settings import KnowledgeSettings
from prismrec.data.knowledge.statements import Columns, Statements, under_one_name
from prismrec.data.knowledge.triple_files import find_triples, read_triples
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError


@dataclass(frozen=True, eq=False)
class FoundKnowledge:
    """What was read.

    Attributes:
        knowledge: the graph, and which entity each item is.
        report: counts, fit for JSON.
        quarantine: rows set aside, with the columns of every quarantine; None where there are none.
    """

    knowledge: ItemKnowledge
    report: Mapping[str, Any]
    quarantine: Any


@dataclass(frozen=True, eq=False)
class LinkData:
    """Triples to train on and triples held out, in the indices of one graph.

    Attributes:
        graph: the training triples; its entities and relations are those of all three parts.
        valid: (n_valid, 3) int32: to choose settings on.
        test: (n_test, 3) int32: to measure on.
        report: counts, fit for JSON.
        quarantine: rows set aside, with the columns of every quarantine; None where there are none.
    """

    graph: KnowledgeGraph
    valid: Triples
    test: Triples
    report: Mapping[str, Any]
    quarantine: Any = None


def read_knowledge(
    settings: KnowledgeSettings, items: Vocabulary, item_columns: pa.Table | None, *, max_bad_share: float = 0.05
) -> FoundKnowledge:
    """Read the graph; neither inverse relations nor a control are applied.

    Args:
        settings: where it lies.
        items: the vocabulary of the items.
        item_columns: the item table in the order of `items`; None where there is none.
        max_bad_share: share of bad rows up to which they are set aside and the run goes on.

    Raises:
        ConfigError: relations without an item table, or triples without links to the items.
        DataError: a file or column is missing or cannot be read, or too many rows are bad.
    """
    if settings.relations and item_columns is None:
        raise ConfigError(
            f"relations {', '.join(settings.relations)} are columns of the item table, but no item table was given"
        )
    reading = Reading()
    aliases = read_aliases(settings.aliases, reading)
    facts = _facts(settings, item_columns, aliases, reading)
    statements = _statements(settings, settings.triples, aliases, reading)
    entities, linking = item_entities(settings, items, statements, aliases, reading)
    names = read_labels(settings.labels, reading)
    reading.check(max_bad_share)
    labels = {**statements.labels, **best_labels(facts), **item_labels(entities, item_columns), **names}
    heads = pa.array(entities, pa.string())
    table = pa.concat_tables([statements.table, Statements.from_columns(_as_triples(facts, heads), {}).table])
    present = [entity for entity in entities if entity is not None]
    built = build_graph(table.unify_dictionaries(), present, labels, min_degree=settings.min_entity_degree)
    knowledge = ItemKnowledge(built.graph, built.graph.entities.indices_of(heads))
    return FoundKnowledge(knowledge, _report(reading, built, linking), reading.table() if reading.bad else None)


def read_link_data(settings: KnowledgeSettings, *, max_bad_share: float = 0.05) -> LinkData:
    """Read triples with their held-out parts, for models of the graph alone.

    Neither inverse relations nor a control are applied.

    Raises:
        ConfigError: no triples are named, or entities of held-out triples would be dropped.
        DataError: a file is missing or cannot be read, or too many rows are bad.
    """
    if not settings.triples:
        raise ConfigError("there are no triples: set knowledge.triples in the settings")
    if settings.min_entity_degree > 1 and (settings.valid_triples or settings.test_triples):
        raise ConfigError(
            "knowledge.min_entity_degree would drop entities that the held-out triples are about: leave it out, or "
            "name no held-out triples"
        )
    reading = Reading()
    aliases = read_aliases(settings.aliases, reading)
    places = (settings.triples, settings.valid_triples, settings.test_triples)
    parts = [_statements(settings, place, aliases, reading) for place in places]
    reading.check(max_bad_share)
    labels = {entity: label for part in parts for entity, label in part.labels.items()}
    labels |= read_labels(settings.labels, reading)
    held_out = [part.table for part in parts[1:]]
    built = build_graph(parts[0].table, (), labels, min_degree=settings.min_entity_degree, held_out=held_out)
    valid, test = built.held_out
    report = _report(reading, built, {}) | {"valid_triples": len(valid), "test_triples": len(test)}
    return LinkData(built.graph, valid, test, report, reading.table() if reading.bad else None)


def _statements(settings: KnowledgeSettings, place: str, aliases: Aliases, reading: Reading) -> Statements:
    """The triples of one place, entities under the names that they go by; none where there is no place."""
    if not place:
        return Statements.from_columns((), {})
    found = read_triples(find_triples(place, settings.form), reading)
    return under_one_name(found, aliases, normalise=settings.normalise)


def _facts(
    settings: KnowledgeSettings, item_columns: pa.Table | None, aliases: Aliases, reading: Reading
) -> list[Facts]:
    if not settings.relations:
        return []
    if item_columns is None:
        raise ConfigError(
            f"relations {', '.join(settings.relations)} are columns of the item table, but no item table was given"
        )
    return [facts_of(name, relation, item_columns, aliases, reading) for name, relation in settings.relations.items()]


def _as_triples(facts: Sequence[Facts], heads: pa.Array) -> Iterator[Columns]:
    """Facts of items as facts of their entities."""
    for fact in facts:
        yield heads.take(pa.array(fact.items)), pa.array([fact.relation] * len(fact.items), pa.string()), fact.tails


def _report(reading: Reading, built: Built, linking: Mapping[str, int]) -> dict[str, Any]:
    """Counts, fit for JSON."""
    graph = built.graph
    return {
        "rows": reading.n_rows,
        "bad_rows": len(reading.bad),
        "bad_by_reason": reading.by_reason(),
        "repeated_triples": built.repeats,
        "rare_entities": built.rare_entities,
        "entities": graph.n_entities,
        "relations": graph.n_relations,
        "triples": graph.n_triples,
        **linking,
        **reading.notes,
    }


__all__ = ["FoundKnowledge", "LinkData", "read_knowledge", "read_link_data"]
