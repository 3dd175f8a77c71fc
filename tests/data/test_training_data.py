"""What one process learns from, and that the shares of several make up the whole."""

import numpy as np
import pytest

from prismrec.data.prepared import PreparedData, View
from prismrec.data.sequences import Sequences
from prismrec.data.training_data import edges_of, training_data
from prismrec.data.views import mapped
from prismrec.data.vocabulary import Vocabulary


def prepared():
    """Six items, two categories (item 5 has none), sessions that are pieces of two histories."""
    sessions = Sequences.from_lists([[0, 1, 2], [3, 0], [4, 5], [2, 2, 1, 0]])
    histories = Sequences.from_lists([[0, 1, 2, 3, 0], [4, 5, 2, 2, 1, 0]])
    nodes = Sequences.from_lists([[0], [0], [1], [1], [0, 1], []])
    view = View("category", Vocabulary.from_ids(["a", "b"]), nodes, mapped(sessions, nodes))
    items, users = Vocabulary.from_ids(list(range(6))), Vocabulary.from_ids(["x", "y"])
    return PreparedData(items, sessions, users, histories, {"category": view})


def test_everything_of_the_sessions():
    data = prepared()
    whole = training_data(data, "sessions")
    assert whole.view_names == ("item", "category")
    assert whole.n_nodes == {"item": 6, "category": 2}
    assert whole.sequences["item"] is data.sessions
    assert whole.sequences["category"] is data.views["category"].sessions
    assert whole.counts["item"].tolist() == [3, 2, 3, 1, 1, 1]
    assert whole.n_clicks == 11


def test_histories_are_mapped_to_every_view():
    whole = training_data(prepared(), "histories")
    assert whole.sequences["item"].to_lists() == [[0, 1, 2, 3, 0], [4, 5, 2, 2, 1, 0]]
    assert whole.sequences["category"].to_lists() == [[0, 1, 0], [0, 1, 0]]
    assert whole.counts["category"].tolist() == [4, 2]


def test_edges_by_item():
    edges = edges_of(prepared().views["category"].item_nodes)
    assert edges.items.tolist() == [0, 1, 2, 3, 4, 4]
    assert edges.nodes.tolist() == [0, 0, 1, 1, 0, 1]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", ["sessions", "histories"])
def test_shares_make_up_the_whole(size, kind):
    whole = training_data(prepared(), kind)
    shares = [whole.share(rank, size) for rank in range(size)]
    for view in whole.view_names:
        rows = [row for share in shares for row in share.sequences[view].to_lists()]
        assert rows == whole.sequences[view].to_lists()
    for place in range(2):
        together = np.concatenate([share.edges["category"][place] for share in shares])
        assert together.tolist() == whole.edges["category"][place].tolist()
    assert all(share.n_clicks == whole.n_clicks and share.n_nodes == whole.n_nodes for share in shares)
