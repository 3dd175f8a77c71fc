"""Planted programs beside planted people."""

import pytest

from prismrec.data.profile.settings import ProfileSettings
from prismrec.data.profile.suspects import suspects_of
from prismrec.data.profile.timing import with_gaps

SETTINGS = ProfileSettings(bot_min_interactions=20, bot_per_hour=50)


def person(name="person", n=30):
    """Irregular pauses, many items, nothing in a hurry."""
    return [(name, place % 17, place * place * 400) for place in range(n)]


def suspects(log, n_items=1000, settings=SETTINGS):
    found = suspects_of(with_gaps(log.table), n_items, log.time_unit != "order", settings)
    return {one.user_id: one for one in found.busiest}


def test_a_person_is_not_suspected(make_log):
    found = suspects_of(with_gaps(make_log(person()).table), 1000, True, SETTINGS)
    assert (found.n_users, found.interactions_share, found.busiest) == (0, 0, ())


def test_fifty_in_one_clock_hour_are_fast_and_forty_nine_are_not(make_log):
    for n, expected in ((50, ("fast",)), (49, None)):
        rows = [("bot", place, place * place) for place in range(n)]  # the last after 40 minutes
        found = suspects(make_log(rows + person()))
        assert (found["bot"].reasons if "bot" in found else None) == expected
    assert suspects(make_log([("bot", place, place * place) for place in range(50)]))["bot"].peak_per_hour == 50


def test_a_clockwork_is_regular(make_log):
    rows = [("clock", place, place * 3600) for place in range(40)]
    found = suspects(make_log(rows + person()))
    assert found["clock"].reasons == ("regular",)
    assert found["clock"].gap_variation == 0


def test_the_same_page_again_and_again_is_repetitive(make_log):
    rows = [("loop", 7, second) for _, _, second in person(n=60)]
    found = suspects(make_log(rows + person()))
    assert found["loop"].reasons == ("repetitive",)
    assert found["loop"].distinct_share == pytest.approx(1 / 60)


def test_half_the_catalogue_is_crawling(make_log):
    found = suspects(make_log([("spider", place, second) for place, (_, _, second) in enumerate(person())]), n_items=60)
    assert found["spider"].reasons == ("crawling",)
    assert not suspects(make_log(person()), n_items=35)


def test_users_with_few_interactions_are_never_suspected(make_log):
    assert not suspects(make_log([("short", 1, place) for place in range(19)]))


def test_a_user_with_all_interactions_at_one_instant_has_no_variation(make_log):
    found = suspects(make_log([("import", place, 100) for place in range(30)]), n_items=60)
    assert found["import"].gap_variation is None
    assert found["import"].reasons == ("crawling",)


def test_without_a_clock_only_what_was_seen_counts(make_log):
    log = make_log([("loop", 7, place) for place in range(60)], time_unit="order")
    found = suspects(log)
    assert found["loop"].reasons == ("repetitive",)
    assert (found["loop"].peak_per_hour, found["loop"].gap_variation) == (None, None)


def test_all_are_counted_and_the_busiest_named(make_log):
    rows = [(f"loop{bot}", 7, second) for bot in range(3) for _, _, second in person(n=60 + bot)]
    settings = SETTINGS.model_copy(update={"top": 2})
    found = suspects_of(with_gaps(make_log(rows + person(n=57)).table), 1000, True, settings)
    assert found.n_users == 3
    assert found.interactions_share == pytest.approx(183 / 240)
    assert [one.user_id for one in found.busiest] == ["loop2", "loop1"]
