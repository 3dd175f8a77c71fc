"""M2GRL trained by several processes: what each of them does, and how one process has others do it.

    launcher   train_in_processes(job)        starts workers, shows what they tell, returns what they leave
    worker     train_in_crew(job, crew)       reads its share, trains with the others, leaves its rows (`worker`)
    torchrun   every process is a worker, and that of rank 0 goes on to the bundle (`pipeline.train_under_torchrun`)

What they leave is the checkpoint of the finished run: every table in the shards of those who held its rows.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prismrec.cluster.crew import Crew
from prismrec.cluster.launch import launch
from prismrec.cluster.process_group import attempt, own_threads, processes_here
from prismrec.config import Section
from prismrec.data.prepared import PreparedData, load_prepared
from prismrec.data.schema import ITEM_VIEW, USERS
from prismrec.data.sharded.layout import is_sharded, read_manifest
from prismrec.data.sharded.reader import read_shards
from prismrec.data.training_data import TrainingData, training_data
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.model import M2GRL
from prismrec.models.m2grl.stored import StoredM2GRL
from prismrec.models.m2grl.tables import SIDES
from prismrec.preflight import require, training_needs
from prismrec.resources import available_cores
from prismrec.retrieval.bundle import Bundle
from prismrec.settings import Settings
from prismrec.training.checkpoints import RunFolder, bytes_of_checkpoint
from prismrec.training.interrupts import TrainingInterrupted
from prismrec.training.log import TrainingLog
from prismrec.training.loop import train as run_training
from prismrec.training.progress import Progress, QuietProgress
from prismrec.training.replay import Replay

JOB_FILE = "job.json"


class Job(Section):
    """What the workers are to do."""

    prepared: str = Field(description="folder of the prepared data, sharded or not")
    run_folder: str = Field(description="where checkpoints lie")
    start: str = Field(default="", description="bundle to start from; empty = none")
    resume: bool = Field(default=False, description="go on from the checkpoint in run_folder")
    identity: dict[str, str] = Field(description="what makes this run this run")
    settings: Settings = Field(description="of model, training and sharding")

    def write(self, folder: Path) -> None:
        """Lay it where workers look for it."""
        (folder / JOB_FILE).write_text(self.model_dump_json())


def read_job(folder: Path) -> Job:
    """What `Job.write` wrote."""
    return Job.model_validate_json((folder / JOB_FILE).read_text())


def train_in_crew(job: Job, crew: Crew, progress: Progress | None = None) -> TrainingLog:
    """What every process of a crew does.

    Raises:
        CrewError: another one is gone.
        ResourceError: this machine has too little memory or disk for its part.
        TrainingInterrupted: a signal stopped one of them, and so all.
    """
    settings = job.settings
    training = settings.training
    threads = 1 if training.deterministic else own_threads(training.threads)
    _limit_torch(threads)
    progress = progress if progress is not None and crew.rank == 0 else QuietProgress()
    share = own_share(Path(job.prepared), settings.model, crew)
    here = processes_here()
    for line in too_little_for(share.n_nodes, settings, Path(job.run_folder), here, -(-crew.size // here)):
        progress.note(line)
    model = M2GRL(
        settings.model, share,
        learning_rate=training.learning_rate, seed=training.seed, n_threads=threads,
        implementation="torch", device=training.device, crew=crew, sharding=settings.sharding,
    )  # fmt: skip
    if job.start:
        start = Bundle.open(job.start)
        model.start_from(start.contents.vectors, by_side(start.contents.alignment))
    for line in model.notes:
        progress.note(line)
    return run_training(
        model, training, run_folder=Path(job.run_folder), progress=progress, resume=job.resume,
        identity=job.identity, crew=crew, attempt=attempt(),
    )  # fmt: skip


def train_in_processes(
    job: Job, views: tuple[str, ...], job_folder: Path, progress: Progress
) -> tuple[StoredM2GRL, TrainingLog]:
    """Have `sharding.processes` workers on this machine do the job.

    Args:
        views: of the data, the item view first.
        job_folder: emptied, for what launcher and workers tell each other.

    Raises:
        CrewError: a worker was lost more often than `sharding.restarts`.
        PrismRecError: what a worker could not do.
        TrainingInterrupted: Ctrl-C or SIGTERM; a checkpoint is left.
    """
    shutil.rmtree(job_folder, ignore_errors=True)
    job_folder.mkdir(parents=True)
    job.write(job_folder)
    sharding = job.settings.sharding
    threads = max(1, (job.settings.training.threads or available_cores()) // sharding.processes)
    try:
        outcomes = launch(
            job_folder, "prismrec.worker", sharding.processes, sharding.restarts, threads, Replay(progress).hear
        )
    finally:
        progress.close()
    for outcome in outcomes:
        if outcome.signal_number:
            raise TrainingInterrupted(outcome.message, outcome.signal_number)
        raise outcome.error()
    return left_by_crew(Path(job.run_folder), views)


def left_by_crew(run_folder: Path, views: tuple[str, ...]) -> tuple[StoredM2GRL, TrainingLog]:
    """The model and the log of a finished run, its tables put together on disk and memory-mapped."""
    state, log = RunFolder(run_folder, {}).result(run_folder / "tables")
    return StoredM2GRL(state, views), log


def too_little_for(
    n_nodes: Mapping[str, int], settings: Settings, run_folder: Path | None, processes: int, machines: int = 1
) -> list[str]:
    """Pre-flight of training: warnings, before hours are spent.

    Args:
        processes: on this machine.
        machines: how many such machines there are.

    Raises:
        ResourceError: memory or disk are certain to be too small.
    """
    needs = training_needs(
        n_nodes, settings.model, processes=processes, machines=machines, storage=settings.sharding.storage,
        on_device=settings.training.device == "cuda" and settings.sharding.placement == "device",
        keeps_best=settings.training.patience > 0,
        written=0 if run_folder is None else bytes_of_checkpoint(run_folder) // machines,
    )  # fmt: skip
    places = {} if run_folder is None else {"run": run_folder, "bundle": run_folder.parent}
    return [finding.message for finding in require(needs, places)]


def own_share(prepared: Path, config: M2GRLConfig, crew: Crew) -> TrainingData:
    """What a process of the crew learns from.

    Raises:
        ConfigError: sharded data that hold other sequences than `model.sequences`.
        ArtifactError: the folder is damaged.
    """
    if is_sharded(prepared):
        wanted = [config.hard_view] if config.hard_negatives else []
        return read_shards(prepared, crew.rank, crew.size, kind=config.sequences, item_nodes=wanted)
    return training_data(load_prepared(prepared), config.sequences).share(crew.rank, crew.size)


def identity_of_prepared(prepared: Path) -> str:
    """A digest of the data in a folder: of sharded ones from the digests in their manifest, none of them read."""
    if not is_sharded(prepared):
        return fingerprint_of(load_prepared(prepared))
    files = read_manifest(prepared).files
    return hashlib.sha256(json.dumps(sorted((name, file.sha256) for name, file in files.items())).encode()).hexdigest()


def fingerprint_of(data: PreparedData) -> str:
    """A digest of everything training reads: two runs share it only where they learn from the same data."""
    digest = hashlib.sha256()
    for view in data.view_names:
        sequences, nodes = data.view_sessions(view), data.nodes(view)
        edges = [] if view == ITEM_VIEW else [data.views[view].item_nodes.values, data.views[view].item_nodes.offsets]
        for array in (sequences.values, sequences.offsets, nodes.counts, *edges):
            digest.update(np.ascontiguousarray(array).data)
        for buffer in nodes.ids.buffers():
            digest.update(b"" if buffer is None else buffer)
    for array in (data.histories.values, data.histories.offsets):
        digest.update(np.ascontiguousarray(array).data)
    _add_users(digest, data)
    _add_knowledge(digest, data)
    return digest.hexdigest()


def _add_users(digest: hashlib._Hash, data: PreparedData) -> None:
    """What is known of the users, where anything is."""
    rows = {name: view.user_nodes for name, view in data.user_views.items()}
    rows |= {} if data.user_links is None else {USERS: data.user_links}
    for name, sequences in rows.items():
        digest.update(name.encode())
        for array in (sequences.values, sequences.offsets):
            digest.update(np.ascontiguousarray(array).data)


def _add_knowledge(digest: hashlib._Hash, data: PreparedData) -> None:
    """What is known of the items, and what users disliked, where anything is."""
    if data.disliked is not None:
        for array in (data.disliked.values, data.disliked.offsets):
            digest.update(np.ascontiguousarray(array).data)
    if data.knowledge is None:
        return
    graph = data.knowledge.graph
    digest.update("\0".join(graph.relations).encode())
    for rows in (graph.triples, data.knowledge.item_entities):
        digest.update(np.ascontiguousarray(rows).data)
    for buffer in graph.entities.ids.buffers():
        digest.update(b"" if buffer is None else buffer)


def by_side(matrices: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The alignment matrices of a bundle as the model names them."""
    return {f"{v}.alignment_{side}": stacked[i] for v, stacked in matrices.items() for i, side in enumerate(SIDES)}


def _limit_torch(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


__all__ = [
    "Job",
    "by_side",
    "fingerprint_of",
    "identity_of_prepared",
    "left_by_crew",
    "own_share",
    "read_job",
    "too_little_for",
    "train_in_crew",
    "train_in_processes",
]
