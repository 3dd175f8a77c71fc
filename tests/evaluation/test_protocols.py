from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from prismrec.config import build
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError, DataError, TrainingError
from prismrec.evaluation.lists import Catalogue
from prismrec.evaluation.protocols import EvaluationSettings, Queries, evaluate, pooled

SCORES = [
    [0.9, 0.5, 0.1, 0.3],  # order 0, 1, 3, 2
    [0.1, 0.1, 0.1, 0.1],  # all equal
    [0.2, 0.3, 0.4, 0.5],  # order 3, 2, 1, 0
    [0.0, 0.0, 1.0, 0.0],
]
COUNTS = np.array([9, 6, 4, 1])


@dataclass
class Table:
    """Answers the next rows of a table of scores, and remembers what it was asked."""

    scores: np.ndarray
    asked: list = field(default_factory=list)

    def score(self, histories):
        start = sum(len(batch) for batch in self.asked)
        self.asked.append(histories.to_lists())
        return self.scores[start : start + len(histories)].copy()


def table(scores=SCORES):
    return Table(np.array(scores, np.float32))


def queries(truths, histories=None, exclude_seen=False, users=None):
    histories = histories or [[] for _ in truths]
    clusters = pa.array(users or [f"u{i}" for i in range(len(truths))])
    return Queries(Sequences.from_lists(histories), Sequences.from_lists(truths), clusters, exclude_seen)


def settings(**given):
    return EvaluationSettings(**({"ks": (1, 2)} | given))


def run(truths, given=None, catalogue=None, model=None, **asked):
    return evaluate(model or table(), queries(truths, **asked), given or settings(), catalogue or Catalogue(COUNTS))


def test_each_query_has_one_value_per_metric():
    results = run([[0], [0], [2], [2]])  # ranks 1, 4 (all tie), 2, 1
    assert results.values["HR@1"].tolist() == [1, 0, 0, 1]
    assert results.values["HR@2"].tolist() == [1, 0, 1, 1]
    assert results.values["MRR@2"].tolist() == [1, 0, 1 / 2, 1]
    assert results.values["AUC"].tolist() == [1, 0, 1 - 1 / 3, 1]
    assert results.mean("HR@2") == 3 / 4


def test_several_truths_of_a_query():
    results = run([[0, 2], [1], [3], [2]])  # ranks 1 and 4
    assert results.values["recall@2"][0] == 1 / 2
    assert results.values["precision@2"][0] == 1 / 2


def test_seen_items_are_ranked_unless_asked_otherwise():
    truths, histories = [[1], [0], [1], [0]], [[0], [], [3, 2, 3], []]
    assert run(truths, histories=histories).values["MRR@2"].tolist() == [1 / 2, 0, 0, 0]
    without = run(truths, histories=histories, exclude_seen=True)
    assert without.values["MRR@2"].tolist() == [1, 0, 1, 0]
    assert without.exclude_seen


def test_a_truth_that_was_seen_is_missed_and_counted_when_seen_items_are_excluded():
    results = run([[0], [0], [3], [2]], histories=[[0], [], [], []], exclude_seen=True)
    assert results.values["HR@2"].tolist() == [0, 0, 1, 1]
    assert results.counts["seen_targets"] == 1


def test_unknown_targets_are_missed_and_counted():
    results = run([[-1], [0], [3, -1, -1], [2]])
    assert results.values["HR@2"].tolist() == [0, 0, 1, 1]
    assert results.values["recall@1"][2] == 1 / 3
    assert results.counts["unknown_targets"] == 3
    assert results.counts["targets"] == 6


def test_a_query_without_truth_is_skipped_and_counted_and_the_others_keep_their_user():
    model = table()
    results = evaluate(model, queries([[], [0], [], [1]]), settings(), Catalogue(COUNTS))
    assert results.counts["empty_truths"] == 2
    assert results.counts["queries"] == 2
    assert results.clusters.to_pylist() == ["u1", "u3"]
    assert len(results.values["HR@1"]) == 2


def test_a_truth_given_twice_counts_once():
    assert run([[3, 0, 3, 0], [0], [0], [0]]).values["recall@1"][0] == 1 / 2


def test_k_beyond_the_catalogue_finds_everything():
    results = run([[0], [1], [2], [3]], settings(ks=(2, 50)))
    assert results.values["HR@50"].tolist() == [1, 1, 1, 1]
    assert results.values["precision@50"].tolist() == [1 / 50] * 4
    assert results.totals["coverage@50"] == 1


def test_totals_are_over_all_lists_together():
    totals = run([[0], [0], [0], [0]]).totals  # first places: 0, 0 (lowest index), 3, 2
    assert totals["coverage@1"] == 3 / 4
    assert totals["gini@1"] == pytest.approx((-3 * 0 - 1 * 1 + 1 * 1 + 3 * 2) / (4 * 4))


def test_diversity_is_told_per_view():
    views = {"genre": Sequences.from_lists([[0], [0], [1], [1]])}
    results = run([[0], [0], [0], [0]], catalogue=Catalogue(COUNTS, views))
    assert results.values["genre_diversity@2"].tolist() == [0, 0, 0, 1]  # lists 01, 01, 32, 20
    assert results.values["genre_distinct@2"].tolist() == [1, 1, 1, 2]


def test_the_memory_budget_sets_the_batches_and_changes_no_figure():
    asked = queries([[0], [1], [2], [3]], histories=[[1], [2], [3], [0]], exclude_seen=True)
    small, large = table(), table()
    one = evaluate(small, asked, settings(memory_budget_mb=48e-6), Catalogue(COUNTS))
    all_at_once = evaluate(large, asked, settings(), Catalogue(COUNTS))
    assert [len(batch) for batch in small.asked] == [1, 1, 1, 1]
    assert large.asked == [[[1], [2], [3], [0]]]
    for name, column in one.values.items():
        assert column.tolist() == all_at_once.values[name].tolist(), name
    assert one.totals == all_at_once.totals


@pytest.mark.parametrize("budget", [256, 4 * 12 / 1e6])
def test_who_asks_is_told_to_a_model_that_knows_users_query_by_query(budget):
    class Knowing:
        """Gives each user the item of their number."""

        def score_users(self, histories, users):
            assert len(histories) == len(users)
            return np.eye(4, dtype=np.float32)[users]

    asked = replace(queries([[2], [], [1], [0]]), users=np.array([2, 3, 1, 3]))  # the second is not asked
    results = evaluate(Knowing(), asked, settings(memory_budget_mb=budget), Catalogue(COUNTS))
    assert results.values["HR@1"].tolist() == [1, 1, 0]


def test_a_budget_too_small_for_one_query_says_how_much_it_takes():
    with pytest.raises(
        ConfigError, match=r"memory_budget_mb = 4.7e-05 does not hold .* 4 items: give at least 4.8e-05"
    ):
        run([[0]], settings(memory_budget_mb=47e-6))


def test_rare_targets_form_a_slice():
    results = run([[0], [2], [3], [-1]])  # counts 9, 4, 1, unknown
    assert results.slices["rare"].tolist() == [False, True, True, False]
    assert results.mean("HR@1", "rare") == 1 / 2  # ranks 4 and 1
    assert np.isnan(run([[0], [1]], settings(rare_below=1)).mean("HR@1", "rare"))


def test_named_slices_follow_the_queries_that_were_asked():
    mask = np.array([True, False, True, True])
    asked = queries([[], [1], [3], [2]])
    results = evaluate(table(), asked, settings(), Catalogue(COUNTS), {"morning": mask})
    assert results.slices["morning"].tolist() == [False, True, True]
    assert results.slices["all"].all()


def test_a_metric_or_slice_that_does_not_exist_is_named_with_those_that_do():
    results = run([[0]])
    with pytest.raises(DataError, match=r"no figure for metric 'HR@7' on slice 'all': metrics are HR@1"):
        results.mean("HR@7")
    with pytest.raises(DataError, match=r"slice 'night': .*slices are all, rare"):
        results.mean("HR@1", "night")


def test_a_score_that_is_not_finite_names_the_query_by_its_number_among_all():
    scores = np.array(SCORES, np.float32)
    scores[1, 3] = np.nan
    with pytest.raises(TrainingError, match="query 2 scores item index 3 as nan"):
        run([[], [0], [0]], model=Table(scores))


def test_scores_of_the_wrong_shape_are_refused():
    with pytest.raises(DataError, match=r"expected scores of shape \(2, 3\): queries, items; got \(2, 4\)"):
        run([[0], [1]], catalogue=Catalogue(COUNTS[:3]))


def test_indices_outside_the_catalogue_are_refused():
    with pytest.raises(DataError, match="a truth holds item index 4, but the catalogue has 4 items"):
        run([[4]])
    with pytest.raises(DataError, match="a history holds item index -1, but the catalogue has 4 items"):
        run([[0]], histories=[[-1]])


def test_no_query_with_a_truth_is_an_error():
    with pytest.raises(DataError, match="none of the 2 queries has a truth"):
        run([[], []])


def test_a_slice_of_the_wrong_length_is_refused():
    with pytest.raises(DataError, match="slice 'morning' marks 2 queries, but there are 1"):
        evaluate(table(), queries([[0]]), settings(), Catalogue(COUNTS), {"morning": np.array([True, False])})


def test_pooled_folds_are_one_result_with_users_as_they_were():
    one, two = run([[0], [0]], users=["a", "b"]), run([[0], [1], [0]], users=["b", "a", "c"])
    both = pooled([one, two])
    assert both.values["HR@1"].tolist() == [*one.values["HR@1"], *two.values["HR@1"]]
    assert both.clusters.to_pylist() == ["a", "b", "b", "a", "c"]
    assert both.counts["queries"] == 5
    assert both.totals["coverage@1"] == (one.totals["coverage@1"] + two.totals["coverage@1"]) / 2
    assert both.slices["rare"].tolist() == [*one.slices["rare"], *two.slices["rare"]]
    assert both.n_items == 4


def test_list_lengths_must_rise():
    with pytest.raises(ValidationError, match="list lengths must rise, without repeats"):
        EvaluationSettings(ks=(10, 5))
    with pytest.raises(ConfigError, match=r"'ks': .*list lengths must rise"):
        build(EvaluationSettings, {"ks": [10, 10]})


def test_only_the_candidates_are_ranked():
    results = evaluate(
        table(), queries([[0], [2], [3], [2]]), settings(), Catalogue(COUNTS), candidates=np.array([1, 2, 3])
    )
    assert results.n_items == 3
    assert results.values["HR@1"].tolist() == [0, 0, 1, 1]  # item 0 is no candidate; items 1..3 tie; 3 of 3, 2, 1; 2
    assert results.values["HR@2"].tolist() == [0, 0, 1, 1]
    assert results.counts["unknown_targets"] == 1
    assert results.values["AUC"].tolist() == [0, 0, 1, 1]


def test_seen_items_that_are_no_candidates_are_no_matter():
    asked = queries([[2], [0], [0], [0]], [[3, 0], [], [], []], exclude_seen=True)
    results = evaluate(table(), asked, settings(), Catalogue(COUNTS), candidates=np.array([2, 3]))
    assert results.values["HR@1"][0] == 1  # item 3 was seen, item 2 is all that is left


def test_diversity_of_candidates_is_told_by_their_own_nodes():
    catalogue = Catalogue(COUNTS, {"shop": Sequences.from_lists([[9], [0], [1], [1]])})
    results = evaluate(table(), queries([[1]] * 4), settings(), catalogue, candidates=np.array([1, 2, 3]))
    assert results.values["shop_distinct@2"].tolist() == [2, 2, 1, 2]
