"""Models of links beside PyKEEN: filtered MRR and triples per second at equal dimension, epochs, batch and negatives.

    python benchmarks/bench_translation.py [--data ../shared/data/kg-completion] [--sets umls,kinships,nations]
        [--models transe,distmult,complex] [--epochs 30] [--dim 64] [--batch 256] [--negatives 32] [--json PATH]

Every run has a process of its own with one thread. Each system tries as many settings of its own per model (`OURS`,
`PYKEENS`), trains each for so many epochs, keeps the one with the best MRR on the validation triples, and is measured
once on the test triples; the same code ranks for both. A rate is that of training alone, the first of the epochs left
out: all triples over seconds of this process (`cpu`), which a busy machine does not stretch, and over those on the
clock. Of every triple PyKEEN draws `negatives` corrupted ones, PrismRec per batch so many heads and so many tails.
PyKEEN is measured where it can be imported, without it PrismRec stands alone: pip install pykeen.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from prismrec.data.knowledge.reading import LinkData, read_link_data
from prismrec.data.knowledge.settings import KnowledgeSettings
from prismrec.evaluation.links import LinkQueries, LinkScorer, LinkSettings, evaluate_links

ROOT = Path(__file__).resolve().parents[1]
SYSTEMS = ("prismrec", "pykeen")
BUDGET_MB = 256.0

OURS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "transe": ({"learning_rate": 0.1}, {"learning_rate": 0.5}, {"learning_rate": 0.5, "distance": "squared"}),
    "distmult": ({"l3": 0.0}, {"l3": 0.03}, {"l3": 0.1}),
    "complex": ({"l3": 0.0}, {"l3": 0.03}, {"l3": 0.1}),
}
"""What PrismRec tries; the rest are defaults."""

PYKEENS: Sequence[Mapping[str, Any]] = (
    {"loss": None, "learning_rate": 0.001},
    {"loss": "nssa", "learning_rate": 0.01},
    {"loss": "infonce", "learning_rate": 0.01},
)
"""What PyKEEN tries for each: the model's own loss (None) and Adam as they come, and two losses for many negatives."""


def read_set(data: Path, name: str) -> LinkData:
    """One of the data sets, by the files that it has."""
    folder = data / name
    numbered = (folder / "train2id.txt").is_file()
    places = [str(folder / (f"{part}2id.txt" if numbered else f"{part}.txt")) for part in ("train", "valid", "test")]
    return read_link_data(KnowledgeSettings(triples=places[0], valid_triples=places[1], test_triples=places[2]))


class Timed:
    """Seconds of this process and on the clock, and how many epochs they were."""

    def __init__(self) -> None:
        self.epochs, self.cpu, self.clock = 0, 0.0, 0.0
        self._began = (0.0, 0.0)

    def begin(self) -> None:
        """An epoch begins."""
        self._began = (process_time(), perf_counter())

    def end(self, *, counted: bool) -> None:
        """An epoch is over; the first one warms up."""
        if counted:
            self.epochs += 1
            self.cpu += process_time() - self._began[0]
            self.clock += perf_counter() - self._began[1]

    def rates(self, n_triples: int) -> dict[str, float]:
        """Triples per second."""
        return {"cpu": n_triples * self.epochs / self.cpu, "clock": n_triples * self.epochs / self.clock}


def ours(data: LinkData, arguments: argparse.Namespace, model: Any, choice: int) -> tuple[LinkScorer, Timed]:
    """PrismRec, trained."""
    from prismrec.models.algorithms import ModelsConfig, build_translation

    fixed = {"embedding_dim": arguments.dim, "batch_size": arguments.batch, "n_negatives": arguments.negatives}
    config = getattr(ModelsConfig(), model).model_copy(update={**fixed, **OURS[model][choice]})
    models = ModelsConfig(**{model: config})
    built, timed = build_translation(model, models, data.graph, seed=0, device="cpu"), Timed()
    for epoch in range(arguments.epochs):
        timed.begin()
        for step in range(built.steps_per_epoch):
            built.step(epoch, step, 0.0)
        timed.end(counted=epoch > 0 or arguments.epochs == 1)
    return built, timed


def theirs(data: LinkData, arguments: argparse.Namespace, model: str, choice: int) -> tuple[LinkScorer, Timed]:
    """PyKEEN, trained by its own loop."""
    import torch
    from pykeen.losses import loss_resolver
    from pykeen.models import model_resolver
    from pykeen.training import SLCWATrainingLoop
    from pykeen.training.callbacks import TrainingCallback
    from pykeen.triples import CoreTriplesFactory

    graph, chosen, timed = data.graph, PYKEENS[choice], Timed()
    factory = CoreTriplesFactory(
        torch.from_numpy(graph.triples.astype(np.int64)), num_entities=graph.n_entities, num_relations=graph.n_relations
    )
    dim = arguments.dim // 2 if model == "complex" else arguments.dim  # it counts complex numbers there
    loss = {} if chosen["loss"] is None else {"loss": loss_resolver.make(chosen["loss"])}
    built = model_resolver.make(model, triples_factory=factory, embedding_dim=dim, random_seed=0, **loss)
    loop = SLCWATrainingLoop(
        model=built, triples_factory=factory, negative_sampler="basic",
        negative_sampler_kwargs={"num_negs_per_pos": arguments.negatives},
        optimizer=torch.optim.Adam(built.parameters(), lr=chosen["learning_rate"]),
    )  # fmt: skip

    class Watch(TrainingCallback):
        """Tells epochs apart."""

        def post_epoch(self, epoch: int, epoch_loss: float, **more: Any) -> None:
            timed.end(counted=epoch > 1 or arguments.epochs == 1)
            timed.begin()

    timed.begin()
    loop.train(
        factory, num_epochs=arguments.epochs, batch_size=arguments.batch, use_tqdm=False, callbacks=[Watch()],
    )  # fmt: skip
    return PyKEENScorer(built), timed


class PyKEENScorer:
    """A model of PyKEEN as a `LinkScorer`."""

    def __init__(self, model: Any) -> None:
        self._model = model.eval()

    def score_links(self, side: str, known: np.ndarray, relations: np.ndarray) -> np.ndarray:
        """(n, n_entities) float32."""
        import torch

        with torch.inference_mode():
            ends, links = torch.from_numpy(known), torch.from_numpy(relations)
            if side == "tail":
                scores = self._model.score_t(torch.stack([ends, links], 1))
            else:
                scores = self._model.score_h(torch.stack([links, ends], 1))
            found: np.ndarray = scores.numpy()
        return found


def one(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one system's model under one of its choices, and measure it."""
    import torch

    torch.set_num_threads(1)
    system, name, model, choice = arguments.one.split(",")
    data = read_set(arguments.data, name)
    scorer, timed = (ours if system == "prismrec" else theirs)(data, arguments, model, int(choice))
    figures = {}
    for part, asked, other in (("valid", data.valid, data.test), ("test", data.test, data.valid)):
        queries = LinkQueries.of(asked, data.graph, [other]).sample(arguments.queries, 0)
        results = evaluate_links(scorer, queries, LinkSettings(), BUDGET_MB)
        figures[part] = {metric: results.mean(metric) for metric in ("MRR", "Hits@1", "Hits@10")}
    tried = (OURS[model] if system == "prismrec" else PYKEENS)[int(choice)]
    return {"choice": dict(tried), "rates": timed.rates(data.graph.n_triples), **figures}


def in_own_process(arguments: argparse.Namespace, task: str) -> dict[str, Any]:
    """What `one` says of a task, from a process that does nothing else."""
    passed = [item for name in ("data", "epochs", "dim", "batch", "negatives", "queries")
              for item in (f"--{name}", str(getattr(arguments, name)))]  # fmt: skip
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    done = subprocess.run(
        [sys.executable, __file__, "--one", task, *passed],
        env={**os.environ, **threads}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measured(arguments: argparse.Namespace, systems: Sequence[str]) -> list[dict[str, Any]]:
    """One row per data set, model and system: the best of its choices by validation."""
    rows = []
    for name in arguments.sets.split(","):
        for model in arguments.models.split(","):
            for system in systems:
                choices = range(arguments.choices or len(OURS[model] if system == "prismrec" else PYKEENS))
                tried = [in_own_process(arguments, f"{system},{name},{model},{choice}") for choice in choices]
                best = max(tried, key=lambda found: found["valid"]["MRR"])
                rows.append({"data": name, "model": model, "system": system, **best, "tried": tried})
                pace = f"{best['rates']['cpu']:,.0f} triples / s (cpu)"
                print(f"{name} {model} {system}: MRR {best['test']['MRR']:.4f}, {pace}", file=sys.stderr)
    return rows


def table_of(rows: Sequence[Mapping[str, Any]], arguments: argparse.Namespace) -> Table:
    """The rows for the terminal."""
    title = (
        f"{arguments.epochs} epochs, dimension {arguments.dim}, batches of {arguments.batch}, "
        f"{arguments.negatives} negatives, one thread"
    )
    table = Table(title=title)
    for column in ("data", "model", "system", "MRR", "Hits@1", "Hits@10", "triples / s (cpu)", "(clock)", "chosen"):
        table.add_column(column, justify="right" if column[0] in "MHt(" else "left")
    for row in rows:
        figures = [f"{row['test'][metric]:.3f}" for metric in ("MRR", "Hits@1", "Hits@10")]
        rates = [f"{row['rates'][kind]:,.0f}" for kind in ("cpu", "clock")]
        chosen = ", ".join(f"{key} {value}" for key, value in row["choice"].items())
        table.add_row(row["data"], row["model"], row["system"], *figures, *rates, chosen)
    return table


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data" / "kg-completion")
    parser.add_argument("--sets", default="umls,kinships,nations")
    parser.add_argument("--models", default="transe,distmult,complex")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--negatives", type=int, default=32)
    parser.add_argument("--queries", type=int, default=0, help="held-out triples to ask for; 0 = all")
    parser.add_argument("--choices", type=int, default=0, help="try only so many settings of each; 0 = all")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parsed()
    if arguments.one:
        print(json.dumps(one(arguments)))
        return
    systems = SYSTEMS if importlib.util.find_spec("pykeen") else SYSTEMS[:1]
    rows = measured(arguments, systems)
    Console(width=140).print(table_of(rows, arguments))
    if len(systems) == 1:
        print("PyKEEN is not installed: pip install pykeen", file=sys.stderr)
    if arguments.json:
        settings = {name: str(value) for name, value in vars(arguments).items() if name not in ("json", "one")}
        arguments.json.write_text(json.dumps({"settings": settings, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
