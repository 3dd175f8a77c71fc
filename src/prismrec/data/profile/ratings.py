"""The rating column: distribution, Q-Q points against the normal, whether groups of users and of items scatter alike.

The variance test is Brown and Forsythe's form of Levene's (absolute deviations z from the group's median):

    W = (N - k) / (k - 1) * sum_i n_i (mean_i(z) - mean(z))^2 / sum_ij (z_ij - mean_i(z))^2,   W ~ F(k - 1, N - k)

It needs only n, mean(z) and var(z) of each group, so the engine reads the log twice and hands over one row per group.
"""

from __future__ import annotations

import math
from typing import Any

import ibis
import numpy as np
from scipy import stats

from prismrec.data.profile.aggregates import all_rows, one_row
from prismrec.data.profile.report import Bin, Ratings, VarianceTest
from prismrec.data.schema import ITEM_ID, RATING, USER_ID

MAX_DISTINCT = 40
N_QUANTILES = 99


def ratings_of(log: Any) -> Ratings | None:
    """All of the above; None where no interaction has a rating."""
    table = log.select(USER_ID, ITEM_ID, rating=log[RATING].cast("float64"))
    known = table.filter(table.rating.notnull() & ~table.rating.isnan())
    row = one_row(known.aggregate(n=known.count(), mean=known.rating.mean(), deviation=known.rating.std()))
    if row["n"] == 0:
        return None
    total = one_row(table.aggregate(n=table.count()))["n"]
    points = _quantiles(known)
    users = known.group_by(USER_ID).aggregate(n=known.count(), low=known.rating.min(), high=known.rating.max())
    alike = one_row(
        users.aggregate(
            one=(users.n == 1).sum().fill_null(0),
            constant=((users.n > 1) & (users.low == users.high)).sum().fill_null(0),
        )
    )
    return Ratings(
        n=row["n"],
        missing=total - row["n"],
        mean=row["mean"],
        deviation=row["deviation"] or 0.0,  # null for a single rating
        bins=_bins(known),
        quantiles=points,
        quantile_correlation=_correlation(points),
        n_users_one_rating=alike["one"],
        n_users_constant=alike["constant"],
        variance=variance_test(known, USER_ID),
        item_variance=variance_test(known, ITEM_ID),
    )


def _bins(known: Any) -> tuple[Bin, ...]:
    """One bar per value where there are few, else equally wide bars."""
    ends = one_row(known.aggregate(n=known.rating.nunique(), low=known.rating.min(), high=known.rating.max()))
    if ends["n"] <= MAX_DISTINCT:
        values = known.group_by("rating").aggregate(n=known.count()).order_by("rating")
        return tuple(Bin(row["rating"], row["rating"], row["n"]) for row in all_rows(values))
    width = (ends["high"] - ends["low"]) / MAX_DISTINCT
    place = ((known.rating - ends["low"]) / width).floor().cast("int64").clip(upper=MAX_DISTINCT - 1)
    rows = all_rows(known.select(place=place).group_by("place").aggregate(n=ibis._.count()))
    counts = {row["place"]: row["n"] for row in rows}
    edges = [ends["low"] + width * i for i in range(MAX_DISTINCT)] + [ends["high"]]
    return tuple(Bin(edges[i], edges[i + 1], counts.get(i, 0)) for i in range(MAX_DISTINCT))


def _quantiles(known: Any) -> tuple[tuple[float, float], ...]:
    """The 1 % to 99 % quantiles of the normal with the ratings' mean and deviation, each beside the ratings' own."""
    shares = [(i + 1) / (N_QUANTILES + 1) for i in range(N_QUANTILES)]
    row = one_row(
        known.aggregate(own=known.rating.quantile(shares), mean=known.rating.mean(), deviation=known.rating.std())
    )
    normal = row["mean"] + (row["deviation"] or 0.0) * stats.norm.ppf(shares)
    return tuple((float(x), float(y)) for x, y in zip(normal, row["own"], strict=True))


def _correlation(points: tuple[tuple[float, float], ...]) -> float | None:
    x, y = np.array(points).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None  # all ratings the same: there is no scatter to compare
    return float(np.corrcoef(x, y)[0, 1])


def variance_test(known: Any, owner: str) -> VarianceTest | None:
    """Brown-Forsythe over the quarters of users or items by their ratings; None where none can be made.

    Users (items) with equally many ratings stay together.

    Args:
        known: Ibis table with user_id, item_id and rating, none missing.
        owner: user_id or item_id: whose quarters.
    """
    owners = known.group_by(owner).aggregate(activity=known.count())
    limits = one_row(owners.aggregate(q=owners.activity.quantile([0.25, 0.5, 0.75]), top=owners.activity.max()))
    bounds = sorted({math.floor(q) for q in limits["q"]} | {limits["top"]})
    group = ibis.literal(0, "int64")
    for bound in bounds[:-1]:
        group = group + (owners.activity > bound).cast("int64")
    rated = known.inner_join(owners.select(owner, group=group), owner).select("group", "rating")
    medians = rated.group_by("group").aggregate(median=rated.rating.median(), deviation=rated.rating.std())
    joined = rated.inner_join(medians, "group")
    away = joined.select("group", "deviation", z=(joined.rating - joined.median).abs())
    rows = all_rows(
        away.group_by("group")
        .aggregate(n=away.count(), mean=away.z.mean(), var=away.z.var(how="pop"), deviation=away.deviation.max())
        .order_by("group")
    )
    return _brown_forsythe(rows, bounds)


def _brown_forsythe(rows: list[dict[str, Any]], bounds: list[int]) -> VarianceTest | None:
    n, mean, var = (np.array([row[name] for row in rows], np.float64) for name in ("n", "mean", "var"))
    k, total = len(rows), n.sum()
    within = float((n * var).sum())
    if k < 2 or total <= k or within <= 0:
        return None
    between = float((n * (mean - (n * mean).sum() / total) ** 2).sum())
    statistic = (total - k) / (k - 1) * between / within
    groups = tuple((bounds[row["group"]], row["n"], row["deviation"] or 0.0) for row in rows)
    return VarianceTest(groups, float(statistic), float(stats.f.sf(statistic, k - 1, total - k)))


__all__ = ["ratings_of", "variance_test"]
