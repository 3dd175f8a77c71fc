"""A trained model out of the arrays of its state."""

import numpy as np

from prismrec.models.m2grl.stored import StoredM2GRL
from prismrec.models.m2grl.tables import initial_state


def test_tables_are_the_arrays_themselves_and_matrices_go_by_name():
    state = initial_state({"item": 5, "shop": 2, "brand": 2}, 4, ["shop"], seed=0)
    model = StoredM2GRL(state, ["item", "shop", "brand"])
    assert list(model.tables()) == ["item", "shop", "brand"]
    assert model.tables()["shop"].source is state["shop.source"]
    assert model.tables()["item"].target is state["item.target"]
    assert set(model.alignments()) == {"shop.alignment_source", "shop.alignment_target"}
    np.testing.assert_array_equal(model.alignments()["shop.alignment_source"], np.eye(4))
