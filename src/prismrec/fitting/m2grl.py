"""M2GRL trained on prepared data, in this process or in several."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from prismrec.crew_fitting import Job, by_side, fingerprint_of, identity_of_prepared, too_little_for, train_in_processes
from prismrec.data.prepared import PreparedData, save_prepared
from prismrec.data.training_data import training_data
from prismrec.errors import ConfigError
from prismrec.fitting.fitted import Fitted
from prismrec.fitting.validation import Validation, validation_score
from prismrec.models.m2grl.model import M2GRL
from prismrec.retrieval.bundle import Bundle
from prismrec.settings import Settings
from prismrec.training.checkpoints import held_by_launcher
from prismrec.training.identity import identity_of
from prismrec.training.log import TrainingLog
from prismrec.training.loop import train as run_training
from prismrec.training.progress import Progress, QuietProgress


def fit_m2grl(
    data: PreparedData,
    settings: Settings,
    *,
    start: Bundle | None = None,
    validation: Validation | None = None,
    run_folder: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    prepared: Path | None = None,
) -> Fitted:
    """Train M2GRL on prepared data, in this process or in `sharding.processes` others.

    Arguments and errors are those of `fitting.fit`.
    """
    progress = progress or QuietProgress()
    _check_precision(settings)
    settings = as_run(settings)
    if start is not None and start.contents.encoder is not None:
        raise ConfigError(
            f"the bundle {start.path} is of {start.contents.encoder.algorithm}: m2grl cannot start from it"
        )
    n_nodes = {view: len(data.nodes(view)) for view in data.view_names}
    for line in too_little_for(n_nodes, settings, run_folder, settings.sharding.processes):
        progress.note(line)
    digest = fingerprint_of(data) if prepared is None else identity_of_prepared(prepared)
    identity = run_identity(settings, digest, start)
    if settings.sharding.processes > 1:
        return _fit_in_processes(data, settings, start, identity, run_folder, resume, progress, prepared)
    training = settings.training
    model = M2GRL(
        settings.model, training_data(data, settings.model.sequences),
        learning_rate=training.learning_rate, seed=training.seed,
        n_threads=1 if training.deterministic else training.threads,
        implementation=training.implementation, device=training.device, sharding=settings.sharding,
    )  # fmt: skip
    if start is not None:
        model.start_from(start.contents.vectors, by_side(start.contents.alignment))
    for line in model.notes:
        progress.note(line)

    validate = None
    if validation is not None:
        held_out = validation

        def validate() -> float:
            return validation_score(Fitted(model, data, TrainingLog()).scorer(settings.query), held_out, data)

    log = run_training(
        model, training, run_folder=run_folder, progress=progress, resume=resume,
        validate=validate, identity=identity,
    )  # fmt: skip
    return Fitted(model, data, log)


def as_run(settings: Settings) -> Settings:
    """The settings as training follows them: several processes always compute in torch.

    Raises:
        ConfigError: early stopping in several processes.
    """
    if settings.sharding.processes == 1:
        return settings
    if settings.training.patience:
        raise ConfigError(
            f"training.patience = {settings.training.patience}: early stopping validates in one process; set "
            f"training.epochs and training.patience = 0 for sharding.processes = {settings.sharding.processes}"
        )
    training = settings.training.model_copy(update={"implementation": "torch"})
    return settings.model_copy(update={"training": training})


def for_crew(settings: Settings, n_processes: int) -> Settings:
    """The settings of a crew of so many processes, whatever they say of that: torchrun was told how many.

    Raises:
        ConfigError: early stopping in several processes, or a precision that M2GRL lacks.
    """
    _check_precision(settings)
    sharding = settings.sharding.model_copy(update={"processes": n_processes})
    training = settings.training.model_copy(update={"implementation": "torch"})
    return as_run(settings.model_copy(update={"sharding": sharding, "training": training}))


def _check_precision(settings: Settings) -> None:
    if settings.training.precision != "fp32":
        raise ConfigError(
            f"training.precision = {settings.training.precision!r} is for models in torch; m2grl computes in fp32: "
            "leave it out"
        )


def run_identity(settings: Settings, data_fingerprint: str, start: Bundle | None) -> dict[str, str]:
    """What makes a training this training, beside its `[training]` settings; not how many processes do it."""
    identity = {**identity_of(settings.model, "model"), "data": data_fingerprint}
    if settings.training.implementation == "torch":
        sharding = identity_of(settings.sharding, "sharding")
        identity |= {name: sharding[name] for name in ("sharding.anchors_per_update", "sharding.storage")}
    if start is not None:
        identity["start"] = f"{start.manifest.data_fingerprint} {start.manifest.created}"
    return identity


def _fit_in_processes(
    data: PreparedData,
    settings: Settings,
    start: Bundle | None,
    identity: Mapping[str, str],
    run_folder: Path | None,
    resume: bool,
    progress: Progress,
    prepared: Path | None,
) -> Fitted:
    """Workers read `data` from disk, train, and leave tables that are mapped from disk."""
    progress.note(
        f"{settings.sharding.processes} processes train together: implementation torch, tables shared out by TorchRec"
    )
    with ExitStack() as stack:
        place = run_folder or Path(stack.enter_context(TemporaryDirectory(prefix="prismrec-")))
        stack.enter_context(held_by_launcher(place))
        if prepared is None:
            prepared = place / "prepared"
            save_prepared(data, prepared)
        job = Job(
            prepared=str(prepared.resolve()),
            run_folder=str(place.resolve()),
            start="" if start is None else str(start.path.resolve()),
            resume=resume,
            identity=dict(identity),
            settings=settings,
        )
        model, log = train_in_processes(job, data.view_names, place / "job", progress)
    return Fitted(model, data, log)


__all__ = ["as_run", "fit_m2grl", "for_crew", "run_identity"]
