"""prismrec plan: sizes in, memory, disk, time and command lines out, without reading any data."""

import json
import subprocess
import sys

import pytest
import typer

from prismrec.cli.planning import cell, layout_of, views_of
from prismrec.errors import ConfigError
from prismrec.sizing.layout import EIGHT_GPUS
from prismrec.sizing.quantities import show_bytes
from prismrec.sizing.stages import Figure

M2GRL = ("plan", "--clicks", "57e9", "--items", "1e9", "--dim", "64", "--gpus", "8")


def test_plan_of_57_billion_clicks(prismrec):
    result = prismrec(*M2GRL)
    assert result.exit_code == 0, result.stderr
    text = result.stdout
    assert text.startswith("57 B clicks, nodes: item 1 B; dim 64, 20 epochs: 2.24 T positive pairs\n")
    assert "1 machine with 8 GPUs of 141 GB, 112 cores and 2 TB" in text
    for stage in ("preparation", "training", "checkpoint", "bundle", "serving"):
        assert f"│ {stage}" in text
    assert "fits: training: 82 GB needed on each of 8 devices, 127 GB usable" in text
    assert "  prismrec train shop.toml --prepared prepared -o bundle" in text


def test_times_of_gpus_are_marked_as_never_measured(prismrec):
    text = " ".join(prismrec(*M2GRL).stdout.replace("│", " ").split())
    assert "> 27 min" in text
    assert "not measured: floor from the data sheet" in text


def test_times_of_processors_are_not_floors(prismrec):
    text = prismrec("plan", "--clicks", "1M", "--items", "1e5", "--memory", "24GB").stdout
    assert "floor" not in text
    assert "> " not in text


def test_plan_as_json_has_every_figure_with_its_origin(answer):
    found = answer(*M2GRL)
    assert found["fits"] is True
    assert found["job"]["clicks"] == 57_000_000_000
    assert found["layout"]["gpus"] == 8
    training = next(stage for stage in found["stages"] if stage["name"] == "training")
    assert training["seconds"]["origin"] == "floor"
    assert training["per_process"]["value"] == pytest.approx(82e9, rel=0.01)
    assert [verdict["kind"] for verdict in found["verdicts"]] == ["fits", "fits", "slow"]
    assert len(found["commands"]) == 3


@pytest.mark.parametrize("clicks", ["57B", "57_000_000_000", "57,000,000,000", "57e9"])
def test_numbers_may_be_written_in_any_way(answer, clicks):
    assert answer("plan", "--clicks", clicks, "--items", "1M")["job"]["clicks"] == 57 * 10**9


def test_views_are_planned_too(answer):
    found = answer("plan", "--clicks", "1M", "--items", "1e5", "--views", "category=1e3, shop=2k")
    assert found["job"]["views"] == {"category": 1000, "shop": 2000}


def test_what_does_not_fit_is_told_with_what_to_do(prismrec):
    text = prismrec("plan", "--clicks", "1e9", "--items", "1e8", "--memory", "24GB").stdout
    assert "DOES NOT FIT: training: " in text
    assert "24 GB usable: take " in text


def test_this_machine_is_planned_for_unless_another_is_named(answer):
    here = answer("plan", "--clicks", "1M", "--items", "1e5")["layout"]
    assert here["cores"] >= 1
    assert here["memory_bytes"] > 10**8
    assert answer("plan", "--clicks", "1M", "--items", "1e5", "--memory", "5GB")["layout"]["memory_bytes"] == 5 * 10**9


def test_settings_give_what_the_options_leave_open(answer, shop):
    views = ("--views", "category=10,shop=20")
    job = answer("plan", "--clicks", "1M", "--items", "1e5", *views, "--config", shop)["job"]
    assert (job["dim"], job["epochs"], job["sequence_length"]) == (8, 2, 20)  # histories: 20 clicks per user
    job = answer("plan", "--clicks", "1M", "--items", "1e5", *views, "--config", shop, "--dim", "32", "--users", "1e4")[
        "job"
    ]
    assert (job["dim"], job["epochs"], job["sequence_length"]) == (32, 2, 100)


def test_commands_name_the_settings_file(answer, shop):
    found = answer("plan", "--clicks", "1M", "--items", "1", "--views", "category=1,shop=2", "--config", shop)
    assert str(shop) in found["commands"][0]


def test_views_of_the_settings_need_their_numbers(prismrec, shop):
    result = prismrec("plan", "--clicks", "1M", "--items", "1e5", "--config", shop)
    assert result.exit_code == 1
    assert "the settings have the views 'category', 'shop': say how many nodes there are" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--clicks", "many", "--items", "1"), 1, "--clicks must be a count such as 57e9"),
        (("--clicks", "0", "--items", "1"), 1, "plan: 'clicks': Input should be greater than or equal to 1"),
        (("--clicks", "1", "--items", "3e9"), 1, "'items': Input should be less than or equal to 2147483647"),
        (("--clicks", "1", "--items", "1", "--memory", "24"), 1, "--memory must be a size such as 24GB"),
        (("--clicks", "1", "--items", "1", "--gpus", "8", "--processes", "2"), 1, "each device has one process"),
        (("--clicks", "1", "--items", "1", "--machines", "0"), 1, "'machines'"),
        (("--items", "1"), 2, "--clicks"),
        (("--clicks", "1", "--items", "1", "--views", "shop"), 2, "expected VIEW=NUMBER"),
    ],
)
def test_mistakes_are_named(prismrec, arguments, code, message):
    result = prismrec("plan", *arguments)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_views_are_read_from_one_option():
    assert views_of("category=1e4,shop=1e7") == {"category": 10**4, "shop": 10**7}
    assert views_of("") == views_of(" , ") == {}
    with pytest.raises(typer.BadParameter, match="the nodes of view 'shop' must be a count"):
        views_of("shop=many")


def test_a_machine_with_gpus_is_as_its_data_sheet_says_unless_told():
    assert layout_of(1, 8, 1, "").memory_bytes == EIGHT_GPUS.memory_bytes
    assert layout_of(1, 8, 1, "500GB").memory_bytes == 500 * 10**9
    with pytest.raises(ConfigError, match="--memory"):
        layout_of(1, 8, 1, "lots")


def test_floors_are_marked_in_their_cells():
    assert cell(None, show_bytes) == "–"
    assert cell(Figure(1e9, "counted", "x"), show_bytes) == "1 GB"
    assert cell(Figure(1e9, "floor", "x"), show_bytes) == "> 1 GB"


def test_planning_needs_no_engine_and_no_torch():
    code = (
        "import sys; from prismrec.cli import app; "
        "app(['plan', '--clicks', '1e6', '--items', '1e5', '--json'], standalone_mode=False); "
        "print([m for m in ('torch', 'numba', 'ibis', 'duckdb', 'faiss') if m in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "[]"
    assert json.loads(ran.stdout)["fits"] is True
