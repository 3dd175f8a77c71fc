"""Vectors before any click: a factorisation against the dense one, and files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.data.news.vectors import cooccurrence_vectors, read_vectors
from prismrec.data.sequences import Sequences
from prismrec.errors import DataError

ROWS = [[0, 1, 2], [0, 1], [3, 4], [3, 4, 4], [2, 3], [5]]


def dense_information(rows, n):
    """P of the module, pair by pair."""
    together = np.zeros((n, n))
    for row in rows:
        for a in set(row):
            for b in set(row) - {a}:
                together[a, b] += 1
    sums = together.sum(1)
    found = np.zeros((n, n))
    for a in range(n):
        for b in range(n):
            if together[a, b]:
                found[a, b] = max(0.0, np.log(together[a, b] * sums.sum() / (sums[a] * sums[b])))
    return found


def test_products_of_all_dimensions_are_the_positive_part_of_the_information():
    vectors = cooccurrence_vectors(Sequences.from_lists(ROWS), 6, 5).astype(np.float64)
    values, columns = np.linalg.eigh(dense_information(ROWS, 6))
    expected = (columns * np.maximum(values, 0)) @ columns.T
    products = vectors @ vectors.T
    np.testing.assert_allclose(products / products.max(), expected / expected.max(), atol=1e-6)
    assert np.linalg.norm(vectors, axis=1).mean() == pytest.approx(1)


def test_tokens_that_stand_together_are_alike_and_one_alone_is_zero():
    vectors = cooccurrence_vectors(Sequences.from_lists(ROWS), 7, 2)
    assert vectors[0] @ vectors[1] > 0.3
    assert abs(vectors[0] @ vectors[4]) < 0.1
    assert not vectors[5:].any()


def test_the_largest_number_of_a_column_is_positive_and_the_result_is_the_same_again():
    vectors = cooccurrence_vectors(Sequences.from_lists(ROWS), 6, 4)
    columns = vectors[:, vectors.any(axis=0)]
    assert (columns[np.abs(columns).argmax(axis=0), np.arange(columns.shape[1])] > 0).all()
    assert (cooccurrence_vectors(Sequences.from_lists(ROWS), 6, 4) == vectors).all()


@pytest.mark.parametrize(("rows", "n"), [([], 0), ([], 3), ([[0]], 1), ([[0], [1]], 2)])
def test_where_nothing_stands_together_vectors_are_zero(rows, n):
    vectors = cooccurrence_vectors(Sequences.from_lists(rows), n, 4)
    assert vectors.shape == (n, 4)
    assert not vectors.any()


def test_a_file_as_export_writes_it_is_read(tmp_path):
    path = tmp_path / "item.parquet"
    pq.write_table(pa.table({"id": ["e1", "e2"], "view": ["item"] * 2, "source": [[1.0, 2.0], [3.0, 4.0]]}), path)
    ids, vectors = read_vectors(path)
    assert ids.ids.to_pylist() == ["e1", "e2"]
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[1, 2], [3, 4]]
    pq.write_table(pa.table({"id": pa.array([7]), "source": pa.array([[1.0]], pa.list_(pa.float32(), 1))}), path)
    ids, vectors = read_vectors(path)
    assert (ids.ids.to_pylist(), vectors.tolist()) == (["7"], [[1.0]])


def test_files_that_hold_no_vectors_are_refused(tmp_path):
    path = tmp_path / "item.parquet"
    with pytest.raises(DataError, match=r"cannot read vectors of entities from .*item\.parquet"):
        read_vectors(path)
    for columns in ({"id": ["a"]}, {"id": ["a"], "source": ["x"]}, {"id": ["a", "a"], "source": [[1.0], [2.0]]}):
        pq.write_table(pa.table(columns), path)
        with pytest.raises(DataError, match="expected a Parquet file with columns id and source"):
            read_vectors(path)
    for rows in ([[1.0, float("nan")], [1.0, 2.0]], [[1.0, 2.0, 3.0], [1.0]]):
        pq.write_table(pa.table({"id": ["a", "b"], "source": rows}), path)
        with pytest.raises(DataError, match="must be finite and of one length"):
            read_vectors(path)


def test_lines_of_an_id_and_numbers_are_read_as_mind_has_them(tmp_path):
    path = tmp_path / "entity_embedding.vec"
    path.write_text("Q41\t-0.5\t1.25\t\nQ7\t3\t4e-1\t\n")
    ids, vectors = read_vectors(path)
    assert ids.ids.to_pylist() == ["Q41", "Q7"]
    np.testing.assert_allclose(vectors, [[-0.5, 1.25], [3, 0.4]])
    assert vectors.dtype == np.float32


@pytest.mark.parametrize("text", ["Q1\t1\t2\nQ2\t1\n", "Q1\tx\n", "Q1\t1\nQ1\t2\n"])
def test_lines_that_are_no_vectors_are_refused(tmp_path, text):
    path = tmp_path / "entity_embedding.vec"
    path.write_text(text)
    with pytest.raises(DataError, match="expected lines of an id and as many numbers each"):
        read_vectors(path)
    with pytest.raises(DataError, match=r"cannot read vectors of entities from .*other\.vec"):
        read_vectors(tmp_path / "other.vec")
