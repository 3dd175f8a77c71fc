"""Markdown tables from what `prismrec evaluate -o FILE.json` wrote.

python benchmarks/render_results.py RESULTS.json [RESULTS.json ...] [--metrics recall@10,NDCG@10] > tables.md
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

METRICS = ("HR@10", "HR@50", "NDCG@10", "AUC")


def cell(figure: dict[str, Any]) -> str:
    """Mean, interval and difference to the reference, as one cell."""
    estimate, difference = figure["estimate"], figure["difference"]
    text = f"{estimate['mean']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
    if difference is None:
        return text
    p = "p < 0.001" if difference["p_value"] <= 0.001 else f"p = {difference['p_value']:.3f}"
    return f"{text} {difference['mean']:+.3f}, {p}"


def table(results: dict[str, Any], part: str, metrics: Sequence[str] = METRICS) -> str:
    """One slice of one comparison; `epochs` is how many a model learned that was stopped early, of the last fold."""
    epochs = {name: trials[-1]["learned"] for name, trials in results.get("trials", {}).items()}
    in_epochs = any(epochs.values())
    counts = results["counts"]
    unknown = f"{counts.get('unknown_targets', 0):,} targets are not in training and count as misses"
    seen = "seen items are not ranked" if results["exclude_seen"] else "seen items are ranked too"
    lines = [
        f"**{results['data']}, `{results['protocol']}`, {part} targets**: {results['n_queries'][part]:,} queries, "
        f"{results['n_items']:,} items ranked; {unknown}; {seen}.",
        "",
        "| model | " + " | ".join(metrics) + (" | epochs" if in_epochs else "") + " | fit (s) |",
        "|---" * (len(metrics) + 2 + in_epochs) + "|",
    ]
    for name, model in results["models"].items():
        figures = model["figures"].get(part, {})
        cells = [cell(figures[metric]) if metric in figures else "–" for metric in metrics]
        if in_epochs:
            cells.append(str(epochs[name]["kept_epochs"]) if epochs[name] else "")
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {model['fit_seconds']:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the tables of every file, the rare slice where it has at least 100 queries, but not all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--metrics", default=",".join(METRICS))
    arguments = parser.parse_args()
    for path in arguments.results:
        document = json.loads(path.read_text(encoding="utf-8"))
        for results in (document, *document.get("others", {}).values()):
            for part, n_queries in results["n_queries"].items():
                if part == "all" or 100 <= n_queries < results["n_queries"]["all"]:
                    print(table(results, part, arguments.metrics.split(",")))


if __name__ == "__main__":
    main()
