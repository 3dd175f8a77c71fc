"""Bundles that this version of the format wrote must open and answer as they did, for as long as it is supported."""

import json
import shutil
from pathlib import Path

import pytest

from prismrec.retrieval.bundle import Bundle

GOLDEN = Path(__file__).parent / "golden"


def test_golden_bundle_is_small_enough_to_keep():
    assert sum(file.stat().st_size for file in GOLDEN.rglob("*") if file.is_file()) < 60_000


def test_golden_bundle_answers_as_it_did():
    bundle = Bundle.open(GOLDEN / "bundle", verify="full")
    expected = json.loads((GOLDEN / "expected.json").read_text())
    assert len(expected) == 3
    for case in expected:
        answer = bundle.recommend(k=6, **case["question"])
        assert answer.item_ids == [item_id for item_id, _ in case["answer"]]
        assert [a.score for a in answer] == pytest.approx([score for _, score in case["answer"]], abs=2e-4)


def test_golden_bundle_keeps_its_origin_ids_and_item_table():
    bundle = Bundle.open(GOLDEN / "bundle")
    assert bundle.manifest.schema_version == 1
    assert bundle.manifest.prismrec_version == "0.1.0"
    assert bundle.views == ("item", "category", "shop")
    assert bundle.contents.vocabularies["category"].ids_of(range(3)) == ["fluid milk", "crème fraîche", "100% juice"]
    assert bundle.recommend([], k=1)[0].columns == {"name": "article 0", "price": 0.0}
    assert bundle.contents.training_log[0]["task_weights"] == {"intra/item": 1.0}
    assert bundle.contents.alignment["category"].shape == (8, 4)


def test_golden_bundle_can_be_written_by_this_version(tmp_path):
    old = Bundle.open(GOLDEN / "bundle")
    new = Bundle.write(tmp_path / "new", old.contents)
    assert new.recommend([2**60], k=5) == old.recommend([2**60], k=5)


def test_reading_leaves_the_bundle_as_it_is(tmp_path):
    shutil.copytree(GOLDEN / "bundle", tmp_path / "copy")
    before = {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in (tmp_path / "copy").rglob("*") if f.is_file()}
    bundle = Bundle.open(tmp_path / "copy")
    bundle.recommend([2**60], k=3)
    bundle.similar(2**60, k=3)
    assert {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in before} == before
