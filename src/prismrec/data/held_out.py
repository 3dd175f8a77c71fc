"""Held-out queries in external ids: which rows of the log are history and which are truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data.schema import ITEM_ID, USER_ID
from prismrec.data.sequences import ragged_positions
from prismrec.data.sessions import SESSION_NUMBER


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a model is asked, in external ids.

    Attributes:
        queries: Arrow table with the columns query (int64, 0..n-1), user_id, history and truth (lists of item_id in
            time order), session (its number within the user; null where the protocol has none).
        left_out: what was not asked and why: reason -> count.
    """

    queries: pa.Table
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.queries.num_rows)


@dataclass(frozen=True, eq=False)
class Ranges:
    """Queries as places in ordered rows, each (n_queries,) int64: history is start..middle, truth is middle..stop."""

    start: NDArray[np.int64]
    middle: NDArray[np.int64]
    stop: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)

    def take(self, chosen: NDArray[np.int64]) -> Ranges:
        """The chosen queries, in that order."""
        return Ranges(self.start[chosen], self.middle[chosen], self.stop[chosen])


def sampled(
    ranges: Ranges, left_out: Mapping[str, int], max_queries: int, seed: int
) -> tuple[Ranges, Mapping[str, int]]:
    """At most `max_queries` of the queries (0: all), drawn at random, and what is left out now.

    Sampling places instead of finished queries keeps histories that nobody asks for out of memory: with the whole
    user as history they grow with the square of a user's activity.
    """
    if not 0 < max_queries < len(ranges):
        return ranges, left_out
    chosen = np.random.default_rng(seed).choice(len(ranges), max_queries, replace=False)
    return ranges.take(np.sort(chosen)), {**left_out, "queries_not_sampled": len(ranges) - max_queries}


def held_out(rows: pa.Table, ranges: Ranges, left_out: Mapping[str, int]) -> HeldOut:
    """Turn ranges of the ordered rows (user_id, item_id and, with sessions, session_number) into queries."""
    items = rows[ITEM_ID].combine_chunks()
    asked = pa.array(ranges.middle)
    has_sessions = SESSION_NUMBER in rows.column_names
    # An engine may count in 128 bits, which Arrow takes for a decimal.
    session = rows[SESSION_NUMBER].take(asked).cast(pa.int64()) if has_sessions else pa.nulls(len(asked), pa.int64())
    queries = {
        "query": np.arange(len(asked), dtype=np.int64),
        USER_ID: rows[USER_ID].take(asked),
        "history": _lists(items, ranges.start, ranges.middle),
        "truth": _lists(items, ranges.middle, ranges.stop),
        "session": session,
    }
    return HeldOut(pa.table(queries), left_out)


def held_out_apart(known: pa.Table, asked: pa.Table, ranges: Ranges, left_out: Mapping[str, int]) -> HeldOut:
    """Queries whose truths are not among the rows of their histories.

    Args:
        known: ordered rows (user_id, item_id); a history is start..middle of these.
        asked: ordered rows of all; row `stop` of these is the one truth.
    """
    truths = ranges.stop
    queries = {
        "query": np.arange(len(truths), dtype=np.int64),
        USER_ID: asked[USER_ID].take(pa.array(truths)),
        "history": _lists(known[ITEM_ID].combine_chunks(), ranges.start, ranges.middle),
        "truth": _lists(asked[ITEM_ID].combine_chunks(), truths, truths + 1),
        "session": pa.nulls(len(truths), pa.int64()),
    }
    return HeldOut(pa.table(queries), left_out)


def numpy_of(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column without nulls as one array."""
    array: NDArray[Any] = column.to_numpy()
    return array


def _lists(items: pa.Array, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> pa.LargeListArray:
    """Ranges of `items` as list rows."""
    lengths = stops - starts
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return pa.LargeListArray.from_arrays(offsets, items.take(pa.array(ragged_positions(starts, lengths))))


__all__ = ["HeldOut", "Ranges", "held_out", "held_out_apart", "numpy_of", "sampled"]
