"""What each step would leave out, counted by hand."""

import pytest

from prismrec.data.profile import ProfileSettings, profile
from prismrec.data.profile.page import page
from prismrec.data.profile.report import DataStep
from prismrec.data.profile.steps import StepSettings, steps_of

ROWS = [("a", 1), ("a", 2), ("a", 3), ("a", 4), ("b", 1), ("b", 2), ("c", 1), ("c", 2)]
RATINGS = [5.0, 5.0, 5.0, 5.0, 1.0, 5.0, 3.0, 4.0]
SETTINGS = StepSettings(
    min_user_interactions=3, max_user_interactions=3, min_item_interactions=2, max_item_deviation=1.5, min_ratings=3
)


@pytest.fixture
def log(make_log):
    def make(ratings=RATINGS):
        rows = [(user, item, place) for place, (user, item) in enumerate(ROWS)]
        return make_log(rows, **({} if ratings is None else {"rating": ratings}))

    return make


def test_every_step_is_counted_on_its_own(log):
    assert steps_of(log(), SETTINGS) == (
        DataStep("few_interactions", "user", "sessions.min_user_interactions = 3", 2, 2 / 3, 4 / 8),
        DataStep("many_interactions", "user", "sessions.max_user_interactions = 3", 1, 1 / 3, 4 / 8),
        DataStep("long_tail", "item", "sessions.min_item_interactions = 2", 2, 2 / 4, 2 / 8),
        DataStep("even_ratings", "user", "ratings.min_user_deviation = 0.1", 1, 1 / 3, 4 / 8),
        # item 1 has the ratings 5, 1, 3: their deviation is 1.63
        DataStep("erratic_ratings", "item", "ratings.max_item_deviation = 1.5", 1, 1 / 4, 3 / 8),
    )


def test_without_ratings_nothing_is_said_of_them_and_a_threshold_of_zero_is_no_step(log):
    found = steps_of(log(None), StepSettings(max_user_interactions=0, min_item_interactions=0))
    assert [step.code for step in found] == ["few_interactions"]


def test_a_step_that_leaves_nothing_out_has_no_share(log):
    found = steps_of(log(), StepSettings(min_user_interactions=1))
    assert (found[0].count, found[0].share, found[0].interactions_share) == (0, 0.0, 0.0)


def test_the_steps_are_in_the_profile_and_on_its_page(log):
    found = profile(log(), settings=ProfileSettings(steps=SETTINGS))
    assert [step.count for step in found.steps] == [2, 1, 2, 1, 1]
    assert '"setting": "ratings.max_item_deviation = 1.5"' in found.to_json()
    pytest.importorskip("plotly", reason="the page needs the extra profile")
    text = page(found, "Shop", "")
    assert "Steps before training" in text
    assert "<td>ratings.max_item_deviation = 1.5</td><td>1 item</td>" in text
