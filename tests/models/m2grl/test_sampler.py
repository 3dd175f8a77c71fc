"""The sampler of a process's share: which examples, and which noise."""

import numpy as np
import pytest

from prismrec.config import build
from prismrec.data.sequences import Sequences
from prismrec.data.training_data import TrainingData, edges_of
from prismrec.errors import ConfigError
from prismrec.models.m2grl.batches import draw_inter_batch, draw_intra_batch
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.sampler import EDGE_PASSES, Sampler, build_sampler, hard_groups, noise_tables

ITEM_NODES = Sequences.from_lists([[0], [0, 1], [1], [0], []])


def data_of():
    sequences = {"item": Sequences.from_lists([[0, 1, 2], [3, 4], [1]]), "c": Sequences.from_lists([[0, 1, 0]])}
    counts = {"item": np.array([90, 50, 9, 4, 1]), "c": np.array([7, 3])}
    return TrainingData({"item": 5, "c": 2}, sequences, counts, {"c": edges_of(ITEM_NODES)}, {"c": ITEM_NODES})


def assert_equal(one, other):
    for name in one._fields:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_an_epoch_meets_each_sequence_once_and_each_edge_once_per_side():
    sampler = Sampler(build(M2GRLConfig, {}), data_of())
    assert (sampler.n_sequences("item"), sampler.n_sequences("c")) == (3, 1)
    assert sampler.n_edges("c") == EDGE_PASSES * 5


def test_examples_of_a_view_come_from_its_own_sequences_and_noise():
    config = build(M2GRLConfig, {"negatives": 4, "negative_power": 1.0})
    data = data_of()
    noise = noise_tables(config, data)
    for view, chosen in (("item", np.array([1, 0])), ("c", np.array([0]))):
        expected = draw_intra_batch(data.sequences[view], chosen, config, noise[view], (1, 2))
        assert_equal(Sampler(config, data).intra(view, chosen, (1, 2)), expected)


def test_edges_are_counted_through_twice_and_have_half_the_negatives():
    config = build(M2GRLConfig, {"negatives": 5})
    batch = Sampler(config, data_of()).inter("c", np.array([0, 5, 9, 4]), (1, 2))
    assert batch.anchors.tolist() == [0, 0, 3, 3]
    assert batch.contexts.tolist() == [0, 0, 0, 0]
    assert batch.negatives.shape == (4, 2)
    expected = draw_inter_batch(batch.anchors, batch.contexts, 2, noise_tables(config, data_of())["c"], (1, 2))
    assert_equal(batch, expected)


def test_hard_negatives_come_from_the_groups_of_the_item_view_alone():
    config = build(M2GRLConfig, {"hard_negatives": 1.0, "hard_view": "c", "negatives": 20})
    batch = Sampler(config, data_of()).intra("item", np.arange(3), (1, 2))
    for anchor, negatives in zip(batch.anchors, batch.negatives, strict=True):
        members = {0: {0, 1, 3}, 1: {0, 1, 2, 3}, 2: {1, 2}, 3: {0, 1, 3}}[int(anchor)]
        assert set(negatives.tolist()) <= members
    nodes = Sampler(config, data_of()).intra("c", np.array([0]), (1, 2))
    plain = Sampler(build(M2GRLConfig, {"negatives": 20}), data_of()).intra("c", np.array([0]), (1, 2))
    assert_equal(nodes, plain)


def test_no_groups_without_hard_negatives():
    assert hard_groups(build(M2GRLConfig, {}), data_of()) is None


def test_order_of_an_epoch_is_the_permutation():
    order = np.array([2, 0, 1])
    assert Sampler(build(M2GRLConfig, {}), data_of()).order(order, "item") is order


def test_hard_view_that_is_no_view_is_refused():
    config = build(M2GRLConfig, {"hard_negatives": 0.5, "hard_view": "item"})
    with pytest.raises(ConfigError, match=r"model\.hard_view = 'item' is no view; views are c"):
        Sampler(config, data_of())


def test_the_cpu_has_the_compiled_sampler():
    assert isinstance(build_sampler(build(M2GRLConfig, {}), data_of(), "cpu"), Sampler)


def test_cuda_without_a_device_is_an_error_and_no_sampler_of_the_cpu(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="torch finds no CUDA device"):
        build_sampler(build(M2GRLConfig, {}), data_of(), "cuda")
