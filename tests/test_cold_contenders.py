"""The comparison of cold_item on a slice of the bundled data: all run, and nobody learns from a withheld item."""

from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prismrec import cold_contenders
from prismrec.cold_contenders import COLD_ABLATIONS, COLD_BASELINES, COLD_DEFAULT, SIMPLE, WHOLE, run
from prismrec.cold_placements import PLACED
from prismrec.data.bundled import bundled_paths
from prismrec.data.cold_items import ColdSplit
from prismrec.errors import ConfigError
from prismrec.inputs import open_tables
from prismrec.settings import demo_settings

FAST = [
    "split.protocol=cold_item", "split.cold_share=0.15", "training.epochs=2", "training.deterministic=true",
    "model.embedding_dim=8", "evaluation.n_resamples=100", "evaluation.ks=[10, 50]",
]  # fmt: skip


@pytest.fixture(scope="module")
def tables():
    """The purchases of 40 households and the products among them."""
    paths = bundled_paths()
    clicks, items = pq.read_table(paths.clicks), pq.read_table(paths.items)
    clicks = clicks.filter(pc.is_in(clicks["household_id"], clicks["household_id"].unique()[:40]))
    return clicks, items.filter(pc.is_in(items["product_id"], clicks["product_id"]))


@pytest.fixture(scope="module")
def watched(tables):
    """Every contender, what was told on the way, and what was trained and asked."""
    settings = demo_settings(FAST)
    told: list[str] = []
    sides: list[tuple[ColdSplit, Any]] = []
    patch = pytest.MonkeyPatch()
    original = cold_contenders._Side.of

    def of(split, settings):
        side = original(split, settings)
        sides.append((split, side))
        return side

    patch.setattr(cold_contenders._Side, "of", of)
    names = [*COLD_DEFAULT, *COLD_ABLATIONS[1:]]
    found = run(*open_tables(settings, *tables), settings, names, note=told.append)
    patch.undo()
    return found, told, sides


def test_every_contender_is_measured_among_the_withheld_and_in_the_whole_catalogue(watched):
    found, told, (_, (split, side)) = watched
    names = [*COLD_DEFAULT, *COLD_ABLATIONS[1:]]
    whole = found.others[WHOLE]
    assert list(found.comparison.results) == list(whole.results) == names
    assert found.comparison.results["m2grl"].n_items == len(split.withheld)
    assert whole.results["m2grl"].n_items == len(split.withheld) + side.n_warm
    assert [line.split(":")[0] for line in told] == names
    assert found.comparison.experiment.protocol == "cold_item, among the withheld items"
    assert whole.experiment.protocol == "cold_item, whole catalogue"


def test_the_best_simple_baseline_is_the_reference(watched):
    figures = watched[0].comparison.figures["all"]["AUC"]
    assert figures["m2grl"].reference in COLD_BASELINES
    assert figures["m2grl"].difference is not None


def test_side_information_finds_new_items_better_than_chance_and_nothing_finds_none(watched):
    means = {name: result.mean("AUC") for name, result in watched[0].comparison.results.items()}
    assert means["random"] == pytest.approx(0.5, abs=0.05)
    assert means["no_side_information"] == 0  # all tie, against the truth
    assert means["m2grl"] > 0.55
    assert means["category_popularity"] > 0.55


def test_no_withheld_item_is_trained_on_or_in_a_history(watched):
    for split, side in watched[2]:
        withheld = set(split.withheld.ids.to_pylist())
        assert not withheld & set(side.data.items.ids.to_pylist())
        assert side.queries.histories.values.max() < side.n_warm
        assert side.queries.truths.values.min() >= side.n_warm


def test_validation_withholds_other_items_and_trains_on_fewer(watched):
    (inner, inner_side), (outer, outer_side) = watched[2]
    withheld = [set(split.withheld.ids.to_pylist()) for split in (inner, outer)]
    assert not withheld[0] & withheld[1]
    assert withheld[0] <= set(outer_side.data.items.ids.to_pylist())
    assert not withheld[1] & set(inner_side.data.items.ids.to_pylist())


def test_new_items_keep_the_nodes_that_training_knows(watched):
    split, side = watched[2][1]
    table = split.withheld_items.table.to_pyarrow()
    columns = dict(zip(table["item_id"].to_pylist(), table["product_type"].to_pylist(), strict=True))
    category = side.data.views["category"].nodes
    n_unknown = 0
    for item, nodes in zip(split.withheld.ids.to_pylist(), side.new_nodes["category"], strict=True):
        found = [category.id_of(node) if node >= 0 else None for node in nodes]
        expected = columns[item]
        n_unknown += found == [None]
        assert found in ([expected], [None], [])
        assert found != [None] or category.find(expected) == -1
    assert n_unknown < len(split.withheld)


def test_the_joined_data_have_the_new_items_behind_without_a_click(watched):
    side = watched[2][1][1]
    joined = side.joined
    assert joined.items.counts[: side.n_warm].tolist() == side.data.items.counts.tolist()
    assert not joined.items.counts[side.n_warm :].any()
    assert len(joined.views["category"].item_nodes) == side.n_warm + len(side.new)
    assert side.new_items.tolist() == list(range(side.n_warm, side.n_warm + len(side.new)))


def test_the_tuning_score_is_the_smooth_rank_among_the_withheld(watched):
    side = watched[2][0][1]
    scores = np.random.default_rng(0).random((len(side.queries), len(side.new))).astype(np.float32)

    class Fixed:
        def score_new(self, histories):
            return scores.copy()

    truths = side.queries.truths.values - side.n_warm
    ranks = [(row >= row[truth]).sum() for row, truth in zip(scores, truths, strict=True)]
    assert side.score(Fixed()) == pytest.approx(np.mean([50 / (49 + rank) for rank in ranks]))


def test_what_tuning_chose_is_told_with_the_placement_where_there_is_one(watched):
    chosen = watched[0].chosen
    assert set(chosen["m2grl"]) == {"query", "cold_start"}
    assert chosen["m2grl"]["cold_start"]["lean"] == 0
    assert set(chosen["category_mean"]) == {"query"}
    assert "smoothing" in chosen["category_popularity"]


def test_the_same_seed_gives_the_same_figures(watched, tables):
    settings = demo_settings(FAST)
    again = run(*open_tables(settings, *tables), settings, ["m2grl"], reference=())
    first = watched[0].comparison.results["m2grl"]
    np.testing.assert_array_equal(again.comparison.results["m2grl"].values["AUC"], first.values["AUC"])


def test_every_contender_has_a_grid():
    assert {*COLD_DEFAULT, *COLD_ABLATIONS} <= {*PLACED, *SIMPLE}


def test_an_unknown_contender_is_named_with_those_there_are(tables):
    settings = demo_settings(FAST)
    with pytest.raises(ConfigError, match="cold_item has no contender 'ease'; there are random, category_popularity"):
        run(*open_tables(settings, *tables), settings, ["ease"])


def test_without_views_there_is_nothing_to_place_by(tables):
    settings = demo_settings(FAST).model_copy(update={"views": {}})
    with pytest.raises(ConfigError, match="cold_item needs an item table and views"):
        run(*open_tables(settings, *tables), settings)
