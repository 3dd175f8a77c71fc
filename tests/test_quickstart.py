"""The one file of the documentation, prepared by either engine and trained by one process and by two."""

import json
from pathlib import Path

import pytest

from prismrec.data.arrow_files import map_table
from prismrec.pipeline import train
from prismrec.settings import read_settings

pytest.importorskip("torchrec", reason='needs pip install "prismrec[cluster]"', exc_type=ImportError)

QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart.toml"
SMALL = ["training.epochs=2", "training.threads=1", "model.embedding_dim=16", "model.window=2"]
TOLERANCE = 0.05
"""How far the losses of the compiled step and of two processes in torch lie apart after two epochs."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundles(spark, spark_settings, tmp_path_factory):
    """Engine and number of processes -> the bundle's folder."""
    folder, made = tmp_path_factory.mktemp("quickstart"), {}
    for engine in ("duckdb", "spark"):
        for processes in (1, 2):
            chosen = read_settings(QUICKSTART, [*SMALL, f"engine={engine}", f"sharding.processes={processes}"])
            chosen = chosen.model_copy(update={"spark": spark_settings})
            path = folder / f"{engine}-{processes}"
            train(chosen, path, tune_on_validation=False)
            made[engine, processes] = path
    return made


TOLD = {"manifest.json", "training_log.json"}
"""What knows the hour and the seconds."""


def content(path):
    """The bytes of every file that holds numbers or ids; the item table may differ in what lies under its nulls."""
    files = (file for file in sorted(path.rglob("*")) if file.is_file() and file.name not in {*TOLD, "items.arrow"})
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def last_epoch(path):
    return json.loads((path / "training_log.json").read_text())[-1]


@pytest.mark.parametrize("processes", [1, 2])
def test_both_engines_lead_to_the_same_bytes(bundles, processes):
    first, second = (content(bundles[engine, processes]) for engine in ("duckdb", "spark"))
    assert first.keys() == second.keys()
    assert len(first) > 10
    assert [name for name in first if first[name] != second[name]] == []
    tables = [map_table(bundles[engine, processes] / "items.arrow") for engine in ("duckdb", "spark")]
    assert tables[0].equals(tables[1])


def test_one_process_and_two_lead_to_the_same_losses_within_the_tolerance(bundles):
    one, two = (last_epoch(bundles["duckdb", processes]) for processes in (1, 2))
    assert set(one["losses"]) == {"item", "category", "shop", "item-category", "item-shop"}
    assert two["losses"] == pytest.approx(one["losses"], rel=TOLERANCE)
    assert two["n_examples"] == pytest.approx(one["n_examples"], rel=0.01)


def test_one_process_and_two_know_the_same_items(bundles):
    for name in ("ids/item.arrow", "ids/shop.arrow", "nodes/shop.values.npy"):
        assert (bundles["duckdb", 1] / name).read_bytes() == (bundles["spark", 2] / name).read_bytes()
