"""SASRec: attention by loops, no look at the future, what it learns on planted data."""

import math

import numpy as np
import pytest
import torch

from prismrec.config import build
from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError
from prismrec.models.neural.trainable import TorchTraining
from prismrec.models.sequential.configs import SASRecConfig
from prismrec.models.sequential.sasrec import Block, SASRec, SASRecEncoder, SASRecNetwork, SelfAttention

SMALL = {
    "embedding_dim": 16,
    "max_length": 12,
    "batch_places": 256,
    "loss": "softmax",
    "learning_rate": 0.01,
    "dropout": 0.1,
}
UNKNOWN_USERS = np.full(4, -1)


def trained(data, epochs, **changes):
    model = SASRec(SASRecConfig(**{**SMALL, **changes}), data, seed=0, device="cpu")
    training = TorchTraining(model, seed=0)
    for epoch in range(epochs):
        for step in range(training.steps_per_epoch):
            training.step(epoch, step, 0.0)
    return model


def before_and_after(seed=0):
    """Histories in which the item after b depends on whether a or c came before: order and distance matter."""
    rng = np.random.default_rng(seed)
    rows = [[first, 2, 3 + first] for first in rng.integers(0, 2, 200)]
    histories = Sequences.from_lists(rows)
    items = Vocabulary.from_ids(list(range(5)), np.bincount(histories.values, minlength=5))
    return PreparedData(items, histories, Vocabulary.from_ids(list(range(200))), histories)


@pytest.mark.parametrize("n_heads", [1, 2])
def test_attention_is_what_loops_say(n_heads):
    torch.manual_seed(0)
    dim, length = 4, 5
    attention = SelfAttention(dim, n_heads).double()
    x = torch.randn(1, length, dim, dtype=torch.float64)
    w_q, w_k, w_v = attention.queries_keys_values.weight.detach().numpy().reshape(3, dim, dim)
    rows, width = x[0].numpy(), dim // n_heads
    expected = np.zeros((length, dim))
    for head in range(n_heads):
        own = slice(head * width, (head + 1) * width)
        for place in range(length):
            query = (w_q @ rows[place])[own]
            scores = [query @ (w_k @ rows[other])[own] / math.sqrt(width) for other in range(place + 1)]
            weights = np.exp(scores) / np.exp(scores).sum()
            expected[place, own] = sum(w * (w_v @ rows[o])[own] for o, w in enumerate(weights))
    expected = expected @ attention.joined.weight.detach().numpy().T
    np.testing.assert_allclose(attention(x)[0].detach().numpy(), expected, rtol=1e-9)


def test_block_adds_each_part_to_what_entered_it():
    torch.manual_seed(0)
    block = Block(4, 1, dropout=0.0)
    x = torch.randn(2, 3, 4)
    middle = x + block.attention(block.attention_norm(x))
    inner = torch.clamp(block.feed_forward_norm(middle) @ block.inner.weight.T + block.inner.bias, min=0)
    torch.testing.assert_close(block(x), middle + inner @ block.outer.weight.T + block.outer.bias)


def test_network_without_blocks_is_items_and_positions_normed():
    config = SASRecConfig(embedding_dim=4, max_length=3, n_blocks=1, dropout=0.0, batch_places=3)
    network = SASRecNetwork(6, config)
    network.initialise(torch.Generator().manual_seed(0))
    network.blocks = torch.nn.ModuleList()
    x = 2 * network.items[[5, 1]] + network.positions[:2]  # sqrt(4) = 2
    centred = x - x.mean(1, keepdim=True)
    expected = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(network(torch.tensor([[5, 1]]))[0], expected)


def test_no_place_sees_what_follows_it_and_so_no_padding():
    network = SASRecNetwork(9, SASRecConfig(**SMALL)).eval()
    network.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = network(torch.tensor([[1, 2, 3, 4]])), network(torch.tensor([[1, 2, 8, 0]]))
    torch.testing.assert_close(one[:, :2], other[:, :2])
    assert not torch.allclose(one[:, 2:], other[:, 2:])


@pytest.mark.parametrize(("loss", "n_negatives"), [("softmax", 0), ("softmax", 4), ("bce", 1)])
def test_learns_what_only_the_item_before_the_last_tells(loss, n_negatives):
    model = trained(before_and_after(), 15, loss=loss, n_negatives=n_negatives, batch_places=24, dropout=0.0)
    asked = Sequences.from_lists([[0, 2], [1, 2]])
    scores = model.encoder().encode(asked, UNKNOWN_USERS[:2]) @ model.table().target.T
    assert scores[:, 3:].argmax(1).tolist() == [0, 1]
    assert scores.argmax(1).tolist() == [3, 4]


def test_learns_the_next_item_of_the_planted_cycle(planted):
    model = trained(planted(()), 15)
    asked = Sequences.from_lists([[3, 4, 5], [17], [28, 29], [9, 10, 11, 12]])
    scores = model.encoder().encode(asked, UNKNOWN_USERS) @ model.table().target.T
    assert scores.argmax(1).tolist() == [6, 18, 0, 13]


def test_one_by_one_and_together_are_the_same_and_only_the_latest_items_count(planted):
    model = trained(planted(()), 1)
    rows = [[3, 4, 5], [], [1], list(range(20))]
    encode = model.encoder().encode
    together = encode(Sequences.from_lists(rows), UNKNOWN_USERS)
    for row, vector in zip(rows, together, strict=True):
        alone = encode(Sequences.from_lists([row[-12:]]), UNKNOWN_USERS[:1])[0]
        np.testing.assert_allclose(alone, vector, atol=1e-5)
    assert not together[1].any()


def test_user_plays_no_part(planted):
    encode = trained(planted(()), 1).encoder().encode
    asked = Sequences.from_lists([[3, 4, 5]])
    assert (encode(asked, np.array([7])) == encode(asked, np.array([-1]))).all()


def test_stored_and_opened_is_the_same_and_does_not_learn_on(planted):
    model = trained(planted(()), 1, n_heads=2)
    asked = Sequences.from_lists([[3, 4, 5], [6]])
    stored, encoder = model.stored(), model.encoder()
    before = encoder.encode(asked, UNKNOWN_USERS[:2])
    TorchTraining(model, seed=0).step(1, 0, 0.0)
    opened = SASRecEncoder.opened(stored.config, stored.arrays)
    assert not stored.knows_users
    assert (opened.encode(asked, UNKNOWN_USERS[:2]) == before).all()
    assert (encoder.encode(asked, UNKNOWN_USERS[:2]) == before).all()
    assert not (model.encoder().encode(asked, UNKNOWN_USERS[:2]) == before).all()


def test_an_epoch_reads_every_place_once(planted):
    data = planted(())
    model = SASRec(SASRecConfig(**SMALL), data, seed=0, device="cpu")
    examples = [model.objective(0, step).losses["next_item"].n_examples for step in range(model.steps_per_epoch)]
    assert sum(examples) == (data.histories.lengths - 1).sum()


def test_a_fresh_network_finds_all_items_alike(planted):
    data = planted(())
    model = SASRec(SASRecConfig(**SMALL), data, seed=0, device="cpu")
    assert model.objective(0, 0).losses["next_item"].mean == pytest.approx(math.log(len(data.items)), rel=0.02)


def test_a_seed_decides_every_parameter(planted):
    torch.manual_seed(1)
    one = SASRec(SASRecConfig(**SMALL), planted(()), seed=0, device="cpu").network.state_dict()
    torch.manual_seed(2)
    same = SASRec(SASRecConfig(**SMALL), planted(()), seed=0, device="cpu").network.state_dict()
    other = SASRec(SASRecConfig(**SMALL), planted(()), seed=1, device="cpu").network.state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["items"], other["items"])


def test_heads_that_do_not_divide_the_vector_are_refused():
    with pytest.raises(ConfigError, match="embedding_dim = 64 is not a multiple of n_heads = 3"):
        build(SASRecConfig, {"n_heads": 3})
