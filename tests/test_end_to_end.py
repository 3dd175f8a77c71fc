"""From a click file with awkward ids to an answer, by the command and by Python: ids come back as they went in."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prismrec

ITEMS = [f"商品-{number:02d} ñandú/Ærø" for number in range(40)]
"""Items in an order: whoever clicks on one clicks on the next after it."""
USERS = [f"{9_223_372_036_854_775_000 + number}" for number in range(60)]
"""19 digits: as a float, all of them would be the same user."""


def write_clicks(path: Path) -> None:
    """Users walk along the items from a random start, one click a minute."""
    rng = np.random.default_rng(5)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer", "product", "at"])
        for user in USERS:
            start = int(rng.integers(len(ITEMS)))
            for step in range(20):
                writer.writerow([user, ITEMS[(start + step) % len(ITEMS)], 1_700_000_000 + 60 * step])


SETTINGS = """
[data]
interactions = "clicks.csv"
items = "products.csv"
[data.columns]
user = "customer"
item = "product"
time = "at"
[views]
category = "kind"
[model]
embedding_dim = 16
window = 2
[training]
epochs = 40
learning_rate = 0.2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Click file, item file, settings, and the bundle that the command made of them."""
    folder = tmp_path_factory.mktemp("shop")
    write_clicks(folder / "clicks.csv")
    with open(folder / "products.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["product", "kind"], *([item, f"kind {n // 10}"] for n, item in enumerate(ITEMS))])
    (folder / "shop.toml").write_text(SETTINGS, encoding="utf-8")
    command("train", folder / "shop.toml", "-o", folder / "bundle", "--progress", "quiet")
    return folder


def command(*arguments: Any) -> Any:
    """Run the command with --json, as a process of its own."""
    line = [sys.executable, "-m", "prismrec", *map(str, arguments), "--json"]
    done = subprocess.run(line, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_what_comes_next_is_recommended_by_its_own_id(folder):
    found = command("recommend", folder / "bundle", "--history", ITEMS[3], "--history", ITEMS[4], "-k", 3)
    assert ITEMS[5] in [item["item_id"] for item in found["items"]]
    assert found["unknown_ids"] == []
    assert {item["item_id"] for item in found["items"]} <= set(ITEMS)


def test_python_gives_the_answers_of_the_command(folder):
    bundle = prismrec.Bundle.open(folder / "bundle")
    answers = bundle.recommend(history=[ITEMS[3], ITEMS[4]], k=20)
    found = command("recommend", folder / "bundle", "--history", ITEMS[3], "--history", ITEMS[4], "-k", 20)
    assert answers.item_ids == [item["item_id"] for item in found["items"]]
    assert answers[0].columns["kind"] == "kind 0"


def test_side_view_pushes_towards_and_away(folder):
    bundle = prismrec.Bundle.open(folder / "bundle")
    kinds = {item: n // 10 for n, item in enumerate(ITEMS)}

    def alike(weight: float) -> int:
        weights = {"item": 0.1, "category": weight}
        answers = bundle.similar(ITEMS[15], k=9, weights=weights, similarity="cosine")
        return sum(kinds[item_id] == kinds[ITEMS[15]] for item_id in answers.item_ids)

    assert alike(1.0) == 9
    assert alike(-1.0) == 0


def test_users_of_nineteen_digits_stay_apart_in_python(folder):
    settings = prismrec.read_settings(folder / "shop.toml")
    log, items = prismrec.read_tables(settings)
    data = prismrec.prepare(log, items, settings.views, settings.sessions)
    assert sorted(map(str, data.users.ids_of(range(len(data.users))))) == USERS
    assert sorted(data.items.ids_of(range(len(data.items)))) == sorted(ITEMS)
