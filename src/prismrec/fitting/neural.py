"""A model in torch trained on prepared data, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from prismrec.crew_fitting import fingerprint_of
from prismrec.data.prepared import PreparedData
from prismrec.errors import ConfigError, MissingExtraError
from prismrec.fitting.fitted import FittedEncoder
from prismrec.fitting.validation import Validation, validation_score
from prismrec.fitting.warm_start import start_from
from prismrec.models.algorithms import TRANSLATION, NeuralName, build_model
from prismrec.resources import available_cores
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.encoded import check_encoded, encoded_query
from prismrec.settings import Settings
from prismrec.training.identity import identity_of
from prismrec.training.log import TrainingLog
from prismrec.training.loop import TrainingSettings
from prismrec.training.loop import train as run_training
from prismrec.training.progress import Progress


def fit_neural(
    data: PreparedData,
    settings: Settings,
    *,
    start: Bundle | None,
    validation: Validation | None,
    run_folder: Path | None,
    resume: bool,
    progress: Progress,
) -> FittedEncoder:
    """Train the model of `settings.algorithm`.

    Arguments and errors are those of `fitting.fit`.
    """
    name, training = _checked(settings)
    with torch_session(training):
        model = build_model(name, settings.models, data, seed=training.seed, device=training.device)
        from prismrec.models.neural.threads import threads_kept
        from prismrec.models.neural.trainable import TorchTraining

        if start is not None:
            for line in start_from(model, start, data, name):
                progress.note(line)
        learner = TorchTraining(model, seed=training.seed, precision=training.precision)
        validate = None
        if validation is not None:
            held_out = validation

            def validate() -> float:
                with threads_kept():
                    scorer = FittedEncoder(model, data, TrainingLog()).scorer(settings.query)
                    return validation_score(scorer, held_out, data)

        log = run_training(
            learner, training, run_folder=run_folder, progress=progress, resume=resume, validate=validate,
            identity=_identity(settings, data, start),
        )  # fmt: skip
    return FittedEncoder(model, data, log)


def _identity(settings: Settings, data: PreparedData, start: Bundle | None) -> dict[str, str]:
    """What makes a training this training, beside its `[training]` settings."""
    name = settings.algorithm
    identity = {**identity_of(getattr(settings.models, name), f"models.{name}"), "data": fingerprint_of(data)}
    if start is not None:
        identity["start"] = f"{start.manifest.data_fingerprint} {start.manifest.created}"
    return identity


def _checked(settings: Settings) -> tuple[NeuralName, TrainingSettings]:
    """Refuse what only M2GRL can follow.

    Raises:
        ConfigError: names the setting and what to do.
    """
    name = settings.algorithm
    if name == "m2grl" or name in TRANSLATION:
        raise ConfigError(f"algorithm = {name!r} does not learn from histories in torch")
    refuse_of_m2grl(settings)
    check_encoded(settings.query)
    return cast(NeuralName, name), settings.training


def refuse_of_m2grl(settings: Settings) -> None:
    """Refuse settings of training that only M2GRL can follow, where `algorithm` is another model.

    Raises:
        ConfigError: names the setting and what to do.
    """
    name, training = settings.algorithm, settings.training
    if settings.sharding.processes > 1:
        raise ConfigError(
            f"sharding.processes = {settings.sharding.processes}: several processes train m2grl; {name} trains in one"
        )
    default = TrainingSettings.model_fields["learning_rate"].default
    if training.learning_rate != default:
        raise ConfigError(
            f"training.learning_rate = {training.learning_rate} is that of m2grl; {name} has its own: set "
            f"models.{name}.learning_rate"
        )


def as_encoded(settings: Settings) -> tuple[Settings, list[str]]:
    """The settings as `algorithm` follows them, and what it leaves out of them, in words.

    One file may serve M2GRL and others: what its query says of views is nothing to a model that encodes queries.
    """
    if settings.algorithm == "m2grl":
        return settings, []
    query = encoded_query(settings.query)
    told = [
        f"query.{name} is for m2grl: {settings.algorithm} encodes the query whole, and leaves it out"
        for name in QuerySettings.model_fields
        if getattr(query, name) != getattr(settings.query, name)
    ]
    return settings.model_copy(update={"query": query}), told


@contextmanager
def torch_session(training: TrainingSettings) -> Iterator[None]:
    """Torch with the threads of the settings, and with reproducible kernels where they ask for these.

    Raises:
        MissingExtraError: torch is not installed.
        ConfigError: there is no such device.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("models in torch need the extra neural: pip install 'prismrec[neural]'") from error
    if training.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError('training.device = "cuda", but torch finds no CUDA device: check the driver, or use the cpu')
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1 if training.deterministic else training.threads or available_cores())
    torch.use_deterministic_algorithms(training.deterministic or deterministic)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


__all__ = ["as_encoded", "fit_neural", "refuse_of_m2grl", "torch_session"]
