"""Fits of models of links: what is refused, and that early stopping looks at held-out triples."""

import pytest

pytest.importorskip("torch")

from prismrec.errors import ConfigError
from prismrec.evaluation.links import LinkQueries, mean_reciprocal_rank
from prismrec.fitting.links import checked_links, fingerprint_of_graph, fit_links
from prismrec.link_data import read_links
from prismrec.settings import read_settings
from prismrec.training.progress import QuietProgress

STOPPING = ["algorithm=transe", "training.epochs=30", "training.patience=2", "training.validate_every=2"]


def settings_of(write_links, folder, *overrides):
    return read_settings(write_links(folder), [*STOPPING, *overrides])


def fitted(split, settings, validation):
    return fit_links(
        split.graph, settings, validation=validation, run_folder=None, resume=False, progress=QuietProgress()
    )


def test_vectors_kept_are_those_of_the_best_validation(write_links, tmp_path):
    settings = settings_of(write_links, tmp_path)
    split = read_links(settings)
    validation = LinkQueries.of(split.valid, split.graph, [split.test])
    found = fitted(split, settings, validation)
    scores = [entry.validation for entry in found.log.epochs if entry.validation is not None]
    assert max(scores) == pytest.approx(mean_reciprocal_rank(found.model, validation, 10.0), abs=1e-6)
    assert max(scores) > 2 * scores[0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("algorithm=sasrec", "algorithm = 'sasrec' learns no links; those that do are transe, "),
        ("sharding.processes=2", r"sharding\.processes = 2: several processes train m2grl; transe trains in one"),
        ("training.learning_rate=0.5", r"set models\.transe\.learning_rate"),
        ("training.precision=bf16", "transe computes in fp32 alone"),
    ],
)
def test_what_a_model_of_links_cannot_follow_is_refused(write_links, tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        checked_links(settings_of(write_links, tmp_path, override))


def test_patience_without_held_out_triples_is_refused(write_links, tmp_path):
    settings = settings_of(write_links, tmp_path)
    with pytest.raises(ConfigError, match="needs a validation metric"):
        fitted(read_links(settings), settings, None)


def test_fingerprint_tells_graphs_apart(write_links, tmp_path):
    split = read_links(settings_of(write_links, tmp_path))
    assert fingerprint_of_graph(split.graph) == fingerprint_of_graph(split.graph)
    assert fingerprint_of_graph(split.graph) != fingerprint_of_graph(split.everything)
