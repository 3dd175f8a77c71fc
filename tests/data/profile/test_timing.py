"""Span, pauses and sessions of planted times."""

import pytest

from prismrec.data.profile.report import Bin
from prismrec.data.profile.timing import MAX_BARS, gaps_of, sessions_of, span_of, with_gaps

DAY = 86_400


def test_span_counts_days_with_and_without_interactions(make_log):
    span = span_of(make_log([("a", 1, 10), ("a", 1, 20), ("b", 1, 3 * DAY + 5)]).table)
    assert (span.first, span.last) == ("1970-01-01T00:00:10+00:00", "1970-01-04T00:00:05+00:00")
    assert span.bars == (("1970-01-01", 2), ("1970-01-02", 0), ("1970-01-03", 0), ("1970-01-04", 1))
    assert (span.bin_days, span.empty_days) == (1, 2)
    assert span.days == pytest.approx(3 - 5 / DAY)


def test_days_before_1970_and_midnight_belong_to_their_own_day(make_log):
    span = span_of(make_log([("a", 1, -0.000001), ("a", 1, 0), ("a", 1, DAY - 0.000001), ("a", 1, DAY)]).table)
    assert span.bars == (("1969-12-31", 1), ("1970-01-01", 2), ("1970-01-02", 1))
    assert span.first == "1969-12-31T23:59:59.999999+00:00"


def test_a_long_span_is_shown_in_wider_bars(make_log):
    span = span_of(make_log([("a", 1, 0), ("a", 1, 1500 * DAY), ("a", 1, 1501 * DAY)]).table)
    assert span.bin_days == 2
    assert len(span.bars) <= MAX_BARS
    assert (span.bars[0], span.bars[-1]) == (("1970-01-01", 1), ("1974-02-09", 2))
    assert sum(count for _, count in span.bars) == 3
    assert span.empty_days == 1502 - 3


def test_pauses_are_per_user_in_time_order(make_log):
    rows = [("a", 1, 100), ("b", 1, 50), ("a", 2, 0), ("a", 3, 100), ("a", 4, 1900), ("b", 2, 5050)]
    gaps = gaps_of(with_gaps(make_log(rows).table), 30)
    # a: 0, 100, 100, 1900 gives 100, 0, 1800; b: 50, 5050 gives 5000
    assert gaps.n == 4
    assert gaps.median == pytest.approx((100 + 1800) / 2)
    assert (gaps.zero_share, gaps.cut_share) == (1 / 4, 2 / 4)  # exactly 30 minutes cuts
    assert {one for one in gaps.bins if one.count} == {
        Bin(0, 1, 1), Bin(60, 300, 1), Bin(1800, 3600, 1), Bin(3600, 21_600, 1),
    }  # fmt: skip


def test_the_last_bar_of_the_pauses_is_open(make_log):
    gaps = gaps_of(with_gaps(make_log([("a", 1, 0), ("a", 2, 400 * DAY)]).table), 30)
    assert gaps.bins[-1] == Bin(30 * DAY, None, 1)


def test_without_a_second_interaction_there_are_no_pauses(make_log):
    assert gaps_of(with_gaps(make_log([("a", 1, 0), ("b", 1, 9)]).table), 30) is None


def test_sessions_are_cut_at_pauses_and_keep_repeats(make_log):
    rows = [("a", 1, 0), ("a", 1, 60), ("a", 2, 60 + 1800), ("b", 1, 0)]
    sessions = sessions_of(make_log(rows), 30)
    assert sessions.source == "gap"
    assert (sessions.lengths.n, sessions.lengths.maximum, sessions.single_share) == (3, 2, 2 / 3)
    assert sessions_of(make_log(rows), 31).lengths.n == 2


def test_given_sessions_are_taken_as_they_are(make_log):
    log = make_log([("a", 1, 0), ("a", 2, 9999), ("a", 3, 9999), ("b", 1, 0)], session_id=["x", "x", "y", "x"])
    sessions = sessions_of(log, 30)
    assert sessions.source == "session_id"
    assert sessions.lengths.n == 3  # x of a, y of a, x of b


def test_times_without_distance_give_one_session_per_user(make_log):
    sessions = sessions_of(make_log([("a", 1, 0), ("a", 2, 10**9), ("b", 1, 3)], time_unit="order"), 30)
    assert (sessions.source, sessions.lengths.n, sessions.single_share) == ("user", 2, 1 / 2)
