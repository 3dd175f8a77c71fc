"""Settings of a contender: what a variant changes, and what belongs to the algorithm of the file alone."""

import numpy as np
import pyarrow as pa
import pytest

from prismrec.contenders import VARIANTS
from prismrec.contenders.arena import Learned, data_of, varied
from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph
from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError
from prismrec.models.algorithms import NEURAL
from prismrec.retrieval.blend import QuerySettings
from prismrec.settings import build_settings, demo_settings
from prismrec.training.log import EpochLog, TrainingLog
from prismrec.training.loop import TrainingSettings

SKIP_GRAMS = [name for name, changes in VARIANTS.items() if changes["algorithm"] == "m2grl"]


@pytest.mark.parametrize("name", SKIP_GRAMS)
def test_a_variant_of_the_same_kind_changes_what_it_says_and_nothing_else(name):
    start = demo_settings()
    changed = varied(start, VARIANTS[name])
    for section in type(start).model_fields:
        before, after = (getattr(s, section) for s in (start, changed))
        fields = {field.partition(".")[2] for field in VARIANTS[name] if field.split(".")[0] == section}
        if section == "views":
            assert after == VARIANTS[name].get("views", before)
        elif section == "query" and "views" in VARIANTS[name]:
            assert after.view_weights == {"item": start.query.view_weights["item"]}
        elif fields - {""}:
            assert after == before.model_copy(update={f: VARIANTS[name][f"{section}.{f}"] for f in fields})
        else:
            assert after == before, section


def test_varied_refuses_a_field_that_is_not_there():
    with pytest.raises(ConfigError, match=r"unknown key 'model.contxt'; did you mean 'context'"):
        varied(demo_settings(), {"model.contxt": "forward"})


@pytest.mark.parametrize("name", NEURAL)
def test_beside_m2grl_a_model_in_torch_follows_rivals_and_asks_for_itself(name):
    start = demo_settings(
        ["training.epochs=7", "training.learning_rate=0.3", "training.seed=5", "training.threads=1", "rivals.epochs=31",
         "rivals.patience=4", "rivals.validate_every=2"]
    )  # fmt: skip
    changed = varied(start, VARIANTS[name])
    assert changed.training == TrainingSettings(
        epochs=31, patience=4, validate_every=2, seed=5, threads=1, implementation="torch"
    )
    assert changed.query == QuerySettings(popularity_weight=0.0)


def test_beside_a_model_in_torch_m2grl_has_its_defaults():
    training = {"epochs": 7, "seed": 5, "precision": "bf16"}
    start = build_settings({"algorithm": "mf", "training": training, "query": {"recency_decay": 0.5}})
    changed = varied(start, VARIANTS["m2grl"])
    assert changed.training == TrainingSettings(seed=5)
    assert changed.query == QuerySettings()


def test_two_models_in_torch_share_training_and_query():
    start = build_settings({"algorithm": "mf", "training": {"epochs": 7}, "query": {"popularity_weight": 0.25}})
    changed = varied(start, VARIANTS["sasrec"])
    assert (changed.training, changed.query) == (start.training, start.query)


def test_on_a_gpu_both_kinds_compute_in_torch():
    start = demo_settings(["training.device=cuda", "training.implementation=torch"])
    for name in ("mf", "m2grl"):
        assert varied(start, VARIANTS[name]).training.implementation == "torch"
    rival = build_settings({"algorithm": "mf", "training": {"device": "cuda"}})
    assert varied(rival, VARIANTS["m2grl"]).training.implementation == "torch"


def test_sections_that_bundles_leave_out_stay_as_they_are():
    start = demo_settings(["tracking.to=tensorboard", "duckdb.threads=1"])
    changed = varied(start, VARIANTS["mf"])
    assert (changed.tracking, changed.duckdb) == (start.tracking, start.duckdb)


def log_of(validations, *, seconds, kept):
    epochs = tuple(EpochLog(n, {}, {}, 1, seconds, score) for n, score in enumerate(validations, 1))
    return TrainingLog(epochs=epochs, kept_epoch=kept)


def test_what_was_learned_is_summed_up():
    learned = Learned.of(log_of([0.1, 0.3, 0.2, 0.25], seconds=2.0, kept=2))
    assert learned == Learned(epochs=4, kept_epochs=2, seconds_per_epoch=2.0, seconds_to_best=4.0, score=0.3)


def test_without_validation_the_last_epoch_is_kept_and_has_no_score():
    learned = Learned.of(log_of([None, None, None], seconds=0.5, kept=3))
    assert (learned.epochs, learned.kept_epochs, learned.score) == (3, 3, None)
    assert np.isclose(learned.seconds_to_best, 1.5)


def with_graph():
    """Four items that are entities, two attributes, and six triples."""
    histories = Sequences.from_lists([[0, 1, 2, 3]])
    triples = np.array([[0, 0, 4], [1, 0, 4], [2, 0, 5], [3, 0, 5], [0, 1, 5], [2, 1, 4]], np.int32)
    labels = pa.array(["A", "B", "C", "D", "x", "y"])
    graph = KnowledgeGraph(Vocabulary.from_ids(labels.to_pylist()), ("has", "likes"), triples, labels)
    items = Vocabulary.from_ids(list(range(4)), np.ones(4, np.int64))
    knowledge = ItemKnowledge(graph, np.arange(4))
    return PreparedData(items, histories, Vocabulary.from_ids(["u"]), histories, knowledge=knowledge)


def test_a_control_learns_from_the_same_clicks_and_another_graph():
    own, data = build_settings({"algorithm": "mkr"}), with_graph()
    none = data_of(data, varied(own, VARIANTS["mkr_absent"]), own)
    mixed = data_of(data, varied(own, VARIANTS["mkr_shuffled"]), own)
    assert none.knowledge.graph.n_triples == 0
    assert mixed.knowledge.graph.n_triples == 6
    assert set(map(tuple, mixed.knowledge.graph.triples.tolist())) != set(
        map(tuple, data.knowledge.graph.triples.tolist())
    )
    assert none.histories is mixed.histories is data.histories
    assert data_of(data, varied(own, VARIANTS["mkr"]), own).knowledge is data.knowledge


def test_a_graph_that_the_settings_control_already_is_not_changed_again():
    own = build_settings({"algorithm": "mkr", "knowledge": {"control": "absent"}})
    data = with_graph()
    assert data_of(data, own, own).knowledge is data.knowledge
