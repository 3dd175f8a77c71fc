"""docs/scale.md: its tables are what the code prints, its sums are right."""

from pathlib import Path

import pytest

import render_scale
from prismrec.sizing import rates
from prismrec.sizing.job import Job
from prismrec.sizing.traffic import pairs_per_click, pairs_per_epoch, row_bytes, rows_per_pair

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "scale.md"


@pytest.fixture(scope="module")
def text():
    return DOCUMENT.read_text(encoding="utf-8")


def test_tables_are_what_the_code_prints_now(text):
    assert render_scale.rendered(text) == text, "python benchmarks/render_scale.py --write docs/scale.md"


def test_a_document_without_a_section_is_refused(text):
    with pytest.raises(SystemExit, match="no section 'rates'"):
        render_scale.rendered(text.replace("<!-- rates -->", ""))


def test_every_layout_has_nine_rows(text):
    part = text.split("<!-- layouts -->")[1].split("<!-- end of layouts -->")[0]
    assert part.count("| yes |") + part.count("| no |") == 4 * 9


def test_figures_of_gpus_are_marked_as_floors(text):
    part = text.split("**8 GPUs")[1].split("<!-- end of layouts -->")[0]
    epochs = [line.split(" | ")[7] for line in part.splitlines() if line.startswith("| 1")]
    assert len(epochs) == 18
    assert all(cell.startswith("> ") and cell.endswith("ᶠ") for cell in epochs)
    assert "Nothing on this page was ever run on a GPU" in text


def test_sums_in_the_text_are_right(text):
    pair = rows_per_pair(3, 10) * row_bytes(64)
    assert pair == pytest.approx(2430, abs=5)
    assert "2.43 kB" in text
    assert 20e9 / pair == pytest.approx(8e6, rel=0.05)
    assert rates.GPU_BANDWIDTH.value / pair == pytest.approx(2.0e9, rel=0.02)
    assert 57e9 * pair / rates.GPU_BANDWIDTH.value == pytest.approx(29, abs=0.5)
    assert pairs_per_click(5, 5.7, "forward") == pytest.approx(1.97, abs=0.005)
    assert pytest.approx(29e9, rel=0.01) == 57e9 / 1.966
    assert pairs_per_epoch(Job(clicks=57 * 10**9, items=10**9)) == pytest.approx(112e9, rel=0.005)


def test_links_are_slower_than_memory_by_what_the_text_says():
    memory, links, network = (rate.value for rate in (rates.GPU_BANDWIDTH, rates.GPU_LINK, rates.GPU_NETWORK))
    assert 7 / 8 / links * memory == pytest.approx(9, abs=0.5)
    assert links / network == pytest.approx(9)


def test_growth_is_the_exponent_between_two_points():
    points = [{"n": 10, "cost": 5.0}, {"n": 100, "cost": 50.0}]
    assert render_scale.growth(points[:1], points[1], "n", "cost") == "1.00"
    assert render_scale.growth(points[:1], points[1], "n", "cost", inverse=True) == "-1.00"
    assert render_scale.growth([], points[0], "n", "cost") == ""
