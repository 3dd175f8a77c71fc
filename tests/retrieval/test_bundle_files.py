"""A bundle on disk: what goes in comes out, damage is named, and a kill leaves the old one."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data import blocks
from prismrec.data.arrow_files import map_table, write_table
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError, ConfigError, DataError
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.blend import MultiViewScorer, QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.bundle_files import BundleContents, read_bundle, read_index, write_bundle
from prismrec.retrieval.index.settings import IndexSettings


def files_of(folder: Path) -> list[str]:
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())


def test_everything_comes_back(bundle, contents):
    _, found = read_bundle(bundle.path)
    for view, table in contents.vectors.items():
        assert np.array_equal(found.vectors[view].source, table.source)
        assert np.array_equal(found.vectors[view].target, table.target)
        assert found.vocabularies[view].ids.equals(contents.vocabularies[view].ids)
        assert found.vocabularies[view].counts.tolist() == contents.vocabularies[view].counts.tolist()
    assert {v: n.to_lists() for v, n in found.item_nodes.items()} == {
        v: n.to_lists() for v, n in contents.item_nodes.items()
    }
    assert np.array_equal(found.alignment["category"], contents.alignment["category"])
    assert found.item_columns is not None
    assert found.item_columns.equals(contents.item_columns)
    for name in ("query", "config", "seed", "data_fingerprint", "metrics", "training_log", "index", "evaluation"):
        assert getattr(found, name) == getattr(contents, name), name


def test_contents_that_were_opened_can_be_written_again(bundle, tmp_path):
    again = Bundle.write(tmp_path / "again", bundle.contents)
    assert again.recommend([2**60], k=5) == bundle.recommend([2**60], k=5)
    assert again.manifest.files == bundle.manifest.files


def test_a_bundle_can_be_written_over_the_one_it_was_opened_from(bundle):
    before = bundle.recommend([2**60], k=5)
    assert Bundle.write(bundle.path, bundle.contents).recommend([2**60], k=5) == before


def test_vectors_are_memory_mapped(bundle):
    base: Any = Bundle.open(bundle.path).contents.vectors["item"].source
    while not isinstance(base, np.memmap):
        base = base.base
    assert base.filename == (bundle.path / "vectors" / "item.source.npy")


def test_nothing_is_pickled(bundle):
    for name in files_of(bundle.path):
        assert Path(name).suffix in {".json", ".npy", ".arrow"}  # and .faiss, where not every search is exact
        if name.endswith(".npy"):
            np.load(bundle.path / name, allow_pickle=False)


def test_manifest_says_where_the_bundle_came_from(bundle):
    manifest = json.loads((bundle.path / "manifest.json").read_text())
    assert manifest["schema_version"] == 2
    assert manifest["seed"] == 7
    assert manifest["config"] == {"training": {"epochs": 2}}
    assert manifest["metrics"] == {"next_item/hr@10": 0.25}
    assert manifest["data_fingerprint"] == "invented"
    assert sorted([*manifest["files"], "manifest.json"]) == files_of(bundle.path)


def test_every_flipped_byte_is_found_and_the_file_named(bundle):
    rng = np.random.default_rng(0)
    for name in files_of(bundle.path):
        file = bundle.path / name
        good = file.read_bytes()
        for place in rng.choice(len(good), min(12, len(good)), replace=False).tolist():
            file.write_bytes(good[:place] + bytes([good[place] ^ 0x11]) + good[place + 1 :])
            with pytest.raises(ArtifactError, match=f"{name}|schema version"):
                Bundle.open(bundle.path)
        file.write_bytes(good)
    assert Bundle.open(bundle.path).recommend([], k=1)


@pytest.mark.parametrize("verify", ["full", "sizes"])
def test_every_missing_or_shortened_file_is_named(bundle, verify):
    for name in files_of(bundle.path):
        file = bundle.path / name
        good = file.read_bytes()
        file.unlink()
        with pytest.raises(ArtifactError, match=name):
            Bundle.open(bundle.path, verify)
        file.write_bytes(good[:-1])
        with pytest.raises(ArtifactError, match=f"{name} is damaged"):
            Bundle.open(bundle.path, verify)
        file.write_bytes(b"")
        with pytest.raises(ArtifactError, match=f"{name} is damaged"):
            Bundle.open(bundle.path, verify)
        file.write_bytes(good)


def on_disk(folder: Path, contents: BundleContents) -> BundleContents:
    """The same contents as sharded training leaves them: every large thing memory-mapped from files in a folder."""
    folder.mkdir()

    def mapped(name: str, matrix):
        np.save(folder / name, matrix)
        return np.load(folder / name, mmap_mode="r")

    vectors, vocabularies, nodes = {}, {}, {}
    for view, table in contents.vectors.items():
        sides = [mapped(f"{view}.{side}.npy", getattr(table, side)) for side in ("source", "target")]
        vectors[view] = EmbeddingTable(*sides)
        contents.vocabularies[view].save(folder / f"{view}.arrow")
        vocabularies[view] = Vocabulary.load(folder / f"{view}.arrow")
    for view, rows in contents.item_nodes.items():
        rows.save(folder, view)
        nodes[view] = Sequences.load(folder, view)
    assert contents.item_columns is not None
    write_table(folder / "columns.arrow", contents.item_columns.to_reader())
    columns = map_table(folder / "columns.arrow")
    return dataclasses.replace(
        contents, vectors=vectors, vocabularies=vocabularies, item_nodes=nodes, item_columns=columns
    )


@pytest.mark.parametrize("kind", ["exact", "scan", "ivf"])
@pytest.mark.parametrize("similarity", ["source_target", "cosine"])
@pytest.mark.parametrize("taken_over", [False, True])
def test_mapped_contents_in_small_blocks_give_the_same_bundle(
    tmp_path, make, monkeypatch, kind, similarity, taken_over
):
    contents = make(index=IndexSettings(kind=kind, n_lists=2), query=QuerySettings(similarity=similarity))
    whole = Bundle.write(tmp_path / "whole", contents)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 500)
    run = tmp_path / "run"
    parts = Bundle.write(tmp_path / "parts", on_disk(run, contents), run if taken_over else None)
    assert parts.manifest.files == whole.manifest.files
    assert parts.manifest.index == whole.manifest.index
    shutil.rmtree(run)
    again = Bundle.open(tmp_path / "parts")
    assert again.recommend([2**60, 2**60 + 4], k=7) == whole.recommend([2**60, 2**60 + 4], k=7)


def test_a_bundle_shares_nothing_with_what_it_was_made_of_unless_that_was_given_up(tmp_path, contents):
    run = tmp_path / "run"
    source, view = run / "item.source.npy", "vectors/item.source.npy"
    mapped = on_disk(run, contents)
    own, shared = Bundle.write(tmp_path / "own", mapped), Bundle.write(tmp_path / "shared", mapped, take_over=run)
    assert os.path.samefile(shared.path / view, source)
    assert not os.path.samefile(own.path / view, source)
    written = np.load(source, mmap_mode="r+")
    written[0] = 99
    written.flush()
    assert Bundle.open(own.path).manifest == own.manifest
    with pytest.raises(ArtifactError, match=r"item.source.npy is damaged: its content does not match the checksum"):
        Bundle.open(shared.path)


def test_vectors_that_are_not_finite_leave_no_scraps(tmp_path, contents):
    rows = np.array(contents.vectors["item"].target)
    rows[[3, 9]] = np.nan
    vectors = {**contents.vectors, "item": EmbeddingTable(contents.vectors["item"].source, rows)}
    with pytest.raises(DataError, match=rf"'item': the target vector of id {2**60 + 3} \(row 3\) .*; 2 such rows"):
        write_bundle(tmp_path / "b", dataclasses.replace(contents, vectors=vectors))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_item_table_is_named(bundle):
    (bundle.path / "items.arrow").write_bytes(b"x" * (bundle.path / "items.arrow").stat().st_size)
    with pytest.raises(ArtifactError, match=r"items.arrow is damaged"):
        Bundle.open(bundle.path, verify="sizes")


SCAN = IndexSettings(kind="scan")


@pytest.fixture
def scanned(tmp_path, contents):
    """A bundle with a faiss file and an evaluation."""
    rich = dataclasses.replace(contents, index=SCAN, evaluation={"experiments": [{"hr@10": 0.25}]})
    return Bundle.write(tmp_path / "scanned", rich)


def test_a_small_bundle_has_matrices_and_no_faiss_file(bundle):
    assert [name for name in files_of(bundle.path) if name.startswith("index/")] == [
        "index/sources.npy",
        "index/targets.npy",
    ]
    assert "evaluation.json" not in files_of(bundle.path)
    record = bundle.manifest.index
    assert (record.kind, record.settings, record.similarity, record.recall) == (
        "exact",
        IndexSettings(),
        "source_target",
        {},
    )


def test_index_and_evaluation_lie_in_the_bundle(scanned):
    assert {"index/items.faiss", "evaluation.json"} <= set(files_of(scanned.path))
    manifest, found = read_bundle(scanned.path)
    assert found.evaluation == {"experiments": [{"hr@10": 0.25}]}
    assert found.index == SCAN
    assert manifest.index.kind == "scan"
    assert set(manifest.index.recall) == {
        "bundle", "equal", "item alone", "category alone", "shop alone", "away from category", "away from shop",
        "no popularity", "popularity alone",
    }  # fmt: skip
    assert set(manifest.index.recall.values()) == {1.0}
    assert json.loads((scanned.path / "manifest.json").read_text())["index"]["recall"]["bundle"] == 1.0


@pytest.mark.parametrize("similarity", ["source_target", "cosine"])
def test_matrices_are_laid_out_for_the_bundles_own_similarity(tmp_path, contents, similarity):
    query = QuerySettings(similarity=similarity)
    write_bundle(tmp_path / "b", dataclasses.replace(contents, query=query))
    manifest, found = read_bundle(tmp_path / "b")
    matrices, index = read_index(tmp_path / "b", manifest, found)
    scorer = MultiViewScorer(contents.vectors, contents.item_nodes, contents.vocabularies["item"].counts, query)
    assert manifest.index.similarity == similarity
    np.testing.assert_array_equal(matrices.sources, scorer.sources)
    np.testing.assert_array_equal(matrices.targets, scorer.targets)
    queries = scorer.query(Sequences.from_lists([[3], [1, 2]]))
    indices, scores = index.search(queries, 15)
    expected = queries @ scorer.targets.T
    np.testing.assert_array_equal(indices, np.argsort(-expected, axis=1, kind="stable"))
    np.testing.assert_allclose(scores, np.sort(expected, axis=1)[:, ::-1], rtol=1e-5, atol=1e-5)


def test_the_index_of_an_opened_bundle_is_memory_mapped(scanned):
    matrices, index = read_index(scanned.path, scanned.manifest, scanned.contents)
    assert index.targets is matrices.targets
    for name in ("sources", "targets"):
        base: Any = getattr(matrices, name)
        while not isinstance(base, np.memmap):
            base = base.base
        assert base.filename == scanned.path / "index" / f"{name}.npy"


def test_damage_to_index_and_evaluation_is_named(scanned):
    for name in ("index/sources.npy", "index/targets.npy", "index/items.faiss", "evaluation.json"):
        file = scanned.path / name
        good = file.read_bytes()
        file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(ArtifactError, match=f"{name} is damaged: its content does not match"):
            Bundle.open(scanned.path)
        file.unlink()
        with pytest.raises(ArtifactError, match=f"{name} is missing"):
            Bundle.open(scanned.path, "sizes")
        file.write_bytes(good)
    foreign = scanned.path / "index" / "items.faiss"
    foreign.write_bytes(b"x" * foreign.stat().st_size)
    with pytest.raises(ArtifactError, match=r"items.faiss is damaged: its content does not match the checksum"):
        read_index(scanned.path, *read_bundle(scanned.path, "sizes"))


def test_an_index_that_finds_too_little_is_not_written(tmp_path, contents, monkeypatch):
    def refuse(*_):
        raise ConfigError("the ivf index finds too few")

    monkeypatch.setattr("prismrec.retrieval.bundle_files.build_index", refuse)
    with pytest.raises(ConfigError, match="finds too few"):
        write_bundle(tmp_path / "b", contents)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_with_an_index_can_be_written_again(scanned, tmp_path):
    again = Bundle.write(tmp_path / "again", scanned.contents)
    assert again.manifest.files == scanned.manifest.files
    assert again.manifest.index == scanned.manifest.index


def test_sizes_does_not_read_the_vectors(bundle):
    file = bundle.path / "vectors" / "item.source.npy"
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    Bundle.open(bundle.path, verify="sizes")
    with pytest.raises(ArtifactError, match=r"item.source.npy is damaged: its content does not match the checksum"):
        Bundle.open(bundle.path)


def test_a_changed_manifest_is_refused(bundle):
    file = bundle.path / "manifest.json"
    file.write_text(file.read_text().replace('"seed": 7', '"seed": 8'))
    with pytest.raises(ArtifactError, match=r"manifest.json is damaged: its text does not match its own checksum"):
        Bundle.open(bundle.path)


def test_a_newer_bundle_is_refused_with_advice(bundle):
    file = bundle.path / "manifest.json"
    file.write_text(file.read_text().replace('"schema_version": 2', '"schema_version": 4'))
    with pytest.raises(ArtifactError, match=r"schema version 4, .* reads up to 3: .* upgrade with `pip install"):
        Bundle.open(bundle.path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema_version": "x"}', "\udcff"])
def test_a_manifest_that_is_none_is_refused(bundle, text):
    (bundle.path / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ArtifactError, match=r"manifest.json is damaged"):
        Bundle.open(bundle.path)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"is not a bundle: cannot read manifest.json"):
        Bundle.open(tmp_path)


def test_a_folder_with_other_files_is_never_replaced(tmp_path, contents):
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(
        ArtifactError, match=r"holds other files \(no manifest.json among them\) and will not be replaced"
    ):
        write_bundle(tmp_path, contents)
    with pytest.raises(ArtifactError, match="is a file and will not be replaced"):
        write_bundle(tmp_path / "thesis.txt", contents)
    assert (tmp_path / "thesis.txt").read_text() == "ten years of work"


def test_a_failed_write_leaves_the_old_bundle_and_no_scraps(bundle, contents):
    bad = dataclasses.replace(contents, metrics={"hr@10": float("nan")})
    with pytest.raises(DataError, match="the metric 'hr@10' is not a finite number: nan"):
        Bundle.write(bundle.path, bad)
    assert Bundle.open(bundle.path).manifest == bundle.manifest
    assert list(bundle.path.parent.iterdir()) == [bundle.path]


def broken(values):
    return EmbeddingTable(np.asarray(values, np.float32), np.asarray(values, np.float32))


def test_contradicting_contents_are_refused(tmp_path, contents):
    infinite = np.ones((15, 8))
    infinite[4, 2] = np.inf
    vectors, nodes = dict(contents.vectors), dict(contents.item_nodes)
    lopsided = EmbeddingTable(np.ones((15, 8), np.float32), np.ones((15, 7), np.float32))
    cases = [
        (
            {"vectors": {**vectors, "item": broken(infinite)}},
            rf"source vector of id {2**60 + 4} \(row 4\) is not finite",
        ),
        ({"vectors": {**vectors, "item": broken(np.ones((14, 8)))}}, "view 'item' has 14 vectors but 15 ids"),
        ({"vectors": {**vectors, "item": lopsided}}, r"source \(15, 8\) and target \(15, 7\) must have one shape"),
        ({"vectors": {"category": vectors["category"]}}, "needs vectors for the view 'item'"),
        ({"vectors": {**vectors, "a/b": broken(np.ones((2, 2)))}}, "view name 'a/b' cannot name a file"),
        ({"item_nodes": {"shop": nodes["shop"]}}, "view 'category' gives nodes to 0 items, but there are 15"),
        ({"item_nodes": {**nodes, "brand": Sequences.from_lists([])}}, "came for 'brand', which is not a side view"),
        ({"alignment": {"item": np.eye(2, dtype=np.float32)}}, "came for 'item', which is not a side view"),
        ({"item_columns": pa.table({"name": ["x"]})}, "item table has 1 rows for 15 items"),
        ({"config": {"path": Path("x")}}, "settings and training log must be JSON values"),
        ({"training_log": [{"loss": float("inf")}]}, "must be JSON values, finite numbers"),
        ({"evaluation": {"hr@10": float("nan")}}, "must be JSON values, finite numbers"),
    ]
    for changes, message in cases:
        with pytest.raises(DataError, match=message):
            Bundle.write(tmp_path / "b", dataclasses.replace(contents, **changes))
    assert list(tmp_path.iterdir()) == []


WRITER = """
import runpy, sys
from pathlib import Path
from prismrec.retrieval.bundle_files import write_bundle
make = runpy.run_path(sys.argv[1])["make_contents"]
contents = [make(seed) for seed in range(4)]
print("ready", flush=True)
for seed in range(10**9):
    write_bundle(Path(sys.argv[2]), contents[seed % 4])
"""


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_a_whole_bundle(tmp_path, make):
    path = tmp_path / "bundle"
    write_bundle(path, make(0))
    rng = np.random.default_rng(1)
    conftest = Path(__file__).parent / "conftest.py"
    n_interrupted = 0
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", WRITER, conftest, path], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0.01, 0.2))
            assert writer.poll() is None, "the writer was to write until it is killed"
            writer.send_signal(signal.SIGKILL)
        n_interrupted += len(list(tmp_path.glob(".bundle.*.partial")))
        opened = Bundle.open(path)
        expected = make(opened.contents.seed)
        assert np.array_equal(opened.contents.vectors["shop"].target, expected.vectors["shop"].target)
        assert opened.recommend([], k=1)
    assert n_interrupted > 0, "no kill fell into a write: the test proved nothing"
    write_bundle(path, make(0))
    assert list(tmp_path.iterdir()) == [path], "the next write clears what the kills left"


def test_a_copied_bundle_opens_anywhere(bundle, tmp_path):
    shutil.copytree(bundle.path, tmp_path / "elsewhere")
    assert Bundle.open(tmp_path / "elsewhere").recommend([], k=2) == bundle.recommend([], k=2)


# ---- with an encoder ----


def test_an_encoder_comes_back_with_its_users_and_views_without_vectors(make_encoded, tmp_path):
    contents = make_encoded()
    manifest, found = read_bundle(Bundle.write(tmp_path / "b", contents).path)
    assert manifest.schema_version == 3
    assert manifest.views == ("item",)
    assert manifest.views_without_vectors == ("category", "shop")
    assert found.encoder is not None
    assert (found.encoder.algorithm, dict(found.encoder.config), found.encoder.knows_users) == ("mf", {}, True)
    for name, array in contents.encoder.arrays.items():
        np.testing.assert_array_equal(found.encoder.arrays[name], array, strict=True)
    assert found.users.ids_of(range(3)) == ["ann", "bob", "carol"]
    assert {v: n.to_lists() for v, n in found.item_nodes.items()} == {
        v: n.to_lists() for v, n in contents.item_nodes.items()
    }
    assert found.vocabularies["shop"].ids.equals(contents.vocabularies["shop"].ids)
    assert Bundle.write(tmp_path / "again", found).manifest.files == manifest.files


def test_without_an_encoder_older_versions_can_read_the_bundle(bundle):
    text = (bundle.path / "manifest.json").read_text()
    assert '"schema_version": 2' in text
    assert "views_without_vectors" not in text
    assert "has_encoder" not in text
    assert not (bundle.path / "encoder").exists()


def test_every_file_of_the_encoder_is_checked(make_encoded, tmp_path):
    path = Bundle.write(tmp_path / "b", make_encoded()).path
    for name in ("encoder/encoder.json", "encoder/users.npy", "encoder/users.arrow"):
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ArtifactError, match=name):
            read_bundle(path)
        (path / name).write_bytes(content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"users": None}, "the encoder of mf knows users"),
        ({"query": QuerySettings(similarity="cosine")}, "query.similarity = 'cosine' is for models whose queries mix"),
        ({"query": QuerySettings(view_weights={"item": 0.5})}, "query.view_weights = {'item': 0.5} is for models"),
        ({"item_nodes": {"category": Sequences.from_lists([[3]] * 15)}}, "view 'category' has a node 3 but 3 ids"),
        ({"item_nodes": {"colour": Sequences.from_lists([[0]] * 15)}}, "view 'colour' has a node 0 but 0 ids"),
        ({"item_nodes": {"a/b": Sequences.from_lists([[]] * 15)}}, "the view name 'a/b' cannot name a file"),
        ({"item_nodes": {"shop": Sequences.from_lists([[0]] * 14)}}, "gives nodes to 14 items, but there are 15"),
        ({"alignment": {"colour": np.ones((2, 6, 6), np.float32)}}, "an alignment matrix came for 'colour'"),
    ],
)
def test_contents_that_contradict_their_encoder_are_refused(make_encoded, tmp_path, changes, message):
    with pytest.raises((DataError, ConfigError), match=message):
        write_bundle(tmp_path / "b", make_encoded(**changes))


def test_vectors_of_side_views_beside_an_encoder_are_refused(make, make_encoded, tmp_path):
    with pytest.raises(DataError, match="view 'category' has vectors, but queries of mf meet those of items"):
        write_bundle(tmp_path / "b", make_encoded(vectors=make().vectors))
