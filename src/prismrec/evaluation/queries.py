"""Held-out queries in dense indices: what is asked, by whom, and what the right answers are."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prismrec.data.schema import UNKNOWN, USER_ID
from prismrec.data.sequences import Sequences
from prismrec.data.splits import HeldOut
from prismrec.data.vocabulary import UUID_TYPE, Vocabulary
from prismrec.errors import DataError

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Queries:
    """Held-out queries in dense indices.

    Attributes:
        histories: one row per query: item indices in time order, the latest last.
        truths: one row per query: item indices; -1 for a target outside the training vocabulary, always a miss.
        clusters: Arrow array (n_queries,): the user of each query; queries of one user are resampled together.
        exclude_seen: whether items of the history are left out of the ranking.
        left_out: what was not asked and why: reason -> count.
        users: (n_queries,) int64: the user of each query in the training vocabulary, -1 where it lacks them; all of
            them unless given.
    """

    histories: Sequences
    truths: Sequences
    clusters: pa.Array
    exclude_seen: bool
    left_out: Mapping[str, int] = field(default_factory=dict)
    users: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if not len(self.users):
            object.__setattr__(self, "users", np.full(len(self.truths), UNKNOWN, np.int64))
        lengths = {len(self.histories), len(self.truths), len(self.clusters), len(self.users)}
        if len(lengths) != 1:
            raise DataError(
                f"queries need one history, truth, cluster and user each, got {len(self.histories)} histories, "
                f"{len(self.truths)} truths, {len(self.clusters)} clusters and {len(self.users)} users"
            )

    def __len__(self) -> int:
        return len(self.truths)


def queries_from(
    held_out: HeldOut, vocabulary: Vocabulary, exclude_seen: bool, users: Vocabulary | None = None
) -> Queries:
    """Map held-out queries to the indices of the training vocabularies.

    Args:
        held_out: what is asked, in external ids.
        vocabulary: of the items in training.
        exclude_seen: whether items of the history are left out of the ranking.
        users: those in training, for models that know them; without it all users are unknown.

    History items outside the vocabulary are dropped and counted; a target outside it becomes -1 and is counted by
    `evaluate`. A target that occurs twice in a query is one target.

    Raises:
        DataError: the ids are of another type than those of the vocabulary.
    """
    table = held_out.queries
    history_ids, history_lengths = _flat(table["history"])
    histories = vocabulary.indices_of(_ids_like(history_ids, vocabulary))
    known = histories != UNKNOWN
    owners = np.repeat(np.arange(len(table)), history_lengths)
    known_lengths = np.bincount(owners[known], minlength=len(table))

    truth_ids, truth_lengths = _flat(table["truth"])
    codes = np.asarray(truth_ids.dictionary_encode().indices).astype(np.int64)
    kept, truth_lengths = _distinct_in_rows(codes, truth_lengths)
    truths = vocabulary.indices_of(_ids_like(truth_ids.take(pa.array(kept)), vocabulary))
    clusters = _one_array(table[USER_ID])
    known_users = np.zeros(0, np.int64) if users is None else users.indices_of(_ids_like(clusters, users, "user"))
    return Queries(
        histories=Sequences.from_lengths(histories[known], known_lengths),
        truths=Sequences.from_lengths(truths, truth_lengths),
        clusters=clusters,
        exclude_seen=exclude_seen,
        left_out={**held_out.left_out, "unknown_history_items": int(np.count_nonzero(~known))},
        users=known_users,
    )


def rare(queries: Queries, counts: NDArray[np.int64], below: int) -> Mask:
    """(n_queries,) bool: queries whose known targets all have fewer than `below` training interactions.

    A query with no known target is in no one's reach and not part of it.
    """
    values, lengths = queries.truths.values, queries.truths.lengths
    owners = np.repeat(np.arange(len(queries)), lengths)
    known = values != UNKNOWN
    n_known = np.bincount(owners[known], minlength=len(queries))
    n_rare = np.bincount(owners[known], weights=counts[values[known]] < below, minlength=len(queries))
    mask: Mask = (n_known > 0) & (n_rare == n_known)
    return mask


def distinct_truths(truths: Sequences) -> Sequences:
    """Each known truth once per query; unknown ones stay apart, since -1 does not say which they are."""
    keys = np.where(truths.values == UNKNOWN, -1 - np.arange(len(truths.values)), truths.values)
    kept, lengths = _distinct_in_rows(keys, truths.lengths)
    return Sequences.from_lengths(truths.values[kept], lengths)


def _distinct_in_rows(keys: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """Positions of the first occurrence of each key in its row, in order, and the new row lengths."""
    owners = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((keys, owners))  # stable: equal keys of a row stay in their order
    first = np.ones(len(keys), np.bool_)
    first[1:] = (np.diff(keys[order]) != 0) | (np.diff(owners[order]) != 0)
    kept = np.sort(order[first])
    return kept, np.bincount(owners[kept], minlength=len(lengths))


def _flat(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    """Values and lengths of a list column."""
    lists = _one_array(column)
    return lists.flatten(), np.asarray(pc.list_value_length(lists)).astype(np.int64)


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()


def _ids_like(ids: pa.Array, vocabulary: Vocabulary, what: str = "item") -> pa.Array:
    """The ids in the vocabulary's own type: engines hand UUIDs over as text.

    Raises:
        DataError: text against integers, or the like: nothing would match.
    """
    text = pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type)
    if text and vocabulary.ids.type == UUID_TYPE:
        return pa.array([_uuid_bytes(value, what) for value in ids.to_pylist()], UUID_TYPE)
    both_integers = pa.types.is_integer(ids.type) and pa.types.is_integer(vocabulary.ids.type)
    both_text = text and (pa.types.is_string(vocabulary.ids.type) or pa.types.is_large_string(vocabulary.ids.type))
    if len(ids) and not (both_integers or both_text or ids.type == vocabulary.ids.type):
        raise DataError(
            f"the held-out {what} ids are {ids.type}, those of the vocabulary {vocabulary.ids.type}: split and "
            "vocabulary must come from the same log"
        )
    return ids


def _uuid_bytes(text: str, what: str) -> bytes:
    try:
        return uuid.UUID(text).bytes
    except ValueError as error:
        raise DataError(f"the vocabulary holds UUIDs, but the held-out {what} id {text!r} is not a UUID") from error


__all__ = ["Mask", "Queries", "distinct_truths", "queries_from", "rare"]
