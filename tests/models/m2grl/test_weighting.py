"""Task weights against the joint loss they minimise."""

import numpy as np
import pytest

from prismrec.errors import ConfigError
from prismrec.models.contract import TaskLoss
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.weighting import MAX_CHANGE, UNCERTAINTY_RATE, TaskWeights

TASKS = ["item", "category", "item-category"]


def learned():
    return TaskWeights(TASKS, M2GRLConfig())


def losses(*means, n=100):
    return {task: TaskLoss(mean * n, n) for task, mean in zip(TASKS, means, strict=True)}


def joint_loss(log_variances, means):
    """sum_t L_t / (2 sigma_t^2) + log sigma_t, with sigma as in the paper."""
    sigmas = np.sqrt(np.exp(log_variances))
    return sum(loss / (2 * sigma**2) + np.log(sigma) for loss, sigma in zip(means, sigmas, strict=True))


def test_all_tasks_begin_alike_with_half():
    assert learned().current() == dict.fromkeys(TASKS, 0.5)


def test_log_variances_settle_at_the_logarithm_of_the_loss():
    weights, means = learned(), (5.0, 1.0, 0.2)
    for _ in range(400):
        weights.learn(losses(*means))
    np.testing.assert_allclose(weights.log_variances, np.log(means), atol=1e-4)
    assert list(weights.current().values()) == pytest.approx([1 / (2 * mean) for mean in means], rel=1e-4)


def test_weights_are_half_the_inverse_variance():
    weights = learned()
    weights.log_variances[:] = [0.0, np.log(4), -np.log(3)]
    assert list(weights.current().values()) == pytest.approx([0.5, 0.125, 1.5])


def test_a_step_goes_down_the_gradient_of_the_joint_loss():
    weights, means = learned(), np.array([2.0, 0.7, 0.1])
    start = np.array([0.3, -0.2, 0.5])
    weights.log_variances[:] = start
    weights.learn(losses(*means))
    for place in range(len(TASKS)):
        nudge = 1e-5 * np.eye(len(TASKS))[place]
        slope = (joint_loss(start + nudge, means) - joint_loss(start - nudge, means)) / 2e-5
        moved = weights.log_variances[place] - start[place]
        assert moved == pytest.approx(-UNCERTAINTY_RATE * slope, rel=1e-5)


def test_the_loss_per_example_counts_not_its_sum():
    few, many = learned(), learned()
    few.learn(losses(2.0, 2.0, 2.0, n=1))
    many.learn(losses(2.0, 2.0, 2.0, n=1000))
    np.testing.assert_allclose(few.log_variances, many.log_variances)


def test_one_odd_batch_moves_a_task_by_no_more_than_the_bound():
    weights = learned()
    weights.learn(losses(1e9, 1.0, 1.0))
    assert weights.log_variances[0] == MAX_CHANGE


def test_a_task_without_examples_keeps_its_weight():
    weights = learned()
    weights.learn({"item": TaskLoss(0.0, 0), "category": TaskLoss(50.0, 10)})
    assert weights.log_variances[[0, 2]].tolist() == [0, 0]
    assert weights.log_variances[1] > 0


def test_equal_weights_stay():
    weights = TaskWeights(TASKS, M2GRLConfig(task_weights="equal"))
    weights.learn(losses(5.0, 1.0, 0.2))
    assert weights.current() == dict.fromkeys(TASKS, 0.5)


def test_fixed_weights_are_as_given_and_stay():
    fixed = {"item": 1.0, "category": 0.25, "item-category": 0.0}
    weights = TaskWeights(TASKS, M2GRLConfig(task_weights="fixed", fixed_weights=fixed))
    weights.learn(losses(5.0, 1.0, 0.2))
    assert weights.current() == fixed
    assert list(weights.current()) == TASKS


@pytest.mark.parametrize("fixed", [{"item": 1.0}, {"item": 1.0, "category": 1.0, "item-category": 1.0, "shop": 1.0}])
def test_fixed_weights_must_name_exactly_the_tasks(fixed):
    named = ", ".join(sorted(fixed))
    with pytest.raises(ConfigError, match=f"each of the tasks item, category, item-category; it names {named}$"):
        TaskWeights(TASKS, M2GRLConfig(task_weights="fixed", fixed_weights=fixed))
