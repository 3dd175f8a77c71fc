"""Steps of Adam by hand, and the state that a run goes on from."""

from typing import Any

import numpy as np
import pytest
import torch

from prismrec.models.contract import TaskLoss
from prismrec.models.neural.contract import Objective
from prismrec.models.neural.trainable import TorchTraining


class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        self.dropout = torch.nn.Dropout(0.5)
        self.register_buffer("seen", torch.zeros(1))


class Toy:
    """Objective: sum of (slope x)^2, x the number of the step; with `noisy`, dropout on top."""

    learning_rate = 0.1
    steps_per_epoch = 3

    def __init__(self, *, noisy=False):
        self.network = Line()
        self.noisy = noisy
        self.dtypes = []

    def objective(self, epoch, step):
        self.network.seen += 1
        slope = self.network.dropout(self.network.slope) if self.noisy else self.network.slope
        self.dtypes.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
        value = (slope * (step + 1)).square().sum()
        return Objective(value, {"fit": TaskLoss(float(value.detach()), 2)})

    def task_weights(self):
        return {"fit": 1.0}


def training_of(model: Any, seed: int = 0, **settings: Any) -> TorchTraining:
    """The toy has only the methods that training calls."""
    return TorchTraining(model, seed=seed, **settings)


def adam(weights, gradients, rate=0.1, b1=0.9, b2=0.999, eps=1e-8):
    """The docstring's formula, in numpy."""
    m = v = np.zeros_like(weights)
    for t, gradient in enumerate(gradients, 1):
        g = gradient(weights)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        weights = weights - rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return weights


def test_steps_are_adams():
    model = Toy()
    training = training_of(model, seed=0)
    for step in range(3):
        training.step(0, step, 0.0)
    expected = adam(np.array([1.0, -2.0]), [lambda w, x=step + 1: 2 * w * x**2 for step in range(3)])
    np.testing.assert_allclose(model.network.slope.detach().numpy(), expected, rtol=1e-5)


def test_a_step_reports_the_losses_before_it():
    losses = training_of(Toy(), seed=0).step(0, 1, 0.0)
    assert losses["fit"].total == pytest.approx((1 + 4) * 4)
    assert losses["fit"].mean == pytest.approx(10)


def test_dropout_is_the_same_for_the_same_numbers_alone():
    def taken(seed, epoch, step):
        return training_of(Toy(noisy=True), seed=seed).step(epoch, step, 0.0)["fit"].total / (step + 1) ** 2

    outcomes = {
        numbers: taken(*numbers) for numbers in [(s, e, n) for s in range(3) for e in range(3) for n in range(3)]
    }
    assert all(taken(*numbers) == found for numbers, found in outcomes.items())
    assert len(set(outcomes.values())) > 1


def test_a_restored_training_takes_the_same_steps():
    whole, first, second = (training_of(Toy(noisy=True), seed=2) for _ in range(3))
    for step in range(3):
        whole.step(0, step, 0.0)
    first.step(0, 0, 0.0)
    second.restore({name: np.array(array) for name, array in first.state().items()})
    for step in (1, 2):
        second.step(0, step, 0.0)
    states = [{name: array.tobytes() for name, array in training.state().items()} for training in (whole, second)]
    assert states[0] == states[1]


def test_the_state_holds_parameters_buffers_and_moments_from_the_start():
    training = training_of(Toy(), seed=0)
    names = {"slope", "seen", "adam.exp_avg.slope", "adam.exp_avg_sq.slope", "adam.step.slope"}
    assert set(training.state()) == names
    training.step(0, 0, 0.0)
    assert set(training.state()) == names
    assert training.state()["adam.step.slope"] == 1
    assert training.own_rows() == {}


def test_a_step_counts_as_a_change_of_the_parameters():
    model = Toy()
    training = training_of(model, seed=0)
    before = model.network.slope._version
    training.step(0, 0, 0.0)
    assert model.network.slope._version > before  # what is cached by version is made anew


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_have_the_precision_that_is_asked_for_parameters_32_bits(precision, dtype):
    model = Toy()
    training_of(model, seed=0, precision=precision).step(0, 0, 0.0)
    assert model.dtypes == [dtype]
    assert model.network.slope.dtype == torch.float32


def test_the_model_says_how_many_steps_and_weights_there_are():
    training = training_of(Toy(), seed=0)
    assert training.steps_per_epoch == 3
    assert training.task_weights() == {"fit": 1.0}
