"""The normalised graph of users and items: its entries, its product, the gradient of it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.models.collaborative.adjacency import UserItemGraph


def dense(histories, n_items):
    """A_hat, entry by entry."""
    n_users = len(histories)
    adjacency = np.zeros((n_users + n_items, n_users + n_items))
    for user, items in enumerate(histories):
        for item in items:
            adjacency[user, n_users + item] = adjacency[n_users + item, user] = 1
    degrees = adjacency.sum(1)
    for one, other in np.argwhere(adjacency):
        adjacency[one, other] /= np.sqrt(degrees[one] * degrees[other])
    return adjacency


def matrix_of(graph):
    return graph.product(torch.eye(graph.n_nodes)).numpy()


def test_entries_are_one_over_the_root_of_both_degrees(small):
    graph = UserItemGraph(small, "cpu")
    root = np.sqrt(2)
    expected = np.zeros((7, 7), np.float32)
    expected[0, [3, 4]] = [1 / root, 1 / 2]  # u0: i0 of degree 1, i1 of degree 2
    expected[1, [4, 5]] = [1 / 2, 1 / root]
    np.testing.assert_allclose(matrix_of(graph), expected + expected.T, rtol=1e-6)


def test_an_item_had_twice_is_one_edge(small):
    graph = UserItemGraph(small, "cpu")
    assert graph.degrees.tolist() == [2, 2, 0, 1, 2, 1, 0]
    assert graph.indptr.tolist() == [0, 2, 4, 4, 5, 7, 8, 8]
    assert graph.neighbours.tolist() == [3, 4, 4, 5, 0, 0, 1, 1]


def test_who_has_no_edge_receives_nothing(small):
    received = UserItemGraph(small, "cpu").product(torch.ones(7, 2))
    assert not received[[2, 6]].any()
    assert received[[0, 1, 3, 4, 5]].all()


@given(st.lists(st.lists(st.integers(0, 5), max_size=8), min_size=1, max_size=6).filter(any), st.integers(0, 2**31))
def test_product_and_gradient_are_those_of_the_dense_matrix(make_log, histories, seed):
    graph = UserItemGraph(make_log(histories, 6), "cpu")
    matrix = torch.from_numpy(dense(histories, 6)).float()
    generator = torch.Generator().manual_seed(seed)
    vectors, outer = (torch.randn(graph.n_nodes, 3, generator=generator) for _ in range(2))
    vectors.requires_grad_()
    product = graph.product(vectors)
    torch.testing.assert_close(product, matrix @ vectors)
    (gradient,) = torch.autograd.grad(product, vectors, outer)
    torch.testing.assert_close(gradient, matrix.T @ outer)


def test_product_is_that_of_lgconv(groups, geometric):
    graph = UserItemGraph(groups, "cpu")
    rows = np.repeat(np.arange(graph.n_nodes), graph.degrees)
    edges = torch.from_numpy(np.stack([graph.neighbours.astype(np.int64), rows]))
    vectors = torch.randn(graph.n_nodes, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(graph.product(vectors), geometric.LGConv()(vectors, edges))


def test_product_stays_in_float32_under_autocast(small):
    graph = UserItemGraph(small, "cpu")
    vectors = torch.randn(7, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    plain = graph.product(vectors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = graph.product(vectors)
        product.sum().backward()
        assert graph.product(vectors.bfloat16()).dtype == torch.float32
    assert torch.equal(product, plain)
    assert vectors.grad.dtype == torch.float32


def test_split_is_users_then_items(small):
    users, items = UserItemGraph(small, "cpu").split(torch.arange(7))
    assert (users.tolist(), items.tolist()) == ([0, 1, 2], [3, 4, 5, 6])


def test_edges_alone_take_memory():
    """300,000 x 300,000 numbers would be 360 GB."""
    n = 300_000
    rows = Sequences.from_lengths(np.arange(n), np.ones(n, np.int64))
    ids = Vocabulary.from_ids(np.arange(n), np.ones(n))
    graph = UserItemGraph(PreparedData(ids, rows, ids, rows), "cpu")
    vectors = torch.randn(2 * n, 1, generator=torch.Generator().manual_seed(1))
    assert torch.equal(graph.product(vectors), torch.cat([vectors[n:], vectors[:n]]))


def test_log_without_interactions_is_refused(make_log):
    with pytest.raises(DataError, match="no interactions: there is no graph of users and items"):
        UserItemGraph(make_log([[], []], 3), "cpu")
