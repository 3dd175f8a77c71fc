"""Training that begins with a bundle: what is carried over, what is new, what is refused."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch")

from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph  # noqa: E402
from prismrec.data.vocabulary import Vocabulary  # noqa: E402
from prismrec.errors import ConfigError  # noqa: E402
from prismrec.fitting import FittedEncoder, fit, tuned_on_last_items  # noqa: E402
from prismrec.fitting.warm_start import start_from, stored_whole  # noqa: E402
from prismrec.inputs import read_tables  # noqa: E402
from prismrec.models.algorithms import build_model  # noqa: E402
from prismrec.pipeline import train_prepared  # noqa: E402
from prismrec.retrieval.bundle import Bundle  # noqa: E402
from prismrec.training.progress import QuietProgress  # noqa: E402

NAMES = ["mf", "sasrec", "hin2vec"]


@pytest.fixture(scope="module")
def bundles():
    return {}


@pytest.fixture
def bundle(bundles, settings, prepared, tmp_path_factory):
    """`bundle("mf")`: a bundle of 40 users and the items 0..19."""

    def make(algorithm):
        if algorithm not in bundles:
            chosen = settings(algorithm, "training.patience=0")
            path = tmp_path_factory.mktemp("bundles") / algorithm
            bundles[algorithm] = Bundle.open(train_prepared(prepared(chosen), chosen, path).path)
        return bundles[algorithm]

    return make


def fresh(settings, data, algorithm):
    return build_model(algorithm, settings.models, data, seed=9, device="cpu")


def parameters(model):
    return {name: tensor.detach().numpy().copy() for name, tensor in model.network.named_parameters()}


@pytest.mark.parametrize("algorithm", NAMES)
def test_rows_of_known_ids_are_carried_over_and_those_of_new_ones_are_fresh(settings, prepared, bundle, algorithm):
    start, chosen = bundle(algorithm), settings(algorithm)
    data = prepared(chosen, range(30, 60), 5, start=start)
    assert len(data.items) == 25
    assert data.items.ids[:20].equals(start.items.ids)
    model, untouched = fresh(chosen, data, algorithm), parameters(fresh(chosen, data, algorithm))
    assert start_from(model, start, data, algorithm) == []
    encoder = start.contents.encoder
    known = {**encoder.arrays, **encoder.network}
    for name, array in parameters(model).items():
        before = known[name]
        np.testing.assert_array_equal(array[: len(before)], before)
        np.testing.assert_array_equal(array[len(before) :], untouched[name][len(before) :])


def test_users_keep_their_index(settings, prepared, bundle):
    start, chosen = bundle("mf"), settings("mf")
    data = prepared(chosen, range(30, 60), start=start)
    assert data.users.ids[:40].equals(start.contents.users.ids)
    assert len(data.users) == 60


@pytest.mark.parametrize("algorithm", NAMES)
def test_with_the_same_data_it_begins_where_the_bundle_ended(settings, prepared, bundle, algorithm):
    start, chosen = bundle(algorithm), settings(algorithm)
    data = prepared(chosen, start=start)
    model = fresh(chosen, data, algorithm)
    start_from(model, start, data, algorithm)
    np.testing.assert_array_equal(model.table().target, start.contents.vectors["item"].target)


@pytest.mark.parametrize("algorithm", NAMES)
def test_what_a_bundle_keeps_is_every_parameter(settings, prepared, algorithm):
    chosen = settings(algorithm, "training.patience=0")
    fitted = fit(prepared(chosen), chosen)
    assert isinstance(fitted, FittedEncoder)
    model, stored = fitted.model, stored_whole(fitted.model, fitted.data)
    kept = {**stored.arrays, **stored.network}
    for name, array in parameters(model).items():
        np.testing.assert_array_equal(kept[name], array)
    doubled = [
        name for name in stored.network if name in stored.arrays and np.array_equal(stored.arrays[name], kept[name])
    ]
    assert not doubled


def test_a_run_from_a_bundle_is_another_run(settings, prepared, bundle, tmp_path):
    start, chosen = bundle("mf"), settings("mf", "training.patience=0")
    data = prepared(chosen, start=start)
    fit(data, chosen, run_folder=tmp_path / "run")
    with pytest.raises(OSError, match="start was not set"):
        fit(data, chosen, start=start, run_folder=tmp_path / "run", resume=True)


def test_it_learns_on_from_there(settings, prepared, bundle):
    start, chosen = bundle("mf"), settings("mf", "training.patience=0", "training.epochs=1")
    data = prepared(chosen, start=start)
    warm, cold = fit(data, chosen, start=start), fit(data, chosen)
    assert warm.log.epochs[0].losses["ranking"] < cold.log.epochs[0].losses["ranking"]


def test_what_is_tuned_on_last_items_starts_afresh_for_the_bundle_learned_from_these(
    settings, bundle, monkeypatch, clicked
):
    def refused(*asked):
        raise AssertionError("the bundle has seen the answers")

    start, chosen = bundle("mf"), settings("mf", "training.patience=1")
    monkeypatch.setattr("prismrec.fitting.neural.start_from", refused)
    log, items = read_tables(chosen, clicked)
    found, metrics = tuned_on_last_items(log, items, chosen, start)
    assert 1 <= found.training.epochs <= 2
    assert found.training.patience == 0
    assert metrics["validation_HR@10"] > 0


@pytest.mark.parametrize(("algorithm", "there"), [("sasrec", "mf"), ("m2grl", "mf")])
def test_a_bundle_of_another_algorithm_is_refused(settings, prepared, bundle, algorithm, there):
    chosen = settings(algorithm, "training.patience=0")
    start = bundle(there)
    with pytest.raises(ConfigError, match=f"is of {there}: {algorithm} cannot start from it"):
        fit(prepared(chosen, start=start), chosen, start=start)


def test_another_width_is_refused(settings, prepared, bundle):
    start, chosen = bundle("mf"), settings("mf", "training.patience=0", "models.mf.embedding_dim=4")
    with pytest.raises(ConfigError, match=r"'users' is \(40, 8\) in the bundle .* and \(40, 4\) now: .*\[models\.mf\]"):
        fit(prepared(chosen, start=start), chosen, start=start)


def test_data_that_number_their_ids_otherwise_are_refused(settings, prepared, bundle):
    start, chosen = bundle("mf"), settings("mf", "training.patience=0")
    with pytest.raises(ConfigError, match="number the ids of 'item' unlike the bundle"):
        fit(prepared(chosen, range(3, 40)), chosen, start=start, progress=QuietProgress())


def known_of(data, entities, relations=("of",)):
    """The data with a graph that says nothing but which entities and relations there are."""
    ids = pa.array(entities)
    graph = KnowledgeGraph(Vocabulary.from_ids(ids), relations, np.zeros((0, 3), np.int32), ids)
    return replace(data, knowledge=ItemKnowledge(graph, np.full(len(data.items), -1)))


def test_a_graph_whose_entities_are_others_is_refused(settings, prepared, bundle):
    chosen, start = settings("mkr", "models.mkr.embedding_dim=8"), bundle("mf")
    data = prepared(chosen, start=start)
    graph = known_of(data, ["a", "b"])
    model = fresh(chosen, graph, "mkr")
    learned = Bundle(start.path, start.manifest, replace(start.contents, encoder=stored_whole(model, graph)))
    assert start_from(model, learned, graph, "mkr") == []
    for other in (known_of(data, ["b", "a"]), known_of(data, ["a", "c"]), known_of(data, ["a", "b"], ("by",)), data):
        with pytest.raises(ConfigError, match=r"other entities or relations .* without --from"):
            start_from(model, learned, other, "mkr")


def test_a_model_without_entities_starts_whatever_the_graph(settings, prepared, bundle):
    chosen, start = settings("mf"), bundle("mf")
    data = prepared(chosen, start=start)
    assert start_from(fresh(chosen, data, "mf"), start, known_of(data, ["a"]), "mf") == []


def test_what_is_not_in_the_bundle_is_told(settings, prepared, bundle):
    start, chosen = bundle("mf"), settings("mf")
    data = prepared(chosen, start=start)
    model = fresh(chosen, data, "mf")
    model.network.register_parameter("more", torch.nn.Parameter(torch.zeros(2)))
    assert start_from(model, start, data, "mf") == ["not in the bundle, learned from the start: more"]
