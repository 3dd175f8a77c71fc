"""Models in torch, trained: what is refused, early stopping, resumption, seeds, threads."""

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch")

from prismrec.data.sequences import Sequences  # noqa: E402
from prismrec.errors import ConfigError  # noqa: E402
from prismrec.evaluation.queries import Queries  # noqa: E402
from prismrec.fitting import as_encoded, fit, settled, tune_query, tuned_on  # noqa: E402
from prismrec.fitting.fitted import FittedEncoder  # noqa: E402
from prismrec.fitting.query import ENCODER_PRIORS, encoder_space  # noqa: E402
from prismrec.models.neural.trainable import TorchTraining  # noqa: E402
from prismrec.retrieval.encoded import EncodedScorer  # noqa: E402
from prismrec.training.interrupts import TrainingInterrupted  # noqa: E402
from prismrec.training.progress import QuietProgress  # noqa: E402


def queries_of(data, *, exclude_seen=True):
    """The last item of each user, asked with the others."""
    rows = data.histories.to_lists()
    return Queries(
        Sequences.from_lists([row[:-1] for row in rows]),
        Sequences.from_lists([row[-1:] for row in rows]),
        pa.array(range(len(rows))),
        exclude_seen,
        users=np.arange(len(rows)),
    )


def weights(fitted):
    return {name: tensor.numpy().tobytes() for name, tensor in fitted.model.network.state_dict().items()}


@pytest.mark.parametrize("algorithm", ["mf", "sasrec"])
def test_fit_trains_what_algorithm_names(settings, prepared, algorithm):
    chosen = settings(algorithm, "training.patience=0")
    fitted = fit(prepared(chosen), chosen)
    assert isinstance(fitted, FittedEncoder)
    assert fitted.model.stored().algorithm == algorithm
    assert len(fitted.log.epochs) == 2
    assert isinstance(fitted.scorer(chosen.query), EncodedScorer)


def test_same_seed_same_bits_other_seed_others(settings, prepared):
    found = []
    for seed in (1, 1, 2):
        chosen = settings("mf", "training.patience=0", f"training.seed={seed}")
        found.append(weights(fit(prepared(chosen), chosen)))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.learning_rate=0.1", r"0\.1 is that of m2grl; mf has its own: set models\.mf\.learning_rate"),
        ("sharding.processes=2", r"sharding\.processes = 2: several processes train m2grl; mf trains in one"),
        ("query.similarity=cosine", r"query\.similarity = 'cosine' is for models whose queries mix"),
    ],
)
def test_settings_of_m2grl_are_refused(settings, prepared, override, message):
    data = prepared(settings("mf"))
    with pytest.raises(ConfigError, match=message):
        fit(data, settings("mf", "training.patience=0", override))


def test_a_gpu_that_is_not_there_is_refused(settings, prepared, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    data = prepared(settings("mf"))
    with pytest.raises(ConfigError, match=r'training\.device = "cuda", but torch finds no CUDA device'):
        fit(data, settings("mf", "training.patience=0", "training.device=cuda"))


def test_early_stopping_needs_validation_queries(settings, prepared):
    chosen = settings("mf", "training.patience=2")
    with pytest.raises(ConfigError, match="validat"):
        fit(prepared(chosen), chosen)


def test_early_stopping_keeps_the_best_epoch_and_settles_on_it(settings, prepared):
    chosen = settings("mf", "training.patience=2", "training.epochs=30", "models.mf.learning_rate=0.1")
    data = prepared(chosen)
    found = tuned_on(data, queries_of(data), chosen)
    scores = [entry.validation or 0.0 for entry in found.log.epochs]
    assert found.log.kept_epoch == int(np.argmax(scores)) + 1
    assert len(scores) == min(30, found.log.kept_epoch + 2)
    assert found.settings.training.epochs == found.log.kept_epoch
    assert found.settings.training.patience == 0
    assert found.score >= max(scores) - 1e-6  # the query that was tuned begins with the one that was watched


def test_what_is_settled_without_early_stopping_is_what_was_said(settings, prepared):
    chosen = settings("mf", "training.patience=0")
    assert settled(chosen, fit(prepared(chosen), chosen).log) == chosen


def test_validation_asks_the_model_as_it_is_then(settings, prepared):
    chosen = settings("mf", "training.patience=5", "training.epochs=4", "models.mf.learning_rate=0.1")
    data = prepared(chosen)
    log = fit(data, chosen, validation=queries_of(data)).log
    assert len({entry.validation for entry in log.epochs}) > 1


def test_a_stopped_run_goes_on_to_the_same_bits(settings, prepared, tmp_path, monkeypatch):
    chosen = settings("sasrec", "training.patience=0", "training.epochs=3")
    data = prepared(chosen)
    whole = fit(data, chosen)

    class Stops(QuietProgress):
        def epoch(self, entry):
            if entry.epoch == 1:
                import signal

                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(TrainingInterrupted, match="--resume"):
        fit(data, chosen, run_folder=tmp_path / "run", progress=Stops())
    resumed = fit(data, chosen, run_folder=tmp_path / "run", resume=True)
    assert weights(resumed) == weights(whole)
    assert [entry.losses for entry in resumed.log.epochs] == [entry.losses for entry in whole.log.epochs]


def test_a_run_of_other_model_settings_is_not_gone_on_with(settings, prepared, tmp_path):
    chosen = settings("mf", "training.patience=0")
    data = prepared(chosen)
    fit(data, chosen, run_folder=tmp_path / "run")
    other = settings("mf", "training.patience=0", "models.mf.l2=0.5")
    with pytest.raises(OSError, match=r"models\.mf\.l2 was 0\.0001, is 0\.5"):
        fit(data, other, run_folder=tmp_path / "run", resume=True)


def test_threads_and_determinism_are_those_of_the_settings_and_only_while_it_trains(settings, prepared, monkeypatch):
    seen = []
    step = TorchTraining.step

    def noted(self, *numbers):
        seen.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
        return step(self, *numbers)

    monkeypatch.setattr(TorchTraining, "step", noted)
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    for overrides in (["training.threads=2"], ["training.threads=2", "training.deterministic=true"]):
        chosen = settings("mf", "training.patience=0", "training.epochs=1", *overrides)
        fit(prepared(chosen), chosen)
    assert set(seen) == {(2, False), (1, True)}
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_validation_leaves_the_threads_of_training_as_they_are(settings, prepared, monkeypatch):
    seen = []
    step = TorchTraining.step

    def noted(self, *numbers):
        seen.append(torch.get_num_threads())
        return step(self, *numbers)

    def scored(*asked):
        torch.set_num_threads(2)  # as numba's OpenMP layer does when it starts
        return 0.5

    monkeypatch.setattr(TorchTraining, "step", noted)
    monkeypatch.setattr("prismrec.fitting.neural.validation_score", scored)
    chosen = settings("mf", "training.patience=5", "training.epochs=2", "training.threads=1")
    data = prepared(chosen)
    fit(data, chosen, validation=queries_of(data))
    assert set(seen) == {1}


def test_the_precision_of_the_settings_is_that_of_the_steps(settings, prepared, monkeypatch):
    asked = []
    build = TorchTraining.__init__

    def noted(self, model, *, seed, precision):
        asked.append(precision)
        build(self, model, seed=seed, precision=precision)

    monkeypatch.setattr(TorchTraining, "__init__", noted)
    for precision in ("fp32", "bf16"):
        chosen = settings("sasrec", "training.patience=0", "training.epochs=1", f"training.precision={precision}")
        assert np.isfinite(fit(prepared(chosen), chosen).model.table().target).all()
    assert asked == ["fp32", "bf16"]


# ---- how it is asked ----


def test_tuning_encodes_each_batch_once(settings, prepared):
    chosen = settings("mf", "training.patience=0")
    data = prepared(chosen)
    fitted = fit(data, chosen)
    encoder, asked = fitted.model.encoder(), []

    class Counting:
        def encode(self, histories, users):
            asked.append(len(histories))
            return encoder.encode(histories, users)

    fitted.model.encoder = Counting  # type: ignore[method-assign]
    tuned = tune_query(fitted, queries_of(data), chosen.query)
    assert asked == [len(data.users)]
    assert tuned.n_tried == len(ENCODER_PRIORS)


def test_repeats_are_tuned_where_they_are_ranked():
    assert set(encoder_space(repeats=False)) == {"popularity_weight"}
    assert set(encoder_space(repeats=True)) == {"popularity_weight", "repeat_weight", "recency_decay"}


def test_settings_of_views_are_left_out_and_told_of(settings):
    chosen = settings("mf", "query.view_weights={item = 2.0}", "query.popularity_weight=0.5")
    followed, told = as_encoded(chosen)
    assert followed.query.view_weights == {"item": 1.0}
    assert followed.query.popularity_weight == 0.5
    assert told == ["query.view_weights is for m2grl: mf encodes the query whole, and leaves it out"]
    assert as_encoded(followed) == (followed, [])
    m2grl = settings("m2grl", "query.view_weights={item = 2.0}")
    assert as_encoded(m2grl) == (m2grl, [])
