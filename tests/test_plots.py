"""Plots show what the results say: heights, intervals, order."""

import pytest

pytest.importorskip("matplotlib")

import plot_results


def results(figures, config=None):
    """A document of `prismrec evaluate -o`: model -> metric -> (mean, low, high)."""
    estimates = {}
    for name, of in figures.items():
        estimated = {m: {"estimate": dict(zip(("mean", "low", "high"), v, strict=True))} for m, v in of.items()}
        estimates[name] = {"figures": {"all": estimated}}
    return {"data": "ml-1m", "protocol": "kfold", "models": estimates, "config": config or {}}


ABLATED = results(
    {
        "hgt": {"HR@5": (0.25, 0.2, 0.3), "HR@10": (0.5, 0.45, 0.55)},
        "mthgt": {"HR@5": (0.5, 0.25, 0.625), "HR@10": (0.75, 0.7, 0.8)},
    }
)


def test_each_model_is_a_bar_in_each_group_with_its_interval():
    figure = plot_results.ablations(ABLATED, ["HR"], [5, 10])
    (panel,) = figure.axes
    bars = [
        container for container in panel.containers if len(container.get_label()) and "_" not in container.get_label()
    ]
    assert [(bar.get_label(), [patch.get_height() for patch in bar]) for bar in bars] == [
        ("hgt", [0.25, 0.5]),
        ("mthgt", [0.5, 0.75]),
    ]
    lines = bars[1].errorbar.lines[2][0].get_segments()
    assert [float(y) for _, y in lines[0]] == [0.25, 0.625]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["N = 5", "N = 10"]


def test_bars_of_a_group_stand_side_by_side_around_its_middle():
    (panel,) = plot_results.ablations(ABLATED, ["HR"], [5, 10]).axes
    edges = sorted((patch.get_x(), patch.get_x() + patch.get_width()) for patch in panel.patches)
    assert edges[0][0] == pytest.approx(-0.4)
    assert edges[0][1] == pytest.approx(edges[1][0])
    assert edges[1][1] == pytest.approx(0.4)


def test_models_come_in_the_order_asked_for():
    (panel,) = plot_results.ablations(ABLATED, ["HR"], [5], ["mthgt"]).axes
    assert [patch.get_height() for patch in panel.patches] == [0.5]


def test_an_effect_is_drawn_over_models_in_their_order():
    figures = {f"heads_{n}": {"recall@10": (0.1 * n, 0.1 * n - 0.05, 0.1 * n + 0.1)} for n in (4, 1, 2)}
    models = ["heads_1", "heads_2", "heads_4"]
    (panel,) = plot_results.effect(results(figures), models, ["one", "two", "four"], ["recall@10"]).axes
    assert panel.lines[0].get_ydata().tolist() == pytest.approx([0.1, 0.2, 0.4])
    assert [label.get_text() for label in panel.get_xticklabels()] == ["one", "two", "four"]
    assert panel.get_title() == "recall@10"


def test_errors_are_distances_from_the_mean():
    assert plot_results.errors_of([(0.5, 0.25, 1.0), (0.5, 0.5, 0.5)]) == [[0.25, 0.0], [0.5, 0.0]]


def test_a_plot_is_a_file(tmp_path):
    plot_results.ablations(ABLATED, ["HR"], [5, 10]).savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
