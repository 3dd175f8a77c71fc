"""A small invented shop: fifteen items, three categories, two shops, vectors from a fixed seed."""

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.contract import EmbeddingTable, StoredEncoder
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle, BundleContents

N_ITEMS = 15


def make_contents(seed: int = 7, **changes) -> BundleContents:
    """Contents whose ids show each type: large integers, text with a space and accents."""
    rng = np.random.default_rng(seed)

    def vectors(n, dim):
        return EmbeddingTable(*rng.normal(size=(2, n, dim)).astype(np.float32))

    contents = {
        "vectors": {"item": vectors(N_ITEMS, 6), "category": vectors(3, 6), "shop": vectors(2, 4)},
        "vocabularies": {
            "item": Vocabulary.from_ids([2**60 + i for i in range(N_ITEMS)], range(N_ITEMS, 0, -1)),
            "category": Vocabulary.from_ids(["fluid milk", "crème fraîche", "100% juice"], [8, 4, 3]),
            "shop": Vocabulary.from_ids(["north", "south"], [9, 6]),
        },
        "item_nodes": {
            "category": Sequences.from_lists([[i % 3] for i in range(N_ITEMS - 1)] + [[]]),
            "shop": Sequences.from_lists([[0, 1] if i % 4 == 0 else [i % 2] for i in range(N_ITEMS)]),
        },
        "alignment": {"category": rng.normal(size=(2, 6, 6)).astype(np.float32)},
        "item_columns": pa.table({
            "item_id": [2**60 + i for i in range(N_ITEMS)],
            "name": [f"article {i}" for i in range(N_ITEMS)],
            "price": [None if i == 3 else i / 4 for i in range(N_ITEMS)],
        }),
        "query": QuerySettings(view_weights={"item": 1.0, "category": 0.3}, history_length=5, popularity_weight=0.1),
        "config": {"training": {"epochs": 2}},
        "seed": seed,
        "data_fingerprint": "invented",
        "metrics": {"next_item/hr@10": 0.25},
        "training_log": [{"epoch": 0, "losses": {"intra/item": 0.69}, "task_weights": {"intra/item": 1.0}}],
    }  # fmt: skip
    return BundleContents(**{**contents, **changes})


def make_encoded_contents(**changes) -> BundleContents:
    """The same shop by a model with a vector per user: item vectors alone, side views as nodes and ids."""
    plain, rng = make_contents(), np.random.default_rng(11)
    tables = {"users": rng.normal(size=(3, 6)).astype(np.float32), "sources": plain.vectors["item"].source}
    ours = {
        "vectors": {"item": plain.vectors["item"]},
        "alignment": {},
        "query": QuerySettings(popularity_weight=0.0),
        "encoder": StoredEncoder("mf", {}, tables, knows_users=True),
        "users": Vocabulary.from_ids(["ann", "bob", "carol"]),
    }
    return make_contents(**{**ours, **changes})


@pytest.fixture
def contents() -> BundleContents:
    return make_contents()


@pytest.fixture
def bundle(tmp_path, contents) -> Bundle:
    return Bundle.write(tmp_path / "bundle", contents)


@pytest.fixture(scope="session")
def make():
    """`make_contents`, for tests that want other contents."""
    return make_contents


@pytest.fixture(scope="session")
def make_encoded():
    """`make_encoded_contents`: contents of a model that encodes its queries."""
    return make_encoded_contents
