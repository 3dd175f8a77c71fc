"""Bundles that this version of the format and earlier ones wrote must open and answer as they did."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from prismrec.retrieval.blend import MultiViewScorer
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.bundle_files import read_bundle, read_index
from prismrec.retrieval.manifest import SCHEMA_VERSION, WITHOUT_ENCODER

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(int(folder.name.removeprefix("version_")) for folder in GOLDEN.glob("version_*"))

every_version = pytest.mark.parametrize("version", VERSIONS)


def bundle_of(version: int) -> Path:
    return GOLDEN / f"version_{version}" / "bundle"


def test_there_is_a_golden_bundle_of_every_version():
    assert list(range(1, SCHEMA_VERSION + 1)) == VERSIONS


def test_golden_bundles_are_small_enough_to_keep():
    assert sum(file.stat().st_size for file in GOLDEN.rglob("*") if file.is_file()) < 60_000 * len(VERSIONS)


@every_version
def test_golden_bundle_answers_as_it_did(version):
    bundle = Bundle.open(bundle_of(version), verify="full")
    expected = json.loads((GOLDEN / f"version_{version}" / "expected.json").read_text())
    assert len(expected) == 3
    for case in expected:
        answer = bundle.recommend(k=6, **case["question"])
        assert answer.item_ids == [item_id for item_id, _ in case["answer"]]
        assert [a.score for a in answer] == pytest.approx([score for _, score in case["answer"]], abs=2e-4)


@every_version
def test_golden_bundle_keeps_its_origin_ids_and_item_table(version):
    bundle = Bundle.open(bundle_of(version))
    assert bundle.manifest.schema_version == version
    assert (*bundle.views, *bundle.manifest.views_without_vectors) == ("item", "category", "shop")
    assert bundle.contents.vocabularies["category"].ids_of(range(3)) == ["fluid milk", "crème fraîche", "100% juice"]
    assert bundle.recommend([], k=1)[0].columns == {"name": "article 0", "price": 0.0}
    assert bundle.contents.training_log[0]["task_weights"] == {"intra/item": 1.0}
    shapes = {view: matrix.shape for view, matrix in bundle.contents.alignment.items()}
    assert shapes == {1: {"category": (8, 4)}, 2: {"category": (2, 6, 6)}, 3: {}}[version]


def test_version_1_is_searched_exactly_with_matrices_made_in_memory():
    manifest, contents = read_bundle(bundle_of(1))
    assert manifest.index is None
    matrices, index = read_index(bundle_of(1), manifest, contents)
    scorer = MultiViewScorer(contents.vectors, contents.item_nodes, contents.vocabularies["item"].counts)
    assert index.kind == "exact"
    np.testing.assert_array_equal(matrices.sources, scorer.sources)
    np.testing.assert_array_equal(matrices.targets, scorer.targets)


def test_version_2_opens_its_faiss_file_and_evaluation():
    manifest, contents = read_bundle(bundle_of(2))
    assert manifest.index.kind == "scan"
    assert manifest.index.recall["bundle"] == 1
    assert contents.evaluation == {"experiments": [{"data": "invented"}]}
    _, index = read_index(bundle_of(2), manifest, contents)
    assert index.approximate.faiss_index.ntotal == 15


def test_version_3_opens_its_encoder_and_the_users_it_knows():
    manifest, contents = read_bundle(bundle_of(3))
    assert manifest.has_encoder
    assert manifest.views == ("item",)
    assert (contents.encoder.algorithm, contents.encoder.knows_users) == ("mf", True)
    assert {name: array.shape for name, array in contents.encoder.arrays.items()} == {
        "users": (3, 6),
        "sources": (15, 6),
    }
    assert contents.users.ids_of(range(3)) == ["ann", "bob", "carol"]


@every_version
def test_golden_bundle_can_be_written_by_this_version(tmp_path, version):
    old = Bundle.open(bundle_of(version))
    new = Bundle.write(tmp_path / "new", old.contents)
    assert new.manifest.schema_version == (SCHEMA_VERSION if old.manifest.has_encoder else WITHOUT_ENCODER)
    assert new.recommend([2**60], k=5).item_ids == old.recommend([2**60], k=5).item_ids


@every_version
def test_reading_leaves_the_bundle_as_it_is(tmp_path, version):
    shutil.copytree(bundle_of(version), tmp_path / "copy")
    before = {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in (tmp_path / "copy").rglob("*") if f.is_file()}
    bundle = Bundle.open(tmp_path / "copy")
    bundle.recommend([2**60], k=3)
    bundle.similar(2**60, k=3)
    assert {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in before} == before
