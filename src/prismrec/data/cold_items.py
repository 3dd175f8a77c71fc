"""The protocol `cold_item`: items withheld from training with all of their clicks, found by side information alone.

A share of the items that have a node in some view is drawn by a hash of seed and id, so which items are withheld does
not depend on the log. Their rows leave the log before it is cleaned: a click that is withheld bridges no pause between
two others, and hides no repeat. Their rows of the item table leave it too, so that vocabularies, counts, views and
cross-view edges are made of warm items alone.

A query is the first click of a user on a withheld item. Its history is what the user did before that with warm items;
its truth is the withheld item. All warm rows of the user train, later ones too: items are held out, not time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b

import ibis
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data import engine
from prismrec.data.encoding import as_ids, index_table, storable
from prismrec.data.held_out import HeldOut, Ranges, held_out_apart, numpy_of, sampled
from prismrec.data.item_tables import aligned
from prismrec.data.schema import ITEM_ID, ROW, TIMESTAMP, USER_ID, Interactions, ItemTable
from prismrec.data.sequences import Sequences
from prismrec.data.sessions import SESSION_NUMBER, SessionSettings, clean, long_enough, parted
from prismrec.data.splits import SplitSettings
from prismrec.data.views import ViewSettings, build_view
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError


@dataclass(frozen=True, eq=False)
class ColdSplit:
    """Training rows and items without the withheld ones, and the queries for these.

    Attributes:
        train: the log without the clicks on withheld items, not cleaned yet (`prepare` does that), still lazy.
        items: the item table without the withheld items.
        withheld_items: the rows of the item table of the withheld items.
        queries: whose truths are withheld items, one each.
        withheld: the withheld items; counts are the clicks on them.
    """

    train: Interactions
    items: ItemTable
    withheld_items: ItemTable
    queries: HeldOut
    withheld: Vocabulary


def cold_item(
    interactions: Interactions,
    items: ItemTable,
    views: Mapping[str, ViewSettings],
    settings: SplitSettings,
    sessions: SessionSettings,
) -> ColdSplit:
    """Withhold `cold_share` of the items that have a node in some view.

    Args:
        interactions: the log as it was read, not cleaned.
        items: the item table.
        views: which of its columns are nodes.
        settings: `cold_share`, `min_history`, `max_queries` and `seed` are used.
        sessions: how training will clean the log: histories are cleaned alike.

    Raises:
        DataError: the log is cleaned already, or nothing is left to test or to train on.
    """
    if interactions.has(SESSION_NUMBER):
        raise DataError(
            "cold_item cuts the log as it was read: clean it after the split, or withheld clicks shape sessions"
        )
    items = aligned(items, interactions)
    withheld = _drawn(interactions, items, views, settings)
    cold = index_table(engine.backend_of(interactions.table), withheld, "item_index")
    warm = _like(interactions, interactions.table.anti_join(cold, interactions.table[ITEM_ID] == cold.id))
    clicks = _like(interactions, interactions.table.semi_join(cold, interactions.table[ITEM_ID] == cold.id))
    if not engine.one_row(warm.table.aggregate(n=warm.table.count()))["n"]:
        raise DataError(f"cold_item leaves nothing to train on: all {len(withheld)} clicked items are withheld")
    columns, is_cold = list(items.table.columns), items.table[ITEM_ID] == cold.id
    warm_items = replace(items, table=items.table.anti_join(cold, is_cold).select(columns))
    cold_items = replace(items, table=items.table.semi_join(cold, is_cold).select(columns))
    queries = _queries(clean(warm, sessions), long_enough(parted(clicks, sessions), sessions), settings)
    return ColdSplit(warm, warm_items, cold_items, queries, withheld)


def validation_cold_item(
    outer: ColdSplit, views: Mapping[str, ViewSettings], settings: SplitSettings, sessions: SessionSettings
) -> ColdSplit:
    """The same made again inside the training rows, with other items: tune on this, never on test."""
    inner = settings.model_copy(update={"seed": settings.seed + 1})  # the same hash would draw none of those left
    return cold_item(outer.train, outer.items, views, inner, sessions)


def is_drawn(item_id: object, share: float, seed: int) -> bool:
    """Whether an item is withheld: decided by its id and the seed alone."""
    digest = blake2b(f"{seed}:{item_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


def _drawn(
    interactions: Interactions, items: ItemTable, views: Mapping[str, ViewSettings], settings: SplitSettings
) -> Vocabulary:
    """The clicked items with a node that the draw takes, in the order of their ids, with their clicks."""
    table = interactions.table
    clicked = table.group_by(id=table[ITEM_ID]).aggregate(clicks=table.count().cast("int64")).order_by("id")
    found = engine.arrow(clicked.select(id=storable(clicked.id), clicks=clicked.clicks))
    ids, clicks = as_ids(found["id"]), numpy_of(found["clicks"])
    vocabulary = Vocabulary.from_ids(ids, clicks)
    none = Sequences(np.zeros(0, np.int32), np.zeros(1, np.int64))
    eligible = np.zeros(len(ids), np.bool_)
    for name, view in views.items():
        eligible |= build_view(name, view, items.table, vocabulary, none, None).item_nodes.lengths > 0
    drawn = [is_drawn(i, settings.cold_share, settings.seed) for i in vocabulary.ids_of(np.arange(len(ids)))]
    chosen = np.flatnonzero(eligible & np.array(drawn, np.bool_))
    if not len(chosen):
        raise DataError(
            f"cold_item withholds no item: {eligible.sum()} of {len(ids)} clicked items have a node in a view, and a "
            f"cold_share of {settings.cold_share:g} draws none of them: check the views, or raise split.cold_share"
        )
    return Vocabulary.from_ids(ids.take(pa.array(chosen)), clicks[chosen])


def _queries(warm: Interactions, clicks: Interactions, settings: SplitSettings) -> HeldOut:
    """First clicks on withheld items, each with the user's warm rows before it."""
    columns = [USER_ID, ITEM_ID, TIMESTAMP, ROW]
    first = ibis.row_number().over(
        ibis.window(group_by=[USER_ID, ITEM_ID], order_by=[clicks.table[TIMESTAMP], clicks.table[ROW]])
    )
    cold = clicks.table.select(*columns).mutate(is_cold=True, again=first > 0)
    known = warm.table.semi_join(cold, USER_ID).select(*columns).mutate(is_cold=False, again=False)
    rows = known.union(cold, distinct=False).order_by([USER_ID, TIMESTAMP, ROW, ITEM_ID])
    found = engine.arrow(rows.select(USER_ID, ITEM_ID, "is_cold", "again"))
    is_cold, again = numpy_of(found["is_cold"]), numpy_of(found["again"])
    places = np.flatnonzero(is_cold & ~again)
    n_warm_before = np.concatenate([[0], np.cumsum(~is_cold)])
    start, middle = n_warm_before[_user_starts(found)[places]], n_warm_before[places]
    enough = middle - start >= settings.min_history
    left_out = {"clicks_again": int(again.sum()), "clicks_with_too_few_rows_before": int((~enough).sum())}
    ranges = Ranges(start[enough], middle[enough], places[enough])
    if not len(ranges):
        raise DataError(
            f"cold_item leaves nothing to test: {len(places)} first clicks on withheld items, none after "
            f"{settings.min_history} warm rows of its user; lower min_history or use more data"
        )
    ranges, told = sampled(ranges, {k: n for k, n in left_out.items() if n}, settings.max_queries, settings.seed)
    return held_out_apart(found.filter(pa.array(~is_cold)), found, ranges, told)


def _user_starts(found: pa.Table) -> NDArray[np.int64]:
    """For every row, where the rows of its user begin."""
    users = numpy_of(found[USER_ID].combine_chunks().dictionary_encode().indices)
    begins = np.concatenate([[True], users[1:] != users[:-1]]) if len(users) else np.zeros(0, np.bool_)
    starts: NDArray[np.int64] = np.maximum.accumulate(np.where(begins, np.arange(len(users)), 0))
    return starts


def _like(interactions: Interactions, rows: ibis.Table) -> Interactions:
    return replace(interactions, table=rows.select(list(interactions.table.columns)))


__all__ = ["ColdSplit", "cold_item", "is_drawn", "validation_cold_item"]
