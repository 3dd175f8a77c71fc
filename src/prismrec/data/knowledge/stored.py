"""A knowledge graph and its items on disk: arrays and Arrow tables in one folder, memory-mapped where they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from prismrec.data.arrow_files import map_table, write_table
from prismrec.data.ids import one_chunk
from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError, DataError


def save_knowledge(knowledge: ItemKnowledge, folder: Path) -> None:
    """Write `entities.arrow`, `labels.arrow`, `relations.arrow`, `triples.npy` and `item_entities.npy`.

    The caller makes the folder appear whole or not at all.
    """
    folder.mkdir()
    graph = knowledge.graph
    graph.entities.save(folder / "entities.arrow")
    write_table(folder / "labels.arrow", pa.table({"label": graph.labels}))
    write_table(folder / "relations.arrow", pa.table({"relation": pa.array(graph.relations, pa.string())}))
    np.save(folder / "triples.npy", graph.triples)
    np.save(folder / "item_entities.npy", knowledge.item_entities)


def load_knowledge(folder: Path) -> ItemKnowledge:
    """Memory-map what `save_knowledge` wrote.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    entities = Vocabulary.load(folder / "entities.arrow")
    labels = map_table(folder / "labels.arrow")["label"]
    relations = map_table(folder / "relations.arrow")["relation"].to_pylist()
    try:
        triples, item_entities = (
            np.asarray(np.load(folder / name, mmap_mode="r", allow_pickle=False))
            for name in ("triples.npy", "item_entities.npy")
        )
        graph = KnowledgeGraph(entities, tuple(relations), triples, one_chunk(labels))
        return ItemKnowledge(graph, item_entities)
    except (OSError, ValueError, EOFError, DataError) as error:
        raise ArtifactError(f"cannot read the knowledge graph in {folder}: {error}") from error


__all__ = ["load_knowledge", "save_knowledge"]
