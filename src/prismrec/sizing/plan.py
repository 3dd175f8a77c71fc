"""The plan of a job on given machines: what each stage costs, what fits, what to do where it does not, what to run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from prismrec.sizing.job import Job
from prismrec.sizing.layout import Layout
from prismrec.sizing.quantities import show_bytes, show_count, show_seconds
from prismrec.sizing.shares import (
    WHOLE_CLICKS,
    is_staged,
    preparation_disk_bytes,
    training_machine_bytes,
    training_process_bytes,
)
from prismrec.sizing.stages import ALL, Stage, processor_seconds, query_seconds
from prismrec.sizing.storage import bundle_bytes, codes_bytes, matrices_bytes, model_bytes
from prismrec.sizing.traffic import pairs_per_epoch

MOST_MACHINES = 4096
"""Where the search for a number of machines ends."""

SLOW_ANSWER_SECONDS = 0.1
"""A query that takes longer on one thread is worth a word."""


@dataclass(frozen=True)
class Verdict:
    """Whether one thing fits.

    Attributes:
        kind: "fits"; "short" where it does not; "slow" where it does, but somebody should know.
        stage: which stage.
        text: the figures, and what to do where it does not fit.
    """

    kind: Literal["fits", "short", "slow"]
    stage: str
    text: str


@dataclass(frozen=True)
class Plan:
    """Everything `prismrec plan` prints.

    Attributes:
        job, layout: what was asked.
        pairs: positive pairs of the item view in all epochs.
        stages: in the order in which they run.
        verdicts: one or more per stage that has a limit.
        commands: the command lines to run, in order.
    """

    job: Job
    layout: Layout
    pairs: float
    stages: tuple[Stage, ...]
    verdicts: tuple[Verdict, ...]
    commands: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether everything does."""
        return all(verdict.kind != "short" for verdict in self.verdicts)


def make_plan(job: Job, layout: Layout, config: str = "shop.toml") -> Plan:
    """Work everything out.

    Args:
        config: the settings file that the command lines name.
    """
    return Plan(
        job=job,
        layout=layout,
        pairs=job.epochs * pairs_per_epoch(job),
        stages=tuple(stage(job, layout) for stage in ALL),
        verdicts=(
            *_disk_verdict(job, layout),
            _training_verdict(job, layout),
            *_speed_verdicts(job, layout),
            *_serving_verdicts(job, layout),
        ),
        commands=tuple(_commands(job, layout, config)),
    )


def training_room(job: Job, layout: Layout) -> tuple[float, float, str]:
    """What training needs, what there is, and where: the tighter of a device and a machine; bytes."""
    machine = training_machine_bytes(job, layout), float(layout.memory_bytes), "on each machine"
    if not layout.gpus:
        return machine
    device = training_process_bytes(job, layout), layout.usable_gpu_bytes, f"on each of {layout.workers} devices"
    return max(machine, device, key=lambda room: room[0] / room[1])


def training_fits(job: Job, layout: Layout) -> bool:
    """Whether tables, examples and buffers have room, on the devices and on the machines."""
    needed, room, _ = training_room(job, layout)
    return needed <= room


def machines_needed(job: Job, layout: Layout) -> int | None:
    """The fewest machines of this kind on which training fits; None where no number of them helps."""
    if not training_fits(job, layout.model_copy(update={"machines": MOST_MACHINES})):
        return None
    too_few, enough = 0, MOST_MACHINES
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        fits = training_fits(job, layout.model_copy(update={"machines": middle}))
        too_few, enough = (too_few, middle) if fits else (middle, enough)
    return enough


def largest_dim(job: Job, layout: Layout) -> int | None:
    """The largest multiple of 8 below the job's dimension with which training fits; None where none does."""
    smaller = range((job.dim - 1) // 8 * 8, 0, -8)
    return next((dim for dim in smaller if training_fits(job.model_copy(update={"dim": dim}), layout)), None)


def fits_in_host_memory(job: Job, layout: Layout) -> bool:
    """Whether the tables have room in main memory, from where devices fetch the rows they need."""
    share = model_bytes(job.n_nodes, job.dim, job.storage) / layout.machines
    return share + training_machine_bytes(job, layout) <= layout.memory_bytes


def _training_verdict(job: Job, layout: Layout) -> Verdict:
    needed, room, where = training_room(job, layout)
    figures = f"{show_bytes(needed)} needed {where}, {show_bytes(room)} usable"
    if needed <= room:
        return Verdict("fits", "training", figures)
    return Verdict("short", "training", f"{figures}: {'; or '.join(_remedies(job, layout))}")


def _remedies(job: Job, layout: Layout) -> Iterator[str]:
    needed = machines_needed(job, layout)
    if needed is not None:
        devices = f" ({needed * layout.gpus} GPUs)" if layout.gpus else ""
        yield f"take {needed} such machines{devices}"
    halved = job.model_copy(update={"storage": "bf16"})
    if layout.gpus and job.storage == "fp32" and training_fits(halved, layout):
        yield 'keep numbers in 2 bytes (sharding.storage = "bf16")'
    if layout.gpus and fits_in_host_memory(job, layout):
        yield 'keep tables in main memory (sharding.placement = "host"), slower'
    dim = largest_dim(job, layout)
    if dim is not None:
        yield f"learn {dim} numbers per vector (model.embedding_dim = {dim})"
    if needed is None and dim is None:
        yield "machines with more memory: what every process must know of every node is too much for these"


def _speed_verdicts(job: Job, layout: Layout) -> Iterator[Verdict]:
    """Several processes without devices learn by torch, far more slowly than one with the compiled step."""
    alone = layout.model_copy(update={"processes": 1, "machines": 1})
    if layout.gpus or layout.workers == 1 or not training_fits(job, alone):
        return
    several, one = (processor_seconds(job, each).value for each in (layout, alone))
    if one < several:
        text = (
            f"one process needs no other's memory here and takes {show_seconds(one)} instead of {show_seconds(several)}"
        )
        yield Verdict("slow", "training", text)


def _disk_verdict(job: Job, layout: Layout) -> Iterator[Verdict]:
    if not layout.disk_bytes:
        return
    needed = preparation_disk_bytes(job) + bundle_bytes(job.n_nodes, job.dim, job.id_bytes)
    room = layout.machines * layout.disk_bytes
    text = f"{show_bytes(needed)} of disk for stages, prepared data and bundle, {show_bytes(room)} free"
    if needed <= room:
        yield Verdict("fits", "disk", text)
    else:
        yield Verdict("short", "disk", f"{text}: {show_bytes(needed - room)} more are needed, or fewer clicks")


def _serving_verdicts(job: Job, layout: Layout) -> Iterator[Verdict]:
    views = len(job.n_nodes)
    needed = codes_bytes(job.items, views, job.dim) + matrices_bytes(job.items, views, job.dim)
    text = f"{show_bytes(needed)} of codes and matrices, {show_bytes(layout.memory_bytes)} on the machine that answers"
    if needed <= layout.memory_bytes:
        yield Verdict("fits", "serving", text)
    else:
        yield Verdict("slow", "serving", f"{text}: the rest is read from disk; fewer numbers or views make it fit")
    seconds = query_seconds(job)
    if seconds > SLOW_ANSWER_SECONDS:
        looks = f"a query compares {show_count(job.items)} codes, {seconds:.2g} s on one thread"
        yield Verdict("slow", "serving", f'{looks}: index.kind = "ivf" looks at a part of them')


def _commands(job: Job, layout: Layout, config: str) -> Iterator[str]:
    workers, config = layout.workers, shlex.quote(config)
    engine = " --set engine=spark" if layout.machines > 1 else ""
    shards = workers * -(-job.clicks // (WHOLE_CLICKS * workers))
    staged = f" --shards {shards}{engine}" if is_staged(job, layout) else ""
    yield f"prismrec prepare {config} -o prepared{staged}"
    train = f"train {config} --prepared prepared -o bundle"
    if layout.gpus:
        train += " --set training.implementation=torch --set training.device=cuda"
    if layout.machines > 1:
        yield (
            f"torchrun --nnodes {layout.machines} --nproc-per-node {layout.per_machine} --rdzv-backend c10d "
            f"--rdzv-endpoint HOST:29500 -m prismrec {train}"
        )
    else:
        yield f"prismrec {train}" + (f" --processes {workers}" if workers > 1 else "")
    yield "prismrec serve bundle"


def summary(plan: Plan) -> str:
    """One line over the table."""
    job = plan.job
    views = ", ".join(f"{view} {show_count(n)}" for view, n in job.n_nodes.items())
    return (
        f"{show_count(job.clicks)} clicks, nodes: {views}; dim {job.dim}, {job.epochs} epochs: "
        f"{show_count(plan.pairs)} positive pairs"
    )


__all__ = [
    "MOST_MACHINES",
    "Plan",
    "Verdict",
    "fits_in_host_memory",
    "largest_dim",
    "machines_needed",
    "make_plan",
    "summary",
    "training_fits",
    "training_room",
]
