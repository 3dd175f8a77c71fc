"""The protocol `click`: pairs of a user and an item, had or never had, to be told apart.

What a user clicked is dealt at random into training, validation and test, 6 : 2 : 2 where `test_share` is 0.2. Beside
each clicked item of the last two parts stands one that the user was never observed with in any part, drawn once and
without repeats, so that half of the pairs are clicks. A pair that occurs several times in the log is one pair, in one
part. Observed is what the log as it was read holds: a film that was rated low is no negative.

Where the log says what users were shown and did not click, or rated low (`sessions.min_rating`), `negatives = "shown"`
tells clicks from that: these pairs are dealt as clicks are, and those of the first part train.

The protocol of RippleNet (CIKM 2018, https://arxiv.org/abs/1803.03467, section 4.3) and MKR (WWW 2019,
https://arxiv.org/abs/1901.08907, section 4.3). *Differs from theirs:* their training part has negatives that were drawn
with those of the test part, and so never are clicks of it; here a model draws its own from all that it does not know.

Cost: the distinct pairs of the log in memory, as ids once and then 8 bytes each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data import engine
from prismrec.data.encoding import as_ids, storable
from prismrec.data.schema import ITEM_ID, ROW, USER_ID, Interactions
from prismrec.data.sequences import Sequences
from prismrec.data.splits import SplitSettings, scrambled, share_of_draws
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError

_TRAINING, _VALIDATION, _TEST = 0, 1, 2


@dataclass(frozen=True, eq=False)
class LabelledPairs:
    """Pairs of a user and an item, and which of them are clicks.

    Attributes:
        users: Arrow array (n_users,): ids, each once.
        candidates: one row per user: indices of items in `ClickSplit.items`, the clicks first.
        labels: (n_pairs,) bool, beside `candidates.values`: whether the pair is a click.
    """

    users: pa.Array
    candidates: Sequences
    labels: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ClickSplit:
    """One deal of the clicks.

    Attributes:
        train: the rows to train on, still lazy.
        items: every item that was clicked (or shown), in whatever part, in the order of ids with count 0: the
            catalogue that candidates are drawn from. That an item exists is no secret; how often it was clicked is.
        validation: pairs to choose settings and thresholds on.
        test: pairs to measure on.
    """

    train: Interactions
    items: Vocabulary
    validation: LabelledPairs
    test: LabelledPairs


def click_splits(interactions: Interactions, clicks: Interactions, settings: SplitSettings) -> Iterator[ClickSplit]:
    """Deal the clicks `repeats` times, each time with another seed, negatives included.

    Args:
        interactions: the log as it was read: what users are observed with.
        clicks: the same log after `sessions.clean`.
        settings: `test_share`, `repeats`, `negatives` and `seed` are used.

    Raises:
        ConfigError: validation and test would leave nothing to train on.
        DataError: the log has no clicks to hold out.
    """
    if settings.test_share >= 0.5:
        raise ConfigError(
            f"split.test_share = {settings.test_share:g} is held out twice under click, for validation and for test: "
            "give less than 0.5"
        )
    if settings.negatives == "shown" and clicks.disliked is None:
        raise ConfigError(
            "split.negatives = 'shown' needs rows that say what users did not click or like: set sessions.min_rating"
        )
    items = _catalogue(clicks.table, *([clicks.disliked] if settings.negatives == "shown" else []))
    observed = _pairs(interactions.table.select(USER_ID, ITEM_ID).distinct())
    for repeat in range(settings.repeats):
        yield _dealt(clicks, items, observed, settings, repeat)


def draw_unobserved(
    observed: Sequences, n_wanted: NDArray[np.int64], n_items: int, rng: np.random.Generator
) -> Sequences:
    """Draw distinct items for each user, uniformly among those they were not observed with, in random order.

    Args:
        observed: one row per user: item indices, repeats allowed.
        n_wanted: (n_users,) how many; a user who had nearly everything gets what is left.
        n_items: size of the catalogue.
        rng: source of randomness.

    Returns:
        one row per user, as long as wanted or as possible.
    """
    owners = np.repeat(np.arange(len(observed), dtype=np.int64), observed.lengths)
    taken = np.unique(owners * n_items + observed.values)
    n_free = n_items - np.bincount(taken // n_items, minlength=len(observed))
    wanted = np.minimum(n_wanted, n_free)
    crowded = (wanted * 2 > n_free) | (n_free * 2 < n_items)  # redrawing would take long: list what is left
    found = [_redrawn(np.repeat(np.flatnonzero(~crowded), wanted[~crowded]), taken, n_items, rng)]
    for user in np.flatnonzero(crowded & (wanted > 0)).tolist():
        own = taken[np.searchsorted(taken, user * n_items) : np.searchsorted(taken, (user + 1) * n_items)]
        left = np.setdiff1d(np.arange(n_items), own - user * n_items, assume_unique=True)
        found.append(user * n_items + rng.permutation(left)[: wanted[user]])
    pairs = np.concatenate(found)
    pairs = pairs[np.argsort(pairs // n_items, kind="stable")]  # of each user in the order of the draw
    return Sequences.from_lengths(pairs % n_items, wanted)


def _redrawn(
    owners: NDArray[np.int64], taken: NDArray[np.int64], n_items: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """One pair, user x n_items + item, per entry of `owners`, none in `taken` and none twice."""
    found = []
    while len(owners):
        pairs = owners * n_items + rng.integers(n_items, size=len(owners))
        first = np.zeros(len(pairs), np.bool_)
        first[np.unique(pairs, return_index=True)[1]] = True
        fresh = first & ~_among(pairs, taken)
        found.append(pairs[fresh])
        taken = np.sort(np.concatenate([taken, pairs[fresh]]))
        owners = owners[~fresh]
    return np.concatenate([np.zeros(0, np.int64), *found])


def _among(values: NDArray[np.int64], rising: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(rising):
        return np.zeros(len(values), np.bool_)
    places = np.minimum(np.searchsorted(rising, values), len(rising) - 1)
    is_among: NDArray[np.bool_] = rising[places] == values
    return is_among


def _catalogue(*tables: Any) -> Vocabulary:
    """All items of the logs, in the order of their ids: no order that tells how often they were clicked."""
    ids = ibis.union(*(table.select(id=table[ITEM_ID]) for table in tables)).distinct().order_by("id")
    found = as_ids(engine.arrow(ids.select(id=storable(ids.id)))["id"])
    return Vocabulary.from_ids(found, np.zeros(len(found), np.int64))


def _pairs(rows: Any, *others: str) -> pa.Table:
    """Columns user, item and others of a lazy table, with ids as Arrow can hold them."""
    chosen = rows.order_by([USER_ID, ITEM_ID])
    found = engine.arrow(
        chosen.select(**{name: storable(chosen[name]) for name in (USER_ID, ITEM_ID)}, **{n: chosen[n] for n in others})
    )
    return pa.table({name: as_ids(found[name]) for name in (USER_ID, ITEM_ID)} | {n: found[n] for n in others})


def _dealt(
    clicks: Interactions, items: Vocabulary, observed: pa.Table, settings: SplitSettings, repeat: int
) -> ClickSplit:
    rng = np.random.default_rng([settings.seed, repeat])
    deal = int(rng.integers(2**31))
    rows = _in_parts(clicks.table, deal, settings.test_share)
    held = _held(rows)
    if not len(held):
        raise DataError("click leaves nothing to test: the log is too small for split.test_share; use more data")
    train = dataclasses.replace(clicks, table=_training(rows))
    if settings.negatives == "drawn":
        validation, test = _labelled(held, _drawn(held, items, observed, rng), items)
        return ClickSplit(train, items, validation, test)
    shown = _in_parts(_only_shown(clicks), deal, settings.test_share)
    validation, test = _labelled(held, _held(shown), items)
    return ClickSplit(dataclasses.replace(train, disliked=_training(shown)), items, validation, test)


def _in_parts(table: Any, deal: int, test_share: float) -> Any:
    """The rows with the part of their pair."""
    of_pair = ibis.window(group_by=[USER_ID, ITEM_ID])
    rows = table.mutate(draw=scrambled(table[ROW].min().over(of_pair), deal))
    bounds = [share_of_draws(1 - 2 * test_share), share_of_draws(1 - test_share)]
    return rows.mutate(part=(rows.draw >= bounds[0]).cast("int64") + (rows.draw >= bounds[1]).cast("int64"))


def _training(rows: Any) -> Any:
    return rows.filter(rows.part == _TRAINING).drop("draw", "part")


def _held(rows: Any) -> pa.Table:
    """The distinct pairs of the other parts, in ids."""
    return _pairs(rows.filter(rows.part > _TRAINING).select(USER_ID, ITEM_ID, "part").distinct(), "part")


def _only_shown(clicks: Interactions) -> Any:
    """What users disliked, without what they clicked as well."""
    return clicks.disliked.anti_join(clicks.table.select(USER_ID, ITEM_ID), [USER_ID, ITEM_ID])


def _drawn(held: pa.Table, items: Vocabulary, observed: pa.Table, rng: np.random.Generator) -> pa.Table:
    """As many items as clicks of each user in each part, which they were never observed with; columns as `held`."""
    ids = held[USER_ID].combine_chunks().unique()
    users = Vocabulary.from_ids(ids)
    owners, parts = users.indices_of(held[USER_ID]), held["part"].to_numpy()
    counts = [np.bincount(owners[parts == part], minlength=len(users)) for part in (_VALIDATION, _TEST)]
    negatives = draw_unobserved(_rows_of(observed, users, items), counts[0] + counts[1], len(items), rng)
    n_first = np.rint(negatives.lengths * counts[0] / (counts[0] + counts[1])).astype(np.int64)
    places = np.arange(len(negatives.values)) - np.repeat(negatives.offsets[:-1], negatives.lengths)
    drawn_by = np.repeat(np.arange(len(users)), negatives.lengths)
    return pa.table(
        {
            USER_ID: ids.take(pa.array(drawn_by)),
            ITEM_ID: items.ids.take(pa.array(negatives.values)),
            "part": np.where(places < n_first[drawn_by], _VALIDATION, _TEST),
        }
    )


def _labelled(clicks: pa.Table, negatives: pa.Table, items: Vocabulary) -> tuple[LabelledPairs, LabelledPairs]:
    """Validation and test: the clicks of each user, and the negatives."""
    ids = pa.chunked_array([*clicks[USER_ID].chunks, *negatives[USER_ID].chunks]).unique()
    users = Vocabulary.from_ids(ids)
    made = []
    for part in (_VALIDATION, _TEST):
        sides = []
        for table in (clicks, negatives):
            own = table.filter(pa.array(table["part"].to_numpy() == part))
            sides.append((users.indices_of(own[USER_ID]), items.indices_of(own[ITEM_ID])))
        made.append(_joined(ids, sides[0], sides[1]))
    return made[0], made[1]


def _joined(
    ids: pa.Array,
    clicks: tuple[NDArray[np.int64], NDArray[np.int64]],
    negatives: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> LabelledPairs:
    """Pairs (owners, items) of both kinds as rows by user, without the users who have none."""
    owners = np.concatenate([clicks[0], negatives[0]])
    order = np.argsort(owners, kind="stable")
    lengths = np.bincount(owners, minlength=len(ids))
    asked = np.flatnonzero(lengths)
    values = np.concatenate([clicks[1], negatives[1]])[order]
    labels = np.repeat([True, False], [len(clicks[0]), len(negatives[0])])[order]
    return LabelledPairs(ids.take(pa.array(asked)), Sequences.from_lengths(values, lengths[asked]), labels)


def _rows_of(observed: pa.Table, users: Vocabulary, items: Vocabulary) -> Sequences:
    """Which items each of these users was observed with; others, and items that nobody clicked, are left out."""
    owners, had = users.indices_of(observed[USER_ID]), items.indices_of(observed[ITEM_ID])
    known = (owners >= 0) & (had >= 0)
    owners, had = owners[known], had[known]
    order = np.argsort(owners, kind="stable")
    return Sequences.from_lengths(had[order], np.bincount(owners, minlength=len(users)))


__all__ = ["ClickSplit", "LabelledPairs", "click_splits", "draw_unobserved"]
