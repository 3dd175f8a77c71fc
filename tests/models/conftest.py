"""Planted data with one right answer, for the tests of models that learn from sessions and views."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from prismrec.data.prepared import PreparedData, View
from prismrec.data.sequences import Sequences
from prismrec.data.views import mapped
from prismrec.data.vocabulary import Vocabulary

N_CATEGORIES = 5
N_WARM = 30
"""Items 0..29 are met often. Item i is of category i mod 5, and what follows it is of the next category."""
RARE = range(30, 35)
"""Met once each, after an item of the category before their own."""
COLD = range(35, 40)
"""Never met: only their category tells where they belong."""
N_ITEMS = 40

_NODES = {
    "category": [[item % N_CATEGORIES] for item in range(N_ITEMS)],
    "shop": [[item // N_CATEGORIES % 3] if item < N_WARM else [] for item in range(N_ITEMS)],
    "tags": [[item % N_CATEGORIES, 5 + item % 2] for item in range(N_ITEMS)],
}


@pytest.fixture(scope="session", autouse=True)
def torch_on_one_thread() -> None:
    """Models this small lose time to threads, and workers that run side by side lose more."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def planted() -> Callable[..., PreparedData]:
    """`planted(views, cycle=True)`: sessions of eight items and these of the views category, shop and tags.

    With `cycle`, item i + 1 follows item i. Without, any item of the next category does: then only categories tell.
    """

    def make(views: Sequence[str] = ("category",), *, cycle: bool = True, n_sessions: int = 400) -> PreparedData:
        rng = np.random.default_rng(0)
        places = rng.integers(0, N_WARM, n_sessions)[:, None] + np.arange(8)
        drawn = places % N_CATEGORIES + N_CATEGORIES * rng.integers(0, N_WARM // N_CATEGORIES, places.shape)
        rare = [[(item - 1) % N_CATEGORIES + N_CATEGORIES * int(rng.integers(0, 6)), item] for item in RARE]
        sessions = Sequences.from_lists([*(places % N_WARM if cycle else drawn), *rare])
        users = Vocabulary.from_ids(list(range(len(sessions))))
        items = Vocabulary.from_ids(list(range(N_ITEMS)), np.bincount(sessions.values, minlength=N_ITEMS))
        return PreparedData(items, sessions, users, sessions, {name: _view(name, sessions) for name in views})

    return make


def _view(name: str, sessions: Sequences) -> View:
    nodes = Sequences.from_lists(_NODES[name])
    of_sessions = mapped(sessions, nodes)
    counts = np.bincount(of_sessions.values)
    return View(name, Vocabulary.from_ids([f"{name} {n}" for n in range(len(counts))], counts), nodes, of_sessions)
