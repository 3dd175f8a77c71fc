"""A small real shop (the first households of the bundled data), and the command run in this process or in its own."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from prismrec.cli import app
from prismrec.data.bundled import bundled_paths

SETTINGS = """
[data]
interactions = "clicks.parquet"
items = "items.parquet"

[data.columns]
user = "household_id"
item = "product_id"
time = "transaction_timestamp"
session = "basket_id"

[views]
category = "product_type"
shop = "manufacturer_id"

[model]
sequences = "histories"
embedding_dim = 8

[training]
epochs = 2
deterministic = true

[evaluation]
n_resamples = 100

[split]
min_history = 4
"""


@pytest.fixture(scope="session")
def make_shop():
    """Write the purchases of some households with a settings file: `make_shop(folder, first, last)` gives its path."""

    def make(folder: Path, first: int = 0, last: int = 100) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        bundled = bundled_paths()
        clicks, items = pq.read_table(bundled.clicks), pq.read_table(bundled.items)
        clicks = clicks.filter(pc.is_in(clicks["household_id"], clicks["household_id"].unique()[first:last]))
        pq.write_table(clicks, folder / "clicks.parquet")
        pq.write_table(items.filter(pc.is_in(items["product_id"], clicks["product_id"])), folder / "items.parquet")
        path = folder / "shop.toml"
        path.write_text(SETTINGS, encoding="utf-8")
        return path

    return make


@pytest.fixture(scope="session")
def prismrec() -> Callable[..., Result]:
    """Run the command in this process: `prismrec("train", config, "-o", folder)`."""

    def run(*arguments: Any) -> Result:
        nobodys_terminal = {"COLUMNS": None}  # what runs the tests may have a width of its own
        result = CliRunner(env=nobodys_terminal).invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture(scope="session")
def answer(prismrec) -> Callable[..., Any]:
    """Run the command with --json and read what it printed: all of stdout is one document."""

    def run(*arguments: Any) -> Any:
        result = prismrec(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return run


@pytest.fixture(scope="session")
def process() -> Callable[..., subprocess.Popen]:
    """Start the command as a process of its own, where Ctrl-C works whatever the parent does with it."""

    def start(*arguments: Any) -> subprocess.Popen:
        command = [sys.executable, "-m", "prismrec", *map(str, arguments)]
        heeds = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeds, encoding="utf-8"
        )

    return start


@pytest.fixture(scope="session")
def shop(make_shop, tmp_path_factory):
    """The settings file of a small shop."""
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def bundle(shop, prismrec):
    """A bundle trained on it, its query settings not tuned."""
    path = shop.parent / "bundle"
    result = prismrec("train", shop, "-o", path, "--no-tune", "--progress", "quiet")
    assert result.exit_code == 0, result.stderr
    return path
