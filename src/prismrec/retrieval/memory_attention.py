"""What MA-GNN's users and items read from its memory: the weights of equation (5), as a table and as a picture.

    w_um = softmax_m(z_u . k_m)

Each slot of the memory is a latent interest that all users share; users, and items, that are alike should read the
same slots (Ma et al., AAAI 2020, section 4.7, https://arxiv.org/abs/1912.11730). z_u comes from the items before the
last |L| of a history; that of an item is what a history of it alone would give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError, DataError, MissingExtraError
from prismrec.models.algorithms import open_encoder
from prismrec.retrieval.bundle import Bundle

ID, SLOT, WEIGHT = "id", "slot", "weight"


def user_memory_attention(bundle: Bundle, histories: Mapping[Any, Sequence[Any]]) -> pa.Table:
    """How much each user reads of each slot.

    Args:
        bundle: of a trained MA-GNN.
        histories: user id -> item ids in time order, the latest last; ids that the bundle does not know are left out.

    Returns:
        columns id, slot (int32, from 0), weight (float32): one row per user and slot; weights of a user add up to 1.

    Raises:
        ConfigError: the bundle is of another model, or of an MA-GNN without memory.
        DataError: no user is asked for.
        MissingExtraError: torch is not installed.
    """
    items, users = bundle.items, bundle.contents.users
    rows = [items.find_all(list(history)) for history in histories.values()]
    known = Sequences.from_lists([row[row != UNKNOWN] for row in rows])
    owners = np.full(len(rows), UNKNOWN, np.int64) if users is None else users.find_all(list(histories))
    return _table(list(histories), _weights(bundle, known, owners))


def item_memory_attention(bundle: Bundle, item_ids: Sequence[Any]) -> pa.Table:
    """How much a user of whom one item alone is known would read of each slot; columns as of `user_memory_attention`.

    Raises:
        UnknownIdError: the bundle does not know an item.
        ConfigError, DataError, MissingExtraError: as there.
    """
    indices = [bundle.items.index_of(item_id) for item_id in item_ids]
    near = _memory_config(bundle)["windows"]["near"]
    histories = Sequences.from_lists([[index] * (1 + near) for index in indices])  # the last |L| are not read
    return _table(list(item_ids), _weights(bundle, histories, np.full(len(indices), UNKNOWN, np.int64)))


def write_memory_attention(table: pa.Table, path: str | Path) -> None:
    """Write the weights to a `.csv` or `.parquet` file.

    Raises:
        ConfigError: the name ends otherwise.
    """
    path = Path(path)
    if path.suffix == ".csv":
        pa_csv.write_csv(table, path)
    elif path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        raise ConfigError(f"memory attention is written to a .csv or .parquet file, not to {path.name!r}")


def plot_memory_attention(table: pa.Table, path: str | Path, names: Mapping[Any, str] | None = None) -> None:
    """Draw one row per id and one column per slot, as a picture in the format that the name of the file ends with.

    Args:
        table: as `user_memory_attention` or `item_memory_attention` gives it.
        path: where the picture goes: .png, .svg or .pdf.
        names: what to write beside an id, instead of it.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("the picture needs matplotlib: pip install 'prismrec[bench]'") from error
    weights, ids = weight_matrix(table)
    labels = [str((names or {}).get(one, one)) for one in ids]
    figure = Figure(figsize=(2 + 0.35 * weights.shape[1], 1.2 + 0.3 * len(ids)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(weights, aspect="auto", cmap="viridis", vmin=0.0)
    axes.set_xlabel("slot of the memory")
    axes.set_xticks(range(weights.shape[1]))
    axes.set_yticks(range(len(ids)), labels)
    figure.colorbar(image, ax=axes, label="attention weight")
    figure.savefig(path, dpi=120)


def weight_matrix(table: pa.Table) -> tuple[NDArray[np.float32], list[Any]]:
    """The weights as (n_ids, n_slots) float32, and the ids of the rows."""
    n_slots = pc.max(table[SLOT]).as_py() + 1
    weights = table[WEIGHT].to_numpy().reshape(-1, n_slots)
    return weights, table[ID].to_pylist()[::n_slots]


def _memory_config(bundle: Bundle) -> Mapping[str, Any]:
    """The settings of the bundle's MA-GNN, which has a memory."""
    stored = bundle.contents.encoder
    if stored is None or stored.algorithm != "ma_gnn":
        name = "M2GRL" if stored is None else stored.algorithm
        raise ConfigError(f'{bundle.path} holds {name}, which has no memory: train with algorithm = "ma_gnn"')
    parts = stored.config["parts"]
    if not parts["memory"] or parts["interests"] == "short":
        raise ConfigError(f"the MA-GNN in {bundle.path} was trained without memory: see [models.ma_gnn.parts]")
    return stored.config


def _weights(bundle: Bundle, histories: Sequences, users: NDArray[np.int64]) -> NDArray[np.float32]:
    _memory_config(bundle)
    if not len(histories):
        raise DataError("memory attention was asked for nobody: give at least one id")
    encoder: Any = open_encoder(bundle.contents.encoder)  # type: ignore[arg-type]
    weights: NDArray[np.float32] = encoder.memory_attention(histories, users)
    return weights


def _table(ids: Sequence[Any], weights: NDArray[np.float32]) -> pa.Table:
    n_slots = weights.shape[1]
    return pa.table(
        {
            ID: [one for one in ids for _ in range(n_slots)],
            SLOT: np.tile(np.arange(n_slots, dtype=np.int32), len(ids)),
            WEIGHT: weights.ravel(),
        }
    )


__all__ = [
    "item_memory_attention",
    "plot_memory_attention",
    "user_memory_attention",
    "weight_matrix",
    "write_memory_attention",
]
