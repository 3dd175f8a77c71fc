"""The main job on a slice of the bundled data: what reaches training, what tuning sees, what the bundle holds."""

from dataclasses import replace
from itertools import chain, repeat

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prismrec import fitting
from prismrec.data.bundled import bundled_paths
from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph
from prismrec.data.prepared import UserView
from prismrec.data.sequences import Sequences
from prismrec.data.splits import split
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError, ConfigError, DataError
from prismrec.evaluation.queries import Queries, queries_from
from prismrec.fitting import (
    fingerprint_of,
    fit,
    query_space,
    settled,
    tune_query,
    tuned_on_last_items,
    validation_score,
)
from prismrec.graphs.knowledge import controlled
from prismrec.inputs import prepare_log, read_tables
from prismrec.pipeline import contents_of, run_folder_of, train, train_prepared
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.settings import build_settings, demo_settings
from prismrec.training.progress import QuietProgress

FAST = ["training.epochs=2", "training.deterministic=true", "model.embedding_dim=8"]


def settings_with(*overrides):
    return demo_settings([*FAST, *overrides])


@pytest.fixture(scope="module")
def shop():
    """`shop(first, last)`: the purchases of some households and the products among them."""
    paths = bundled_paths()
    clicks, items = pq.read_table(paths.clicks), pq.read_table(paths.items)
    households = clicks["household_id"].unique()

    def tables(first=0, last=30):
        chosen = clicks.filter(pc.is_in(clicks["household_id"], households[first:last]))
        return chosen, items.filter(pc.is_in(items["product_id"], chosen["product_id"]))

    return tables


@pytest.fixture(scope="module")
def fitted(shop):
    """A model trained on 30 households but for their last items, and the queries about those."""
    settings = settings_with()
    log, items = read_tables(settings, *shop())
    outer = next(split(log, settings.split))
    data = prepare_log(outer.train, items, settings)
    return fit(data, settings), queries_from(outer.queries, data.items, exclude_seen=False)


def bits(state):
    return {name: np.asarray(array).tobytes() for name, array in state.items()}


# ---- the future stays out ----


def without_dropped_rows(clicks, settings, items):
    """The click table less the rows that cleaning drops: what is left is cleaned to itself."""
    log, _ = read_tables(settings, clicks, items)
    return clicks.take(pa.array(np.sort(log.table.to_pyarrow()["source_row"].to_numpy()) - 1))


@pytest.mark.parametrize("protocol", ["next_item", "next_in_session", "ratio", "kfold"])
def test_changing_what_is_held_out_changes_neither_training_data_nor_vectors(shop, protocol):
    settings = settings_with(f"split.protocol={protocol}", "split.min_history=1")
    clicks, items = shop()
    clicks = without_dropped_rows(clicks, settings, items)
    log, table = read_tables(settings, clicks, items)
    before = next(split(log, settings.split))
    trained_on = before.train.table.to_pyarrow()["source_row"].to_numpy()

    products = clicks["product_id"].to_numpy().copy()
    future = np.setdiff1d(np.arange(1, len(products) + 1), trained_on) - 1
    assert len(future) >= len(before.queries.queries) > 0
    products[future] = np.where(future % 2, products[future[::-1]], 9_000_000_000 + future)  # others, and unheard-of
    changed = clicks.set_column(clicks.column_names.index("product_id"), "product_id", pa.array(products))
    repeats = without_dropped_rows(changed, settings, items).num_rows
    assert repeats > 0.95 * len(products)  # nearly no change has made a repeat of its neighbour

    found = []
    for rows in (clicks, changed):
        log, table = read_tables(settings, rows, items)
        part = next(split(log, settings.split))
        data = prepare_log(part.train, table, settings)
        found.append((part, data, fit(data, settings).model.tables()))
    (part, data, vectors), (other_part, other_data, other_vectors) = found
    assert fingerprint_of(other_data) == fingerprint_of(data)
    assert other_data.items.ids.equals(data.items.ids)
    for view, own in vectors.items():
        assert other_vectors[view].source.tobytes() == own.source.tobytes()
        assert other_vectors[view].target.tobytes() == own.target.tobytes()
    assert not other_part.queries.queries["truth"].equals(part.queries.queries["truth"])


def test_tuning_trains_without_each_users_last_item(shop, monkeypatch):
    settings = settings_with()
    log, items = read_tables(settings, *shop())
    seen = []

    def noted(data, *rest, **named):
        seen.append(data)
        return fit(data, *rest, **named)

    monkeypatch.setattr(fitting, "fit", noted)
    chosen, metrics = tuned_on_last_items(log, items, settings)
    whole, part = prepare_log(log, items, settings), seen[0]
    assert len(seen) == 1
    for user in range(len(whole.users)):
        row = whole.items.ids_of(whole.histories[user])
        held = part.items.ids_of(part.histories[part.users.index_of(whole.users.id_of(user))])
        assert held == (row[:-1] if len(row) > 2 else row)
    assert chosen.query != settings.query
    assert chosen.model_copy(update={"query": settings.query}) == settings
    assert 0 < metrics["validation_HR@10"] <= metrics["validation_HR@50"] <= 1


# ---- what identifies data ----


def changed_view(data, **values):
    view = replace(data.views["category"], **values)
    return replace(data, views={**data.views, "category": view})


def test_the_fingerprint_is_of_everything_training_reads(shop):
    settings = settings_with()
    data = prepare_log(*read_tables(settings, *shop(0, 8)), settings)
    again = prepare_log(*read_tables(settings, *shop(0, 8)), settings)
    assert fingerprint_of(data) == fingerprint_of(again)
    view = data.views["category"]
    nodes = view.item_nodes.values.copy()
    nodes[-1] = (nodes[-1] + 1) % len(view.nodes)
    histories = data.histories.values.copy()
    histories[3] += 1
    ages = Sequences.from_lists([[0], [1]])
    names = pa.array(["a", "b", "c"])
    triples = np.array([[0, 0, 1]], np.int32)
    known = ItemKnowledge(KnowledgeGraph(Vocabulary.from_ids(names), ("r",), triples, names), np.array([0, 1]))
    others = [
        replace(data, histories=Sequences(histories, data.histories.offsets)),
        replace(data, sessions=data.sessions.slice(1, len(data.sessions))),
        replace(data, items=replace(data.items, counts=data.items.counts + 1)),
        replace(data, items=replace(data.items, ids=pa.array(np.asarray(data.items.ids) + 1))),
        replace(data, views={"category": view}),
        changed_view(data, item_nodes=Sequences(nodes, view.item_nodes.offsets)),
        changed_view(data, sessions=view.sessions.slice(1, len(view.sessions))),
        replace(data, user_views={"age": UserView("age", view.nodes, ages)}),
        replace(data, user_views={"job": UserView("job", view.nodes, ages)}),
        replace(data, user_links=ages),
        replace(data, user_links=Sequences.from_lists([[1], [0]])),
        replace(data, disliked=Sequences.from_lists([[1], []])),
        replace(data, disliked=Sequences.from_lists([[], [1]])),
        replace(data, knowledge=known),
        replace(data, knowledge=replace(known, item_entities=known.item_entities + 1)),
        replace(data, knowledge=controlled(known, "absent")),
        replace(data, knowledge=replace(known, graph=replace(known.graph, relations=("s",)))),
    ]
    assert len({fingerprint_of(other) for other in [data, *others]}) == 1 + len(others)


# ---- what tuning looks at ----


class ByNumber:
    """Scores every item by its index: item n - 1 is first."""

    def score(self, histories):
        return np.tile(np.arange(60, dtype=np.float32), (len(histories), 1))


def queries_of(histories, truths, exclude_seen=False):
    rows = Sequences.from_lists(histories), Sequences.from_lists(truths)
    return Queries(*rows, pa.array(range(len(histories))), exclude_seen)


def test_validation_score_is_the_mean_of_a_smooth_hit_rate(fitted, monkeypatch):
    data = replace(fitted[0].data, items=Vocabulary.from_ids(list(range(60))))
    asked = queries_of([[1], [59], [2], [3]], [[59], [58, 9], [-1], []])
    expected = (50 / 50 + 50 / 51 + 50 / 100 + 0) / 4  # ranks 1, 2, 51, never; nobody asks the last
    assert validation_score(ByNumber(), asked, data) == pytest.approx(expected)
    without_seen = queries_of([[59]], [[58]], exclude_seen=True)
    assert validation_score(ByNumber(), without_seen, data) == pytest.approx(1.0)
    monkeypatch.setattr("prismrec.fitting.validation.SCORES_AT_ONCE", 60)  # one query at a time
    assert validation_score(ByNumber(), asked, data) == pytest.approx(expected)
    assert validation_score(ByNumber(), queries_of([], []), data) == 0


def test_the_space_has_the_views_of_the_data_and_leaves_off_what_is_off(fitted):
    data = fitted[0].data
    space = query_space(data, QuerySettings(), repeats=True)
    assert [field for field in space if "view_weights" in field] == [
        "view_weights.item", "view_weights.category", "view_weights.shop",
    ]  # fmt: skip
    assert {"popularity_weight", "repeat_weight", "recency_decay", "history_length"} <= set(space)
    assert 0.0 in space["view_weights.shop"]
    assert 0.0 not in space["view_weights.item"]
    assert "repeat_weight" not in query_space(data, QuerySettings(), repeats=False)
    assert "popularity_weight" not in query_space(data, QuerySettings(popularity_weight=0.0), repeats=True)


def test_tuning_a_query_never_ends_below_its_start_and_leaves_the_vectors(fitted):
    model, queries = fitted
    before = bits(model.model.state())
    start = settings_with().query
    tuned = tune_query(model, queries, start)
    assert tuned.score >= validation_score(model.scorer(start), queries, model.data)
    assert tuned.score == pytest.approx(validation_score(model.scorer(tuned.settings), queries, model.data))
    assert bits(model.model.state()) == before


# ---- early stopping ----


def test_early_stopping_sets_the_epochs_of_the_model_that_is_trained_on_everything(shop, tmp_path, monkeypatch):
    settings, (clicks, items) = settings_with("training.epochs=9", "training.patience=2"), shop(0, 12)
    scores = chain([0.5, 0.6, 0.4, 0.3], repeat(0.5))  # best after the second epoch; all queries alike
    for module in ("m2grl", "query"):
        monkeypatch.setattr(f"prismrec.fitting.{module}.validation_score", lambda *arguments: next(scores))
    bundle = train(settings, tmp_path / "bundle", interactions=clicks, items=items)
    assert [record["epoch"] for record in bundle.contents.training_log] == [1, 2]
    assert bundle.contents.config["training"]["patience"] == 2  # what was asked for is what is kept
    twice = settings_with("training.epochs=2")
    expected = train(twice, tmp_path / "other", interactions=clicks, items=items, tune_on_validation=False)
    for view, table in expected.contents.vectors.items():
        assert bundle.contents.vectors[view].source.tobytes() == table.source.tobytes()


def test_without_early_stopping_settings_stay_as_they_are(fitted):
    settings = settings_with()
    assert settled(settings, fitted[0].log) is settings


def test_early_stopping_without_validation_data_is_refused(shop):
    settings = settings_with("training.patience=1")
    data = prepare_log(*read_tables(settings, *shop(0, 8)), settings)
    with pytest.raises(ConfigError, match=r"training.patience = 1 needs a validation metric, but none is computed"):
        fit(data, settings)


# ---- bundles ----


class Hears(QuietProgress):
    """Keeps what training says."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_training_says_on_what_it_computes(fitted):
    pytest.importorskip("torch")
    heard = Hears()
    fit(fitted[0].data, settings_with("training.implementation=torch", "training.epochs=1"), progress=heard)
    assert "computing on cpu with torch" in heard.notes


def test_a_bundle_holds_the_model_its_ids_and_where_it_comes_from(fitted):
    model = fitted[0]
    settings = settings_with()
    contents = contents_of(model, settings, settings.query, {"HR@10": 0.5})
    assert list(contents.vocabularies) == list(contents.vectors) == ["item", "category", "shop"]
    for view, table in model.model.tables().items():
        assert contents.vectors[view].source.tobytes() == table.source.tobytes()
    alignments = model.model.alignments()
    for view in ("category", "shop"):
        np.testing.assert_array_equal(contents.alignment[view][0], alignments[f"{view}.alignment_source"])
        np.testing.assert_array_equal(contents.alignment[view][1], alignments[f"{view}.alignment_target"])
    assert contents.data_fingerprint == fingerprint_of(model.data)
    assert contents.metrics == {"HR@10": 0.5}
    assert [record["epoch"] for record in contents.training_log] == [1, 2]
    assert set(contents.training_log[-1]["task_weights"]) == {
        "item", "category", "shop", "item-category", "item-shop",
    }  # fmt: skip


def test_tables_of_users_are_passed_by_hand_and_their_bad_rows_told_of_and_written(shop, tmp_path):
    clicks, items = shop(0, 8)
    households = clicks["household_id"].unique().to_pylist()
    users = pa.table({"household_id": [*households, households[0]], "size": [1, 2] * 4 + [3]})
    settings = settings_with("user_views.size=size", "training.epochs=1", "data.max_bad_share=0.5")
    heard = Hears()
    train(
        settings, tmp_path / "bundle", interactions=clicks, items=items, users=users,
        user_links=pa.table({"one": households[:2], "other": households[1:3]}),
        tune_on_validation=False, progress=heard,
    )  # fmt: skip
    assert "users: 1 rows set aside: 1 duplicate user id" in heard.notes
    assert pq.read_table(tmp_path / "bundle.quarantine" / "users.parquet")["source_row"].to_pylist() == [9]


def test_train_writes_what_fit_learns_and_the_bundle_answers(shop, tmp_path):
    settings, (clicks, items) = settings_with(), shop(0, 12)
    bundle = train(settings, tmp_path / "bundle", interactions=clicks, items=items, tune_on_validation=False)
    data = prepare_log(*read_tables(settings, clicks, items), settings)
    expected = fit(data, settings).model.tables()["item"]
    assert bundle.contents.vectors["item"].source.tobytes() == expected.source.tobytes()
    assert bundle.contents.query == settings.query
    assert not run_folder_of(tmp_path / "bundle").exists()
    product = clicks["product_id"][0].as_py()
    assert len(Bundle.open(tmp_path / "bundle").recommend([product], k=5)) == 5


def test_warm_start_keeps_indices_vectors_and_query_and_works_twice(shop, tmp_path):
    settings = settings_with("query.history_length=7", "training.learning_rate=1.0")
    before = train(settings, tmp_path / "0", interactions=shop(0, 12)[0], items=shop()[1], tune_on_validation=False)
    assert np.abs(before.contents.alignment["shop"] - np.eye(8)).max() > 0.1
    plain = settings_with("training.learning_rate=0.0001")
    for number, (first, last) in enumerate([(8, 20), (15, 30)], start=1):
        clicks, items = shop(first, last)
        after = train(
            plain, tmp_path / str(number), interactions=clicks, items=items, start=before, tune_on_validation=False
        )
        known = len(before.items)
        assert len(after.items) > known
        assert after.items.ids[:known].equals(before.items.ids)
        for view in before.views:
            old, new = before.contents.vectors[view].source, after.contents.vectors[view].source
            np.testing.assert_allclose(new[: len(old)], old, atol=0.01)
        np.testing.assert_allclose(after.contents.alignment["shop"], before.contents.alignment["shop"], atol=0.001)
        assert after.contents.query.history_length == 7
        before = after


def test_prepared_data_must_stand_on_the_bundle_they_start_from(shop, tmp_path):
    settings = settings_with()
    start = train(settings, tmp_path / "old", interactions=shop(0, 12)[0], items=shop()[1], tune_on_validation=False)
    log, items = read_tables(settings, *shop(8, 20))
    with pytest.raises(ConfigError, match=r"number the nodes of view 'item' unlike the bundle .*old: prepare them"):
        train_prepared(prepare_log(log, items, settings), settings, tmp_path / "new", start=start)
    prepared = prepare_log(log, items, settings, start)
    without_shop = replace(prepared, views={"category": prepared.views["category"]})
    with pytest.raises(ConfigError, match="has a view 'shop' that the prepared data lack"):
        train_prepared(without_shop, settings, tmp_path / "new", start=start)
    assert len(train_prepared(prepared, settings, tmp_path / "new", start=start).items) > len(start.items)


def test_there_must_be_something_to_resume(shop, tmp_path):
    with pytest.raises(ArtifactError, match=r"there is no checkpoint in .*bundle\.run: start without --resume"):
        train(settings_with(), tmp_path / "bundle", interactions=shop(0, 8)[0], resume=True)


class PowerCut(Exception):
    """What no part of the program knows how to handle."""


class Fails(QuietProgress):
    """Something goes wrong at the end of the n-th epoch that this has seen."""

    def __init__(self, at):
        self.left = at

    def epoch(self, entry):
        self.left -= 1
        if self.left == 0:
            raise PowerCut


@pytest.mark.parametrize("at", [2, 5])  # in the model that tunes, in the model of the bundle
def test_an_interrupted_training_goes_on_to_the_same_bundle(shop, tmp_path, at):
    settings, (clicks, items) = settings_with("training.epochs=3", "training.checkpoint_minutes=1e-9"), shop(0, 12)
    whole = train(settings, tmp_path / "whole", interactions=clicks, items=items)
    with pytest.raises(PowerCut):
        train(settings, tmp_path / "cut", interactions=clicks, items=items, progress=Fails(at))
    assert not (tmp_path / "cut").exists()
    resumed = train(settings, tmp_path / "cut", interactions=clicks, items=items, resume=True)
    for view, table in whole.contents.vectors.items():
        assert resumed.contents.vectors[view].source.tobytes() == table.source.tobytes()
        assert resumed.contents.vectors[view].target.tobytes() == table.target.tobytes()
    assert resumed.contents.query == whole.contents.query


def test_a_log_without_sequences_to_learn_from_says_so(tmp_path):
    clicks = pa.table({"user_id": [1, 2, 3], "item_id": [1, 2, 3], "timestamp": [1_700_000_000] * 3})
    settings = build_settings({"training": {"deterministic": True}})
    with pytest.raises(DataError, match="nothing to learn from: no sequence has two items"):
        train(settings, tmp_path / "bundle", interactions=clicks, tune_on_validation=False)
