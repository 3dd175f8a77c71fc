"""What M2GRL draws, weighs and refuses; that it learns is in tests/models/test_contract_planted_m2grl.py."""

import math
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from numba import get_num_threads, set_num_threads
from numba.core.config import NUMBA_NUM_THREADS

from prismrec.config import build
from prismrec.data.prepared import PreparedData, View
from prismrec.data.sequences import Sequences
from prismrec.data.training_data import training_data
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError, TrainingError
from prismrec.models.m2grl import model as model_module
from prismrec.models.m2grl import sampler as sampler_module
from prismrec.models.m2grl.batches import draw_intra_batch
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.cpu_engine import CpuEngine
from prismrec.models.m2grl.model import FINAL_RATE, M2GRL
from prismrec.models.m2grl.sampler import EDGE_PASSES, Sampler
from prismrec.training.loop import TrainingSettings, train

DIM = 16


@pytest.fixture
def short_steps(monkeypatch):
    """Eleven or so steps an epoch instead of one."""
    monkeypatch.setattr(model_module, "CLICKS_PER_STEP", 300)


def built(data, *, learning_rate=0.3, seed=0, n_threads=1, implementation="numba", device="cpu", **values):
    config = build(M2GRLConfig, {"embedding_dim": DIM, "window": 1, **values})
    return M2GRL(
        config, training_data(data, config.sequences), learning_rate=learning_rate, seed=seed, n_threads=n_threads,
        implementation=implementation, device=device,
    )  # fmt: skip


def data_of(sessions, histories=None, views=None):
    rows = Sequences.from_lists(sessions)
    n_items = int(rows.values.max(initial=0)) + 1
    items = Vocabulary.from_ids(list(range(n_items)), np.bincount(rows.values, minlength=n_items))
    kept = rows if histories is None else Sequences.from_lists(histories)
    return PreparedData(items, rows, Vocabulary.from_ids(list(range(len(kept)))), kept, views or {})


def view_of(nodes, sessions):
    """A view of two nodes."""
    rows = Sequences.from_lists(nodes), Sequences.from_lists(sessions)
    return View("category", Vocabulary.from_ids([0, 1]), *rows)


def examples(model, epoch=0):
    """Examples of each task in each step of an epoch."""
    steps = range(model.steps_per_epoch)
    taken = [model.step(epoch, step, 0.0) for step in steps]
    return {task: [losses[task].n_examples for losses in taken] for task in taken[0]}


# ---- what an epoch holds ----


@pytest.mark.usefixtures("short_steps")
def test_an_epoch_meets_every_session_once_and_every_edge_once_per_side(planted):
    data = planted(("category", "tags"))
    model = built(data)
    assert model.steps_per_epoch == math.ceil(len(data.sessions.values) / 300)
    found = examples(model)
    for view in ("item", "category", "tags"):
        assert sum(found[view]) == np.maximum(data.view_sessions(view).lengths - 1, 0).sum(), view
    for view in ("category", "tags"):
        n_edges = len(data.views[view].item_nodes.values)
        assert sum(found[f"item-{view}"]) == EDGE_PASSES * n_edges == 2 * n_edges
        assert max(found[f"item-{view}"]) - min(found[f"item-{view}"]) <= 1
    assert min(found["item"]) > 0.7 * max(found["item"])  # steps are alike


@pytest.mark.usefixtures("short_steps")
def test_more_steps_than_edges_leave_some_steps_without(planted):
    sparse = [[0], *[[] for _ in range(38)], [1]]
    view = view_of(sparse, [[0, 1], [1, 0]])
    found = examples(built(replace(planted(()), views={"category": view})))
    assert sum(found["item-category"]) == 4
    assert min(found["item-category"]) == 0


def test_each_epoch_has_an_order_of_its_own(planted, monkeypatch):
    met = []

    def recorded(sessions, rows, *rest):
        met.append(rows.tolist())
        return draw_intra_batch(sessions, rows, *rest)

    monkeypatch.setattr(sampler_module, "draw_intra_batch", recorded)
    model = built(planted(()))
    for epoch in (0, 1, 0):
        model.step(epoch, 0, 0.0)
    assert sorted(met[0]) == sorted(met[1]) == list(range(405))
    assert met[0] != met[1]
    assert met[0] == met[2]


def test_histories_are_learned_from_where_the_settings_say_so():
    data = data_of([[0], [1], [2, 3]], histories=[[0, 1], [2, 3]])
    view = view_of([[0], [1], [0], [1]], [[0], [1], [0, 1]])
    data = replace(data, views={"category": view})
    assert examples(built(data))["item"] == [1]
    found = examples(built(data, sequences="histories"))
    assert found["item"] == [2]
    assert found["category"] == [2]  # 0 -> 1 twice, across the sessions


def test_tasks_are_named_by_view_and_only_aligned_views_have_one_with_items(planted):
    views = ("category", "tags")
    tasks = ["item", "category", "tags"]
    assert list(built(planted(views)).task_weights()) == [*tasks, "item-category", "item-tags"]
    alone = built(planted(views), alignment=False)
    assert list(alone.task_weights()) == tasks
    assert list(alone.step(0, 0, 0.0)) == tasks
    assert alone.alignments() == {}


# ---- what is learned ----


def test_learning_rate_falls_linearly_to_its_last_share(planted, monkeypatch):
    model, rates = built(planted(()), learning_rate=0.4), []

    def learn_intra(view, batch, offsets, learning_rate, weight):
        rates.append(learning_rate)
        return 0.0

    monkeypatch.setattr(model._engine, "learn_intra", learn_intra)
    for progress in (0.0, 0.25, 0.5, 0.9, 0.995, 0.9999):
        model.step(0, 0, progress)
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.04, 0.4 * FINAL_RATE, 0.4 * FINAL_RATE])


def test_offset_is_log_odds_of_popularity_against_the_noise():
    data = data_of([[0, 0], [0, 1], [2]])  # counts 3, 1, 1
    data = replace(data, items=Vocabulary.from_ids([5, 6, 7, 8], [3, 1, 1, 0]))
    model = built(data, negatives=4, negative_power=2.0)
    met, noise = np.array([3, 1, 1, 0.5]) / 5.5, np.array([9, 1, 1, 0.25]) / 11.25
    np.testing.assert_allclose(model._offsets["item"], np.log(met / (4 * noise)), rtol=1e-6)
    assert not built(data, popularity_offset=False)._offsets["item"].any()


def test_with_the_offset_popularity_alone_teaches_the_vectors_nothing():
    rng = np.random.default_rng(1)
    shares = np.array([0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
    data = data_of(rng.choice(6, (600, 8), p=shares))  # what comes next has nothing to do with what came before
    found = {}
    for offset in (True, False):
        model = built(data, popularity_offset=offset, learning_rate=0.1)
        for epoch in range(15):
            model.step(epoch, 0, epoch / 15)
        item = model.tables()["item"]
        found[offset] = np.abs(item.source @ item.target.T).mean()
    assert found[True] < 0.3
    assert found[False] > 2 * found[True]


def test_hard_negatives_pull_apart_what_shares_a_node(planted):
    data = planted(cycle=False)

    def within(**values):
        model = built(data, alignment=False, **values)
        for epoch in range(20):
            model.step(epoch, 0, epoch / 20)
        item = model.tables()["item"]
        scores, category = (item.source @ item.target.T)[:30, :30], np.arange(30) % 5
        return scores[category[:, None] == category].mean()

    assert within(hard_negatives=0.8, hard_view="category") < within() - 1


def test_uncertainty_weights_follow_the_losses_equal_ones_stay(planted):
    model, equal = built(planted()), built(planted(), task_weights="equal")
    before = model.task_weights()
    model.step(0, 0, 0.0)
    equal.step(0, 0, 0.0)
    assert model.task_weights() != before
    assert set(equal.task_weights().values()) == {0.5}


def test_a_task_of_weight_zero_learns_nothing(planted):
    fixed = {"item": 1.0, "category": 0.0}
    model = built(planted(), alignment=False, task_weights="fixed", fixed_weights=fixed)
    model.step(0, 0, 0.0)
    assert not model.tables()["category"].target.any()
    assert model.tables()["item"].target.any()


def test_each_inter_view_task_has_its_own_weight(planted):
    fixed = {"item": 1.0, "category": 1.0, "tags": 1.0, "item-category": 1.0, "item-tags": 0.0}
    model = built(planted(("category", "tags")), task_weights="fixed", fixed_weights=fixed)
    for epoch in range(2):  # targets begin at zero, so the first step moves the sources' matrix alone
        model.step(epoch, 0, 0.0)
    still = {name for name, matrix in model.alignments().items() if (matrix == np.eye(DIM)).all()}
    assert still == {"tags.alignment_source", "tags.alignment_target"}


@pytest.mark.parametrize("fails", [False, True])
def test_threads_are_as_before_after_a_step(planted, monkeypatch, fails):
    if NUMBA_NUM_THREADS < 2:
        pytest.skip("one core here: there is one number of threads")
    found = []

    def learn_intra(*arguments):
        found.append(get_num_threads())
        if fails:
            raise FloatingPointError
        return 0.0

    model = built(planted(()), n_threads=1)
    monkeypatch.setattr(model._engine, "learn_intra", learn_intra)
    before = get_num_threads()
    set_num_threads(2)
    try:
        with pytest.raises(FloatingPointError) if fails else nullcontext():
            model.step(0, 0, 0.0)
        assert get_num_threads() == 2
    finally:
        set_num_threads(before)
    assert found == [1]


def test_tables_and_alignments_are_copies(planted):
    model = built(planted())
    model.step(0, 0, 0.0)
    tables, matrices = model.tables(), model.alignments()
    assert list(tables) == ["item", "category"]
    assert sorted(matrices) == ["category.alignment_source", "category.alignment_target"]
    kept = tables["item"].source.copy(), matrices["category.alignment_source"].copy()
    model.step(1, 0, 0.0)
    np.testing.assert_array_equal(tables["item"].source, kept[0])
    np.testing.assert_array_equal(matrices["category.alignment_source"], kept[1])
    assert (model.tables()["item"].source != kept[0]).any()


def test_warm_start_with_more_items_keeps_the_known_rows(planted):
    old = built(data_of([[0, 1, 2]] * 50), seed=5)
    old.step(0, 0, 0.0)
    model, fresh = built(planted(())), built(planted(()))
    model.start_from(old.tables(), old.alignments())
    np.testing.assert_array_equal(model.tables()["item"].source[:3], old.tables()["item"].source)
    np.testing.assert_array_equal(model.tables()["item"].source[3:], fresh.tables()["item"].source[3:])


# ---- inside the training loop ----


def test_a_learning_rate_that_is_no_number_stops_training_and_names_task_and_step(planted):
    model = built(planted(), learning_rate=math.nan)
    message = "loss of task 'item' is nan at epoch 1 of 2, step 1 of 1; try a lower training.learning_rate"
    with pytest.raises(TrainingError, match=message):
        train(model, TrainingSettings(epochs=2))


@pytest.mark.usefixtures("short_steps")
def test_vectors_that_are_no_numbers_stop_training_at_the_step_that_meets_them(planted):
    model = built(planted())
    poisoned = {name: np.array(array) for name, array in model.state().items()}
    poisoned["category.source"][:] = np.nan
    model.restore(poisoned)
    with pytest.raises(TrainingError, match="task 'category' is nan at epoch 1 of 2, step 1 of 11"):
        train(model, TrainingSettings(epochs=2))


def test_a_resumed_run_ends_bit_equal_to_an_uninterrupted_one(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(model_module, "CLICKS_PER_STEP", 1000)  # four steps an epoch, a checkpoint after each
    data, settings = planted(("category", "tags")), TrainingSettings(epochs=3, checkpoint_minutes=1e-9)
    whole = built(data)
    expected = train(whole, settings)

    class PowerCut(Exception):
        pass

    class Halfway:
        """Something goes wrong in the middle of the second epoch."""

        def __init__(self, model):
            self.model, self.steps_per_epoch = model, model.steps_per_epoch

        def __getattr__(self, name):
            return getattr(self.model, name)

        def step(self, epoch, step, progress):
            if (epoch, step) == (1, 2):
                raise PowerCut
            return self.model.step(epoch, step, progress)

    with pytest.raises(PowerCut):
        train(Halfway(built(data)), settings, run_folder=tmp_path / "run")
    resumed = built(data)
    found = train(resumed, settings, run_folder=tmp_path / "run", resume=True)
    for name, array in whole.state().items():
        assert np.asarray(resumed.state()[name]).tobytes() == np.asarray(array).tobytes(), name
    assert [entry.losses for entry in found.epochs] == [entry.losses for entry in expected.epochs]
    assert [point.task_weights for point in found.trace] == [point.task_weights for point in expected.trace]


def test_losses_fall_and_the_log_tells_the_weights_of_every_task(planted):
    log = train(built(planted()), TrainingSettings(epochs=10))
    tasks = {"item", "category", "item-category"}
    for entry in log.epochs:
        assert set(entry.losses) == set(entry.task_weights) == tasks
    assert all(log.epochs[-1].losses[task] < 0.7 * log.epochs[0].losses[task] for task in tasks)
    assert len(log.trace) == 10


# ---- what is refused ----


@pytest.mark.parametrize("sessions", [[[0], [1], [2]], [[], []]])
def test_sequences_without_two_items_are_nothing_to_learn_from(sessions):
    with pytest.raises(DataError, match="nothing to learn from: no sequence has two items"):
        built(data_of(sessions))


@pytest.mark.parametrize("nodes", [[[], [], []], [[], [], [0]]])
@pytest.mark.parametrize("power", [0.0, 0.5])
def test_a_view_that_no_sequence_meets_is_named(nodes, power):
    n_nodes = max(map(len, nodes))
    ids = Vocabulary.from_ids(np.arange(n_nodes))
    view = View("category", ids, Sequences.from_lists(nodes), Sequences.from_lists([[], []]))
    items = Vocabulary.from_ids([0, 1, 2], [2, 2, 0])
    data = replace(data_of([[0, 1], [1, 0]]), items=items, views={"category": view})
    with pytest.raises(DataError, match="no sequence meets a node of view 'category': check its column"):
        built(data, negative_power=power)


def test_hard_negatives_without_a_view_or_with_a_wrong_one_are_refused(planted):
    with pytest.raises(ConfigError, match="hard_negatives needs hard_view"):
        built(planted(), hard_negatives=0.5)
    with pytest.raises(ConfigError, match=r"model.hard_view = 'categry' is no view; views are category, tags$"):
        built(planted(("category", "tags")), hard_negatives=0.5, hard_view="categry")
    with pytest.raises(ConfigError, match=r"model.hard_view = 'category' is no view; views are none$"):
        built(planted(()), hard_negatives=0.5, hard_view="category")


def test_fixed_weights_must_fit_the_tasks_of_the_data(planted):
    with pytest.raises(ConfigError, match="each of the tasks item, category, item-category; it names item"):
        built(planted(), task_weights="fixed", fixed_weights={"item": 1.0})


def test_an_unknown_implementation_is_refused(planted):
    with pytest.raises(ConfigError, match=r"training\.implementation must be numba or torch, got 'cupy'"):
        built(planted(), implementation="cupy")


class OneOfTwo:
    """A process of a crew whose other one has nothing to say."""

    size = 2

    def __init__(self, rank):
        self.rank = rank

    def total(self, values):
        return values

    def most(self, value):
        return value


class Recording:
    """A sampler, and the negatives that it drew."""

    def __init__(self, sampler):
        self._sampler = sampler
        self.negatives = []

    def __getattr__(self, name):
        return getattr(self._sampler, name)

    def intra(self, *given):
        return self.kept(self._sampler.intra(*given))

    def inter(self, *given):
        return self.kept(self._sampler.inter(*given))

    def kept(self, batch):
        self.negatives.append(batch.negatives.tolist())
        return batch


def test_processes_of_a_crew_draw_negatives_of_their_own(monkeypatch):
    """Even from the same sequences: what all drew alike would be less noise than it is counted for."""
    rng = np.random.default_rng(0)
    sessions = Sequences.from_lists(rng.integers(0, 20, (50, 6)).tolist())
    nodes = Sequences.from_lists([[item % 4] for item in range(20)])
    view = View("shop", Vocabulary.from_ids(list("abcd")), nodes, Sequences.from_lists([[0, 1, 2, 3]] * 50))
    items, users = Vocabulary.from_ids(list(range(20))), Vocabulary.from_ids(list(range(50)))
    data = training_data(PreparedData(items, sessions, users, sessions, {"shop": view}), "sessions")
    monkeypatch.setattr(model_module, "build_engine", lambda shape, *_, **__: CpuEngine(shape.initial_state()))
    monkeypatch.setattr(model_module, "build_sampler", lambda config, data, _: Recording(Sampler(config, data)))
    models = [
        M2GRL(build(M2GRLConfig, {"embedding_dim": 4}), data, crew=OneOfTwo(rank))  # type: ignore[arg-type]
        for rank in range(2)
    ]
    for model in models:
        model.step(0, 0, 0.0)
    one, other = (model._sampler.negatives for model in models)  # type: ignore[attr-defined]
    assert len(one) == len(other) == 4  # of two views, and of both sides of the inter-view task
    assert all(mine != others for mine, others in zip(one, other, strict=True))
