"""Two tasks as one objective: the right losses, weighed, and gradients of the tasks whose turn it is alone."""

import pytest
import torch

from prismrec.models.contract import TaskLoss
from prismrec.models.neural.scheduled import ScheduledTasks, Task
from prismrec.models.neural.schedules import ScheduleSettings


@pytest.fixture
def parameters():
    return {"main": torch.tensor(2.0, requires_grad=True), "side": torch.tensor(3.0, requires_grad=True)}


def task(name, parameter, n_batches):
    def loss(epoch, number):
        value = parameter * (10 * epoch + number + 1)
        return value, TaskLoss(float(value.detach()) * 4, 4)

    return Task(name, n_batches, loss)


def scheduled(parameters, **settings):
    return ScheduledTasks(
        ScheduleSettings(**settings), task("clicks", parameters["main"], 2), task("triples", parameters["side"], 3)
    )


def test_joint_sums_both_losses_with_the_weight_of_the_side_task(parameters):
    tasks = scheduled(parameters, kind="joint", side_weight=0.5)
    found = tasks.objective(1, 0)  # main: epoch 1, batch 0; side: its third batch, number 2 of epoch 0
    assert found.value.item() == 2 * 11 + 0.5 * 3 * 3
    assert {name: loss.mean for name, loss in found.losses.items()} == {"clicks": 22, "triples": 9}
    found.value.backward()
    assert (parameters["main"].grad, parameters["side"].grad) == (11, 1.5)
    assert tasks.task_weights() == {"clicks": 1.0, "triples": 0.5}


def test_alternating_leaves_the_other_task_without_a_gradient(parameters):
    tasks = scheduled(parameters, kind="alternating", interval=3, side_weight=0.5)
    assert tasks.steps_per_epoch == 3
    steps = [tasks.objective(0, step) for step in range(3)]
    assert [list(step.losses) for step in steps] == [["clicks"], ["clicks"], ["triples"]]
    steps[2].value.backward()
    assert parameters["main"].grad is None
    assert parameters["side"].grad == 1, "the weight is that of a step with both"
    assert tasks.task_weights() == {"clicks": 1.0, "triples": 1.0}


def test_sequential_goes_from_one_to_the_other(parameters):
    tasks = scheduled(parameters, kind="sequential", side_epochs=1)
    assert [list(tasks.objective(epoch, 0).losses) for epoch in range(2)] == [["triples"], ["clicks"]]


def test_one_task_alone_has_all_steps(parameters):
    tasks = ScheduledTasks(ScheduleSettings(), task("clicks", parameters["main"], 2))
    assert tasks.steps_per_epoch == 2
    assert list(tasks.objective(5, 1).losses) == ["clicks"]
    assert tasks.task_weights() == {"clicks": 1.0}
