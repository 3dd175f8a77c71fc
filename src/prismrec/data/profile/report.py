"""What a profile says, as frozen data: numbers and ids only, no tables, ready for JSON."""

from __future__ import annotations

import dataclasses
import datetime
import json
import uuid
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Counts:
    """How much there is.

    Attributes:
        n_pairs: distinct (user, item) pairs.
        density: pairs over users x items; sparsity is one minus this.
        repeat_share: share of the interactions that repeat an earlier pair.
        quarantined: rows that reading set aside, by reason.
    """

    n_interactions: int
    n_users: int
    n_items: int
    n_pairs: int
    density: float
    sparsity: float
    repeat_share: float
    quarantined: dict[str, int]


@dataclass(frozen=True)
class Bin:
    """A bar of a histogram: `count` values from `low` to `high`, both included; `high` None is open."""

    low: float
    high: float | None
    count: int


@dataclass(frozen=True)
class Curve:
    """How a total is spread over users, items or sessions.

    Attributes:
        n: number of users (items, sessions).
        median, p90, p99: nearest rank: the least value with at least that share at or below it.
        gini: 0 when all have the same, towards 1 when one has everything.
        top_1_percent, top_10_percent: share of the total that the largest 1 % and 10 % have.
        bins: histogram with doubling bins: 1, 2-3, 4-7, ...
        lorenz: (share of the largest, their share of the total), at most some 200 points from (0, 0) to (1, 1).
    """

    n: int
    mean: float
    median: int
    p90: int
    p99: int
    maximum: int
    gini: float
    top_1_percent: float
    top_10_percent: float
    bins: tuple[Bin, ...]
    lorenz: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class TopEntry:
    """One of the most active users or most popular items; `name` where the item table has one."""

    id: Any
    count: int
    share: float
    name: str | None = None


@dataclass(frozen=True)
class Sessions:
    """Sessions as training would cut them, before any bound on their length.

    Attributes:
        source: "session_id" as given, "gap" cut by pauses, or "user" where times have no distance.
        gap_minutes: the pause that starts a new session.
        single_share: share of sessions with one interaction: they teach nothing about order.
    """

    source: Literal["session_id", "gap", "user"]
    gap_minutes: float
    lengths: Curve
    single_share: float


@dataclass(frozen=True)
class Gaps:
    """Pauses between neighbouring interactions of a user, in seconds.

    Attributes:
        n: number of pauses.
        zero_share: share of pauses of no time at all: the order of those rows is not known.
        cut_share: share at or above the session gap.
    """

    n: int
    median: float
    p90: float
    zero_share: float
    cut_share: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class VarianceTest:
    """Do the ratings of all groups of users (or items) scatter alike?

    Attributes:
        groups: (users or items with at most this many ratings, number of ratings, standard deviation), fewest first.
        statistic: Brown-Forsythe statistic (Levene's test about group medians).
        p_value: how likely a statistic this large is if all scatter alike.
    """

    groups: tuple[tuple[int, int, float], ...]
    statistic: float
    p_value: float


@dataclass(frozen=True)
class Ratings:
    """The rating column.

    Attributes:
        missing: interactions without a rating.
        quantiles: (normal quantile, quantile of the ratings), the points of the Q-Q plot.
        quantile_correlation: correlation of these points; 1 for normal ratings.
        n_users_one_rating, n_users_constant: users with a single rating, and with several that are all the same.
        variance, item_variance: over groups of users by activity, of items by popularity; None where fewer than two
            groups have ratings that differ.
    """

    n: int
    missing: int
    mean: float
    deviation: float
    bins: tuple[Bin, ...]
    quantiles: tuple[tuple[float, float], ...]
    quantile_correlation: float | None
    n_users_one_rating: int
    n_users_constant: int
    variance: VarianceTest | None
    item_variance: VarianceTest | None


@dataclass(frozen=True)
class ViewCoverage:
    """What side information knows of the items, for one view.

    Attributes:
        items_covered: share of the items in the log that have a value.
        interactions_covered: share of the interactions on such items.
        n_values: distinct values among the items in the log.
        largest: the value that most of these items have.
        largest_share: share of the covered items that have it; near 1 the view tells items apart no more.
    """

    view: str
    column: str
    items_covered: float
    interactions_covered: float
    n_values: int
    largest: Any
    largest_share: float


@dataclass(frozen=True)
class TimeSpan:
    """When it happened, in UTC.

    Attributes:
        bin_days: length of a bar in days; 1 unless the span is very long.
        bars: (date on which the bar starts, interactions).
        empty_days: days between first and last without any interaction.
    """

    first: str
    last: str
    days: float
    bin_days: int
    bars: tuple[tuple[str, int], ...]
    empty_days: int


@dataclass(frozen=True)
class Suspect:
    """A user who may be a program.

    Attributes:
        peak_per_hour: interactions in the user's busiest clock hour; None where there is no clock.
        gap_variation: deviation over mean of the user's pauses; a clockwork is near 0. None without two pauses.
        distinct_share: distinct items over interactions.
        reasons: which thresholds were passed.
    """

    user_id: Any
    n_interactions: int
    peak_per_hour: int | None
    gap_variation: float | None
    distinct_share: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Suspects:
    """All suspected users, counted; the busiest of them, named."""

    n_users: int
    interactions_share: float
    busiest: tuple[Suspect, ...]


@dataclass(frozen=True)
class Finding:
    """Something that could make results look better than they are.

    Attributes:
        code: stable name, for programs.
        level: "warning" where it very probably matters, "note" where it may.
        count: rows, items or columns concerned; `share` of all of them.
    """

    code: str
    level: Literal["warning", "note"]
    count: int
    share: float
    message: str
    advice: str


@dataclass(frozen=True)
class DataStep:
    """What one step before training would leave out, on its own.

    Attributes:
        code: stable name, for programs.
        entity: of what `count` are left out, and `share` of all of them.
        setting: what to set to have it so, as `sessions.min_user_interactions = 30`.
        interactions_share: share of the interactions that go with them.
    """

    code: str
    entity: Literal["user", "item"]
    setting: str
    count: int
    share: float
    interactions_share: float

    @property
    def left_out(self) -> str:
        """How many would be left out, in words."""
        return f"{self.count:,} {self.entity}{'' if self.count == 1 else 's'}"


@dataclass(frozen=True)
class Profile:
    """Everything that is worth knowing of a log before training."""

    counts: Counts
    activity: Curve
    popularity: Curve
    top_users: tuple[TopEntry, ...]
    top_items: tuple[TopEntry, ...]
    sessions: Sessions
    gaps: Gaps | None
    ratings: Ratings | None
    coverage: tuple[ViewCoverage, ...]
    unknown_items: int
    time: TimeSpan | None
    suspects: Suspects
    findings: tuple[Finding, ...]
    steps: tuple[DataStep, ...] = ()

    def to_json(self) -> str:
        """The whole profile as JSON text; ids and values that JSON has no type for (UUIDs, dates) as text."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=_as_text, allow_nan=False, ensure_ascii=False)


def _as_text(value: Any) -> str:
    if isinstance(value, uuid.UUID | datetime.date | datetime.time | bytes):
        return str(value)
    raise TypeError(f"a profile cannot hold {value!r} of type {type(value).__name__}")


__all__ = [
    "Bin",
    "Counts",
    "Curve",
    "DataStep",
    "Finding",
    "Gaps",
    "Profile",
    "Ratings",
    "Sessions",
    "Suspect",
    "Suspects",
    "TimeSpan",
    "TopEntry",
    "VarianceTest",
    "ViewCoverage",
]
