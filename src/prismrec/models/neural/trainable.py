"""A torch model as the training loop wants it: numbered steps of Adam, and a state of plain arrays.

    m <- b1 m + (1 - b1) g      v <- b2 v + (1 - b2) g^2
    w <- w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

Kingma & Ba, 2015, https://arxiv.org/abs/1412.6980. The moments are part of the state: a resumed run goes on bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from prismrec.models.contract import OwnRows, TaskLoss
from prismrec.models.neural.contract import NeuralModel

Precision = Literal["fp32", "bf16"]

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class TorchTraining:
    """Makes a `NeuralModel` `Trainable`."""

    def __init__(self, model: NeuralModel, *, seed: int, precision: Precision = "fp32") -> None:
        """Bind the model to an optimiser."""
        self.model = model
        self._seed = seed
        self._device = next(model.network.parameters()).device
        self._precision = precision
        self._parameters = list(model.network.parameters())
        self._adam = torch.optim.Adam(self._parameters, lr=model.learning_rate, fused=True)

    @property
    def steps_per_epoch(self) -> int:
        """How many steps make an epoch."""
        return self.model.steps_per_epoch

    def step(self, epoch: int, step: int, progress: float) -> Mapping[str, TaskLoss]:
        """One step of Adam."""
        torch.manual_seed(_step_seed(self._seed, epoch, step))
        self.model.network.train()
        self._adam.zero_grad(set_to_none=True)
        with self._autocast():
            objective = self.model.objective(epoch, step)
        objective.value.backward()
        self._adam.step()
        torch.autograd.graph.increment_version(self._parameters)  # the fused step does not count as a change
        return objective.losses

    def task_weights(self) -> Mapping[str, float]:
        """The current weight of each task."""
        return self.model.task_weights()

    def state(self) -> Mapping[str, NDArray]:
        """Parameters, buffers, and Adam's moments under `adam.<moment>.<parameter>`."""
        arrays = {name: _array(tensor) for name, tensor in self.model.network.state_dict().items()}
        for name, parameter in self.model.network.named_parameters():
            moments = self._adam.state.get(parameter, {})
            for moment in _MOMENTS:
                value = moments.get(moment)
                empty = torch.zeros(()) if moment == "step" else torch.zeros_like(parameter)
                arrays[f"adam.{moment}.{name}"] = _array(empty if value is None else value)
        return arrays

    def own_rows(self) -> Mapping[str, OwnRows]:
        """Nothing is shared out among processes."""
        return {}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state` gave."""
        own = self.model.network.state_dict()
        self.model.network.load_state_dict({name: _tensor(state[name], self._device) for name in own})
        for name, parameter in self.model.network.named_parameters():
            moments: dict[str, Any] = {m: _tensor(state[f"adam.{m}.{name}"], self._device) for m in _MOMENTS}
            self._adam.state[parameter] = moments

    def _autocast(self) -> Any:
        if self._precision == "fp32":
            return nullcontext()
        return torch.autocast(self._device.type, dtype=torch.bfloat16)


def _step_seed(seed: int, epoch: int, step: int) -> int:
    return int(np.random.default_rng([seed, epoch, step]).integers(2**63))


def _array(tensor: torch.Tensor) -> NDArray:
    array: NDArray = tensor.detach().cpu().numpy()
    return array


def _tensor(array: NDArray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.array(array)).to(device)


__all__ = ["Precision", "TorchTraining"]
