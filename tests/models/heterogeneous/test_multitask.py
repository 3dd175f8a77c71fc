"""Experts with gates against their equations; learned weights against what they should settle at."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from prismrec.models.heterogeneous.multitask import AutomaticWeights, GatedExperts


def mixture(dim: int = 3, n_experts: int = 2, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    made = GatedExperts(["a", "b"], ["user", "item"], dim, n_experts, generator)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made.double()


def test_mixture_equals_the_equations_number_by_number():
    made = mixture().requires_grad_(False)  # torch warns, once in each process, of scalars that have gradients
    vectors = torch.tensor([[0.5, -1.0, 2.0], [0.0, 0.3, -0.7]], dtype=torch.float64)
    for task in ("a", "b"):
        for node_type in ("user", "item"):
            found = made(task, node_type, vectors).detach().numpy()
            for row, h in enumerate(vectors.tolist()):
                experts = [
                    [math.tanh(sum(h[a] * float(made.experts[i, a, b]) for a in range(3)) + float(made.biases[i, b]))
                     for b in range(3)]
                    for i in range(2)
                ]  # fmt: skip
                logits = [sum(h[a] * float(made.gates[task][i, a]) for a in range(3)) for i in range(2)]
                gates = [math.exp(x) / sum(map(math.exp, logits)) for x in logits]  # (13)
                mixed = [sum(gates[i] * experts[i][b] for i in range(2)) for b in range(3)]  # (12)
                share = 1 / (1 + math.exp(-float(made.shares[task][node_type])))
                expected = [share * h[b] + (1 - share) * mixed[b] for b in range(3)]  # (14)
                np.testing.assert_allclose(found[row], expected, rtol=1e-10)


def test_fresh_gates_are_even():
    made = GatedExperts(["a"], ["user"], 2, 4, torch.Generator().manual_seed(0))
    vectors = torch.tensor([[0.2, -0.4]])
    outputs = torch.tanh(torch.einsum("nd,xde->xne", vectors, made.experts)).mean(0)
    share = 1 / (1 + math.exp(-1))
    torch.testing.assert_close(made("a", "user", vectors), share * vectors + (1 - share) * outputs)


def test_tasks_have_gates_of_their_own_and_share_experts():
    made = mixture()
    vectors = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(made("a", "user", vectors), made("b", "user", vectors))
    made("a", "user", vectors).sum().backward()
    assert made.experts.grad.abs().sum() > 0
    assert made.gates["a"].grad.abs().sum() > 0
    assert made.gates["b"].grad is None


def test_weighted_sum_and_its_gradient_by_hand():
    weights = AutomaticWeights(["links", "clicks"])
    with torch.no_grad():
        weights.log_variances["links"].fill_(math.log(4))  # s^2 = 4
    losses = {"links": torch.tensor(6.0, requires_grad=True), "clicks": torch.tensor(2.0, requires_grad=True)}
    total = weights(losses)
    assert float(total.detach()) == pytest.approx(6 / 4 + math.log(2) + 2 / 1 + 0)  # log s = log 2
    total.backward()
    assert float(losses["links"].grad) == pytest.approx(1 / 4)
    assert float(weights.log_variances["links"].grad) == pytest.approx(-6 / 4 + 1 / 2)
    assert float(weights.log_variances["clicks"].grad) == pytest.approx(-2 + 1 / 2)
    assert weights.current() == pytest.approx({"links": 1 / 4, "clicks": 1.0})


def test_weight_rests_at_half_of_one_over_the_loss():
    weights = AutomaticWeights(["a", "b"])
    losses = {"a": 5.0, "b": 0.5}
    with torch.no_grad():
        for task, loss in losses.items():
            weights.log_variances[task].fill_(math.log(2 * loss))
    weights({task: torch.tensor(loss) for task, loss in losses.items()}).backward()
    assert weights.current() == pytest.approx({"a": 1 / 10, "b": 1.0})
    for value in weights.log_variances.values():
        assert float(value.grad) == pytest.approx(0.0, abs=1e-6)


def test_task_without_a_loss_in_a_step_is_left_alone():
    weights = AutomaticWeights(["a", "b"])
    weights({"a": torch.tensor(2.0)}).backward()
    assert weights.log_variances["b"].grad is None
