"""The tables and plots of docs/model_results.md, from what `model_tables.py` and two benchmarks measured.

    python benchmarks/render_models.py                                 # prints the tables
    python benchmarks/render_models.py --write docs/model_results.md   # puts each between its marks, plots beside it

A test holds the document equal to what this prints.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import plot_results
from model_tables import RESULTS, RUNS, Run
from render_results import table as table_of
from render_scale import print_or_write, put_between_marks, table

COST = RESULTS.parent / "models.json"

PAPER: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "graph-movielens-1m": {
        "pinsage": (0.4151, 0.0954, 0.9289), "ngcf": (0.4866, 0.1153, 0.9596), "hin2vec": (0.4524, 0.1043, 0.9454),
        "hgt": (0.4654, 0.1084, 0.9508), "mthgt": (0.5041, 0.1279, 0.9670),
    },
    "graph-lastfm": {
        "pinsage": (0.2313, 0.1055, 0.7489), "ngcf": (0.2931, 0.1341, 0.8715), "hin2vec": (0.2668, 0.1228, 0.8218),
        "hgt": (0.2889, 0.1325, 0.8646), "mthgt": (0.3318, 0.1516, 0.9134),
    },
}  # fmt: skip
"""Precision, recall and hit rate at 10 as MTHGT's paper prints them (Computer Engineering & Science, 2023)."""


MISSING = "Not measured yet."


def results_of(name: str) -> dict[str, Any] | None:
    """What one run measured; None where it was not run."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def comparison(run: Run) -> str:
    """The table of one run, and the call that made it."""
    document = results_of(run.name)
    metrics = [metric for metric in run.metrics if metric.endswith("@10") or "@" not in metric]
    shown = MISSING if document is None else table_of(document, "all", metrics).rstrip()
    return f"`python benchmarks/model_tables.py --data FOLDER --only {run.name}`\n\n{shown}"


def beside_the_paper() -> str:
    """Our figures beside the paper's, and both relative to MTHGT, whose protocols of ranking differ."""
    head = ["data", "model", "P / R / HR@10, here", "the paper", "R@10 relative to MTHGT, here", "the paper"]
    rows = []
    for name, models in PAPER.items():
        document = results_of(name)
        if document is None:
            continue
        ours = {model: figures_of(document, model) for model in models}
        for model, theirs in models.items():
            relative = [figures[model][1] / figures["mthgt"][1] - 1 for figures in (ours, models)]
            rows.append([
                document["data"], model, figures_text(ours[model]), figures_text(theirs),
                *(f"{value:+.0%}" if model != "mthgt" else "" for value in relative),
            ])  # fmt: skip
    return table(head, rows) if rows else MISSING


def figures_of(document: dict[str, Any], model: str) -> tuple[float, ...]:
    """Precision, recall and hit rate at 10."""
    return tuple(plot_results.figure_of(document, model, f"{m}@10")[0] for m in ("precision", "recall", "HR"))


def figures_text(figures: tuple[float, ...]) -> str:
    """Three decimals each."""
    return " / ".join(f"{value:.3f}" for value in figures)


def cost() -> str:
    """Time and memory of training, `bench_models.py`."""
    if not COST.exists():
        return MISSING
    document = json.loads(COST.read_text(encoding="utf-8"))
    head = [
        "library",
        "model",
        "s per epoch",
        "epochs run",
        "s to best score",
        "best at epoch",
        "peak memory, GB",
        "of it before training",
    ]
    rows = []
    for r in document["results"]:
        if "error" in r:
            rows.append([r["library"], r["model"], "failed: " + r["error"], *[""] * 5])
            continue
        star, more = "*" if r["share_of_first"] < 1 else "", "" if r["converged"] else "> "
        best = "–" if r["seconds_to_best"] is None else f"{more}{r['seconds_to_best']:.0f}"
        rows.append([
            r["library"], r["model"], f"{r['seconds_per_epoch']:.1f}{star}", str(len(r["epochs"])), best,
            str(r["best_epoch"] or "–"), f"{r['peak_gb']:.2f}", f"{r['before_gb']:.2f}",
        ])  # fmt: skip
    return table(head, rows)


SECTIONS: Mapping[str, Callable[[], str]] = {
    **{run.name: lambda run=run: comparison(run) for run in RUNS},  # type: ignore[misc]
    "paper": beside_the_paper,
    "cost": cost,
}


def plots() -> Mapping[str, Any]:
    """File name -> figure, of the runs that were made."""
    made = {}
    if sizes := results_of("sizes-of-ma-gnn"):
        heads = ["ma_gnn_heads_1", "ma_gnn", "ma_gnn_heads_16"]
        slots = ["ma_gnn_memory_5", "ma_gnn", "ma_gnn_memory_80"]
        metrics = ["recall@10", "NDCG@10"]
        made["ma_gnn_heads.png"] = plot_results.effect(sizes, heads, ["1 head", "4", "16"], metrics)
        made["ma_gnn_memory.png"] = plot_results.effect(sizes, slots, ["5 slots", "20", "80"], metrics)
    if parts := results_of("parts-of-mthgt"):
        models = ["hgt_plain", "hgt_d", "hgt_m", "mthgt"]
        made["mthgt_parts.png"] = plot_results.ablations(parts, ["precision", "recall", "HR"], [5, 10, 20], models)
    return made


def rendered(document: str) -> str:
    """The document with every section as it is now."""
    return put_between_marks(document, SECTIONS)


def main() -> None:
    """Print the tables, or write them into the document and the plots beside it."""
    document = print_or_write(__doc__, SECTIONS)
    if document is not None:
        for name, figure in plots().items():
            figure.savefig(document.parent / name, dpi=120)


if __name__ == "__main__":
    main()
