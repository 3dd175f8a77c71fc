"""What models of links learn from and are asked: the triples that the settings name, or the graph of the items."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from prismrec.data.knowledge.graph import KnowledgeGraph, Triples, distinct_triples, entity_degrees
from prismrec.data.knowledge.reading import read_link_data
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError
from prismrec.graphs.knowledge import shuffled, without_inverses
from prismrec.inputs import prepare_log, read_tables
from prismrec.settings import Settings


@dataclass(frozen=True, eq=False)
class LinkSplit:
    """A graph to train on, and the triples held out from it, in the same indices.

    Attributes:
        graph: the training triples; its entities and relations are those of all parts.
        valid: (n, 3) int32: to stop by.
        test: (n, 3) int32: to measure on.
    """

    graph: KnowledgeGraph
    valid: Triples
    test: Triples

    @property
    def everything(self) -> KnowledgeGraph:
        """The graph with all that was held out: what the entities of a bundle learn from."""
        return _with_triples(self.graph, np.concatenate([self.graph.triples, self.valid, self.test]))


def read_links(settings: Settings) -> LinkSplit:
    """Read the triples of `[knowledge]`, and hold some out where the settings name none that are.

    Inverse relations are left out: the inverse of a held-out triple would be its answer. With `knowledge.control` the
    training triples alone are shuffled.

    Raises:
        ConfigError: the settings name no triples, or a control that leaves none.
        DataError: a file cannot be read, or nothing can be held out.
    """
    chosen = settings.knowledge
    if not chosen.is_given:
        raise ConfigError("models of links learn from triples: set knowledge.triples, or [knowledge.relations]")
    if chosen.control == "absent":
        raise ConfigError("knowledge.control = absent leaves no triple to learn links from: use shuffled")
    if chosen.relations or chosen.item_links:
        split = LinkSplit(_graph_of_items(settings), *[np.zeros((0, 3), np.int32)] * 2)
    else:
        found = read_link_data(chosen, max_bad_share=settings.data.max_bad_share)
        split = LinkSplit(without_inverses(found.graph), found.valid, found.test)
    share, seed = settings.links.held_out_share, settings.split.seed
    if not len(split.test):
        graph, test = held_out(split.graph, share, seed)
        split = replace(split, graph=graph, test=test)
    if not len(split.valid):
        graph, valid = held_out(split.graph, share, seed + 1)
        split = replace(split, graph=graph, valid=valid)
    if chosen.control == "shuffled":
        split = replace(split, graph=shuffled(split.graph, settings.training.seed))
    return split


def held_out(graph: KnowledgeGraph, share: float, seed: int) -> tuple[KnowledgeGraph, Triples]:
    """Set a share of the triples aside at random, none of which is the last one of an entity or a relation.

    Returns:
        the graph without them, and the triples (n, 3); fewer than asked for where the others are needed.

    Raises:
        DataError: no triple can be spared.
    """
    wanted = round(share * graph.n_triples)
    ends = entity_degrees(graph.triples, graph.n_entities)
    links = np.bincount(graph.triples[:, 1], minlength=graph.n_relations)
    spared: list[int] = []
    for row in np.random.default_rng(seed).permutation(graph.n_triples).tolist():
        if len(spared) == wanted:
            break
        head, relation, tail = graph.triples[row]
        if head != tail and ends[head] > 1 and ends[tail] > 1 and links[relation] > 1:
            ends[[head, tail]] -= 1
            links[relation] -= 1
            spared.append(row)
    if not spared:
        raise DataError(
            f"none of the {graph.n_triples} triples can be held out, each is the only one of an entity or a relation: "
            "name held-out triples by knowledge.valid_triples and knowledge.test_triples"
        )
    return _with_triples(graph, np.delete(graph.triples, spared, axis=0)), graph.triples[np.sort(spared)]


def _graph_of_items(settings: Settings) -> KnowledgeGraph:
    """The graph over the items of the log, as models of clicks see it."""
    log, items = read_tables(settings)
    plain = settings.knowledge.model_copy(update={"control": "none", "inverse": False})
    knowledge = prepare_log(log, items, settings.model_copy(update={"knowledge": plain})).knowledge
    if knowledge is None:
        raise DataError("the items have no knowledge graph: set knowledge.triples, or [knowledge.relations]")
    return without_inverses(knowledge.graph)


def _with_triples(graph: KnowledgeGraph, triples: Triples) -> KnowledgeGraph:
    kept = distinct_triples(triples)
    counts = entity_degrees(kept, graph.n_entities)
    return replace(graph, entities=Vocabulary(graph.entities.ids, counts), triples=kept)


__all__ = ["LinkSplit", "held_out", "read_links"]
