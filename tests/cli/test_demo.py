"""prismrec demo: the whole tour, here on a few households of its data and in its quick form."""

import json
import subprocess
import sys

import pytest

from prismrec.cli.demo import HISTORY, QUICK_MODELS
from prismrec.retrieval.bundle import Bundle
from prismrec.settings import demo_settings, read_settings

SMALL = ["--quick", "--set", "training.epochs=1", "--set", "model.embedding_dim=8", "--set", "split.max_queries=50"]


def tables_of(shop):
    """Options that put a small shop in the place of the bundled data."""
    tables = {"interactions": "clicks.parquet", "items": "items.parquet"}
    return [f'--set=data.{name}="{shop.parent / file}"' for name, file in tables.items()]


@pytest.fixture(scope="module")
def tour(prismrec, shop, tmp_path_factory):
    """What the demo printed, and its folder."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    result = prismrec("demo", "-o", folder, *SMALL, *tables_of(shop))
    assert result.exit_code == 0, result.stderr
    return result, folder


def test_tour_shows_data_comparison_and_answers_in_order(tour):
    shown = tour[0].stdout
    stops = ["100 users", "rare targets", "Chosen on validation data", "last bought:", "Recommended next", "Similar to"]
    places = [shown.index(stop) for stop in [*stops, "Next:"]]
    assert places == sorted(places)
    assert [line[:6] for line in tour[0].stderr.splitlines() if line[1:5] == " of "] == ["1 of 3", "2 of 3", "3 of 3"]


def test_household_and_answers_are_shown_with_names(tour):
    shown, bundle = tour[0].stdout, Bundle.open(tour[1] / "bundle")
    names = bundle.contents.item_columns["name"]  # type: ignore[index]
    lines = shown[shown.index("last bought:") :].splitlines()[1 : 1 + HISTORY]
    history = [int(line.split()[0]) for line in lines]
    for line, item_id in zip(lines, history, strict=True):
        name = names[bundle.items.index_of(item_id)].as_py()
        assert line.split(maxsplit=1)[1:] == ([name] if name else [])
    for item in bundle.recommend(history, k=10):
        assert str(item.item_id) in shown


def test_the_last_thing_said_is_how_to_serve_it(tour):
    result, folder = tour
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    assert lines[-2].startswith("Serve it, with a page to explore it")
    assert lines[-1].endswith(f"serve {folder / 'bundle'}")


def test_the_bundle_holds_the_comparison_for_the_page(tour):
    bundle = Bundle.open(tour[1] / "bundle")
    assert (bundle.contents.evaluation or {})["chosen"].keys() == set(QUICK_MODELS)


def test_next_commands_work_as_they_are_printed(tour, prismrec):
    shown = tour[0].stdout
    commands = [line.split()[1:] for line in shown[shown.index("Next:") :].splitlines()[1:3]]
    assert [command[0] for command in commands] == ["similar", "recommend"]
    for command in commands:
        result = prismrec(*command)
        assert result.exit_code == 0, result.stderr


def test_files_hold_the_figures_and_settings_that_work_from_anywhere(tour, tmp_path, monkeypatch):
    folder = tour[1]
    assert sorted(path.name for path in folder.iterdir()) == ["bundle", "prismrec.toml", "results.json"]
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert set(results["models"]) == {"popularity", "cooccurrence", "m2grl"}
    monkeypatch.chdir(tmp_path)
    assert read_settings(folder / "prismrec.toml") == demo_settings()


def test_bundle_is_asked_as_the_comparison_tuned_it(tour):
    results = json.loads((tour[1] / "results.json").read_text(encoding="utf-8"))
    manifest = Bundle.open(tour[1] / "bundle").manifest
    assert manifest.query.model_dump(mode="json") == results["chosen"]["m2grl"]
    measured = results["models"]["m2grl"]["figures"]["all"]["HR@50"]["estimate"]["mean"]
    assert manifest.metrics["HR@50"] == pytest.approx(measured)


def test_demo_needs_no_extra_and_its_json_is_one_document(shop, tmp_path):
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'plotly', 'gensim', 'pandas', 'polars'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from prismrec.cli import main\nmain()"
    )
    command = [sys.executable, "-c", code, "demo", "-o", tmp_path / "out", *SMALL, *tables_of(shop), "--json"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["counts"]["n_users"] == 100
    assert len(found["history"]) == HISTORY
    assert len(found["recommended"]) == 10
    assert len(found["similar"]) == 5
    assert set(found["evaluation"]["models"]) == {"popularity", "cooccurrence", "m2grl"}
