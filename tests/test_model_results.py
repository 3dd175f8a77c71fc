"""docs/model_results.md: its tables are what the results say, and every run has a place in it."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

import model_tables
import render_models

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "model_results.md"


def test_tables_are_what_the_results_say():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert render_models.rendered(text) == text, "python benchmarks/render_models.py --write docs/model_results.md"


def test_plots_that_the_document_shows_are_there():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert {name for name in render_models.plots() if f"({name})" in text} == set(render_models.plots())
    assert all((DOCUMENT.parent / name).is_file() for name in render_models.plots())


def test_a_run_is_what_a_user_would_type():
    run = model_tables.Run("a", "some-data", ("ease", "mf"), ("HR@10",), ("rivals.epochs=2",), against="ease")
    command = run.command(Path("/data"), Path("/out.json"))[1:]
    assert command[:4] == ["-m", "prismrec", "evaluate", "/data/some-data/prismrec.toml"]
    assert command[4:8] == ["--models", "ease,mf", "--output", "/out.json"]
    assert command[-4:] == ["--set=training.threads=1", "--set=rivals.epochs=2", "--against", "ease"]


def test_every_run_compares_with_the_simple_models():
    for run in model_tables.RUNS:
        assert set(model_tables.SIMPLE) <= set(run.models), run.name
        assert not run.against or run.against in run.models


def test_a_result_keeps_what_a_table_shows():
    figures = {"HR@10": {"estimate": 1}, "AUC": {"estimate": 2}}
    names = ("prismrec_version", "data", "protocol", "exclude_seen", "n_items", "counts", "chosen", "trials", "config")
    document: dict[str, Any] = {name: name for name in names}
    document |= {"n_queries": {"all": 5, "rare": 1}, "models": {"mf": {"fit_seconds": 3, "figures": {"all": figures}}}}
    kept = model_tables.chosen(document, ("AUC",))
    assert kept["models"] == {"mf": {"fit_seconds": 3, "figures": {"all": {"AUC": {"estimate": 2}}}}}
    assert kept["n_queries"] == {"all": 5}


def test_relative_gains_are_those_of_recall(monkeypatch):
    def model(recall):
        estimate = {"mean": recall, "low": recall, "high": recall}
        return {"figures": {"all": {f"{m}@10": {"estimate": estimate} for m in ("precision", "recall", "HR")}}}

    results = {"data": "d", "models": {"ngcf": model(0.1), "mthgt": model(0.2)}}
    monkeypatch.setattr(render_models, "PAPER", {"one": {"ngcf": (0.3, 0.3, 0.3), "mthgt": (0.4, 0.4, 0.4)}})
    monkeypatch.setattr(render_models, "results_of", lambda name: results)
    lines = render_models.beside_the_paper().splitlines()
    assert lines[2] == "| d | ngcf | 0.100 / 0.100 / 0.100 | 0.300 / 0.300 / 0.300 | -50% | -25% |"
    assert lines[3].endswith("|  |  |")


def test_what_was_not_measured_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(render_models, "RESULTS", tmp_path)
    monkeypatch.setattr(render_models, "COST", tmp_path / "models.json")
    assert all(render_models.MISSING in write() for write in render_models.SECTIONS.values())
    assert render_models.plots() == {}
