"""Graphs of users and items that are small enough to reckon with, or have one right answer."""

import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from prismrec.data.prepared import PreparedData, View
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.neural.trainable import TorchTraining

N_GROUPS = 2


def log(
    histories: Iterable[Iterable[int]], n_items: int, views: dict[str, list[list[int]]] | None = None
) -> PreparedData:
    rows = Sequences.from_lists(list(map(list, histories)))
    items = Vocabulary.from_ids(list(range(n_items)), np.bincount(rows.values, minlength=n_items))
    return PreparedData(
        items,
        rows,
        Vocabulary.from_ids(list(range(len(rows)))),
        rows,
        {n: view(n, v) for n, v in (views or {}).items()},
    )


def view(name: str, nodes: list[list[int]]) -> View:
    rows = Sequences.from_lists(nodes)
    counts = np.bincount(rows.values)
    return View(name, Vocabulary.from_ids(list(range(len(counts))), counts), rows, Sequences.from_lists([]))


@pytest.fixture(scope="session")
def make_log() -> Callable[..., PreparedData]:
    """`make_log(histories, n_items, views)`: views map a name to each item's nodes."""
    return log


@pytest.fixture(scope="session")
def small() -> PreparedData:
    """u0 has i0 (twice) and i1, u1 has i1 and i2, u2 has nothing; nobody has i3."""
    return log([[0, 1, 0], [1, 2], []], 4)


@pytest.fixture(scope="session")
def groups() -> PreparedData:
    """40 users and 20 items, each of group number mod 2; users have five of the ten items of their group."""
    rng = np.random.default_rng(0)
    return log((rng.permutation(10)[:5] * N_GROUPS + user % N_GROUPS for user in range(40)), 20)


@pytest.fixture(scope="session")
def trained() -> Callable[..., TorchTraining]:
    """`trained(model, n_epochs)`: the model with as many epochs behind it."""

    def train(model: Any, n_epochs: int, seed: int = 1) -> TorchTraining:
        training = TorchTraining(model, seed=seed)
        for epoch in range(n_epochs):
            for step in range(training.steps_per_epoch):
                training.step(epoch, step, 0.0)
        return training

    return train


@pytest.fixture(scope="session")
def lead() -> Callable[..., float]:
    """`lead(model, data)`: how often an item of the user's group that they never had outscores one of the other."""

    def share(model: Any, data: PreparedData) -> float:
        scores = model.encoder().encode(data.histories, np.arange(len(data.users))) @ model.table().target.T
        won = []
        for user, had in enumerate(data.histories):
            own = np.setdiff1d(np.arange(user % N_GROUPS, len(data.items), N_GROUPS), had)
            other = np.arange(1 - user % N_GROUPS, len(data.items), N_GROUPS)
            won.append((scores[user, own][:, None] > scores[user, other]).mean())
        return float(np.mean(won))

    return share


@pytest.fixture(scope="session")
def geometric() -> Any:
    """`torch_geometric.nn`, which warns of torch while it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return import_module("torch_geometric.nn")
