"""Plots from what `prismrec evaluate -o FILE.json` wrote, with the intervals of its tables.

    python benchmarks/plot_results.py ablations RESULTS.json --metrics recall,HR --ks 5,10,20 -o ablations.png
    python benchmarks/plot_results.py effect RESULTS.json --models ma_gnn_heads_1,ma_gnn --labels 1,4 -o heads.png

`ablations` draws grouped bars, a panel per metric: the models of one comparison at several lengths of the list, as
Figure 4 of the MTHGT paper. `effect` draws a line over models that differ in one setting: heads, memory slots.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

INCHES = (4.2, 3.2)  # of one panel


def figure_of(results: dict[str, Any], model: str, metric: str, part: str = "all") -> tuple[float, float, float]:
    """Mean, and the lower and upper end of its interval."""
    estimate = results["models"][model]["figures"][part][metric]["estimate"]
    return estimate["mean"], estimate["low"], estimate["high"]


def errors_of(figures: Sequence[tuple[float, float, float]]) -> list[list[float]]:
    """Distances from the means down and up to the ends of the intervals, as matplotlib wants them.

    >>> errors_of([(0.5, 0.25, 1.0)])
    [[0.25], [0.5]]
    """
    return [[mean - low for mean, low, _ in figures], [high - mean for mean, _, high in figures]]


def ablations(results: dict[str, Any], metrics: Sequence[str], ks: Sequence[int], models: Sequence[str] = ()) -> Any:
    """Grouped bars, a panel per metric, a group per list length, a bar per model."""
    figure, panels = _panels(len(metrics))
    names = list(models or results["models"])
    width = 0.8 / len(names)
    for panel, metric in zip(panels, metrics, strict=True):
        for place, name in enumerate(names):
            values = [figure_of(results, name, f"{metric}@{k}") for k in ks]
            centres = [group + (place - (len(names) - 1) / 2) * width for group in range(len(ks))]
            means = [mean for mean, _, _ in values]
            panel.bar(centres, means, width, yerr=errors_of(values), label=name, error_kw={"linewidth": 0.8})
        panel.set_xticks(range(len(ks)), [f"N = {k}" for k in ks])
        panel.set_title(f"{metric}@N")
    panels[0].legend(fontsize="small")
    figure.suptitle(f"{results['data']}, {results['protocol']}")
    return figure


def effect(results: dict[str, Any], models: Sequence[str], labels: Sequence[str], metrics: Sequence[str]) -> Any:
    """A line per metric over models that differ in one setting, a panel each: heads, memory slots."""
    figure, panels = _panels(len(metrics))
    for panel, metric in zip(panels, metrics, strict=True):
        values = [figure_of(results, name, metric) for name in models]
        panel.errorbar(range(len(labels)), [mean for mean, _, _ in values], errors_of(values), marker="o", capsize=3)
        panel.set_xticks(range(len(labels)), labels)
        panel.set_title(metric)
    figure.suptitle(f"{results['data']}, {results['protocol']}")
    return figure


def _panels(n: int) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(INCHES[0] * n, INCHES[1]), layout="constrained")
    panels = list(figure.subplots(1, n, squeeze=False)[0])
    for panel in panels:
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def main() -> None:
    """Draw one plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("ablations", "effect"))
    parser.add_argument("results", type=Path)
    parser.add_argument("--metrics", default="", help="recall,HR for ablations; recall@10 for effect")
    parser.add_argument("--ks", default="5,10,20")
    parser.add_argument("--models", default="", help="which, and in which order; all unless given")
    parser.add_argument("--labels", default="", help="of the models of an effect: 1,4,16")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    results = json.loads(options.results.read_text(encoding="utf-8"))
    models = [name for name in options.models.split(",") if name]
    if options.kind == "ablations":
        metrics, ks = (options.metrics or "precision,recall,HR").split(","), [int(k) for k in options.ks.split(",")]
        drawn = ablations(results, metrics, ks, models)
    else:
        drawn = effect(results, models, options.labels.split(","), (options.metrics or "recall@10,NDCG@10").split(","))
    drawn.savefig(options.output, dpi=150)


if __name__ == "__main__":
    main()
