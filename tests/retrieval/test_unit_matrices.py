"""Cosine without a copy of the vectors: rows and search like those of matrices made for it."""

import numpy as np
import pytest

from prismrec.errors import ConfigError
from prismrec.retrieval.index.item_index import ItemIndex
from prismrec.retrieval.matrices import ItemMatrices
from prismrec.retrieval.unit_matrices import UnitMatrices


@pytest.fixture
def made(contents):
    """Units beside the matrices that hold them in full."""
    parts = (contents.vectors, contents.item_nodes, contents.vocabularies["item"].counts)
    return UnitMatrices.of(ItemMatrices.of(*parts)), ItemMatrices.of(*parts, "cosine")


def test_rows_are_those_of_matrices_made_for_cosine(made):
    units, whole = made
    rows = np.array([14, 0, 3, 3])  # 14 has no category
    assert units.source_rows(rows) == pytest.approx(whole.sources[rows], abs=1e-6)
    assert units.target_rows(rows) == pytest.approx(whole.targets[rows], abs=1e-6)
    assert (units.n_items, units.dim, units.columns) == (whole.n_items, whole.dim, whole.columns)


def test_looking_at_rows_changes_no_vector(made, contents):
    before = made[0].base.sources.copy()
    made[0].source_rows(np.arange(15))
    assert (made[0].base.sources == before).all()


@pytest.mark.parametrize("share", [1.0, 0.4, 0.0])
@pytest.mark.parametrize("k", [1, 6, 40])
def test_search_finds_what_an_exact_index_over_unit_vectors_finds(made, k, share):
    units, whole = made
    rng = np.random.default_rng(5)
    queries = rng.normal(size=(4, whole.dim + 1)).astype(np.float32)
    queries[1, whole.columns["category"]] = 0
    allowed = None if share == 1.0 else rng.random(15) < share
    indices, scores = units.search(queries, k, allowed)
    expected, best = ItemIndex.build(whole.targets).search(queries, k, allowed)
    assert indices.tolist() == expected.tolist()
    assert scores == pytest.approx(best, abs=1e-5)


def test_an_item_without_vectors_has_no_likeness_and_no_nan():
    sources = np.array([[3, 4], [0, 0]], np.float32)
    units = UnitMatrices.of(ItemMatrices(sources, np.zeros((2, 3), np.float32), {"item": slice(0, 2)}))
    assert units.source_rows(np.array([0, 1])).tolist() == [pytest.approx([0.6, 0.8]), [0, 0]]
    assert units.search(np.array([[1, 0, 0]], np.float32), 2)[1].tolist() == [pytest.approx([0.6, 0])]


def test_norms_are_measured_over_all_blocks(monkeypatch, made):
    monkeypatch.setattr("prismrec.retrieval.unit_matrices._ROWS_AT_ONCE", 4)
    assert UnitMatrices.of(made[0].base).inverse_norms.tolist() == made[0].inverse_norms.tolist()


def test_k_below_one_is_refused(made):
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        made[0].search(np.zeros((1, 17), np.float32), 0)
