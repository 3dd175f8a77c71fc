"""What diversity costs, on a slice of the bundled data: turned up on validation data, measured on test data."""

from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prismrec import trade_off
from prismrec.data.bundled import bundled_paths
from prismrec.errors import ConfigError
from prismrec.evaluation.protocols import Results
from prismrec.inputs import read_tables
from prismrec.models.contract import Recommender
from prismrec.retrieval.diversity.diversified import Diversified
from prismrec.settings import demo_settings
from prismrec.trade_off import BY_SCORE, LEVELS, QUOTAS, controls, run

FAST = [
    "training.epochs=2", "training.deterministic=true", "model.embedding_dim=8", "evaluation.n_resamples=100",
    "evaluation.ks=[20, 50]", "query.repeat_weight=0",
]  # fmt: skip
NAMES = ["mmr", "dpp", "quotas", "view_weights"]


@pytest.fixture(scope="module")
def tables():
    """The purchases of 40 households and the products among them."""
    paths = bundled_paths()
    clicks, items = pq.read_table(paths.clicks), pq.read_table(paths.items)
    clicks = clicks.filter(pc.is_in(clicks["household_id"], clicks["household_id"].unique()[:40]))
    return clicks, items.filter(pc.is_in(items["product_id"], clicks["product_id"]))


class Watched:
    """Notes on what was measured: (on test data?, recommender)."""

    def __init__(self, monkeypatch):
        self.sides: list[tuple[trade_off.Asked, trade_off.Asked]] = []
        self.asked: list[tuple[bool, Recommender, Results]] = []
        folds, measured = trade_off._folds, trade_off.Asked.measured

        def watched_folds(*arguments):
            for validation, test in folds(*arguments):
                self.sides.append((validation, test))
                yield validation, test

        def watched(asked, recommender, settings):
            result = measured(asked, recommender, settings)
            self.asked.append((any(asked is test for _, test in self.sides), recommender, result))
            return result

        monkeypatch.setattr(trade_off, "_folds", watched_folds)
        monkeypatch.setattr(trade_off.Asked, "measured", watched)


@pytest.fixture(scope="module")
def measured(tables):
    """A whole run that allows half of HR@50 to go, what was told, and what was asked."""
    settings = demo_settings(FAST)
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        watched = Watched(patch)
        found = run(*read_tables(settings, *tables), settings, (0.8, 0.2), most_lost=0.5, note=told.append)
    return found, told, watched


def test_every_control_is_told_of_and_measured_beside_the_list_by_score(measured):
    found, told, _ = measured
    assert [line.partition(":")[0] for line in told] == ["m2grl", *NAMES]
    assert list(found.comparison.results) == [BY_SCORE, *NAMES]
    assert list(found.curves) == list(found.chosen) == NAMES
    figures = found.comparison.figures["all"]
    assert figures["HR@50"]["dpp"].reference == BY_SCORE
    assert figures["HR@50"][BY_SCORE].difference is None
    assert 0 < figures["category_distinct@20"]["dpp"].estimate.mean <= 20


def test_curves_rise_from_mild_to_strong_and_end_where_too_much_is_lost(measured):
    for name, curve in measured[0].curves.items():
        strengths = [point.strength for point in curve]
        whole = list(QUOTAS) if name == "quotas" else [0.2, 0.8]
        assert strengths == whole[: len(strengths)]
        assert all(point.kept >= 0.5 for point in curve[:-1])
        assert len(strengths) == len(whole) or curve[-1].kept < 0.5
        for point in curve:
            assert point.kept == pytest.approx(point.values["HR@50"] / measured[0].base["HR@50"])


def test_the_last_strength_that_is_allowed_is_measured_on_test_data_and_nothing_else(measured):
    found, _, watched = measured
    for name, curve in found.curves.items():
        allowed = [point.strength for point in curve if point.kept >= 0.5]
        assert found.chosen[name] == [allowed[-1] if allowed else None]
    on_test = [(recommender, result) for is_test, recommender, result in watched.asked if is_test]
    assert len(on_test) == 1 + sum(strengths != [None] for strengths in found.chosen.values())
    diversified = [recommender for recommender, _ in on_test if isinstance(recommender, Diversified)]
    assert [d._diversity.level for d in diversified[:2]] == [found.chosen["mmr"][0], found.chosen["dpp"][0]]
    for (_, result), (name, kept) in zip(on_test, found.comparison.results.items(), strict=True):
        assert kept is result, name


def test_test_queries_come_after_validation_queries_of_other_data(measured):
    ((validation, test),) = measured[2].sides
    assert len(validation.fitted.data.histories.values) < len(test.fitted.data.histories.values)
    assert validation.query == test.query


def test_spreading_shows_more_on_test_data_and_the_whole_control_is_the_one_of_the_product(measured):
    figures = measured[0].comparison.figures["all"]
    for name in ("mmr", "dpp"):
        for view in ("category", "shop"):
            shown = figures[f"{view}_distinct@20"]
            assert shown[name].estimate.mean > shown[BY_SCORE].estimate.mean


def test_where_even_the_mildest_costs_too_much_the_list_by_score_stands(tables):
    settings = demo_settings(FAST)
    found = run(*read_tables(settings, *tables), settings, (1.0,), most_lost=-0.5)
    assert found.chosen == {name: [None] for name in NAMES}
    assert all(len(curve) == 1 for curve in found.curves.values())
    results = found.comparison.results
    assert all(results[name] is results[BY_SCORE] for name in NAMES)


def test_folds_are_pooled_and_chosen_one_by_one(tables):
    settings = demo_settings([*FAST, "split.protocol=kfold", "split.n_folds=2"])
    found = run(*read_tables(settings, *tables), settings, (0.2,), most_lost=1.0)
    assert all(len(strengths) == 2 for strengths in found.chosen.values())
    assert found.chosen["mmr"] == [0.2, 0.2]
    assert len(found.comparison.results[BY_SCORE].clusters) == found.comparison.n_queries["all"]


def test_view_weights_are_lowered_until_they_push_away(measured):
    ((validation, _),) = measured[2].sides
    control = controls((1.0,))[-1]
    scorer: Any = control.apply(validation, 1.0)
    weights = validation.query.view_weights
    for view in ("category", "shop"):
        assert scorer.settings.view_weights[view] == pytest.approx(weights.get(view, 0.0) - weights["item"])
    assert scorer.settings.view_weights["item"] == weights["item"]


def test_quotas_hold_in_every_view(measured):
    ((validation, _),) = measured[2].sides
    control = next(c for c in controls() if c.name == "quotas")
    result = validation.measured(control.apply(validation, 1), demo_settings(FAST))
    np.testing.assert_array_equal(result.values["category_distinct@20"], result.values["shop_distinct@20"])


def test_levels_are_tried_from_the_mildest():
    assert controls((0.5, 0.1))[0].strengths == (0.1, 0.5)
    assert [control.strengths for control in controls()] == [LEVELS, LEVELS, QUOTAS, LEVELS]
    assert list(QUOTAS) == sorted(QUOTAS, reverse=True)


@pytest.mark.parametrize(
    ("changes", "levels", "told"),
    [
        (["views={}"], LEVELS, "the settings have no .views."),
        (["evaluation.ks=[10, 50]"], LEVELS, r"evaluation.ks must hold both, got \[10, 50\]"),
        (["split.protocol=cold_item"], LEVELS, "choose another split.protocol than cold_item"),
        ([], (0.0, 0.5), r"levels of diversity lie above 0 and are at most 1, got \[0.0, 0.5\]"),
        ([], (1.5,), "at most 1, got"),
        ([], (), "at most 1, got"),
        ([], (float("nan"),), "at most 1, got"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_read(changes, levels, told):
    unread: Any = None
    with pytest.raises(ConfigError, match=told):
        run(unread, None, demo_settings([*FAST, *changes]), levels)
