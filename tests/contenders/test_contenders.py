"""Contenders on a slice of the bundled data: all run, all are tuned alike, and none on what it is measured by."""

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prismrec import contenders, fitting
from prismrec.contenders import BASELINES, DEFAULT, SPACES, arena, run
from prismrec.contenders.arena import Side
from prismrec.data.bundled import bundled_paths
from prismrec.data.splits import split, validation_split
from prismrec.errors import ConfigError
from prismrec.evaluation.protocols import evaluate
from prismrec.evaluation.queries import queries_from
from prismrec.evaluation.tuning import tune
from prismrec.fitting import fit
from prismrec.inputs import read_tables
from prismrec.settings import demo_settings

FAST = [
    "training.epochs=2", "training.deterministic=true", "model.embedding_dim=8", "evaluation.n_resamples=100",
    "evaluation.ks=[10, 50]", "rivals.epochs=2", "models.mf.embedding_dim=8", "models.mf.batch_size=256",
]  # fmt: skip


@pytest.fixture(scope="module")
def tables():
    """The purchases of 25 households and the products among them."""
    paths = bundled_paths()
    clicks, items = pq.read_table(paths.clicks), pq.read_table(paths.items)
    clicks = clicks.filter(pc.is_in(clicks["household_id"], clicks["household_id"].unique()[:25]))
    return clicks, items.filter(pc.is_in(items["product_id"], clicks["product_id"]))


@pytest.fixture(scope="module")
def measured(tables):
    """Every contender of the default table, and what was told on the way."""
    settings = demo_settings(FAST)
    told: list[str] = []
    return run(*read_tables(settings, *tables), settings, note=told.append), told


class Witness:
    """Notes on what each side was asked: (user, history, truth) in external ids."""

    def __init__(self, monkeypatch):
        self.tuned_on, self.measured_on, self.trained_on = [], [], []
        self._queries = {}
        for name in ("validation_score", "tuned_on", "queries_from", "prepare_log"):
            monkeypatch.setattr(arena, name, self._watched(name, getattr(arena, name)))
        monkeypatch.setattr(contenders, "evaluate", self._watched("evaluate", evaluate))

    def _watched(self, name, original):
        def watched(*arguments, **named):
            if name == "queries_from":
                queries = original(*arguments, **named)
                self._queries[id(queries)] = (queries, arguments[0].queries.to_pylist())
                return queries
            if name == "prepare_log":
                data = original(*arguments, **named)
                self.trained_on.append(data)
                return data
            asked = self._queries[id(arguments[1])][1]
            (self.measured_on if name == "evaluate" else self.tuned_on).append(asked)
            return original(*arguments, **named)

        return watched


@pytest.fixture
def witness(monkeypatch):
    return Witness(monkeypatch)


def test_every_default_contender_is_measured_and_told_of(measured):
    found, told = measured
    assert list(found.comparison.results) == list(DEFAULT)
    hits = found.comparison.figures["all"]["HR@50"]
    assert all(0 <= hits[name].estimate.mean <= 1 for name in DEFAULT)
    references = {hits[name].reference for name in ("item2vec", "single_view", "m2grl")}
    assert len(references) == 1
    assert references <= set(BASELINES)
    assert found.comparison.experiment.protocol == "next_item"
    assert set(found.comparison.experiment.fit_seconds or {}) == set(DEFAULT)
    assert list(found.chosen) == list(found.validation) == list(DEFAULT)
    assert [line.partition(":")[0] for line in told] == list(DEFAULT)
    assert all(0 < score < 1 for score in found.validation.values())


def test_what_was_chosen_lies_in_the_space_or_is_the_start(measured):
    start = demo_settings(FAST)
    for name in BASELINES:
        config = getattr(start.baselines, name).model_dump()
        for field, values in SPACES[name].items():
            section, _, key = field.rpartition(".")
            before, after = (c[section][key] if section else c[key] for c in (config, measured[0].chosen[name]))
            assert after in (*values, before), (name, field)


def test_a_contender_comes_out_the_same_alone_as_among_others(measured, tables):
    settings = demo_settings(FAST)
    alone = run(*read_tables(settings, *tables), settings, ["popularity", "m2grl"])
    for name in ("popularity", "m2grl"):
        assert alone.chosen[name] == measured[0].chosen[name]
        assert alone.validation[name] == pytest.approx(measured[0].validation[name])


def without_repeats(row):
    return [item for place, item in enumerate(row) if place == 0 or row[place - 1] != item]


@pytest.mark.parametrize("protocol", ["next_item", "ratio"])
def test_nothing_is_tuned_or_trained_on_what_it_is_measured_by(tables, witness, protocol):
    settings = demo_settings([*FAST, f"split.protocol={protocol}"])
    log, items = read_tables(settings, *tables)
    run(log, items, settings, ["popularity", "m2grl", "mf"])
    rows = log.table.order_by(["user_id", "timestamp", "source_row"]).to_pyarrow()
    whole: dict[int, list[int]] = {}
    for user, item in zip(rows["user_id"].to_pylist(), rows["item_id"].to_pylist(), strict=True):
        whole.setdefault(user, []).append(item)

    assert len(witness.measured_on) == 3
    for asked in witness.measured_on:
        assert asked == witness.measured_on[0], "all are asked the same"
        for query in asked:
            assert query["history"] + query["truth"] == whole[query["user_id"]]
    kept = {query["user_id"]: query["history"] for query in witness.measured_on[0]}
    assert len(witness.tuned_on) > 10
    for asked in witness.tuned_on:
        for query in asked:  # what tuning looks at ends before the first event of the test
            assert query["history"] + query["truth"] == kept.get(query["user_id"], whole[query["user_id"]])
    tuned = {query["user_id"]: query["history"] for query in witness.tuned_on[0]}
    for data, left in zip(witness.trained_on, ({**whole, **kept, **tuned}, {**whole, **kept}), strict=True):
        histories = {
            user: data.items.ids_of(row)
            for user, row in zip(data.users.ids_of(range(len(data.users))), data.histories, strict=True)
        }
        assert histories == {user: without_repeats(row) for user, row in left.items()}


@pytest.mark.parametrize("knows", ["validation", "test"])
def test_a_contender_that_knows_the_answers_of_the_test_gains_nothing_by_it_in_tuning(tables, monkeypatch, knows):
    answers: dict[tuple[int, ...], int] = {}

    class Cheat:
        """Ranks by popularity; with one value of one knob, by the answers it knows."""

        def __init__(self, config):
            self.config = config

        def fit(self, data):
            self.counts = data.items.counts
            return self

        def score(self, histories):
            scores = np.tile(self.counts.astype(np.float32), (len(histories), 1))
            if self.config.repeat_weight == 100.0:
                for row, history in enumerate(histories):
                    scores[row, answers.get(tuple(history.tolist()), 0)] = 1e6
            return scores

    sides = iter(["validation", "test"])

    def with_answers_read(*arguments):
        queries = queries_from(*arguments)
        if next(sides) == knows:
            for history, truth in zip(queries.histories, queries.truths, strict=True):
                answers[tuple(history.tolist())] = max(int(truth[0]), 0)
        return queries

    monkeypatch.setattr(arena, "queries_from", with_answers_read)
    monkeypatch.setattr(arena, "fit_baseline", lambda name, config, data: Cheat(config).fit(data))
    settings = demo_settings(FAST)
    found = run(*read_tables(settings, *tables), settings, ["popularity"], reference=[])
    cheats = found.chosen["popularity"]["repeat_weight"] == 100.0
    assert cheats == (knows == "validation")


def test_an_unknown_name_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(contenders, "split", None)
    with pytest.raises(ConfigError, match="there is no model 'slim'; there are random, popularity, item_knn, "):
        run(None, None, demo_settings(), ["popularity", "slim"])  # type: ignore[arg-type]


def test_where_seen_items_are_left_out_repeats_are_not_tuned(tables, monkeypatch):
    spaces = []

    def noted(start, space, score):
        spaces.append(set(space))
        return tune(start, {}, score)

    monkeypatch.setattr(arena, "tune", noted)
    for seen in ("true", "false"):
        settings = demo_settings([*FAST, f"evaluation.exclude_seen={seen}"])
        run(*read_tables(settings, *tables), settings, ["popularity"])
    assert spaces[1] - spaces[0] == {"repeat_weight"}


def test_early_stopping_looks_at_validation_data_alone(tables, witness, monkeypatch):
    settings = demo_settings([*FAST, "training.patience=1"])
    stops = []

    def noted(data, settings, validation=None, **rest):
        stops.append((settings.training.epochs, settings.training.patience, validation))
        return fit(data, settings, validation=validation, **rest)

    for module in (arena, fitting):  # the first fit, which is tuned, and the last
        monkeypatch.setattr(module, "fit", noted)
    run(*read_tables(settings, *tables), settings, ["single_view"], reference=[])
    (_, patience, held_out), (epochs, none, nothing) = stops
    assert (patience, none, nothing) == (1, 0, None)
    assert epochs in (1, 2)
    assert witness._queries[id(held_out)][1] == witness.tuned_on[0]


def test_folds_are_measured_together_and_each_is_tuned_within_its_own_training_rows(tables, monkeypatch):
    settings = demo_settings([*FAST, "split.protocol=kfold", "split.n_folds=2", "split.min_history=1"])
    log, items = read_tables(settings, *tables)
    cut = []

    def noted(outer, chosen):
        cut.append(outer.queries.queries)
        return validation_split(outer, chosen)

    monkeypatch.setattr(contenders, "validation_split", noted)
    found = run(log, items, settings, ["random", "popularity"], reference=["popularity"])
    assert list(found.chosen) == ["random", "popularity"]
    folds = [part.queries for part in split(log, settings.split)]
    assert found.comparison.n_queries["all"] == sum(map(len, folds))
    assert [queries.equals(fold.queries) for queries, fold in zip(cut, folds, strict=True)] == [True, True]


def test_trials_are_kept_fold_by_fold_and_say_how_each_contender_learned(tables):
    settings = demo_settings([*FAST, "split.protocol=kfold", "split.n_folds=2", "split.min_history=1"])
    told: list[str] = []
    found = run(*read_tables(settings, *tables), settings, ["popularity", "mf"], reference=[], note=told.append)
    assert {name: len(trials) for name, trials in found.trials.items()} == {"popularity": 2, "mf": 2}
    assert all(trial.learned is None for trial in found.trials["popularity"])
    for name, trials in found.trials.items():
        assert found.chosen[name] == trials[-1].chosen
        assert found.validation[name] == pytest.approx(np.mean([trial.validation for trial in trials]))
        seconds = found.comparison.experiment.fit_seconds or {}
        assert seconds[name] == pytest.approx(np.mean([trial.fit_seconds for trial in trials]))
    for trial, line in zip(found.trials["mf"], told[1::2], strict=True):
        assert trial.learned is not None
        assert 1 <= trial.learned.kept_epochs <= trial.learned.epochs <= 2
        assert trial.learned.score is not None
        assert f"{trial.learned.kept_epochs} of {trial.learned.epochs} epochs kept" in line


@pytest.mark.parametrize("protocol", ["next_item", "ratio", "kfold", "next_in_session"])
def test_queries_know_their_users_as_training_numbers_them(tables, protocol):
    settings = demo_settings([f"split.protocol={protocol}", "split.min_history=1"])
    log, items = read_tables(settings, *tables)
    for outer in split(log, settings.split):
        side = Side.of(outer.train, items, outer.queries, settings)
        known = side.queries.users >= 0
        assert known.any()
        asked = outer.queries.queries["user_id"].to_numpy()
        assert side.data.users.ids_of(side.queries.users[known]) == asked[known].tolist()
        trained = set(outer.train.table.select("user_id").distinct().to_pyarrow()["user_id"].to_pylist())
        assert not trained & set(asked[~known].tolist())
