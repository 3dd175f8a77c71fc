"""Every example runs as it is, here on a slice of the bundled data."""

import runpy
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prismrec.data import bundled
from prismrec.retrieval.bundle import Bundle
from prismrec.training.loop import TrainingSettings

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.fixture
def a_slice(tmp_path, monkeypatch):
    """Let the bundled data be the purchases of forty households."""
    whole = bundled.bundled_paths()
    clicks = pq.read_table(whole.clicks)
    households = clicks["household_id"].unique()[:40]
    pq.write_table(clicks.filter(pc.is_in(clicks["household_id"], households)), tmp_path / "clicks.parquet")
    paths = bundled.BundledData(tmp_path / "clicks.parquet", whole.items)
    monkeypatch.setattr(bundled, "bundled_paths", lambda: paths)
    monkeypatch.setattr(TrainingSettings.model_fields["epochs"], "default", 2)
    TrainingSettings.model_rebuild(force=True)
    yield
    monkeypatch.undo()
    TrainingSettings.model_rebuild(force=True)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_runs_as_it_is(path, a_slice, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    shown = capsys.readouterr().out
    assert shown
    if path.name == "quickstart.py":
        check_quickstart(shown, Bundle.open(tmp_path / "quickstart-bundle"))


def check_quickstart(shown, bundle):
    """Twenty recommendations and twenty similar items, by their ids."""
    similar = bundle.similar(1082185, k=20, weights={"item": 1.0, "category": 0.3, "shop": -0.2})
    expected = [*bundle.recommend(history=[1029743, 995242], k=20), *similar]
    ids = [line.split()[0] for line in shown.splitlines() if line[:1].isdigit()]
    assert ids == [str(item.item_id) for item in expected]
    assert len(ids) == 40


def test_there_are_examples():
    names = ["algorithms.py", "dkn.py", "links.py", "ma_gnn.py", "mthgt.py", "quickstart.py", "ripplenet.py"]
    assert [path.name for path in EXAMPLES] == names
