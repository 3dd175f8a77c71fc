"""Matrices in files: the bytes that numpy would write, block by block, shared by link only where that is safe."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data import blocks
from prismrec.errors import ArtifactError, DataError
from prismrec.retrieval.matrix_files import map_matrix, matrix_file, write_matrix

MATRIX = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)


def saved(path, matrix):
    np.save(path, matrix)
    return path.read_bytes()


@given(st.integers(0, 12), st.integers(1, 5), st.integers(1, 300))
def test_files_are_those_of_numpy_however_small_the_blocks(tmp_path_factory, n, dim, block_bytes):
    folder = tmp_path_factory.mktemp("m")
    matrix = np.random.default_rng(n).normal(size=(n, dim)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block_bytes)
        assert write_matrix(folder / "m.npy", matrix).tolist() == []
    assert (folder / "m.npy").read_bytes() == saved(folder / "numpy.npy", matrix)


@pytest.mark.parametrize("form", [np.asfortranarray, lambda m: m.astype(np.float64), lambda m: np.repeat(m, 2, 0)[::2]])
def test_other_forms_of_the_same_numbers_become_the_same_file(tmp_path, form):
    write_matrix(tmp_path / "m.npy", form(MATRIX))
    assert (tmp_path / "m.npy").read_bytes() == saved(tmp_path / "numpy.npy", MATRIX)


def test_half_precision_is_widened(tmp_path):
    half = MATRIX.astype(np.float16)
    write_matrix(tmp_path / "m.npy", half)
    np.testing.assert_array_equal(map_matrix(tmp_path / "m.npy"), half.astype(np.float32))


@pytest.mark.parametrize("block_bytes", [1, 60, 2**20])
def test_rows_that_are_not_finite_are_told_wherever_blocks_end(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    bad = MATRIX.astype(np.float64)
    bad[2, 1], bad[3, 0], bad[10, 2] = np.nan, 1e39, -np.inf  # 1e39 is infinite as float32
    assert write_matrix(tmp_path / "m.npy", bad).tolist() == [2, 3, 10]


def test_a_file_that_was_promised_more_rows_is_refused(tmp_path):
    told = pytest.raises(DataError, match=r"m.npy was to hold a matrix of shape \(3, 2\), but 8 bytes of it never came")
    with told, matrix_file(tmp_path / "m.npy", (3, 2)) as file:
        file.write(np.zeros((2, 2), np.float32).data)


def mapped(folder, matrix=MATRIX, mode="r"):
    folder.mkdir(exist_ok=True)
    np.save(folder / "source.npy", matrix)
    return np.load(folder / "source.npy", mmap_mode=mode)


def test_a_whole_file_of_a_folder_that_was_given_up_is_linked(tmp_path):
    matrix = mapped(tmp_path / "run")
    for number, form in enumerate([matrix, np.asarray(matrix), matrix[:], np.asarray(matrix).view()]):
        target = tmp_path / f"{number}.npy"
        write_matrix(target, form, take_over=tmp_path / "run")
        assert os.path.samefile(target, tmp_path / "run" / "source.npy")
    (tmp_path / "run" / "source.npy").unlink()
    np.testing.assert_array_equal(map_matrix(tmp_path / "0.npy"), MATRIX)


def test_nothing_is_linked_unless_the_folder_was_given_up(tmp_path):
    matrix = mapped(tmp_path / "run")
    for number, folder in enumerate([None, tmp_path / "elsewhere", tmp_path / "run" / "deeper"]):
        write_matrix(tmp_path / f"{number}.npy", matrix, folder)
        assert (tmp_path / f"{number}.npy").stat().st_nlink == 1
        np.testing.assert_array_equal(map_matrix(tmp_path / f"{number}.npy"), MATRIX)


@pytest.mark.parametrize(
    "part",
    [
        lambda m: m[:5],
        lambda m: m[1:],
        lambda m: m[:, :2],
        lambda m: m[::-1],
        lambda m: m.reshape(3, 11),
        lambda m: m.view(np.int32).astype(np.float32),
        np.array,
    ],
)
def test_what_is_not_a_whole_file_is_copied(tmp_path, part):
    matrix = part(mapped(tmp_path / "run"))
    write_matrix(tmp_path / "m.npy", matrix, take_over=tmp_path / "run")
    assert (tmp_path / "m.npy").stat().st_nlink == 1
    np.testing.assert_array_equal(map_matrix(tmp_path / "m.npy"), matrix)


def test_files_of_another_layout_or_with_private_changes_are_copied(tmp_path):
    private = mapped(tmp_path / "private", mode="c")
    private[0] = 7
    for name, matrix in {
        "private": private,
        "fortran": mapped(tmp_path / "fortran", np.asfortranarray(MATRIX)),
        "wide": mapped(tmp_path / "wide", MATRIX.astype(np.float64)),
    }.items():
        write_matrix(tmp_path / f"{name}.npy", matrix, take_over=tmp_path / name)
        assert (tmp_path / f"{name}.npy").stat().st_nlink == 1
        np.testing.assert_array_equal(map_matrix(tmp_path / f"{name}.npy"), matrix.astype(np.float32))


def test_where_no_link_can_be_made_the_matrix_is_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    write_matrix(tmp_path / "m.npy", mapped(tmp_path / "run"), take_over=tmp_path / "run")
    np.testing.assert_array_equal(map_matrix(tmp_path / "m.npy"), MATRIX)


def test_linked_rows_that_are_not_finite_are_told_too(tmp_path):
    bad = MATRIX.copy()
    bad[4] = np.inf
    assert write_matrix(tmp_path / "m.npy", mapped(tmp_path / "run", bad), tmp_path / "run").tolist() == [4]


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"m.npy is damaged: .*No such file"):
        map_matrix(tmp_path / "m.npy")
    (tmp_path / "m.npy").write_bytes(b"no array")
    with pytest.raises(ArtifactError, match=r"m.npy is damaged"):
        map_matrix(tmp_path / "m.npy")
