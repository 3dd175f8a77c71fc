import json
from io import StringIO

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from prismrec.errors import DataError
from prismrec.evaluation.protocols import EvaluationSettings, Results
from prismrec.evaluation.significance import bootstrap
from prismrec.evaluation.tables import Experiment, compare, markdown, protocol_line, rich_table, to_json

N = 400
SETTINGS = EvaluationSettings(n_resamples=500)
EXPERIMENT = Experiment("shop", "next_item", ("popularity", "knn"), {"m2grl": 12.34})
COUNTS = {"queries": N, "targets": N, "unknown_targets": 7, "seen_targets": 0, "empty_truths": 3, "users_left": 1200}


def results(hit10, hit50, **changes):
    """Results with hits on this share of the queries: the first ones of each hundred."""
    place = np.arange(N) % 100
    values = {"HR@10": (place < 100 * hit10).astype(float), "HR@50": (place < 100 * hit50).astype(float)}
    plain = {
        "values": values,
        "totals": {"coverage@10": 0.5},
        "clusters": pa.array(np.arange(N) // 2),
        "slices": {"all": np.ones(N, np.bool_), "rare": place < 10, "never": np.zeros(N, np.bool_)},
        "counts": COUNTS,
        "n_items": 5000,
        "exclude_seen": True,
        "score_seconds": 1.26,
        "rank_seconds": 0.5,
    }
    return Results(**(plain | changes))


MODELS = {"popularity": results(0.1, 0.4), "knn": results(0.2, 0.3), "m2grl": results(0.3, 0.41)}


@pytest.fixture(scope="module")
def comparison():
    return compare(MODELS, EXPERIMENT, SETTINGS)


def test_the_reference_is_the_best_baseline_metric_by_metric(comparison):
    figures = comparison.figures["all"]
    assert {figure.reference for figure in figures["HR@10"].values()} == {"knn"}
    assert {figure.reference for figure in figures["HR@50"].values()} == {"popularity"}
    assert figures["HR@10"]["knn"].difference is None
    assert figures["HR@10"]["m2grl"].difference.mean == pytest.approx(0.3 - 0.2)
    assert figures["HR@10"]["popularity"].difference.mean == pytest.approx(0.1 - 0.2)


def test_figures_are_those_of_the_bootstrap(comparison):
    columns = np.column_stack([MODELS["m2grl"].values["HR@10"], MODELS["knn"].values["HR@10"]])
    drawn = bootstrap(columns, MODELS["knn"].clusters, 500, 0.95, 0)
    figure = comparison.figures["all"]["HR@10"]["m2grl"]
    assert figure.estimate.low == pytest.approx(drawn.estimate(0).low)
    assert figure.difference.p_value == drawn.difference(0, 1).p_value
    assert figure.difference.high == pytest.approx(drawn.difference(0, 1).high)


def test_slices_have_their_own_figures_and_an_empty_slice_has_none(comparison):
    assert comparison.n_queries == {"all": N, "rare": 40, "never": 0}
    assert comparison.figures["rare"]["HR@10"]["popularity"].estimate.mean == 1
    assert comparison.figures["never"] == {}


def test_without_baselines_there_are_intervals_but_no_differences():
    comparison = compare(MODELS, Experiment("shop", "next_item"), SETTINGS)
    figure = comparison.figures["all"]["HR@10"]["m2grl"]
    assert figure.reference is None
    assert figure.difference is None
    assert figure.estimate.low < 0.3 < figure.estimate.high


def test_only_the_metrics_asked_for_are_worked_out():
    comparison = compare(MODELS, EXPERIMENT, SETTINGS, metrics=("HR@50",))
    assert list(comparison.figures["all"]) == ["HR@50"]


def printed(table, width=100):
    text = StringIO()
    Console(file=text, width=width).print(table)
    return text.getvalue()


def test_the_terminal_table_shows_figure_interval_difference_and_times(comparison):
    text = printed(rich_table(comparison, ("HR@10", "HR@50")))
    low, high = (getattr(comparison.figures["all"]["HR@10"]["m2grl"].estimate, end) for end in ("low", "high"))
    assert "vs. knn" in text
    assert f"[{low:.3f}, {high:.3f}]" in text
    assert "+0.100, p=0.004" in text  # 2 / 501, the least that 500 resamples can say
    assert "−0.100, p=0.004" in text
    assert "12.3" in text
    assert "1.3" in text


def test_no_figure_is_cut_off_at_the_width_of_a_plain_terminal(comparison):
    assert "…" not in printed(rich_table(comparison), width=80)


def test_columns_are_the_usual_ones_as_far_as_they_were_measured(comparison):
    assert "HR@50" in printed(rich_table(comparison))
    assert "NDCG@10" not in printed(rich_table(comparison))


def test_a_metric_or_slice_that_was_not_measured_is_named_with_those_that_were(comparison):
    with pytest.raises(DataError, match=r"metric 'HR@7' was not measured: there are HR@10, HR@50"):
        rich_table(comparison, ("HR@7",))
    with pytest.raises(DataError, match=r"metric 'HR@7' was not measured"):
        compare(MODELS, EXPERIMENT, SETTINGS, metrics=("HR@7",))
    with pytest.raises(DataError, match=r"no slice 'night' was measured: there are all, rare, never"):
        markdown(comparison, part="night")


def test_an_empty_slice_prints_dashes_and_says_zero_queries(comparison):
    text = printed(rich_table(comparison, ("HR@10",), part="never"))
    assert "0 queries" in text
    assert "–" in text


def test_the_protocol_line_says_what_stands_behind_the_figures(comparison):
    line = protocol_line(comparison)
    assert line.startswith("shop, next_item: 400 queries, 400 targets (7 not in training and 0 excluded as seen")
    assert "5,000 items less those of the history, ties against the target" in line
    assert "Left out: queries without a truth 3, users left 1,200." in line
    assert "95% intervals" in line
    assert "500 resamples" in line


def test_the_protocol_line_says_when_nothing_is_left_out_and_seen_items_are_ranked():
    counts = dict.fromkeys(("queries", "targets", "unknown_targets", "seen_targets", "empty_truths"), 0)
    alone = {"a": results(0.1, 0.2, counts=counts, exclude_seen=False)}
    line = protocol_line(compare(alone, Experiment("shop", "ratio"), SETTINGS))
    assert "ranked among 5,000 items, ties" in line
    assert "Left out: nothing." in line


def test_markdown_has_one_line_per_model(comparison):
    lines = markdown(comparison, ("HR@10",)).splitlines()
    assert lines[0] == "**shop, next_item (400 queries)**"
    assert lines[2] == "| model | HR@10<br>vs. knn | fit s | score s |"
    assert lines[3] == "| --- | ---: | ---: | ---: |"
    assert [line.split(" | ")[0] for line in lines[4:7]] == ["| popularity", "| knn", "| m2grl"]
    assert lines[6].endswith("| 12.3 | 1.3 |")
    assert lines[8] == protocol_line(comparison)


def test_json_holds_every_figure_and_survives_a_round_trip(comparison):
    found = json.loads(json.dumps(to_json(comparison), allow_nan=False))
    figure = found["models"]["m2grl"]["figures"]["all"]["HR@10"]
    assert figure["estimate"]["mean"] == pytest.approx(0.3)
    assert figure["reference"] == "knn"
    assert figure["difference"]["p_value"] == pytest.approx(2 / 501)
    assert found["models"]["knn"]["figures"]["all"]["HR@10"]["difference"] is None
    assert found["models"]["knn"]["fit_seconds"] is None
    assert found["models"]["m2grl"]["totals"] == {"coverage@10": 0.5}
    assert found["counts"] == COUNTS
    assert found["settings"]["n_resamples"] == 500
    assert found["n_queries"]["rare"] == 40


def test_models_measured_on_other_queries_are_not_compared():
    other_users = results(0.1, 0.2, clusters=pa.array(np.arange(N)))
    with pytest.raises(DataError, match="'b' and 'a' were measured on different queries"):
        compare({"a": MODELS["knn"], "b": other_users}, Experiment("shop", "p"), SETTINGS)
    with pytest.raises(DataError, match="different queries or candidates"):
        compare({"a": MODELS["knn"], "b": results(0.1, 0.2, exclude_seen=False)}, Experiment("shop", "p"), SETTINGS)


def test_a_baseline_that_is_not_there_is_named():
    with pytest.raises(DataError, match="baseline 'ease' is not among the models: popularity, knn, m2grl"):
        compare(MODELS, Experiment("shop", "next_item", ("knn", "ease")), SETTINGS)


def test_nothing_to_compare_is_an_error():
    with pytest.raises(DataError, match="no results to compare"):
        compare({}, EXPERIMENT, SETTINGS)
