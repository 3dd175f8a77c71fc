"""A model in torch that begins with what a bundle knows: rows of known ids are carried over, weights too.

Ids keep their index from training to training, so the rows of a parameter that has one per item, user or node are
those of the known ids, in their order, and rows for new ids follow: these stay as the model made them. Optimisers begin
anew. The nodes of views of users have no such order: what is learned of them is learned again. Nor have entities of a
knowledge graph, whose rows mean nothing in a graph that numbers them otherwise: such a start is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prismrec.data.prepared import PreparedData
from prismrec.data.schema import USERS
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError
from prismrec.models.algorithms import GRAPH_READERS
from prismrec.models.contract import StoredEncoder
from prismrec.retrieval.bundle import Bundle

if TYPE_CHECKING:
    from prismrec.models.neural.contract import NeuralModel

_ENTITIES = "knowledge.digest"
"""Among what a bundle keeps for a later training: which entity and which relation each row is of."""


def start_from(model: NeuralModel, start: Bundle, data: PreparedData, algorithm: str) -> list[str]:
    """Carry over, in place, what a bundle knows.

    Args:
        model: freshly built for `data`.
        start: a bundle of the same algorithm.
        data: prepared on `start`.
        algorithm: of the model.

    Returns:
        what could not be carried over, in words.

    Raises:
        ConfigError: the bundle is of another algorithm or shape, the data were not prepared on it, or the knowledge
            graph numbers its entities otherwise.
    """
    encoder = start.contents.encoder
    if encoder is None or encoder.algorithm != algorithm:
        there = "m2grl" if encoder is None else encoder.algorithm
        raise ConfigError(f"the bundle {start.path} is of {there}: {algorithm} cannot start from it")
    known = {**encoder.arrays, **encoder.network}
    if algorithm in GRAPH_READERS:
        _check_entities(known, start, data)
    sizes = _sizes(start, data)
    fresh = []
    for name, parameter in model.network.named_parameters():
        before = known.get(name)
        if before is None or not data.user_views.keys().isdisjoint(re.split(r"\.|__", name)):
            fresh.append(name)
            continue
        rows = _rows(before.shape, tuple(parameter.shape), sizes)
        if rows is None:
            raise ConfigError(
                f"parameter {name!r} is {before.shape} in the bundle {start.path} and {tuple(parameter.shape)} now: "
                f"start with the settings [models.{algorithm}] that it was trained with"
            )
        _copy(parameter, before, rows)
    return [f"not in the bundle, learned from the start: {', '.join(fresh)}"] if fresh else []


def stored_whole(model: NeuralModel, data: PreparedData) -> StoredEncoder:
    """What a model stores, and beside it what a start from it needs: parameters that its arrays lack, and of `data`
    which entities the rows of a knowledge graph are."""
    stored = model.stored()
    own = {name: np.array(tensor.detach().cpu().numpy()) for name, tensor in model.network.named_parameters()}
    missing = {name: array for name, array in own.items() if not _is_same(stored.arrays.get(name), array)}
    return replace(stored, network=missing | _entities(data))


def _entities(data: PreparedData) -> dict[str, NDArray]:
    """A digest of the entities and relations in their order; nothing where there is no graph."""
    if data.knowledge is None:
        return {}
    graph = data.knowledge.graph
    digest = hashlib.sha256("\0".join(graph.relations).encode())
    for entity in graph.entities.ids.to_pylist():
        digest.update(b"\0" + entity.encode())
    return {_ENTITIES: np.frombuffer(digest.digest(), np.uint8)}


def _check_entities(known: Mapping[str, NDArray], start: Bundle, data: PreparedData) -> None:
    now, before = _entities(data).get(_ENTITIES), known.get(_ENTITIES)
    same = now is before if now is None or before is None else np.array_equal(now, before)
    if not same:
        raise ConfigError(
            f"the knowledge graph has other entities or relations than that of the bundle {start.path}: what was "
            "learned of them cannot be carried over; train without --from"
        )


def _sizes(start: Bundle, data: PreparedData) -> set[tuple[int, int]]:
    """(before, now): how many ids each vocabulary had and has."""
    vocabularies: dict[str, Vocabulary] = dict(start.contents.vocabularies)
    if start.contents.users is not None:
        vocabularies[USERS] = start.contents.users
    now = {view: data.nodes(view) for view in data.view_names} | {USERS: data.users}
    for name, before in vocabularies.items():
        if name in now and not now[name].ids[: len(before)].equals(before.ids):
            raise ConfigError(
                f"the prepared data number the ids of {name!r} unlike the bundle {start.path}: prepare them with "
                "--from that bundle"
            )
    return {(len(before), len(now[name])) for name, before in vocabularies.items() if name in now}


def _rows(before: tuple[int, ...], now: tuple[int, ...], sizes: Iterable[tuple[int, int]]) -> int | None:
    """How many rows of a parameter are known; None where the shapes do not belong together."""
    if before == now:
        return now[0] if now else 1
    grown = before and now and before[1:] == now[1:] and (before[0], now[0]) in set(sizes)
    return before[0] if grown else None


def _copy(parameter: Any, before: NDArray, rows: int) -> None:
    import torch

    with torch.no_grad():
        values = torch.from_numpy(np.array(before)).to(parameter)
        (parameter[:rows] if parameter.ndim else parameter).copy_(values)


def _is_same(stored: NDArray | None, own: NDArray) -> bool:
    return stored is not None and stored.shape == own.shape and np.array_equal(stored, own)


__all__ = ["start_from", "stored_whole"]
