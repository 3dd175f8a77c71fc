"""What `prismrec tune` may change: one literal table per algorithm, side by side.

Ranges are as wide as published settings of each model go, and about as many knobs for each: a search is fair only where
its spaces are. How a query is asked (view weights, recency, priors) is not among them: it is chosen for every candidate
by `fitting.tuned_on`, and how long to train by early stopping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from prismrec.config import Section
from prismrec.errors import ConfigError
from prismrec.models.algorithms import Algorithm


@dataclass(frozen=True)
class Real:
    """Any number between two, both included; with `log`, each order of magnitude is as likely."""

    low: float
    high: float
    log: bool = False

    def with_value(self, value: Any) -> Real:
        """The same, wide enough for `value`; as it is where a logarithm cannot reach it."""
        if self.log and value <= 0:
            return self
        return replace(self, low=min(self.low, float(value)), high=max(self.high, float(value)))

    def holds(self, value: Any) -> bool:
        """Whether the value lies in the range."""
        return bool(self.low <= value <= self.high)


@dataclass(frozen=True)
class Whole:
    """Any whole number between two, both included; with `log`, each order of magnitude is as likely."""

    low: int
    high: int
    log: bool = False

    def with_value(self, value: Any) -> Whole:
        """The same, wide enough for `value`; as it is where a logarithm cannot reach it."""
        if self.log and value <= 0:
            return self
        return replace(self, low=min(self.low, int(value)), high=max(self.high, int(value)))

    def holds(self, value: Any) -> bool:
        """Whether the value lies in the range."""
        return bool(self.low <= value <= self.high)


@dataclass(frozen=True)
class OneOf:
    """One of some values, none nearer to another: numbers, words, true and false."""

    values: tuple[float | int | str | bool, ...]

    def with_value(self, value: Any) -> OneOf:
        """The same, with `value` among them."""
        return self if self.holds(value) else OneOf((*self.values, value))

    def holds(self, value: Any) -> bool:
        """Whether the value is one of them."""
        return value in self.values


Knob = Real | Whole | OneOf
SearchSpace = Mapping[str, Knob]
"""Field of the settings, such as `models.sasrec.dropout` -> what to try for it."""

_DIM = OneOf((32, 64, 128))
_RATE = Real(3e-4, 2e-2, log=True)
_L2 = OneOf((0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2))
_DROPOUT = Real(0.0, 0.6)
_BATCH = OneOf((1024, 2048, 4096, 8192))

_PLACES: SearchSpace = {
    "embedding_dim": _DIM,
    "learning_rate": _RATE,
    "dropout": _DROPOUT,
    "max_length": OneOf((50, 100, 200)),
}
_PAIRS: SearchSpace = {"embedding_dim": _DIM, "learning_rate": _RATE, "batch_size": _BATCH, "l2": _L2}

_SUBGRAPHS: SearchSpace = {
    "embedding_dim": _DIM,
    "learning_rate": _RATE,
    "layers": Whole(1, 3),
    "heads": OneOf((1, 2, 4)),
    "temperature": Real(0.05, 1.0, log=True),
    "subgraph.nodes_per_type": OneOf((256, 512, 1024, 2048)),
}

SPACES: Mapping[Algorithm, SearchSpace] = {
    "m2grl": {
        "training.learning_rate": Real(0.02, 0.6, log=True),
        "model.embedding_dim": _DIM,
        "model.window": Whole(2, 20, log=True),
        "model.context": OneOf(("forward", "symmetric")),
        "model.negatives": Whole(5, 20, log=True),
        "model.negative_power": Real(0.0, 1.0),
    },
    "ma_gnn": {
        "embedding_dim": _DIM, "learning_rate": _RATE, "dropout": _DROPOUT, "l2": _L2,
        "windows.near": Whole(3, 10), "windows.targets": Whole(1, 5), "heads": Whole(1, 20, log=True),
        "memory_slots": Whole(5, 50, log=True),
    },
    "sasrec": {**_PLACES, "n_blocks": Whole(1, 3), "n_heads": OneOf((1, 2, 4))},
    "gru4rec": {**_PLACES, "hidden_dim": OneOf((64, 128, 256)), "n_layers": Whole(1, 2)},
    "hgn": {**_PAIRS, "window": Whole(3, 10), "targets": Whole(1, 5), "pooling": OneOf(("mean", "max"))},
    "mf": _PAIRS,
    "lightgcn": {**_PAIRS, "n_layers": Whole(1, 4)},
    "ngcf": {**_PAIRS, "n_layers": Whole(1, 4), "message_dropout": _DROPOUT, "node_dropout": _DROPOUT},
    "pinsage": {
        "embedding_dim": _DIM, "learning_rate": _RATE, "batch_size": _BATCH, "n_layers": Whole(1, 3),
        "n_neighbours": Whole(5, 50, log=True), "margin": Real(0.01, 1.0, log=True), "n_hard": Whole(0, 6),
    },
    "hin2vec": {
        "embedding_dim": _DIM, "learning_rate": Real(1e-3, 5e-2, log=True), "max_steps": Whole(2, 4),
        "walk_length": Whole(10, 80, log=True), "n_negatives": Whole(1, 20, log=True),
    },
    "hgt": {**_SUBGRAPHS, "hidden_share": Real(0.0, 1.0)},
    "mthgt": {**_SUBGRAPHS, "hidden_share": Real(0.0, 1.0), "experts": Whole(2, 8)},
    "ripplenet": {
        "embedding_dim": OneOf((8, 16, 32)), "learning_rate": Real(1e-3, 5e-2, log=True), "n_hops": Whole(1, 3),
        "triples_per_hop": OneOf((16, 32, 64)), "kge_weight": Real(1e-4, 0.1, log=True),
        "l2": OneOf((0.0, 1e-8, 1e-7, 1e-6, 1e-5)),
    },
    "mkr": {
        "embedding_dim": OneOf((4, 8, 16, 32, 64)), "learning_rate": Real(3e-4, 2e-2, log=True), "l2": _L2,
        "low_layers": Whole(1, 3), "high_layers": Whole(1, 3), "schedule.interval": Whole(1, 8),
    },
    "dkn": {
        "embedding_dim": OneOf((25, 50, 100)), "filters": OneOf((32, 64, 128)), "batch_size": OneOf((64, 128, 256)),
        "learning_rate": Real(3e-4, 1e-2, log=True), "max_history": OneOf((10, 30, 50)),
        "vectors.trained": OneOf((True, False)),
    },
}  # fmt: skip
"""Of every algorithm that learns from clicks; but for M2GRL's the names are fields of `[models.<algorithm>]`."""


def full_name(algorithm: Algorithm, name: str) -> str:
    """The field that a name in the table of an algorithm is, from the top of the settings."""
    return name if algorithm == "m2grl" else f"models.{algorithm}.{name}"


def search_space(settings: Section, algorithm: Algorithm, only: tuple[str, ...] = ()) -> dict[str, Knob]:
    """The table of an algorithm under full names, wide enough for the values that the settings have now.

    Args:
        settings: the whole settings file.
        algorithm: whose table.
        only: fields to search, named as in the table or in full; all of them where empty.

    Raises:
        ConfigError: `only` names a field that the table lacks, or the algorithm has no table.
    """
    if algorithm not in SPACES:
        raise ConfigError(f"tune searches models that learn from clicks, and {algorithm} learns from triples alone")
    table = SPACES[algorithm]
    for name in only:
        if name not in table and name not in map(partial(full_name, algorithm), table):
            raise ConfigError(f"there is nothing to try for {name!r} of {algorithm}; there is {', '.join(table)}")
    space = {}
    for name, knob in table.items():
        field = full_name(algorithm, name)
        if not only or name in only or field in only:
            space[field] = knob.with_value(value_of(settings, field))
    return space


def value_of(settings: Section, field: str) -> Any:
    """The value of `section.field`, however deep."""
    value: Any = settings
    for name in field.split("."):
        value = getattr(value, name)
    return value


__all__ = ["SPACES", "Knob", "OneOf", "Real", "SearchSpace", "Whole", "full_name", "search_space", "value_of"]
