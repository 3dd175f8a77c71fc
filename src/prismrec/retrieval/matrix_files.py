"""float32 matrices in `.npy` files: written some rows at a time, taken over by link, memory-mapped where they are read.

What is written is byte for byte what `numpy.save` writes for the same matrix in row order; nothing but the rows at hand
is in memory, since the file is written from its beginning to its end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from prismrec.data.blocks import row_blocks
from prismrec.errors import DataError
from prismrec.retrieval.manifest import damaged


@contextmanager
def matrix_file(path: Path, shape: tuple[int, int]) -> Iterator[BinaryIO]:
    """Yield a file that has its header and waits for the rows, as `rows.astype(np.float32).data`, in their order.

    Raises:
        DataError: as many rows as the shape promises did not come.
    """
    header = _header(shape)
    with open(path, "wb") as file:
        file.write(header)
        yield file
        missing = len(header) + 4 * shape[0] * shape[1] - file.tell()
    if missing:
        raise DataError(f"{path} was to hold a matrix of shape {shape}, but {missing} bytes of it never came")


def write_matrix(path: Path, matrix: NDArray[np.floating], take_over: Path | None = None) -> NDArray[np.int64]:
    """Copy a matrix into a file, and look for rows that are not finite on the way.

    Args:
        path: where to write.
        matrix: (n, dim), any floating type; may be memory-mapped, and is then never in memory as a whole.
        take_over: a folder that nobody writes to any more; a matrix that is a whole file in it is linked, not copied.
            Where the file systems differ it is copied all the same.

    Returns:
        (n_bad,) the rows that are not finite in float32.
    """
    if take_over is not None and _link(matrix, take_over, path):
        bad = [rows.start + _not_finite(_as_float32(matrix[rows])) for rows in _blocks(matrix)]
    else:
        with matrix_file(path, (matrix.shape[0], matrix.shape[1])) as file:
            bad = [rows.start + _written(file, _as_float32(matrix[rows])) for rows in _blocks(matrix)]
    return np.concatenate([np.zeros(0, np.int64), *bad])


def map_matrix(path: Path) -> NDArray[np.float32]:
    """A memory-mapped array.

    Raises:
        ArtifactError: the file is missing or damaged; names it.
    """
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, str(error)) from error


def _header(shape: tuple[int, int]) -> bytes:
    text = BytesIO()
    npy.write_array_header_1_0(text, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return text.getvalue()


def _blocks(matrix: NDArray[np.floating]) -> Iterator[slice]:
    """Beside the rows themselves there may be a copy as float32, and there is a byte per number: finite or not."""
    return row_blocks(len(matrix), matrix.shape[1] * (matrix.itemsize + 4 + 1))


def _as_float32(block: NDArray[np.floating]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # becomes infinite, and is found
        return np.ascontiguousarray(block, np.float32)


def _written(file: BinaryIO, block: NDArray[np.float32]) -> NDArray[np.int64]:
    """Append a block; the rows of it that are not finite."""
    file.write(block.data)
    return _not_finite(block)


def _not_finite(block: NDArray[np.float32]) -> NDArray[np.int64]:
    finite = np.isfinite(block)
    return np.zeros(0, np.int64) if finite.all() else np.flatnonzero(~finite.all(axis=1))


def _link(matrix: NDArray[np.floating], folder: Path, path: Path) -> bool:
    """Whether `path` is now another name of the file in `folder` that the matrix is mapped from."""
    source = _file_of(matrix)
    if source is None or not source.resolve().is_relative_to(folder.resolve()):
        return False
    try:
        os.link(source.resolve(), path)
    except OSError:  # another file system, or one without hard links
        return False
    return True


def _file_of(matrix: NDArray[np.floating]) -> Path | None:
    """The file that a matrix is mapped from, where that file is what `write_matrix` would write for it."""
    base: object = matrix
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    if not isinstance(base, np.memmap) or not isinstance(base.filename, Path | str):
        return None
    path, header = Path(base.filename), _header((matrix.shape[0], matrix.shape[1]))
    is_whole = (
        base.mode != "c"  # what was changed there lies in memory alone
        and matrix.dtype == np.dtype("<f4")
        and matrix.flags.c_contiguous
        and matrix.ctypes.data == base.ctypes.data
        and base.offset == len(header)
        and path.is_file()
        and path.stat().st_size == len(header) + matrix.nbytes
    )
    if not is_whole:
        return None
    with open(path, "rb") as file:
        return path if file.read(len(header)) == header else None


__all__ = ["map_matrix", "matrix_file", "write_matrix"]
