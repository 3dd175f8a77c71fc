"""A small log whose users go round blocks of items, for fits in a second."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest

from prismrec.inputs import prepare_log, read_tables
from prismrec.settings import Settings, build_settings

N_BLOCKS, BLOCK = 4, 5
FAST = [
    "training.epochs=2", "training.threads=1", "models.mf.embedding_dim=8", "models.mf.batch_size=64",
    "models.sasrec.embedding_dim=8", "models.sasrec.max_length=8", "models.sasrec.batch_places=256",
    "models.sasrec.n_negatives=16", "models.mf.learning_rate=0.02", "models.hin2vec.embedding_dim=8",
]  # fmt: skip


def clicks(users: Sequence[int], first_item: int = 0) -> pa.Table:
    """Each user goes round the block user % 4 once, from a start of their own."""
    rows = [
        (f"user {user}", f"item {first_item + user % N_BLOCKS * BLOCK + (user // N_BLOCKS + place) % BLOCK}", place)
        for user in users
        for place in range(BLOCK)
    ]
    users_of, items, places = zip(*rows, strict=True)
    return pa.table({"user_id": users_of, "item_id": items, "timestamp": np.array(places) * 100 + 1_600_000_000})


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """`settings("mf", "training.patience=1")`."""

    def make(algorithm: str, *overrides: str) -> Settings:
        return build_settings({"algorithm": algorithm}, [*FAST, *overrides])

    return make


@pytest.fixture
def prepared():
    """`prepared(settings, users=range(40), first_item=0, start=None)`: training data of these users."""

    def make(settings, users=range(40), first_item=0, start=None):
        log, items = read_tables(settings, clicks(users, first_item))
        return prepare_log(log, items, settings, start)

    return make


@pytest.fixture
def clicked() -> pa.Table:
    """The table that `prepared` reads unless told otherwise."""
    return clicks(range(40))
