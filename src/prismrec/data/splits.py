"""Training rows and held-out queries, cut from the log itself, before anything is counted or built from it.

Every protocol marks rows of the log as held out; training is the rest. Since vocabularies, graphs, counts and priors
are made from `Split.train` alone, no held-out row can reach them. The marks are Ibis expressions, so the engine that
read the log (DuckDB or Spark) does the work; only the rows of tested users come to this process, as Arrow.

| protocol | held out | history of a query |
|---|---|---|
| `next_item` | the last item of each user | the user's earlier items |
| `next_in_session` | everything from one moment on; each item after the first of every session that starts then | the \
session's earlier items, or the user's |
| `ratio` | the last `test_share` of each user, one query with several truths | the user's earlier items |
| `kfold` | each row in one of `n_folds` random folds, one split per fold | the user's items in the other folds |
| `cold_item` | all rows of a share of the items, by `data.cold_items` | the user's earlier items, none withheld |
| `click` | 20 % of the pairs at random for validation, 20 % for test, by `data.click_splits` | the user's other items |
| `link` | triples of the knowledge graph, by `link_data` | one end of the triple, and its relation |

Rows of a user are ordered by (timestamp, source_row). The log comes from `sessions.clean`: short clicks and repeats
gone, sessions numbered. A validation split is the same cut made again inside the training rows: `validation_split`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import ibis
import numpy as np
import pyarrow as pa
from pydantic import Field

from prismrec.config import Section
from prismrec.data import engine
from prismrec.data.held_out import HeldOut, Ranges, held_out, numpy_of, sampled
from prismrec.data.schema import ITEM_ID, ROW, SESSION_ID, TIMESTAMP, USER_ID, Interactions
from prismrec.data.sessions import SESSION_NUMBER
from prismrec.errors import ConfigError, DataError

Protocol = Literal["next_item", "next_in_session", "ratio", "kfold", "cold_item", "click", "link"]
History = Literal["session", "user"]
Negatives = Literal["drawn", "shown"]

_PRIME = 2**31 - 1  # products of two residues stay below 2^62: no engine overflows


class SplitSettings(Section):
    """How the log is cut into training rows and test queries."""

    protocol: Protocol = Field(default="next_item", description="Which rows are held out: see the table of protocols.")
    min_history: int = Field(
        default=1, ge=1, description="Rows a user must keep in training to be tested (not by session)."
    )
    test_share: float = Field(
        default=0.2, gt=0, lt=1, description="Share held out: of each user, of all rows by time, or of all pairs."
    )
    history: History = Field(default="session", description="What a session query may look back on.")
    n_folds: int = Field(default=5, ge=2, description="Number of random folds of `kfold`.")
    max_folds: int = Field(default=0, ge=0, description="Hold out only the first so many folds; 0 holds out each.")
    cold_share: float = Field(
        default=0.1, gt=0, lt=1, description="Share of the items with side nodes that `cold_item` withholds."
    )
    repeats: int = Field(default=5, ge=1, description="How often `click` deals the pairs anew, with other seeds.")
    negatives: Negatives = Field(
        default="drawn", description="What `click` tells clicks from: items never observed, or those disliked."
    )
    max_queries: int = Field(default=0, ge=0, description="Test a random sample of this many queries; 0 tests all.")
    seed: int = Field(default=0, ge=0, description="Seed of folds, withheld items and the query sample.")


@dataclass(frozen=True, eq=False)
class Split:
    """Training rows (still lazy, still in the engine) and the queries held out from them."""

    train: Interactions
    queries: HeldOut


def split(interactions: Interactions, settings: SplitSettings) -> Iterator[Split]:
    """Cut the log by the chosen protocol: one split, or one per fold.

    Raises:
        DataError: nothing is left to test or to train on, or the protocol needs sessions that the log lacks.
        ConfigError: the protocol has a module of its own: `data.cold_items`, `data.click_splits`.
    """
    if settings.protocol not in SPLITTERS:
        raise ConfigError(
            f"split.protocol = {settings.protocol} is not made of held-out rows alone: here only {', '.join(SPLITTERS)}"
        )
    return SPLITTERS[settings.protocol](interactions, settings)


def validation_split(outer: Split, settings: SplitSettings) -> Split:
    """The same cut made again inside the training rows (for `kfold` its first fold): tune on this, never on test."""
    # Another seed: with the outer one, the rows of an inner fold would be the outer fold's, which are gone.
    return next(split(outer.train, settings.model_copy(update={"seed": settings.seed + 1})))


def next_item(interactions: Interactions, settings: SplitSettings) -> Iterator[Split]:
    """Hold out the last row of each user who has at least `min_history` earlier ones; others stay in training."""
    rows = _numbered(interactions)
    rows = rows.mutate(too_few=rows.n_rows <= settings.min_history)
    rows = rows.mutate(held=~rows.too_few & (rows.place == rows.n_rows - 1))
    yield _split_by_mark(interactions, rows, settings)


def ratio(interactions: Interactions, settings: SplitSettings) -> Iterator[Split]:
    """Hold out the last `test_share` of each user's rows, rounded down; users left with too few stay in training."""
    rows = _numbered(interactions)
    n_held = (rows.n_rows * settings.test_share + 1e-9).floor().cast("int64")  # 0.29 * 100 is 28.999...
    rows = rows.mutate(n_held=n_held)
    rows = rows.mutate(too_few=(rows.n_held == 0) | (rows.n_rows - rows.n_held < settings.min_history))
    rows = rows.mutate(held=~rows.too_few & (rows.place >= rows.n_rows - rows.n_held))
    yield _split_by_mark(interactions, rows, settings)


def kfold(interactions: Interactions, settings: SplitSettings) -> Iterator[Split]:
    """Deal every row into one of `n_folds` folds at random and hold out one fold after the other.

    A held-out row never trains; a user with fewer than `min_history` rows in the other folds is not asked about.
    """
    rows = _numbered(interactions)
    rows = rows.mutate(fold=(scrambled(rows[ROW], settings.seed) * settings.n_folds / _PRIME).floor().cast("int64"))
    for fold in range(min(settings.max_folds or settings.n_folds, settings.n_folds)):
        marked = rows.mutate(held=rows.fold == fold)
        n_held = marked.held.cast("int64").sum().over(ibis.window(group_by=USER_ID))
        marked = marked.mutate(too_few=marked.n_rows - n_held < settings.min_history)
        yield _split_by_mark(interactions, marked, settings)


def next_in_session(interactions: Interactions, settings: SplitSettings) -> Iterator[Split]:
    """Cut at one moment; predict, within each session that starts later, every item after the first.

    The cut is the time of the first of the last `test_share` of all rows. Training is what lies strictly before it.
    A session that straddles the cut trains with its head and is not tested. With `history = "user"` a query looks
    back on all earlier rows of the user, those after the cut included.
    """
    _check_sessions(interactions)
    cut = _time_cut(interactions, settings.test_share)
    train = _rows_like(interactions, interactions.table.filter(interactions.table[TIMESTAMP] < cut))
    rows = _with_places(interactions)
    rows = rows.mutate(tested=rows.session_start >= cut)
    if settings.history == "session":
        chosen, look_back, order = rows.filter(rows.tested), "session_place", [USER_ID, SESSION_NUMBER, "session_place"]
    else:
        rows = rows.mutate(has_test=rows.tested.any().over(ibis.window(group_by=USER_ID)))
        chosen, look_back, order = rows.filter(rows.has_test), "place", [USER_ID, "place"]
    columns = [USER_ID, ITEM_ID, SESSION_NUMBER, "tested", "place", "session_place"]
    found = engine.arrow(chosen.order_by(order).select(columns))

    asked = numpy_of(found["tested"]) & (numpy_of(found["session_place"]) > 0)
    targets = np.flatnonzero(asked)
    ranges = Ranges(targets - numpy_of(found[look_back])[targets], targets, targets + 1)
    yield Split(train, _asked(found, ranges, _sessions_left_out(rows, cut), settings))


SPLITTERS: Mapping[Protocol, Callable[[Interactions, SplitSettings], Iterator[Split]]] = {
    "next_item": next_item,
    "next_in_session": next_in_session,
    "ratio": ratio,
    "kfold": kfold,
}


def _user_order() -> Any:
    """Window over one user's rows in time; item_id only settles rows that are equal in all else."""
    return ibis.window(group_by=USER_ID, order_by=[TIMESTAMP, ROW, ITEM_ID])


def _numbered(interactions: Interactions) -> Any:
    """The log with `place` (0-based, in time order) and `n_rows`, both within the user."""
    table = interactions.table
    return table.mutate(
        place=ibis.row_number().over(_user_order()),
        n_rows=table[ROW].count().over(ibis.window(group_by=USER_ID)),
    )


def _rows_like(interactions: Interactions, rows: Any) -> Interactions:
    """These rows as a log of the same columns."""
    return dataclasses.replace(interactions, table=rows.select(list(interactions.table.columns)))


def _split_by_mark(interactions: Interactions, rows: Any, settings: SplitSettings) -> Split:
    """Train on the rows without the mark `held`; ask each user who has such rows, and not `too_few` others."""
    has_held = rows.held.any().over(ibis.window(group_by=USER_ID))
    rows = rows.mutate(has_held=has_held)
    chosen = rows.filter(rows.has_held & ~rows.too_few).order_by([USER_ID, "held", "place"])
    found = engine.arrow(chosen.select(USER_ID, ITEM_ID, "held"))
    train = _rows_like(interactions, rows.filter(~rows.held))
    counts = rows.aggregate(
        users_with_too_few_rows=rows[USER_ID].nunique(where=rows.too_few),
        users_without_held_out_rows=rows[USER_ID].nunique(where=~rows.too_few & ~rows.has_held),
    )
    return Split(train, _asked(found, _user_ranges(found), _plain_counts(counts), settings))


def _user_ranges(found: pa.Table) -> Ranges:
    """One query per user: the rows are ordered by user, those held out last."""
    users = numpy_of(found[USER_ID].combine_chunks().dictionary_encode().indices)
    if not len(users):
        return Ranges(*(np.zeros(0, np.int64) for _ in range(3)))
    starts = np.flatnonzero(np.concatenate([[True], users[1:] != users[:-1]]))
    stops = np.append(starts[1:], len(users))
    n_held = np.add.reduceat(numpy_of(found["held"]).astype(np.int64), starts)
    return Ranges(starts, stops - n_held, stops)


def _time_cut(interactions: Interactions, test_share: float) -> int:
    """The time of the first of the last `test_share` of all rows."""
    with engine.held_in_order(interactions.table.select(TIMESTAMP), "rank", (TIMESTAMP,)) as times:
        extent = engine.one_row(times.aggregate(n_rows=times.count(), first=times[TIMESTAMP].min()))
        n_rows, first = extent["n_rows"], extent["first"]
        n_test = max(1, int(n_rows * test_share + 1e-9))
        cut = n_rows and engine.one_row(times.filter(times["rank"] == n_rows - n_test))[TIMESTAMP]
    if n_rows == 0 or cut == first:
        raise DataError(
            f"next_in_session cannot cut {n_rows} rows at the last {test_share:g} by time: no row is earlier than the "
            "cut. Give a smaller test_share, or a log that spans more time"
        )
    return int(cut)


def _check_sessions(interactions: Interactions) -> None:
    if interactions.time_unit == "order" and not interactions.has(SESSION_ID):
        raise DataError(
            "next_in_session needs sessions, but the log has no session column and its times carry order without "
            "distance. Name the session column, or use the protocol next_item"
        )
    if not interactions.has(SESSION_NUMBER):
        raise DataError(f"the log has no column {SESSION_NUMBER!r}: pass it through prismrec.data.sessions.clean first")


def _with_places(interactions: Interactions) -> Any:
    """The log with session_start, session_end, `place` in the user and `session_place` in the session."""
    of_session = ibis.window(group_by=[USER_ID, SESSION_NUMBER])
    in_session = ibis.window(group_by=[USER_ID, SESSION_NUMBER], order_by=[TIMESTAMP, ROW, ITEM_ID])
    table = interactions.table
    return table.mutate(
        session_start=table[TIMESTAMP].min().over(of_session),
        session_end=table[TIMESTAMP].max().over(of_session),
        place=ibis.row_number().over(_user_order()),
        session_place=ibis.row_number().over(in_session),
    )


def _sessions_left_out(rows: Any, cut: int) -> dict[str, int]:
    """Sessions that are not tested although they reach past the cut, and their rows that are in neither part."""
    straddles = (rows.session_start < cut) & (rows.session_end >= cut)
    sessions = rows.group_by([USER_ID, SESSION_NUMBER]).aggregate(
        straddles=straddles.any(),
        alone=(rows.tested.all() & (rows.count() == 1)),
        lost=(straddles & (rows[TIMESTAMP] >= cut)).sum(),
    )
    counts = sessions.aggregate(
        sessions_straddling_the_cut=sessions.straddles.sum(),
        rows_lost_in_straddling_sessions=sessions.lost.sum(),
        sessions_of_one_item=sessions.alone.sum(),
    )
    return _plain_counts(counts)


def _asked(found: pa.Table, ranges: Ranges, left_out: dict[str, int], settings: SplitSettings) -> HeldOut:
    """The queries, or a sample of them."""
    if not len(ranges):
        reasons = ", ".join(f"{name} {count}" for name, count in left_out.items())
        raise DataError(f"{settings.protocol} leaves nothing to test ({reasons}): lower min_history or use more data")
    return held_out(found, *sampled(ranges, left_out, settings.max_queries, settings.seed))


def share_of_draws(share: float) -> int:
    """Below which number a share of what `scrambled` gives lies."""
    return round(share * _PRIME)


def scrambled(row: Any, seed: int) -> Any:
    """A number in [0, 2^31 - 1) that looks random and depends on row and seed alone.

    Plain integer arithmetic instead of the engine's random(): every engine, thread count and row order gives the same
    folds. Two squarings modulo a prime break the even spacing that a linear formula would leave.
    """
    scale, shift, stir = (int(n) for n in np.random.default_rng(seed).integers(1, _PRIME, 3))
    linear = ((row % _PRIME) * scale + shift) % _PRIME
    square = (linear * linear + stir) % _PRIME
    return (square * square) % _PRIME


def _plain_counts(counts: Any) -> dict[str, int]:
    """A one-row table of counts as a dict, zeros left out."""
    return {name: int(count) for name, count in engine.one_row(counts).items() if count}


__all__ = [
    "SPLITTERS",
    "HeldOut",
    "History",
    "Negatives",
    "Protocol",
    "Split",
    "SplitSettings",
    "kfold",
    "next_in_session",
    "next_item",
    "ratio",
    "scrambled",
    "share_of_draws",
    "split",
    "validation_split",
]
