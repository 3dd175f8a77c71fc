"""The views side by side: the numbers of the scorer, and files that are shared, whole and named when they are not."""

from typing import Any

import numpy as np
import pytest

from prismrec.data import blocks
from prismrec.data.sequences import Sequences
from prismrec.errors import ArtifactError, DataError
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.blend import MultiViewScorer, QuerySettings, popularity_prior
from prismrec.retrieval.matrices import ItemMatrices


@pytest.fixture
def parts(contents) -> Any:
    return contents.vectors, contents.item_nodes, contents.vocabularies["item"].counts


@pytest.fixture
def saved(parts, tmp_path):
    matrices = ItemMatrices.of(*parts)
    matrices.save(tmp_path)
    return matrices


def test_two_items_by_hand():
    item = EmbeddingTable(np.array([[1, 2], [3, 4]], np.float32), np.array([[5, 6], [7, 8]], np.float32))
    shop = EmbeddingTable(np.array([[10], [20]], np.float32), np.array([[30], [50]], np.float32))
    nodes = {"shop": Sequences.from_lists([[0, 1], []])}
    matrices = ItemMatrices.of({"item": item, "shop": shop}, nodes, [6, 3])
    half = np.log(2) / 2  # counts 6 and 3: their logs lie half of log 2 around their mean
    assert matrices.columns == {"item": slice(0, 2), "shop": slice(2, 3)}
    assert matrices.n_items == 2
    np.testing.assert_array_equal(matrices.sources, [[1, 2, 15], [3, 4, 0]])
    np.testing.assert_allclose(matrices.targets, [[5, 6, 40, half], [7, 8, 0, -half]], rtol=1e-6)


def test_cosine_is_unit_sources_on_both_sides():
    item = EmbeddingTable(np.array([[3, 4]], np.float32), np.array([[9, 9]], np.float32))
    shop = EmbeddingTable(np.array([[-2.0]], np.float32), np.array([[9.0]], np.float32))
    matrices = ItemMatrices.of({"item": item, "shop": shop}, {"shop": Sequences.from_lists([[0]])}, [1], "cosine")
    np.testing.assert_allclose(matrices.sources, [[0.6, 0.8, -1]], rtol=1e-6)
    np.testing.assert_allclose(matrices.targets, [[0.6, 0.8, -1, 0]], rtol=1e-6)


@pytest.mark.parametrize("similarity", ["source_target", "cosine"])
def test_numbers_are_those_of_the_scorer(parts, similarity):
    vectors, nodes, counts = parts
    scorer = MultiViewScorer(vectors, nodes, counts, QuerySettings(similarity=similarity))
    matrices = ItemMatrices.of(vectors, nodes, counts, similarity)
    np.testing.assert_array_equal(matrices.sources, scorer.sources)
    np.testing.assert_array_equal(matrices.targets, scorer.targets)
    assert matrices.columns == scorer.columns
    assert matrices.sources.dtype == matrices.targets.dtype == np.float32
    np.testing.assert_array_equal(matrices.targets[:, -1], popularity_prior(counts))


@pytest.mark.parametrize("similarity", ["source_target", "cosine"])
@pytest.mark.parametrize("block_bytes", [1, 1000, 2**26])
def test_written_in_blocks_they_are_the_files_of_those_made_in_memory(
    parts, tmp_path, monkeypatch, similarity, block_bytes
):
    vectors, nodes, counts = parts
    for name in ("memory", "files"):
        (tmp_path / name).mkdir()
    ItemMatrices.of(vectors, nodes, counts, similarity).save(tmp_path / "memory")
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    written = ItemMatrices.write(tmp_path / "files", vectors, nodes, counts, similarity)
    for name in ("sources.npy", "targets.npy"):
        assert (tmp_path / "files" / name).read_bytes() == (tmp_path / "memory" / name).read_bytes()
    np.testing.assert_array_equal(written.targets, ItemMatrices.of(vectors, nodes, counts, similarity).targets)


def test_contradicting_rows_are_refused(parts, tmp_path):
    vectors, nodes, counts = parts
    with pytest.raises(DataError, match="view 'item' has rows for 15 items, but there are 14 item counts"):
        ItemMatrices.of(vectors, nodes, counts[1:])
    with pytest.raises(DataError, match="view 'item' has rows for 15 items, but there are 14 item counts"):
        ItemMatrices.write(tmp_path, vectors, nodes, counts[1:])


def test_saved_and_loaded_are_equal_and_memory_mapped(saved, tmp_path):
    loaded = ItemMatrices.load(tmp_path, saved.columns)
    for name in ("sources", "targets"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
        base: Any = getattr(loaded, name)
        assert not base.flags.writeable
        while not isinstance(base, np.memmap):
            base = base.base
        assert base.filename == tmp_path / f"{name}.npy"
    assert loaded.columns == saved.columns


@pytest.mark.parametrize("name", ["sources.npy", "targets.npy"])
def test_missing_and_shortened_files_are_named(saved, tmp_path, name):
    good = (tmp_path / name).read_bytes()
    for bad in (good[:-1], b"", b"not an array"):
        (tmp_path / name).write_bytes(bad)
        with pytest.raises(ArtifactError, match=f"{name} is damaged"):
            ItemMatrices.load(tmp_path, saved.columns)
    (tmp_path / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} is damaged: .*No such file"):
        ItemMatrices.load(tmp_path, saved.columns)


@pytest.mark.parametrize(
    "foreign",
    [
        np.zeros((15, 17), np.float64),
        np.zeros((15, 16), np.float32),
        np.zeros(15, np.float32),
        np.zeros((17, 15), np.float32).T,
    ],
)
def test_a_foreign_matrix_is_refused(saved, tmp_path, foreign):
    np.save(tmp_path / "targets.npy", foreign)
    with pytest.raises(ArtifactError, match=r"targets.npy is damaged: it holds float.* instead of float32 \(n, 17\)"):
        ItemMatrices.load(tmp_path, saved.columns)


def test_matrices_of_different_bundles_are_refused(saved, tmp_path):
    np.save(tmp_path / "targets.npy", saved.targets[:-1])
    with pytest.raises(ArtifactError, match=r"targets.npy is damaged: it has 14 rows, but sources.npy has 15"):
        ItemMatrices.load(tmp_path, saved.columns)
