"""Four losses by hand: one true triple, two or three candidates of which one may be hidden."""

from math import exp, log

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from prismrec.models.knowledge.link_losses import link_losses  # noqa: E402

TRUE, NEGATIVES = 2.0, [1.0, 3.0, 50.0]
HIDDEN = [False, False, True]


def sigmoid(x):
    return 1 / (1 + exp(-x))


def loss(name, *, n_entities=3, margin=0.5, temperature=2.0, hidden=HIDDEN):
    found = link_losses(
        name, torch.tensor([TRUE]), torch.tensor([NEGATIVES]), torch.tensor([hidden]), n_entities, margin, temperature
    )
    assert found.shape == (1,)
    return found.item()


def test_softmax_is_the_cross_entropy_over_all_entities():
    assert loss("softmax") == pytest.approx(-2 + log(exp(2) + exp(1) + exp(3)), rel=1e-6)


def test_softmax_over_some_entities_counts_each_for_those_that_it_stands_for():
    expected = -2 + log(exp(2) + (31 - 1) / 3 * (exp(1) + exp(3)))
    assert loss("softmax", n_entities=31) == pytest.approx(expected, rel=1e-6)


def test_sampled_softmax_is_the_whole_one_on_average():
    generator, scores = torch.Generator().manual_seed(0), torch.linspace(-1, 1, 400)
    hidden = torch.zeros(1, 100, dtype=torch.bool)
    whole = torch.logsumexp(torch.cat([torch.tensor([1.5]), scores]), 0) - 1.5
    draws = [
        link_losses("softmax", torch.tensor([1.5]), scores[torch.randperm(400, generator=generator)[None, :100]],
                    hidden, 401, 1.0, 1.0)
        for _ in range(200)
    ]  # fmt: skip
    assert torch.cat(draws).mean().item() == pytest.approx(whole.item(), rel=2e-3)


def test_self_adversarial_weighs_negatives_by_their_own_softmax():
    weights = np.exp([2.0, 6.0]) / np.exp([2.0, 6.0]).sum()
    expected = -log(sigmoid(2.5)) - weights[0] * log(sigmoid(-1.5)) - weights[1] * log(sigmoid(-3.5))
    assert loss("self_adversarial") == pytest.approx(expected / 2, rel=1e-5)


def test_weights_of_self_adversarial_have_no_gradient():
    negatives = torch.tensor([[1.0, 3.0]], requires_grad=True)
    hidden = torch.zeros(1, 2, dtype=torch.bool)
    link_losses("self_adversarial", torch.tensor([2.0]), negatives, hidden, 2, 0.5, 2.0).sum().backward()
    weights = torch.softmax(torch.tensor([2.0, 6.0]), 0)
    assert torch.allclose(negatives.grad[0], weights * torch.sigmoid(0.5 + negatives.detach()[0]) / 2, atol=1e-6)


def test_logistic_is_the_mean_of_both_halves():
    expected = (log(1 + exp(-2)) + (log(1 + exp(1)) + log(1 + exp(3))) / 2) / 2
    assert loss("logistic") == pytest.approx(expected, rel=1e-6)


def test_margin_counts_only_negatives_that_come_too_near():
    assert loss("margin") == pytest.approx((0 + (0.5 - 2 + 3)) / 2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("softmax", 0.0),
        ("margin", 0.0),
        ("logistic", log(1 + exp(-2)) / 2),
        ("self_adversarial", -log(sigmoid(2.5)) / 2),
    ],
)
def test_triple_whose_candidates_are_all_hidden_has_its_own_term_alone(name, expected):
    assert loss(name, hidden=[True] * 3) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["softmax", "self_adversarial", "logistic", "margin"])
def test_hidden_candidates_have_no_gradient_and_others_push_down(name):
    base = torch.tensor([[1.0, 3.0, 2.9]], requires_grad=True)
    hidden = torch.tensor([[False, False, True]])
    link_losses(name, torch.tensor([2.0]), base * 1.0, hidden, 3, 1.5, 1.0).sum().backward()
    assert base.grad[0, 2] == 0
    assert (base.grad[0, :2] > 0).all()
