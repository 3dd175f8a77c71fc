"""The settings file that a search writes: the user's own with what was found in it, wherever it lies."""

import math

import pytest

from prismrec.errors import ArtifactError
from prismrec.search.found import write_settings
from prismrec.search.search import Found
from prismrec.search.study import Trial
from prismrec.settings import read_settings

CONFIG = """
engine = "duckdb"

[data]
interactions = "tables/clicks.parquet"
items = "/elsewhere/items.parquet"

[data.columns]
user = "household_id"

[views]
category = "product_type"

[duckdb]
threads = 2

[training]
epochs = 9
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "shop" / "shop.toml"
    path.parent.mkdir()
    path.write_text(CONFIG)
    return path


@pytest.fixture
def found():
    query = {"view_weights": {"item": 2.0, "category": 0.5}, "history_length": 30}
    best = Trial(3, "scored", {"model.window": 9}, 0.41236, {}, 1.0, {"training.patience": 3, "query": query})
    first = Trial(0, "scored", {"model.window": 5}, 0.4, {}, 1.0, {})
    return Found((first, best), best)


def test_what_was_found_is_in_it_and_the_rest_is_as_it_was(config, found, tmp_path):
    written = write_settings(found, config, ["training.seed=4"], tmp_path / "best.toml")
    expected = read_settings(
        config,
        ["training.seed=4", "model.window=9", "training.patience=3", "query.history_length=30",
         "query.view_weights={item = 2.0, category = 0.5}"],
    )  # fmt: skip
    assert written == expected
    assert written.duckdb.threads == 2
    assert written.data.name == "shop"


def test_its_first_line_says_where_it_came_from(config, found, tmp_path):
    write_settings(found, config, [], tmp_path / "best.toml")
    first = (tmp_path / "best.toml").read_text().splitlines()[0]
    assert first == f"# Found by `prismrec tune {config}`: trial 3 of 2, score 0.4124"


def test_tables_are_found_from_wherever_it_lies(config, found, tmp_path):
    beside, away = config.parent / "best.toml", tmp_path / "other" / "best.toml"
    for path in (beside, away):
        written = write_settings(found, config, [], path)
        assert written.data.interactions == str(config.parent / "tables" / "clicks.parquet")
        assert written.data.items == "/elsewhere/items.parquet"
    assert 'interactions = "tables/clicks.parquet"' in beside.read_text(), "and the folder can be moved as a whole"
    assert f'interactions = "{config.parent}/tables/clicks.parquet"' in away.read_text()


def test_a_table_that_is_no_file_stays_as_it_is(config, found, tmp_path):
    table = "duckdb:///shop.db::clicks"
    written = write_settings(found, config, [f"data.interactions={table}"], tmp_path / "best.toml")
    assert written.data.interactions == table


def test_a_path_given_by_set_is_meant_from_where_the_command_runs(config, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = write_settings(found, config, ["data.interactions=new.parquet"], tmp_path / "other" / "best.toml")
    assert written.data.interactions == str(tmp_path / "new.parquet")


def test_an_output_that_cannot_be_written_is_named(config, found, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match=r"cannot write .*file/best\.toml"):
        write_settings(found, config, [], tmp_path / "file" / "best.toml")


def test_a_score_is_no_part_of_the_settings(config, found, tmp_path):
    write_settings(found, config, [], tmp_path / "best.toml")
    assert not math.isnan(found.best.score)
    assert "0.41236" not in (tmp_path / "best.toml").read_text()
