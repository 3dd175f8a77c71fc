"""The comparison of click on a planted log: who knows tastes finds clicks, and nobody learns from a held-out pair."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from prismrec import click_contenders
from prismrec.click_contenders import CLICK_BASELINES, ClickArena, click_default, run
from prismrec.contenders import arena as contender_arena
from prismrec.errors import ArtifactError, ConfigError
from prismrec.evaluation.click_tables import click_json
from prismrec.evaluation.clicks import ClickResults
from prismrec.inputs import open_tables
from prismrec.settings import build_settings

N_USERS, N_ITEMS, N_TASTES = 60, 40, 4
FAST = {
    "data": {"name": "planted"},
    "split": {"protocol": "click", "repeats": 2},
    "evaluation": {"n_resamples": 100},
    "sessions": {"min_rating": 4},
    "rivals": {"epochs": 2, "patience": 1},
    "training": {"deterministic": True},
}


def tables():
    """Users who like the ten items of their taste and rate some of the others low; an item table with the taste."""
    rng = np.random.default_rng(0)
    users, items, ratings = [], [], []
    for user in range(N_USERS):
        own = np.flatnonzero(np.arange(N_ITEMS) % N_TASTES == user % N_TASTES)
        liked = rng.choice(own, 8, replace=False)
        others = rng.choice(np.setdiff1d(np.arange(N_ITEMS), own), 5, replace=False)
        users += [user] * 13
        items += [*liked, *others]
        ratings += [5] * 8 + [2] * 5
    log = {"user_id": users, "item_id": items, "timestamp": np.arange(len(users)), "rating": ratings}
    side = {"item_id": np.arange(N_ITEMS), "taste": [f"t{i % N_TASTES}" for i in range(N_ITEMS)]}
    return pa.table(log), pa.table(side)


def settings_with(**more):
    columns = {"name": "planted", "columns": {"rating": "rating"}, "timestamp_unit": "order"}
    return build_settings({**FAST, "data": columns, **more})


@pytest.fixture(scope="module", autouse=True)
def short_tuning():
    """Little to try: what tuning does is tested elsewhere."""
    patch = pytest.MonkeyPatch()
    patch.setattr(contender_arena, "SPACES", {"popularity": {}, "svd": {"rank": (4, 8), "recency_decay": (1.0,)}})
    yield
    patch.undo()


@pytest.fixture(scope="module")
def watched():
    """A comparison, what was told on the way, and the arenas."""
    settings, told, arenas = settings_with(), list[str](), list[Any]()
    original: Any = vars(ClickArena)["of"].__func__
    patch = pytest.MonkeyPatch()

    def of(cls, split, *rest):
        arenas.append((split, original(cls, split, *rest)))
        return arenas[-1][1]

    patch.setattr(ClickArena, "of", classmethod(of))
    names = ["popularity", "svd", "mf"]
    found = run(*open_tables(settings, *tables()), settings, names, note=told.append)
    patch.undo()
    return found, told, arenas


def test_every_contender_is_measured_in_every_deal(watched):
    found, told, arenas = watched
    assert list(found.comparison.results) == ["popularity", "svd", "mf"]
    assert all(len(deals) == 2 for deals in found.comparison.results.values())
    assert [line.split(":")[0] for line in told] == ["popularity", "svd", "mf"] * 2
    assert len(arenas) == 2
    assert found.comparison.experiment.data == "planted"


def test_taste_is_found_and_popularity_knows_nothing_of_it(watched):
    means = {name: figure.estimate.mean for name, figure in watched[0].comparison.figures["AUC"].items()}
    assert means["popularity"] < 0.7
    assert means["svd"] > 0.85


def test_the_best_simple_baseline_is_the_reference(watched):
    figures = watched[0].comparison.figures["AUC"]
    best = max(("popularity", "svd"), key=lambda name: figures[name].estimate.mean)
    assert {figure.reference for figure in figures.values()} == {best}
    assert figures["mf"].difference is not None


def test_training_knows_all_items_and_no_held_out_pair(watched):
    for split, arena in watched[2]:
        data = arena.data
        assert data.items.ids.to_pylist() == split.items.ids.to_pylist()
        trained = {(u, i) for u, row in enumerate(data.histories) for i in row.tolist()}
        for asked in (arena.validation, arena.test):
            pairs = zip(asked.users[asked.owners].tolist(), asked.candidates.values.tolist(), strict=True)
            assert not trained & set(pairs)
        assert data.items.counts.sum() == len(data.histories.values)


def test_items_rated_low_are_neither_clicks_nor_negatives(watched):
    log = tables()[0].to_pydict()
    low = {(u, i) for u, i, r in zip(log["user_id"], log["item_id"], log["rating"], strict=True) if r < 4}
    for _, arena in watched[2]:
        ids = arena.data.users.ids_of(arena.test.users[arena.test.owners])
        assert not low & set(zip(ids, arena.test.candidates.values.tolist(), strict=True))


def test_how_a_model_learned_is_told_and_what_was_chosen(watched):
    found = watched[0]
    assert found.trials["mf"][0].learned.epochs >= 1
    assert found.trials["svd"][0].learned is None
    assert found.chosen["svd"]["rank"] in (4, 8, 50)
    assert found.chosen["svd"]["repeat_weight"] == 0
    assert found.trials["mf"][1].validation == found.comparison.results["mf"][1].validation


def test_the_same_settings_give_the_same_figures(watched):
    again = run(*open_tables(settings_with(), *tables()), settings_with(), ["popularity", "mf"])
    for name in ("popularity", "mf"):
        for one, other in zip(again.comparison.results[name], watched[0].comparison.results[name], strict=True):
            np.testing.assert_array_equal(one.scores, other.scores)


def test_controls_are_compared_with_their_model(monkeypatch):
    """Stand-ins for training: what is asked for is who is compared with whom."""

    def try_out(arena, name):
        noise = np.random.default_rng(len(name)).normal(size=len(arena.test.labels))
        scores = arena.test.labels * (2.0 if name == "mkr" else 0.5) + noise
        from prismrec.contenders import FoldTrial

        return ClickResults(arena.test, scores, "raw", 0.5, 0.5, 0.0), FoldTrial({}, 0.5, 0.0, None)

    monkeypatch.setattr(ClickArena, "try_out", try_out)
    settings = settings_with(split={"protocol": "click", "repeats": 1})
    names = ["popularity", "mkr", "mkr_shuffled", "mkr_absent", "ripplenet"]
    found = run(*open_tables(settings, *tables()), settings, names)
    assert {model: list(controls) for model, controls in found.comparison.controls.items()} == {
        "mkr": ["mkr_shuffled", "mkr_absent"]
    }
    assert found.comparison.controls["mkr"]["mkr_absent"]["AUC"].mean > 0.1


def test_models_of_the_graph_are_compared_where_there_is_one():
    assert click_default(settings_with()) == (*CLICK_BASELINES, "mf")
    knows = settings_with(knowledge={"relations": {"taste": "taste"}})
    assert click_default(knows) == (*CLICK_BASELINES, "mf", "ripplenet", "mkr")


def test_an_unknown_name_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(click_contenders, "click_splits", None)
    with pytest.raises(ConfigError, match="there is no model 'slim'"):
        run(None, None, settings_with(), ["slim"])  # type: ignore[arg-type]


def test_what_was_measured_is_not_measured_again(tmp_path, monkeypatch):
    settings = settings_with(split={"protocol": "click", "repeats": 2})
    first = run(*open_tables(settings, *tables()), settings, ["popularity"], keep=tmp_path / "kept")
    monkeypatch.setattr(ClickArena, "try_out", None)  # whoever measures now fails
    told: list[str] = []
    second = run(
        *open_tables(settings, *tables()), settings, ["popularity"], keep=tmp_path / "kept", note=told.append
    )  # fmt: skip
    assert [line.startswith("kept: popularity") for line in told] == [True, True]
    assert click_json(second.comparison) == click_json(first.comparison)
    assert second.trials == first.trials
    assert len(list((tmp_path / "kept").iterdir())) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"split": {"protocol": "click", "repeats": 1, "seed": 3}},
        {"baselines": {"popularity": {"popularity_weight": 2.0}}},
        {"sessions": {"min_rating": 0}},
    ],
)
def test_under_other_settings_it_is_measured_anew(tmp_path, changed):
    plain = {"split": {"protocol": "click", "repeats": 1}}
    for more in (plain, {**plain, **changed}):
        settings, told = settings_with(**more), list[str]()
        run(*open_tables(settings, *tables()), settings, ["popularity"], keep=tmp_path, note=told.append)
        assert not told[0].startswith("kept")


def test_a_damaged_file_is_named(tmp_path):
    settings = settings_with(split={"protocol": "click", "repeats": 1})
    run(*open_tables(settings, *tables()), settings, ["popularity"], keep=tmp_path)
    [path] = tmp_path.iterdir()
    path.write_bytes(b"no parquet")
    with pytest.raises(ArtifactError, match=r"popularity-.* does not hold scores of pairs: .*; remove it"):
        run(*open_tables(settings, *tables()), settings, ["popularity"], keep=tmp_path)
