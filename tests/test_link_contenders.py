"""The comparison of models of links: one table, baselines without vectors, a control that loses."""

import pytest

pytest.importorskip("torch")

from prismrec.errors import ConfigError
from prismrec.link_contenders import LINK_BASELINES, LINK_DEFAULT, run_links
from prismrec.models.algorithms import TRANSLATION
from prismrec.settings import read_settings

NAMES = ("popularity", "rules", "transe")


@pytest.fixture(scope="module")
def measured(write_links, tmp_path_factory):
    notes: list[str] = []
    settings = read_settings(write_links(tmp_path_factory.mktemp("links")))
    return run_links(settings, NAMES, note=notes.append), notes


def test_all_models_and_both_baselines_are_compared_unless_named():
    assert (*LINK_BASELINES, *TRANSLATION) == LINK_DEFAULT


def test_figures_are_of_all_queries_and_of_each_end(measured):
    comparison = measured[0].comparison
    assert list(comparison.results) == list(NAMES)
    assert comparison.n_queries == {"all": 20, "head": 10, "tail": 10}
    assert comparison.experiment.protocol == "link"
    figure = comparison.figures["all"]["MRR"]["transe"]
    assert figure.reference == "rules"
    assert figure.estimate.mean > comparison.figures["all"]["MRR"]["popularity"].estimate.mean


def test_trials_tell_how_each_learned(measured):
    trials = measured[0].trials
    assert trials["rules"][0].learned is None
    assert trials["transe"][0].learned.epochs <= 12
    assert trials["transe"][0].validation == measured[0].validation["transe"]
    assert measured[0].chosen["transe"]["embedding_dim"] == 16
    assert measured[0].chosen["popularity"] == {}


def test_notes_tell_of_each_in_turn(measured):
    assert [note.split(":")[0] for note in measured[1]] == list(NAMES)
    assert "validation MRR 0." in measured[1][2]


def test_model_that_learned_from_shuffled_triples_knows_nothing(measured, write_links, tmp_path):
    settings = read_settings(write_links(tmp_path), ["knowledge.control=shuffled"])
    control = run_links(settings, ("transe",), reference=()).comparison.results["transe"].mean("MRR")
    assert control < 0.6 * measured[0].comparison.results["transe"].mean("MRR")


def test_unknown_contender_is_refused(write_links, tmp_path):
    with pytest.raises(ConfigError, match="the protocol link has no contender 'sasrec'; there are popularity, rules, "):
        run_links(read_settings(write_links(tmp_path)), ("sasrec",))
