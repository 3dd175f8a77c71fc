"""The tables of docs/scale.md: sizes and times by `prismrec.sizing`, measured points from benchmarks/results.

    python benchmarks/render_scale.py                      # prints them
    python benchmarks/render_scale.py --write docs/scale.md    # puts each between its marks in the document

A test holds the document equal to what this prints.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from prismrec.sizing import rates
from prismrec.sizing.job import Job
from prismrec.sizing.layout import EIGHT_GPUS, LAYOUTS, Layout
from prismrec.sizing.plan import make_plan, training_fits
from prismrec.sizing.quantities import show_bytes, show_count, show_seconds
from prismrec.sizing.stages import Figure, Stage, bundle, checkpoint, preparation, training

RESULTS = Path(__file__).parent / "results"
CLICKS, ITEMS = (10**6, 10**8, 10**10), (10**6, 10**8, 10**9)
MARKS = {"counted": "ᶜ", "derived": "ᵈ", "floor": "ᶠ"}
M2GRL = Job(clicks=57 * 10**9, items=10**9, dim=64, epochs=1)

Results = dict[str, list[dict[str, Any]]]


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def marked(figure: Figure | None, write: Callable[[float], str]) -> str:
    """A figure with the mark of its origin; a floor is the least it can be."""
    if figure is None:
        return "–"
    return f"{'> ' if figure.origin == 'floor' else ''}{write(figure.value)} {MARKS[figure.origin]}"


def layout_table(layout: Layout) -> str:
    """One row per number of clicks and items: dim 64, the item view alone, one epoch."""
    each = "device" if layout.gpus else "process"
    head = ["clicks", "items", "prepare: memory a machine", "disk", "time", f"train: memory a {each}"]
    head += ["a machine", "an epoch", "checkpoint: disk", "bundle: disk", "training fits"]
    rows = []
    for clicks in CLICKS:
        for items in ITEMS:
            job = Job(clicks=clicks, items=items, dim=64, epochs=1)
            prepared, trained = preparation(job, layout), training(job, layout)
            rows.append([
                show_count(clicks), show_count(items), marked(prepared.per_machine, show_bytes),
                marked(prepared.disk, show_bytes), marked(prepared.seconds, show_seconds),
                marked(trained.per_process, show_bytes), marked(trained.per_machine, show_bytes),
                marked(trained.seconds, show_seconds), marked(checkpoint(job, layout).disk, show_bytes),
                marked(bundle(job, layout).disk, show_bytes), "yes" if training_fits(job, layout) else "no",
            ])  # fmt: skip
    return table(head, rows)


def layouts() -> str:
    """All of them."""
    return "\n\n".join(f"**{layout.title}**\n\n{layout_table(layout)}" for layout in LAYOUTS)


def flagship() -> str:
    """57 billion clicks on a billion items, on eight GPUs: stages, verdicts, commands."""
    plan = make_plan(M2GRL, EIGHT_GPUS)
    rows = [
        [
            stage.name, marked(stage.per_process, show_bytes), marked(stage.per_machine, show_bytes),
            marked(stage.disk, show_bytes), marked(stage.seconds, show_seconds), "; ".join(ways(stage)),
        ]
        for stage in plan.stages
    ]  # fmt: skip
    made = table(["stage", "a device", "a machine", "disk", "time", "how"], rows)
    verdicts = "\n".join(f"- {verdict.kind}: {verdict.stage}: {verdict.text}" for verdict in plan.verdicts)
    commands = "\n".join(plan.commands)
    return f"{made}\n\n{verdicts}\n\n```\n{commands}\n```"


def ways(stage: Stage) -> Iterator[str]:
    """How the figures of a stage came about, each once."""
    figures = (stage.per_process, stage.per_machine, stage.disk, stage.seconds)
    yield from dict.fromkeys(f"{figure.how} {MARKS[figure.origin]}" for figure in figures if figure is not None)


def rate_table() -> str:
    """Every rate with its source."""
    named = {name: rate for name in rates.__all__ if isinstance(rate := getattr(rates, name), rates.Rate)}
    named |= {f"ROWS_{size:,}": rate for size, rate in rates.ROWS.items()}
    rows = [
        [said_of(name), amount(rate.value), rate.unit, rate.provenance, rate.source]
        for name, rate in sorted(named.items())
    ]
    return table(["what", "value", "unit", "", "source"], rows)


def said_of(name: str) -> str:
    """The name of a rate as text."""
    return name.replace("_", " ").lower().replace("gpu", "GPU")


def amount(value: float) -> str:
    """A number with its thousands apart."""
    return f"{value:,g}" if value < 1000 else f"{value:,.0f}"


def results_of(name: str) -> list[dict[str, Any]]:
    """The points of a benchmark; none where it has not run."""
    path = RESULTS / f"{name}.json"
    points: list[dict[str, Any]] = json.loads(path.read_text())["results"] if path.exists() else []
    return points


def preparation_points(points: list[dict[str, Any]]) -> str:
    """Preparation as logs grow."""
    head = ["clicks", "way", "seconds", "processor seconds", "time ~ clicks^", "peak memory", "memory ~ clicks^"]
    head += ["log on disk", "stages", "prepared", "load"]
    rows = []
    for place, r in enumerate(points):
        before = [o for o in points[:place] if o["way"] == r["way"]]
        rows.append([
            show_count(r["clicks"]), r["way"], f"{r['seconds']:.1f}", f"{r['cpu_seconds']:.1f}",
            growth(before, r, "clicks", "cpu_seconds"), show_bytes(r["peak_gigabytes"] * 1e9),
            growth(before, r, "clicks", "peak_gigabytes"),
            *(show_bytes(r[f"{name}_gigabytes"] * 1e9) for name in ("log", "stages", "prepared")), f"{r['load']:.1f}",
        ])  # fmt: skip
    return table(head, rows)


def training_points(points: list[dict[str, Any]]) -> str:
    """Training as catalogues grow."""
    head = ["items", "engine", "processes", "M pairs/s", "M rows/s", "M rows per processor second", "time ~ items^"]
    head += ["peak memory, all processes", "memory ~ items^", "checkpoint", "load"]
    rows = []
    for place, r in enumerate(points):
        before = [o for o in points[:place] if (o["engine"], o["processes"]) == (r["engine"], r["processes"])]
        rows.append([
            show_count(r["items"]), r["engine"], str(r["processes"]), f"{r['pairs_per_second'] / 1e6:.3g}",
            f"{r['rows_per_second'] / 1e6:.3g}", f"{r['rows_per_cpu_second'] / 1e6:.3g}",
            growth(before, r, "items", "rows_per_cpu_second", inverse=True), show_bytes(r["peak_gigabytes"] * 1e9),
            growth(before, r, "items", "peak_gigabytes"), show_bytes(r["checkpoint_gigabytes"] * 1e9),
            f"{r['load']:.1f}",
        ])  # fmt: skip
    return table(head, rows)


def growth(before: list[dict[str, Any]], point: dict[str, Any], size: str, name: str, *, inverse: bool = False) -> str:
    """b in cost ~ size^b from the point before; empty for the first."""
    if not before:
        return ""
    ratio = point[name] / before[-1][name]
    return f"{(-1 if inverse else 1) * math.log(ratio) / math.log(point[size] / before[-1][size]):.2f}"


SECTIONS: dict[str, Callable[[], str]] = {
    "rates": rate_table,
    "layouts": layouts,
    "flagship": flagship,
    "preparation": lambda: preparation_points(results_of("scale_preparation")),
    "training": lambda: training_points(results_of("scale_training")),
}


def rendered(document: str) -> str:
    """The document with every section as it is now."""
    return put_between_marks(document, SECTIONS)


def put_between_marks(document: str, sections: Mapping[str, Callable[[], str]]) -> str:
    """The document with what each section writes between its marks, `<!-- NAME -->` and `<!-- end of NAME -->`."""
    for name, write in sections.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, begins, rest = document.partition(begin)
        _, ends, after = rest.partition(end)
        if not (begins and ends):
            raise SystemExit(
                f"the document has no section {name!r}: it begins with {begin.strip()} and ends with {end}"
            )
        document = f"{before}{begin}\n{write()}\n\n{end}{after}"
    return document


def print_or_write(about: str, sections: Mapping[str, Callable[[], str]]) -> Path | None:
    """What a renderer does with its sections: print them, or with `--write DOCUMENT` put them there.

    Returns:
        the document, None where they were printed.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put them between the marks of a document")
    document: Path | None = parser.parse_args().write
    if document is None:
        print("\n\n".join(write() for write in sections.values()))
    else:
        document.write_text(put_between_marks(document.read_text(encoding="utf-8"), sections), encoding="utf-8")
    return document


if __name__ == "__main__":
    print_or_write(__doc__, SECTIONS)
