"""The figures of click as people and programs read them."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.evaluation.click_figures import AUC, compare_clicks
from prismrec.evaluation.click_tables import click_json, protocol_line, rich_click_table
from prismrec.evaluation.clicks import ClickQueries, ClickResults
from prismrec.evaluation.protocols import EvaluationSettings
from prismrec.evaluation.tables import Experiment

SETTINGS = EvaluationSettings(n_resamples=200)
N_USERS = 25


def deal(seed=0, lost=0):
    """Up to six pairs of 25 users; labels at random."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, 100, rng.integers(2, 7)) for _ in range(N_USERS)]
    candidates = Sequences.from_lists(rows)
    labels = rng.random(len(candidates.values)) < 0.5
    ids = pa.array([f"u{u}" for u in rng.permutation(40)[:N_USERS]])
    left_out = {"users_without_training_clicks": lost} if lost else {}
    return ClickQueries(Sequences.from_lists([[0]] * N_USERS), np.arange(N_USERS), candidates, labels, ids, left_out)


def answered(queries, skill, seed=0, threshold=0.5):
    """Scores that know the label by so much, rounded so that some are tied."""
    noise = np.random.default_rng(seed).normal(size=len(queries.labels))
    scores = np.round(skill * queries.labels + noise, 1)
    return ClickResults(queries, scores, "raw", threshold, 0.5, 0.25)


DEALS = [deal(0), deal(1, lost=2), deal(2)]
RESULTS = {
    name: [answered(queries, skill, seed) for seed, queries in enumerate(DEALS)]
    for name, skill in (("popularity", 0.3), ("easy", 0.6), ("ripplenet", 1.5), ("ripplenet_shuffled", 1.0))
}
EXPERIMENT = Experiment("films", "click", ("popularity", "easy"), {"popularity": 1.25})


@pytest.fixture(scope="module")
def compared():
    return compare_clicks(RESULTS, EXPERIMENT, SETTINGS, {"ripplenet": ["ripplenet_shuffled"]})


def text_of(compared, **given):
    console = Console(width=180)
    with console.capture() as captured:
        console.print(rich_click_table(compared, **given))
    return captured.get()


def test_the_table_shows_mean_deals_users_and_controls(compared):
    text = text_of(compared)
    auc = compared.figures[AUC]["ripplenet"]
    assert f"{auc.estimate.mean:.3f} ±{auc.half_width:.3f}" in text
    assert f"[{auc.estimate.low:.3f}, {auc.estimate.high:.3f}]" in text
    assert "films, click (3 deals)" in text
    assert "95% intervals: [over users]" in " ".join(text.split())
    assert "ripplenet against ripplenet_shuffled: AUC +" in text
    assert "user AUC" in text
    assert "user AUC" not in text_of(compared, metrics=["AUC", "F1"])


def test_one_deal_has_no_interval_over_deals():
    one = {name: parts[:1] for name, parts in RESULTS.items()}
    assert "±" not in text_of(compare_clicks(one, EXPERIMENT, SETTINGS, {})).replace("and ± over deals", "")


def test_the_protocol_line_counts_pairs_and_what_was_left_out(compared):
    line = protocol_line(compared)
    pairs = np.mean([len(queries.labels) for queries in DEALS])
    assert f"{pairs:,.0f} test pairs of 25 users per deal" in line
    assert "200 resamples" in line
    assert "Left out in all deals: users without training clicks 2." in line


def test_the_protocol_line_says_what_clicks_are_told_from(compared):
    assert "the others items that their user was never observed with" in protocol_line(compared)
    shown = replace(compared, experiment=replace(EXPERIMENT, negatives="shown"))
    assert "the others items that their user was shown and did not click, or rated low" in protocol_line(shown)
    assert [click_json(one)["negatives"] for one in (compared, shown)] == ["drawn", "shown"]


def test_all_of_it_is_json(compared):
    found = json.loads(json.dumps(click_json(compared)))
    own = found["models"]["ripplenet"]
    assert own["figures"]["AUC"]["deals"] == list(compared.figures[AUC]["ripplenet"].deals)
    assert own["over_controls"]["ripplenet_shuffled"]["AUC"]["p_value"] > 0
    assert found["deals"][1]["left_out"] == {"users_without_training_clicks": 2}
    assert found["models"]["popularity"]["fit_seconds"] == 1.25


def test_a_metric_of_ranking_is_refused(compared):
    with pytest.raises(DataError, match=r"'HR@10' is not measured under click: there are AUC, accuracy, F1, user AUC"):
        rich_click_table(compared, ["HR@10"])
