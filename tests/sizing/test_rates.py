"""Every speed says where it comes from, and those that were measured are what the results say."""

import json
import math
from pathlib import Path

import pytest

from prismrec.sizing import rates
from prismrec.sizing.job import Job
from prismrec.sizing.layout import Layout
from prismrec.sizing.rates import Rate
from prismrec.sizing.shares import training_machine_bytes
from prismrec.sizing.traffic import rows_per_pair

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
NOISE = 0.3
"""How far a later run on the same machine may lie off: what is planned with it is no more exact than that. Where a new
result lies further off, the rate in `sizing.rates` is to follow it, and docs/scale.md is to be rendered again."""


def everything() -> dict[str, Rate]:
    found = {name: getattr(rates, name) for name in rates.__all__}
    named = {name: rate for name, rate in found.items() if isinstance(rate, Rate)}
    return named | {f"ROWS[{size}]": rate for size, rate in rates.ROWS.items()}


def results(name: str):
    path = RESULTS / f"{name}.json"
    if not path.exists():
        pytest.skip(f"there is no {path.name}: make bench writes it")
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("name", "rate"), everything().items(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_rate_is_positive_and_has_a_source(name, rate):
    assert rate.value > 0
    assert rate.unit
    assert rate.source


def test_nothing_of_a_gpu_claims_to_be_measured():
    assert {rate.provenance for name, rate in everything().items() if "GPU" in name} <= {"data sheet", "assumed"}


def test_sources_of_what_was_measured_exist():
    root = RESULTS.parents[1]
    for name, rate in everything().items():
        if rate.provenance == "measured" and "/" in rate.source:
            assert (root / rate.source.split(",")[0]).exists(), name


def test_preparation_is_as_fast_as_measured():
    last = results("preparation")["results"][-1]
    assert last["clicks"] / last["seconds"] / 2 == pytest.approx(rates.PREPARATION.value, rel=NOISE)


def test_preparation_takes_the_memory_that_was_measured():
    first, last = results("preparation")["results"]
    slope = (last["peak_gigabytes"] - first["peak_gigabytes"]) * 1e9 / (last["clicks"] - first["clicks"])
    assert slope == pytest.approx(rates.PREPARATION_MEMORY.value, rel=NOISE)
    base = first["peak_gigabytes"] * 1e9 - slope * first["clicks"]
    assert base == pytest.approx(rates.PREPARATION_BASE.value, rel=NOISE)


def test_rows_of_a_small_catalogue_are_as_fast_as_measured():
    found = results("skipgram")
    contexts = 2 * sum((6 - d) / 5 * (19 - d) for d in range(1, 6)) / 19  # sequences of 19, a window of 5 to both sides
    rows = found["pairs_per_second"]["prismrec"] * rows_per_pair(contexts, 10)
    assert rows / found["threads"] == pytest.approx(rates.ROWS[100_000].value, rel=NOISE)


def test_rows_of_large_catalogues_are_as_fast_as_measured():
    for point in results("scale_training")["results"]:
        if (point["engine"], point["processes"]) == ("numba", 1) and point["items"] in rates.ROWS:
            assert point["rows_per_cpu_second"] == pytest.approx(rates.ROWS[point["items"]].value, rel=NOISE), point[
                "items"
            ]


def test_training_takes_the_memory_that_is_planned():
    for point in results("scale_training")["results"]:
        if point["engine"] == "torch":
            continue  # alone it is planned as the compiled step, whose libraries are smaller
        views = {"category": max(2, point["items"] // 1_000)}
        job = Job(clicks=point["clicks"], items=point["items"], views=views, dim=point["dim"])
        planned = training_machine_bytes(job, Layout(processes=point["processes"]))
        tolerance = 0.15 if point["processes"] == 1 else 0.25
        assert planned == pytest.approx(point["peak_gigabytes"] * 1e9, rel=tolerance), point["items"]


def test_staged_preparation_is_as_fast_as_measured():
    staged = [point for point in results("scale_preparation")["results"] if point["way"] == "staged"]
    speed = max(point["clicks"] / point["cpu_seconds"] for point in staged)
    assert speed == pytest.approx(rates.STAGED_PREPARATION.value, rel=NOISE)


def test_larger_catalogues_are_never_faster():
    sizes = sorted(rates.ROWS)
    values = [rates.ROWS[size].value for size in sizes]
    assert values == sorted(values, reverse=True)
    assert all(math.log10(size).is_integer() for size in sizes)
