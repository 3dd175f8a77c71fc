"""A small real model for the tests of the loop, and a program that trains it and can be killed.

Two least-squares tasks share one weight vector; each task's weight is learned from its own variance. Batches are
drawn from (seed, epoch, step) alone, as the contract asks. Run as a program: `python toy.py RUN_FOLDER RESULT
[--resume] [--patience N] [--kill-at CALL NUMBER]`; CALL is a function that writing a checkpoint goes through, and
the program ends itself by SIGKILL when it is called for that time.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from prismrec.models.contract import TaskLoss
from prismrec.training import loop

N_FEATURES = 8
N_ROWS = 200
BATCH = 16


class TwoTasks:
    """Linear regression of two targets by one weight vector.

    `before_step` is called with (epoch, step): for tests that let something happen at an exact moment.
    """

    def __init__(self, seed=0, learning_rate=0.1, steps=10, before_step=None):
        rng = np.random.default_rng(99)
        self.features = rng.standard_normal((N_ROWS, N_FEATURES)).astype(np.float32)
        truth = rng.standard_normal(N_FEATURES).astype(np.float32)
        noise = rng.standard_normal((2, N_ROWS)).astype(np.float32) * np.array([[0.1], [2.0]], np.float32)
        self.targets = self.features @ truth + noise
        self.seed = seed
        self.learning_rate = learning_rate
        self.steps_per_epoch = steps
        self.before_step = before_step
        self.taken = []
        self.weights = np.zeros(N_FEATURES, np.float32)
        self.log_variance = np.zeros(2, np.float32)

    def step(self, epoch, step, progress):
        if self.before_step:
            self.before_step(epoch, step)
        self.taken.append((epoch, step, progress))
        rows = np.random.default_rng((self.seed, epoch, step)).choice(N_ROWS, BATCH, replace=False)
        x = self.features[rows]
        rate = np.float32(self.learning_rate * (1 - progress))
        losses = {}
        for number, task in enumerate(("precise", "noisy")):
            residual = x @ self.weights - self.targets[number, rows]
            mean_square = np.mean(residual**2)
            precision = np.exp(-self.log_variance[number])
            self.weights -= rate * precision * (x.T @ residual) / np.float32(BATCH)
            self.log_variance[number] -= rate * np.float32(0.5) * (1 - precision * mean_square)
            losses[task] = TaskLoss(float(mean_square) * BATCH, BATCH)
        return losses

    def task_weights(self):
        precise, noisy = np.exp(-self.log_variance)
        return {"precise": float(precise), "noisy": float(noisy)}

    def state(self):
        return {"weights": self.weights, "log/variance": self.log_variance}

    def own_rows(self):
        return {}

    def restore(self, state):
        self.weights[:] = state["weights"]
        self.log_variance[:] = state["log/variance"]

    def error(self):
        """Negative mean square error on all rows of the precise task: a validation metric, higher is better."""
        return -float(np.mean((self.features @ self.weights - self.targets[0]) ** 2))


def kill_at(call, number):
    """Let the process kill itself, as `kill -9` would, when it calls `call` (os.fsync, shutil.rmtree) that time."""
    module, name = call.split(".")
    module = sys.modules[module]
    original = getattr(module, name)
    calls = 0

    def deadly(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(module, name, deadly)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--patience", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--step-seconds", type=float, default=0.0)
    parser.add_argument("--kill-at", nargs=2)
    options = parser.parse_args()
    if options.kill_at:
        kill_at(options.kill_at[0], int(options.kill_at[1]))

    def announce(epoch, step):
        print(epoch, step, flush=True)
        time.sleep(options.step_seconds)

    model = TwoTasks(before_step=announce)
    settings = loop.TrainingSettings(epochs=options.epochs, patience=options.patience, checkpoint_minutes=1e-9)
    try:
        log = loop.train(model, settings, run_folder=options.run_folder, validate=model.error, resume=options.resume)
    except loop.TrainingInterrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.exit_code)
    options.result.write_text(log.to_json())
    np.savez(options.result.with_suffix(".npz"), **{name.replace("/", "."): a for name, a in model.state().items()})


if __name__ == "__main__":
    main()
