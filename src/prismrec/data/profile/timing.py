"""When things happened: span and bars, pauses between a user's interactions, sessions."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import ibis

from prismrec.data.profile.aggregates import all_rows, one_row
from prismrec.data.profile.curves import curve_of
from prismrec.data.profile.report import Bin, Gaps, Sessions, TimeSpan
from prismrec.data.schema import ROW, SESSION_ID, TIMESTAMP, USER_ID, Interactions
from prismrec.data.sessions import SESSION_NUMBER, SessionSettings, clean

MICROSECONDS = 1_000_000
DAY = 86_400 * MICROSECONDS
MAX_BARS = 1000
GAP_BOUNDS = (1, 10, 60, 300, 600, 1800, 3600, 6 * 3600, 86_400, 7 * 86_400, 30 * 86_400)
"""Where the bars of the pauses begin, in seconds, above a first bar from 0."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(microseconds: int) -> datetime:
    """A canonical timestamp as a UTC datetime, exact to the microsecond."""
    return _EPOCH + timedelta(microseconds=microseconds)


def span_of(table: Any) -> TimeSpan:
    """First, last, and interactions per day, or per several days where the span is long."""
    ends = one_row(table.aggregate(first=table[TIMESTAMP].min(), last=table[TIMESTAMP].max()))
    first_day, last_day = ends["first"] // DAY, ends["last"] // DAY
    bin_days = math.ceil((last_day - first_day + 1) / MAX_BARS)
    # ibis floors integer division on DuckDB, so days before 1970 fall into their own day too
    days = table.select(day=(table[TIMESTAMP] // DAY).cast("int64")).group_by("day").aggregate(n=ibis._.count())
    n_days = one_row(days.aggregate(n=days.count()))["n"]
    bars = days.group_by(bar=((days.day - first_day) // bin_days).cast("int64")).aggregate(n=days.n.sum().fill_null(0))
    counts = {row["bar"]: row["n"] for row in all_rows(bars)}
    starts = range(0, last_day - first_day + 1, bin_days)
    return TimeSpan(
        first=moment(ends["first"]).isoformat(),
        last=moment(ends["last"]).isoformat(),
        days=(ends["last"] - ends["first"]) / DAY,
        bin_days=bin_days,
        bars=tuple((moment((first_day + s) * DAY).date().isoformat(), counts.get(s // bin_days, 0)) for s in starts),
        empty_days=last_day - first_day + 1 - n_days,
    )


def with_gaps(table: Any) -> Any:
    """The table with `gap`: microseconds since the user's row before, null for the first."""
    before = ibis.window(group_by=USER_ID, order_by=[TIMESTAMP, ROW])
    return table.mutate(gap=table[TIMESTAMP] - table[TIMESTAMP].lag().over(before))


def gaps_of(table: Any, gap_minutes: float) -> Gaps | None:
    """Pauses between neighbouring interactions; None where no user has two.

    Args:
        table: the log with the column `gap` of `with_gaps`.
        gap_minutes: the pause that starts a new session.
    """
    pauses = table.filter(table.gap.notnull()).select("gap")
    cut = round(gap_minutes * 60 * MICROSECONDS)
    row = one_row(
        pauses.aggregate(
            n=pauses.count(),
            median=pauses.gap.quantile(0.5),
            p90=pauses.gap.quantile(0.9),
            zero=(pauses.gap == 0).sum().fill_null(0),
            cut=(pauses.gap >= cut).sum().fill_null(0),
        )
    )
    if row["n"] == 0:
        return None
    median, p90 = float(row["median"]) / MICROSECONDS, float(row["p90"]) / MICROSECONDS
    return Gaps(row["n"], median, p90, row["zero"] / row["n"], row["cut"] / row["n"], _gap_bins(pauses))


def _gap_bins(pauses: Any) -> tuple[Bin, ...]:
    place = ibis.literal(0, "int64")
    for bound in GAP_BOUNDS:
        place = place + (pauses.gap >= bound * MICROSECONDS).cast("int64")
    rows = all_rows(pauses.select(place=place).group_by("place").aggregate(n=ibis._.count()))
    counts = {row["place"]: row["n"] for row in rows}
    edges = [0, *GAP_BOUNDS, None]
    return tuple(Bin(edges[i] or 0, edges[i + 1], counts.get(i, 0)) for i in range(len(edges) - 1))


def sessions_of(interactions: Interactions, gap_minutes: float) -> Sessions:
    """Session lengths, cut as in training, with short clicks and repeats still in."""
    raw = {"min_dwell_seconds": 0, "collapse_repeats": False, "session_gap_minutes": gap_minutes}
    settings = SessionSettings.model_validate(raw)
    log = clean(interactions, settings)
    lengths = curve_of(log.table, (USER_ID, SESSION_NUMBER))
    single = lengths.bins[0].count / lengths.n  # the first doubling bin is exactly 1
    return Sessions(_source(interactions), gap_minutes, lengths, single)


def _source(interactions: Interactions) -> Literal["session_id", "gap", "user"]:
    if interactions.has(SESSION_ID):
        return "session_id"
    return "user" if interactions.time_unit == "order" else "gap"


__all__ = ["DAY", "GAP_BOUNDS", "MICROSECONDS", "gaps_of", "moment", "sessions_of", "span_of", "with_gaps"]
