"""Each risk planted on its own, and a clean log in which none of them is seen."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from prismrec.data import engine
from prismrec.data.profile.leakage import findings_of, rank_correlation
from prismrec.data.profile.settings import ProfileSettings

NOW = 10**15  # 2001-09-09 in microseconds
CLEAN = [(f"u{place % 7}", place % 5, 1_000_000 + place * 1003) for place in range(70)]


def findings(log, items=None, now=NOW, **settings):
    return {one.code: one for one in findings_of(log, items, now, ProfileSettings(**settings))}


def test_a_clean_log_has_no_findings(make_log):
    assert findings(make_log(CLEAN)) == {}


def test_rows_that_repeat_user_item_and_time_are_counted_beyond_the_first(make_log):
    found = findings(make_log([*CLEAN, CLEAN[0], CLEAN[0], CLEAN[1]]))["duplicate_events"]
    assert (found.level, found.count, found.share) == ("warning", 3, 3 / 73)
    assert "3 rows repeat user, item and time" in found.message


def test_items_first_seen_at_the_end_are_counted(make_log):
    late = [("u0", 77, CLEAN[-1][2] + 1), ("u1", 78, CLEAN[-1][2] + 2), ("u2", 3, CLEAN[-1][2] + 3)]
    found = findings(make_log(CLEAN + late))["late_items"]
    assert (found.level, found.count, found.share) == ("note", 2, 2 / 7)


def test_events_in_the_future_are_counted_from_the_given_moment(make_log):
    moment = CLEAN[-3][2] * 1_000_000
    found = findings(make_log(CLEAN), now=moment)["future_events"]
    assert (found.level, found.count) == ("warning", 2)  # the event at that very moment is not in the future


def test_many_rows_of_several_users_at_one_instant_are_an_import(make_log):
    batch = [(f"u{place % 7}", 100 + place, 999) for place in range(30)]
    found = findings(make_log(batch + CLEAN), batch_rows=30)["batch_times"]
    assert (found.level, found.count, found.share) == ("warning", 30, 30 / 100)
    assert "batch_times" not in findings(make_log(batch + CLEAN), batch_rows=31)


def test_many_rows_of_one_user_at_one_instant_are_a_basket(make_log):
    basket = [("u0", 100 + place, 999) for place in range(30)]
    assert "batch_times" not in findings(make_log(basket + CLEAN), batch_rows=30)


def test_times_at_midnight_are_days(make_log):
    days = [(user, item, 86_400 * place) for place, (user, item, _) in enumerate(CLEAN)]
    assert findings(make_log(days))["day_resolution"].count == 70


def test_rows_that_share_user_and_time_have_no_order(make_log):
    tied = [("u0", 1, 5), ("u0", 2, 5), ("u0", 3, 5), ("u0", 4, 5), ("u1", 1, 5)]
    found = findings(make_log(tied + CLEAN))["tied_times"]
    assert (found.level, found.count, found.share) == ("note", 4, 4 / 75)
    assert "tied_times" not in findings(make_log(tied[1:] + CLEAN))  # 3 of 74: below 5 %


def test_a_session_of_several_users_is_a_warning(make_log):
    rows = CLEAN[:4]  # users u0 .. u3
    found = findings(make_log(rows, session_id=["x", "x", "y", None]))["shared_sessions"]
    assert (found.level, found.count, found.share) == ("warning", 1, 1 / 2)
    assert "shared_sessions" not in findings(make_log(rows, session_id=["x", "y", "z", None]))


def popular(make_log, **columns):
    """Item i has i + 1 interactions, for 30 items."""
    rows = [("u", item, 10_000 + 1003 * (31 * item + n)) for item in range(30) for n in range(item + 1)]
    return make_log(rows, **{name: make(rows) for name, make in columns.items()})


def test_an_item_column_that_follows_popularity_looks_derived(make_log, make_items):
    items = make_items(
        item_id=list(range(30)),
        sold=[(item + 1) ** 3 for item in range(30)],  # any rising function of the count
        rank=[100 - item for item in range(30)],
        price=[(item * 7) % 30 for item in range(30)],
        constant=[5] * 30,
        name=[str(item) for item in range(30)],
    )
    log = popular(make_log)
    found = [one for one in findings_of(log, items, NOW, ProfileSettings()) if one.code == "derived_column"]
    assert [one.message.split("'")[1] for one in found] == ["sold", "rank"]
    assert "rank correlation -1.00" in found[1].message


def test_an_item_column_that_follows_the_mean_rating_looks_derived(make_log, make_items):
    log = popular(make_log, rating=lambda rows: [float((item * 7) % 30) for _, item, _ in rows])
    items = make_items(item_id=list(range(30)), stars=[((item * 7) % 30) / 6 for item in range(30)])
    assert "mean rating does (rank correlation 1.00)" in findings(log, items)["derived_column"].message


def test_rank_correlation_is_spearmans_with_ties_at_their_mean_rank(backend):
    rng = np.random.default_rng(3)
    x = rng.integers(0, 5, 40)
    y = x + rng.integers(0, 4, 40)
    table = engine.register(backend, pa.table({"x": x, "y": y, "one": np.ones(40)}))
    assert rank_correlation(table, "x", "y") == pytest.approx(stats.spearmanr(x, y).statistic)
    assert rank_correlation(table, "x", "one") is None


def test_few_items_say_nothing_about_a_column(make_log, make_items):
    items = make_items(item_id=list(range(10)), sold=list(range(10)))
    assert "derived_column" not in findings(popular(make_log), items)


def test_times_without_a_clock_are_not_judged_as_times(make_log):
    rows = [("u", place, 0) for place in range(5)] + [("v", place, place) for place in range(5)]
    found = findings(make_log(rows, time_unit="order"), now=-1, batch_rows=2)
    assert set(found) == {"tied_times"}


def test_warnings_come_before_notes(make_log):
    rows = [*CLEAN, *CLEAN]
    found = findings_of(make_log(rows, session_id=["s"] * 140), None, NOW, ProfileSettings())
    levels = [one.level for one in found]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == "warning"


@pytest.mark.parametrize("code", ["duplicate_events", "tied_times"])
def test_every_finding_says_what_to_do(make_log, code):
    found = findings(make_log([*CLEAN, *CLEAN]))[code]
    assert found.advice
    assert found.message
