import numpy as np
import pytest
import scipy.sparse as sp

from prismrec.models.item_products import both_ways, gram_matrix


@pytest.fixture
def user_item():
    return sp.csr_array(sp.random_array((40, 12), density=0.3, rng=np.random.default_rng(1), dtype=np.float32))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-6), ("float32", 1e-5)])
def test_the_gram_matrix_is_the_product_of_the_columns(user_item, dtype, tolerance):
    gram = gram_matrix(user_item, dtype)
    dense = user_item.toarray().astype(np.float64)
    assert gram.dtype == dtype
    np.testing.assert_allclose(gram, dense.T @ dense, rtol=tolerance)


def test_both_ways_hold_the_same_matrix(user_item):
    both = both_ways(user_item)
    by_items = sp.csr_array((both.item_weights, both.item_users, both.item_indptr), shape=(12, 40))
    assert (by_items.T.toarray() == user_item.toarray()).all()
