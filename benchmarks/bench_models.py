"""What an epoch of each model costs on MovieLens-1M, and how long it trains to its best validation score.

    prismrec data get movielens-1m
    python benchmarks/bench_models.py movielens-1m/prismrec.toml [--json PATH] [--models mf,sasrec] [--rivals mf,sasrec]

Every model trains in a process of its own, one after the other, with default settings: PrismRec's, and RecBole's where
it is installed (`recbole_models.py`). Both learn from the log without each user's last two items and validate on the
last but one. An epoch that does not end within `--seconds` is extrapolated from its steps, and marked. Peak memory is
that of the process (VmHWM), its data and libraries included; `before` is what these alone take.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.table import Table

import recbole_models
from prismrec.data import engine
from prismrec.data.splits import next_item
from prismrec.evaluation.queries import queries_from
from prismrec.fitting import TUNING_QUERIES, as_encoded, fit
from prismrec.inputs import prepare_log, read_tables
from prismrec.models.algorithms import NEURAL
from prismrec.settings import Settings, read_settings
from prismrec.training.log import EpochLog
from prismrec.training.progress import Plan, QuietProgress, StepReport

PATIENCE = 5
DEFAULT_FILE = Path("movielens-1m/prismrec.toml")


class TimeIsUp(Exception):
    """The seconds of one model are over."""


@dataclass
class Clock(QuietProgress):
    """Notes seconds and validation scores of epochs, and ends training when time is over."""

    seconds: float
    began: float = field(default_factory=perf_counter)
    epochs: list[dict[str, float]] = field(default_factory=list)
    share_of_first: float = 1.0
    steps_per_epoch: int = 1

    def start(self, plan: Plan) -> None:
        """Time begins."""
        self.steps_per_epoch = plan.steps_per_epoch
        self.began = perf_counter()

    def step(self, report: StepReport) -> None:
        """End where time is over; extrapolate the first epoch."""
        elapsed = perf_counter() - self.began
        if elapsed < self.seconds or report.step == self.steps_per_epoch:
            return
        if not self.epochs:
            self.share_of_first = report.step / self.steps_per_epoch
            self.epochs.append({"seconds": elapsed / self.share_of_first})
        raise TimeIsUp

    def epoch(self, entry: EpochLog) -> None:
        """Note it."""
        elapsed = perf_counter() - self.began
        assert entry.validation is not None
        self.epochs.append({"seconds": entry.seconds, "validation": entry.validation, "elapsed": elapsed})
        if elapsed >= self.seconds:
            raise TimeIsUp


def train_ours(settings: Settings, seconds: float) -> dict[str, Any]:
    """Train on the log without each user's last two items, validate on the last but one."""
    log, items = read_tables(settings)
    outer = next(next_item(log, settings.split))
    inner = next(next_item(outer.train, settings.split.model_copy(update={"max_queries": TUNING_QUERIES})))
    data = prepare_log(inner.train, items, settings)
    queries = queries_from(inner.queries, data.items, settings.evaluation.exclude_seen, data.users)
    clock, before = Clock(seconds), memory("VmRSS")
    try:
        fit(data, settings, validation=queries, progress=clock)
        converged = True
    except TimeIsUp:
        converged = False
    return {
        "before_gb": before, "epochs": clock.epochs, "share_of_first": clock.share_of_first, "converged": converged
    }  # fmt: skip


def train_rival(settings: Settings, model: str, seconds: float, threads: int) -> dict[str, Any]:
    """RecBole's model of the same name on the same log, which it splits alike."""
    log, _ = read_tables(settings)
    table = engine.arrow(log.table.select("user_id", "item_id", "timestamp"))
    before = memory("VmRSS")
    return {
        "before_gb": before,
        **recbole_models.train(table, recbole_models.MODELS[model], seconds, PATIENCE, threads),
    }


def memory(name: str) -> float:
    """VmHWM, the peak, or VmRSS, what is taken now, of this process, in GB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e9


def one(library: str, model: str, options: argparse.Namespace) -> dict[str, Any]:
    """What the child process measures."""
    changes = [f"training.threads={options.threads}", f"training.patience={PATIENCE}"]
    algorithm = "m2grl" if library != "prismrec" else model
    settings = read_settings(options.config, [*changes, f"algorithm={algorithm}", "split.protocol=next_item"])
    settings, _ = as_encoded(settings)
    if library == "prismrec":
        found = train_ours(settings, options.seconds)
    else:
        found = train_rival(settings, model, options.seconds, options.threads)
    validated = [epoch for epoch in found["epochs"] if "validation" in epoch]
    best = max(validated, key=lambda epoch: epoch["validation"], default=None)
    return {
        "library": library,
        "model": model,
        "seconds_per_epoch": median(epoch["seconds"] for epoch in found["epochs"]),
        "seconds_to_best": best and best["elapsed"],
        "best_epoch": validated.index(best) + 1 if best else None,
        "peak_gb": memory("VmHWM"),
        **found,
    }


def in_own_process(library: str, model: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one measurement; what kept it from running is its result."""
    command = [sys.executable, __file__, str(options.config), "--one", f"{library}:{model}"]
    command += ["--seconds", str(options.seconds), "--threads", str(options.threads)]
    threads = {name: str(options.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads}, check=False)
    if done.returncode:
        return {"library": library, "model": model, "error": done.stderr.strip().splitlines()[-1]}
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def shown(results: list[dict[str, Any]], options: argparse.Namespace) -> Table:
    """One row per model."""
    table = Table(
        title=f"{options.config}, {options.threads} threads", caption="* extrapolated; > not converged in time"
    )
    for column in ("library", "model", "s/epoch", "epochs", "s to best", "best at epoch", "peak GB", "before GB"):
        table.add_column(column, justify="right")
    for result in results:
        name = result["library"], result["model"]
        if "error" in result:
            table.add_row(*name, "failed")
            Console(stderr=True).print(f"{' '.join(name)}: {result['error']}")
            continue
        star = "*" if result["share_of_first"] < 1 else ""
        to_best = "–" if result["seconds_to_best"] is None else f"{result['seconds_to_best']:.0f}"
        more = "" if result["converged"] else ">"
        table.add_row(
            *name, f"{result['seconds_per_epoch']:.1f}{star}", str(len(result["epochs"])), f"{more}{to_best}",
            str(result["best_epoch"] or "–"), f"{result['peak_gb']:.2f}", f"{result['before_gb']:.2f}",
        )  # fmt: skip
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=DEFAULT_FILE)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--models", default=",".join(("m2grl", *NEURAL)))
    parser.add_argument("--rivals", default=",".join(recbole_models.MODELS))
    parser.add_argument("--seconds", type=float, default=300, help="of training per model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", help="library:model, in this process")
    options = parser.parse_args()
    if not options.config.is_file():
        print(f"skipped: there is no {options.config}; `prismrec data get movielens-1m` makes it")
        return
    if options.one:
        library, model = options.one.split(":")
        print(json.dumps(one(library, model, options)))
        return
    console, results = Console(width=120), []
    chosen = [("prismrec", name) for name in options.models.split(",") if name]
    chosen += [("recbole", name) for name in options.rivals.split(",") if name]
    for library, model in chosen:
        console.print(f"{library} {model} ...")
        results.append(in_own_process(library, model, options))
        if options.json:
            options.json.write_text(json.dumps({"threads": options.threads, "results": results}, indent=1) + "\n")
    console.print(shown(results, options))


if __name__ == "__main__":
    main()
