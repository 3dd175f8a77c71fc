"""RecBole's own models on a log of ours, for `bench_models.py`: its data, its losses, its loop over batches.

RecBole 1.2.1 (pip install --no-deps recbole==1.2.1 thop texttable colorlog) is older than NumPy 2 and pandas 3. Nothing
of it is changed: NumPy gets its removed names back before RecBole is imported, and RecBole's quick start, which needs
ray, is left alone.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

MODELS = {"mf": "BPR", "lightgcn": "LightGCN", "ngcf": "NGCF", "sasrec": "SASRec", "gru4rec": "GRU4Rec", "hgn": "HGN"}
"""Its name of those that PrismRec has too."""

SOFTMAX = ("SASRec", "GRU4Rec")
"""Models whose default loss is a softmax over the catalogue: they refuse drawn negatives."""

REMOVED_FROM_NUMPY = {"float_": np.float64, "complex_": np.complex128, "unicode_": np.str_}


class BatchesUntil:
    """A loader that ends early at a moment, and counts what it gave."""

    def __init__(self, loader: Any, end: float) -> None:
        self._loader = loader
        self._end = end
        self.n_given = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader:
            yield batch
            self.n_given += 1
            if perf_counter() >= self._end:
                return


def train(log: pa.Table, model: str, seconds: float, patience: int, threads: int) -> dict[str, Any]:
    """Train one of its models with its defaults until `patience` epochs brought nothing, or time is over.

    Args:
        log: user_id, item_id, timestamp. Of each user the last row is left out and the one before validates.

    Returns:
        per epoch the seconds in steps, the validation NDCG@10, and the seconds since the start; how much of the first
        epoch was done.
    """
    import torch

    torch.set_num_threads(threads)
    for name, type_ in REMOVED_FROM_NUMPY.items():
        setattr(np, name, type_)
    with (
        tempfile.TemporaryDirectory() as folder,
        chdir(folder),
        warnings.catch_warnings(),
    ):  # it writes logs where it is
        warnings.simplefilter("ignore")
        trainer, batches, validation = _prepared(log, model, Path(folder))
        return _epochs(trainer, batches, validation, seconds, patience)


def _prepared(log: pa.Table, model: str, folder: Path) -> tuple[Any, Any, Any]:
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_seed

    place = folder / "log" / "log.inter"
    place.parent.mkdir()
    typed = log.rename_columns(["user_id:token", "item_id:token", "timestamp:float"])
    csv.write_csv(typed, place, csv.WriteOptions(delimiter="\t", quoting_style="none", quoting_header="none"))
    sys.argv = sys.argv[:1]  # RecBole would read the arguments of this program
    config = Config(
        model=model,
        dataset="log",
        config_dict={
            "data_path": str(folder), "checkpoint_dir": str(folder),
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"},
            "metrics": ["NDCG"], "topk": [10], "valid_metric": "NDCG@10",
            "use_gpu": False, "show_progress": False, "state": "ERROR", "embedding_size": 64,
            **({"train_neg_sample_args": None} if model in SOFTMAX else {}),
        },
    )  # fmt: skip
    init_seed(0, True)
    dataset = create_dataset(config)
    train_data, valid_data, _ = data_preparation(config, dataset)
    built = get_model(model)(config, train_data.dataset)
    return get_trainer(config["MODEL_TYPE"], model)(config, built), train_data, valid_data


def _epochs(trainer: Any, batches: Any, validation: Any, seconds: float, patience: int) -> dict[str, Any]:
    began, epochs, share = perf_counter(), list[dict[str, float]](), 1.0
    while True:
        start = perf_counter()
        part = BatchesUntil(batches, began + seconds)
        trainer._train_epoch(part, len(epochs), show_progress=False)
        in_steps = perf_counter() - start
        if part.n_given < len(part):
            if not epochs:
                share = part.n_given / len(part)
                epochs.append({"seconds": in_steps / share})
            break
        score = trainer._valid_epoch(validation, show_progress=False)[0]
        epochs.append({"seconds": in_steps, "validation": float(score), "elapsed": perf_counter() - began})
        scores = [epoch["validation"] for epoch in epochs]
        if len(scores) - 1 - scores.index(max(scores)) >= patience:
            return {"epochs": epochs, "share_of_first": 1.0, "converged": True}
    return {"epochs": epochs, "share_of_first": share, "converged": False}


__all__ = ["MODELS", "train"]
