"""prismrec explain: the parts of one score, and the paths that led to it."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.models.contract import KnowledgeNames, KnowledgePath, StoredEncoder
from prismrec.retrieval import query_encoding
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.request import Filters

MILK, BANANAS = 1029743, 1082185


@pytest.fixture(scope="module")
def household(shop):
    """The household of the first purchase, and what it bought in the order of time."""
    clicks = pq.read_table(shop.parent / "clicks.parquet").sort_by("transaction_timestamp")
    household = clicks["household_id"][0].as_py()
    return household, set(clicks.filter(pa.compute.equal(clicks["household_id"], household))["product_id"].to_pylist())


def explained(bundle, history, item):
    return Bundle.open(bundle).recommend(
        history, 1, exclude_seen=False, explain=True, filters=Filters(allow=(item,))
    )[0]  # fmt: skip


def test_a_history_of_items_is_explained_as_python_does(answer, bundle):
    found = answer("explain", bundle, f"{BANANAS},995242", MILK)
    expected = explained(bundle, [BANANAS, 995242], MILK)
    assert (found["item_id"], found["history"], found["basis"]) == (MILK, [BANANAS, 995242], "history")
    assert found["score"] == pytest.approx(expected.score)
    told = found["explanation"]
    assert sum(told["views"].values()) + told["popularity"] == pytest.approx(found["score"])
    assert told["history"] == [list(pair) for pair in expected.explanation.history]
    assert told["paths"] == []


def test_the_history_of_a_user_is_read_from_the_log_without_the_item_itself(answer, bundle, household):
    user, bought = household
    item = next(iter(bought - {MILK}))
    found = answer("explain", bundle, user, item)
    assert item not in found["history"]
    assert set(found["history"]) <= bought
    assert found["score"] == pytest.approx(explained(bundle, found["history"], item).score)


def test_people_read_names_and_parts(prismrec, bundle):
    shown = prismrec("explain", bundle, f"{BANANAS},", MILK).stdout
    name = Bundle.open(bundle).retriever.item(MILK).columns
    first = next(value for value in name.values() if isinstance(value, str))
    assert f"{first} ({MILK}): score" in shown
    assert "from the history" in shown
    assert "Parts: item " in shown
    assert f"({BANANAS})" in shown
    assert "Paths" not in shown


@pytest.mark.parametrize(
    ("who", "item", "message"),
    [
        ("no-such-household", MILK, "has no clicks of a user 'no-such-household'; a history of one item ends with"),
        (f"{MILK},", 7, "unknown id 7"),
    ],
)
def test_who_or_what_nobody_knows_is_an_error(prismrec, bundle, who, item, message):
    result = prismrec("explain", bundle, who, item)
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())


def test_items_of_the_history_that_are_not_known_are_named(prismrec, bundle):
    result = prismrec("explain", bundle, f"7,{BANANAS}", MILK)
    assert result.exit_code == 0
    assert "left out of the history, unknown to the bundle: 7 (1 in all)" in " ".join(result.stderr.split())
    many = prismrec("explain", bundle, f"1,2,3,4,5,6,{BANANAS}", MILK)
    assert "unknown to the bundle: 1, 2, 3, 4, 5, ... (6 in all)" in " ".join(many.stderr.split())


def test_a_bundle_whose_settings_name_no_log_asks_for_items(prismrec, bundle, tmp_path):
    contents = dataclasses.replace(Bundle.open(bundle).contents, config={})
    bare = Bundle.write(tmp_path / "bare", contents).path
    result = prismrec("explain", bare, "41", MILK)
    assert result.exit_code == 1
    assert "name no click log to read the history of '41' from: give the items" in " ".join(result.stderr.split())


class Walker:
    """Scores by index, and walks from the last of a history over one entity."""

    def __init__(self, dim):
        self.dim = dim

    def encode(self, histories, users):
        return np.ones((len(histories), self.dim), np.float32)

    def score_candidates(self, histories, users, candidates):
        return candidates.astype(np.float32)

    def paths(self, history, user, candidate, n_paths):
        return (KnowledgePath((int(history[-1]) + 1, 0, candidate + 1), (0, 1), 0.5),)


@pytest.fixture
def walker(bundle, tmp_path, monkeypatch):
    contents = Bundle.open(bundle).contents
    n_items, dim = contents.vectors["item"].source.shape
    labels = pa.array(["A brand", *(f"entity {i}" for i in range(n_items))])
    names = KnowledgeNames(labels, ("brand", "inverse of brand"), np.arange(1, n_items + 1))
    monkeypatch.setattr(query_encoding, "open_encoder", lambda stored: Walker(dim))
    encoded = dataclasses.replace(
        contents,
        vectors={"item": contents.vectors["item"]},
        alignment={},
        query=contents.query.model_copy(update={"view_weights": {"item": 1.0}, "popularity_weight": 0.0}),
        encoder=StoredEncoder("ripplenet", {}, {"any": np.zeros(1)}, knows_users=False, knowledge=names),
    )
    return Bundle.write(tmp_path / "walker", encoded).path


def test_paths_through_the_graph_are_shown_with_the_names_of_items(prismrec, answer, walker):
    columns = Bundle.open(walker).retriever.item(MILK).columns
    milk = next(value for value in columns.values() if isinstance(value, str))
    shown = prismrec("explain", walker, f"{BANANAS},", MILK).stdout
    assert "Paths through the knowledge graph" in shown
    line = next(line for line in shown.splitlines() if "50.0%" in line)
    assert f"({BANANAS}) -> brand -> A brand -> inverse of brand -> {milk} ({MILK})" in line
    path = answer("explain", walker, f"{BANANAS},", MILK)["explanation"]["paths"][0]
    assert path["item_ids"] == [BANANAS, None, MILK]
    assert path["relations"] == ["brand", "inverse of brand"]


def test_recommend_explains_by_paths_too(prismrec, walker):
    result = prismrec("recommend", walker, "--history", BANANAS, "-k", 1, "--explain")
    assert "-> brand -> A brand -> inverse of brand ->" in " ".join(result.stdout.split())
    as_json = prismrec("recommend", walker, "--history", BANANAS, "-k", 1, "--explain", "--json")
    assert json.loads(as_json.stdout)["items"][0]["explanation"]["paths"][0]["weight"] == 0.5
