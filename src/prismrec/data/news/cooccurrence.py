"""A knowledge graph where none is given: entities that one title names belong together.

    (e, NAMED_WITH, f)    e < f in the order of their ids, for every pair of entities that some title names

It says less than a graph that people made: most titles name one entity, and one relation tells nothing of how two
belong together. It holds titles alone and no click, so nothing of what is held out can leak into it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data.knowledge.graph import KnowledgeGraph
from prismrec.data.news.mentions import Mention
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary

NAMED_WITH = "named_with"


def cooccurrence_graph(mentions: Sequence[Sequence[Mention]]) -> KnowledgeGraph:
    """The graph of titles, each with the entities that it names; entities are in the order of their ids.

    An entity is labelled by its most frequent name.
    """
    names: dict[str, Counter[str]] = {}
    pairs: set[tuple[str, str]] = set()
    for row in mentions:
        for entity, name in row:
            names.setdefault(entity, Counter())[name] += 1
        pairs.update(combinations(sorted({entity for entity, _ in row}), 2))
    known = sorted(names)
    place = {entity: index for index, entity in enumerate(known)}
    edges = [(place[a], 0, place[b]) for a, b in sorted(pairs)]
    triples = np.array(edges, np.int32).reshape(-1, 3)
    counts = np.bincount(triples[:, [0, 2]].reshape(-1), minlength=len(known))
    labels = pa.array([max(names[entity].items(), key=lambda item: (item[1], item[0]))[0] for entity in known])
    return KnowledgeGraph(
        Vocabulary.from_ids(pa.array(known, pa.string()), counts), (NAMED_WITH,), triples, labels.cast(pa.string())
    )


def neighbours(graph: KnowledgeGraph) -> Sequences:
    """One row per entity: those that a triple joins it to, as head or as tail, ascending; itself left out.

    context(e) = {f | (e, r, f) in G or (f, r, e) in G}    of the DKN paper, equation (6).
    """
    n = graph.n_entities
    heads, tails = (graph.triples[:, column].astype(np.int64) for column in (0, 2))
    apart = heads != tails
    pairs: NDArray[np.int64] = np.unique(
        np.concatenate([heads[apart] * n + tails[apart], tails[apart] * n + heads[apart]])
    )
    of, other = np.divmod(pairs, max(1, n))
    return Sequences.from_lengths(other.astype(np.int32), np.bincount(of, minlength=n))


__all__ = ["NAMED_WITH", "cooccurrence_graph", "neighbours"]
