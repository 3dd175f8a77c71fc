"""What a model of news begins with: words, entities one step around the titles, and a vector of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph
from prismrec.data.news.articles import ArticleReader, Articles
from prismrec.data.news.cooccurrence import cooccurrence_graph, neighbours
from prismrec.data.news.mentions import Mention
from prismrec.data.news.vectors import cooccurrence_vectors, read_vectors
from prismrec.data.prepared import PreparedData
from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError, DataError
from prismrec.graphs.knowledge import controlled
from prismrec.models.knowledge.configs import DKNConfig

_OWN = 0.1
"""Length of what is drawn for a word alone beside what it shares with the words of like company."""


@dataclass(frozen=True, eq=False)
class NewsBeginning:
    """Vectors before training, and the graph between entities.

    Attributes:
        words: (n_words, d) float32.
        entities: (n_entities, k) float32.
        values, offsets: ragged: the neighbours of each entity, as its context is made of them.
    """

    words: NDArray[np.float32]
    entities: NDArray[np.float32]
    values: NDArray[np.int32]
    offsets: NDArray[np.int64]


def begin_with(config: DKNConfig, data: PreparedData, seed: int) -> tuple[ArticleReader, Articles, NewsBeginning]:
    """Learn words and entities from the articles that users clicked or were shown; others are read as new ones.

    The graph is that of the data, or where they have none, of entities that these titles name together. Of a graph
    of the world, the entities that any title of the item table names are known too, and those one step from them.

    Returns:
        what reads articles, all articles of the data as it reads them, and what a network begins with.

    Raises:
        DataError: there are no titles, or a file of vectors cannot be read.
        ConfigError: vectors of entities cannot be channels beside words as the settings say.
    """
    if data.item_columns is None:
        raise DataError("dkn reads titles, and the data have no item table: set data.items")
    known = data.item_columns.filter(pa.array(_shown(data)))
    names = () if data.knowledge is None else _names(data.knowledge.graph)
    reader = ArticleReader.learned(config.text, known, names)
    knowledge = data.knowledge or _from_titles(reader, known, len(data.items))
    graph = controlled(knowledge, config.parts.control, seed).graph
    rows = neighbours(graph)
    named = {entity for mentions in reader.mentions(data.item_columns) for entity, _ in mentions}
    own = graph.entities.find_all([*reader.entities, *sorted(named - set(reader.entities))])
    own = own[own != UNKNOWN]
    reader = reader.knowing(graph.entities.ids_of(np.concatenate([own, np.unique(rows.take(own).values)])))
    context = _renumbered(rows, graph.entities.find_all(list(reader.entities)))
    words, entities = _vectors(config, reader, reader.read(known), seed)
    if config.parts.mapping == "none" and config.parts.channels != "none" and entities.shape[1] != words.shape[1]:
        raise ConfigError(
            f"parts.mapping = 'none' needs vectors of entities as long as those of words, got {entities.shape[1]} and "
            f"{words.shape[1]}: set embedding_dim, or a mapping"
        )
    if not len(entities):  # one that no title names: a network without a row cannot be asked for none
        entities, context = np.zeros((1, entities.shape[1]), np.float32), Sequences.from_lists([[]])
    return reader, reader.read(data.item_columns), NewsBeginning(words, entities, context.values, context.offsets)


def _shown(data: PreparedData) -> NDArray[np.bool_]:
    """(n_items,) whether anybody clicked it or was shown it."""
    shown = np.zeros(len(data.items), np.bool_)
    shown[data.histories.values] = True
    if data.disliked is not None:
        shown[data.disliked.values] = True
    return shown


def _from_titles(reader: ArticleReader, columns: pa.Table, n_items: int) -> ItemKnowledge:
    """The graph of entities that titles name together; no item is one of them."""
    return ItemKnowledge(cooccurrence_graph(reader.mentions(columns)), np.full(n_items, UNKNOWN, np.int64))


def _names(graph: KnowledgeGraph) -> list[Mention]:
    """What entities are called; one that is called by its id has no name."""
    ids = graph.entities.ids_of(np.arange(graph.n_entities))
    pairs = zip(map(str, ids), graph.labels.to_pylist(), strict=True)
    return [Mention(entity, label) for entity, label in pairs if label != entity]


def _renumbered(rows: Sequences, places: NDArray[np.int64]) -> Sequences:
    """The rows of entities at these places of the graph, in the numbers of their order; what has none is left out."""
    n = len(rows)
    number = np.full(n + 1, UNKNOWN, np.int64)
    number[places[places != UNKNOWN]] = np.flatnonzero(places != UNKNOWN)
    lists = [number[rows[int(place)]] if place != UNKNOWN else number[:0] for place in places]
    return Sequences.from_lists([row[row != UNKNOWN] for row in lists])


def _vectors(
    config: DKNConfig, reader: ArticleReader, articles: Articles, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of words and of entities, in their order."""
    n_words, n_entities, dim = len(reader.words), len(reader.entities), config.embedding_dim
    rng = np.random.default_rng(seed)
    found = rng.normal(0, dim**-0.5, (n_words + n_entities, dim)).astype(np.float32)
    if config.vectors.words == "cooccurrence":
        together = cooccurrence_vectors(_tokens(articles, n_words), n_words + n_entities, dim)
        known = together.any(axis=1)
        found[known] = together[known] + _OWN * found[known]
    words, entities = found[:n_words], found[n_words:]
    if not config.vectors.entities:
        return words, entities
    ids, vectors = read_vectors(config.vectors.entities)
    places = ids.find_all(list(reader.entities))
    if not (places != UNKNOWN).any():
        raise DataError(f"{config.vectors.entities} has a vector of none of the {n_entities:,} entities of the titles")
    given = vectors[np.maximum(places, 0)] * (places != UNKNOWN)[:, None]
    length = float(np.linalg.norm(given[places != UNKNOWN], axis=1).mean())
    return words, (given / max(length, 1e-12)).astype(np.float32)


def _tokens(articles: Articles, n_words: int) -> Sequences:
    """The words and entities of each title as tokens: words first."""
    owners = np.repeat(np.arange(len(articles)), articles.words.lengths)
    named = articles.entities != UNKNOWN
    tokens = np.concatenate([articles.words.values, articles.entities[named] + n_words])
    order = np.argsort(np.concatenate([owners, owners[named]]), kind="stable")
    lengths = articles.words.lengths + np.bincount(owners[named], minlength=len(articles))
    return Sequences.from_lengths(tokens[order], lengths)


__all__ = ["NewsBeginning", "begin_with"]
