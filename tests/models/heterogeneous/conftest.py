"""Planted data for models of a typed graph: two tastes, told by clicks and by attributes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from prismrec.data.prepared import PreparedData, UserView, View
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary

N_USERS, N_ITEMS = 40, 24


@pytest.fixture(scope="session")
def two_tastes() -> Callable[..., PreparedData]:
    """`two_tastes()`: users and items of parity 0 and 1; a user clicks seven of the twelve items of their own parity.

    Items have a genre and users an age, which is the parity too; users are linked to the next of their parity.
    """

    def make(*, sides: bool = True, seed: int = 0) -> PreparedData:
        rng = np.random.default_rng(seed)
        histories = Sequences.from_lists(
            [rng.permutation(np.arange(user % 2, N_ITEMS, 2))[:7] for user in range(N_USERS)]
        )
        counts = np.bincount(histories.values, minlength=N_ITEMS)
        two = Vocabulary.from_ids(["even", "odd"])
        genres = Sequences.from_lists([[item % 2] for item in range(N_ITEMS)])
        ages = Sequences.from_lists([[user % 2] for user in range(N_USERS)])
        links = Sequences.from_lists([sorted({(u - 2) % N_USERS, (u + 2) % N_USERS}) for u in range(N_USERS)])
        return PreparedData(
            items=Vocabulary.from_ids(list(range(N_ITEMS)), counts),
            sessions=histories,
            users=Vocabulary.from_ids(list(range(N_USERS))),
            histories=histories,
            views={"genre": View("genre", two, genres, Sequences.from_lists([]))} if sides else {},
            user_views={"age": UserView("age", two, ages)} if sides else {},
            user_links=links if sides else None,
        )

    return make
