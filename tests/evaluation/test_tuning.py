"""Coordinate ascent on planted scores, whose best settings are known."""

import math

import pytest
from pydantic import Field

from prismrec.config import Section
from prismrec.errors import ConfigError, TrainingError
from prismrec.evaluation.tuning import replaced, tune


class Pairs(Section):
    window: int = 2


class Knobs(Section):
    depth: int = Field(default=0, ge=0)
    width: int = 0
    pairs: Pairs = Pairs()
    view_weights: dict[str, float] = Field(default={"item": 1.0})


SPACE = {"depth": range(6), "width": range(6), "pairs.window": (1, 2, 5), "view_weights.shop": (0.0, 0.5, 1.0)}


def hill(knobs):
    """Highest at depth 4, width 3, window 5 and shop 0.5; the best width depends on the depth."""
    shop = knobs.view_weights.get("shop", 0.0)
    slope = 2 * abs(knobs.depth - 4) + abs(knobs.width - knobs.depth + 1)
    return -slope - abs(knobs.pairs.window - 5) - abs(shop - 0.5)


def test_finds_the_planted_best_in_every_field_and_section():
    tuned = tune(Knobs(), SPACE, hill, n_rounds=9)
    assert tuned.settings == Knobs(depth=4, width=3, pairs=Pairs(window=5), view_weights={"item": 1.0, "shop": 0.5})
    assert tuned.score == hill(tuned.settings) == 0


def test_a_further_round_goes_on_from_the_last():
    def score(knobs):  # depth only pays once the width is right, and its turn comes first
        return float((knobs.width == 3) + (knobs.width == 3) * (knobs.depth == 2))

    once, twice = (tune(Knobs(), {"depth": range(6), "width": range(6)}, score, n_rounds=n) for n in (1, 2))
    assert (once.settings.depth, once.settings.width, once.score) == (0, 3, 1)
    assert (twice.settings.depth, twice.settings.width, twice.score) == (2, 3, 2)


def test_the_start_wins_ties():
    start = Knobs(depth=3, width=5)
    assert tune(start, SPACE, lambda knobs: 1.0).settings == start


def test_the_first_of_equal_candidates_stays():
    assert tune(Knobs(), {"depth": (2, 3, 1)}, lambda knobs: float(knobs.depth > 0)).settings.depth == 2


def test_never_ends_below_the_start_even_where_it_is_not_in_the_space():
    start = Knobs(depth=4, width=3, pairs=Pairs(window=5), view_weights={"item": 1.0, "shop": 0.5})
    assert tune(start, {"depth": (0, 1), "width": (9,)}, hill).settings == start


def test_nothing_to_try_scores_the_start():
    tuned = tune(Knobs(), {}, hill)
    assert (tuned.settings, tuned.n_tried) == (Knobs(), 1)
    assert tuned.score == hill(Knobs())


def test_no_settings_are_scored_twice():
    asked = []

    def score(knobs):
        asked.append(knobs.model_dump_json())
        return hill(knobs)

    tuned = tune(Knobs(), SPACE, score, n_rounds=4)
    assert len(asked) == len(set(asked)) == tuned.n_tried
    assert Knobs().model_dump_json() in asked


def test_a_round_that_changes_nothing_is_the_last():
    class Depths(list):
        rounds = 0

        def __iter__(self):
            self.rounds += 1
            return super().__iter__()

    depths = Depths([0, 1, 2])
    assert tune(Knobs(), {"depth": depths}, lambda knobs: -abs(knobs.depth - 1.0), n_rounds=1000).settings.depth == 1
    assert depths.rounds == 2  # one that finds it, one that finds nothing better


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_stops_and_names_the_settings(score):
    with pytest.raises(TrainingError, match=rf'the validation score of .*"depth":2.* is {score}: it cannot be ranked'):
        tune(Knobs(), {"depth": (1, 2)}, lambda knobs: score if knobs.depth == 2 else 0.0)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("dept", "cannot tune 'dept': Knobs has no such field"),
        ("pair.window", "cannot tune 'pair.window': Knobs has no section 'pair'"),
        ("depth.window", "cannot tune 'depth.window': Knobs has no section 'depth'"),
        ("pairs.window.size", "cannot tune 'pairs.window.size': Knobs has no section 'window'"),
        ("pairs.windw", "tuning pairs.windw: unknown key 'pairs.windw'; did you mean 'window'"),
    ],
)
def test_a_field_that_the_settings_lack_is_named(field, message):
    with pytest.raises(ConfigError, match=message):
        tune(Knobs(), {field: (1,)}, hill)


def test_a_value_that_the_field_does_not_take_is_named():
    with pytest.raises(ConfigError, match=r"tuning depth: 'depth': .*greater than or equal to 0 .got -1."):
        replaced(Knobs(), "depth", -1)


def test_replaced_is_a_copy():
    start = Knobs()
    changed = replaced(start, "view_weights.item", 3.0)
    assert changed.view_weights == {"item": 3.0}
    assert start.view_weights == {"item": 1.0}
    assert replaced(start, "pairs.window", 7).pairs.window == 7
    assert replaced(start, "depth", 7) == Knobs(depth=7)
