"""Amazon CDs review sequences in the form that HGN and MA-GNN published: lists of item numbers in time order.

The files are Python pickles, of which a crafted one could run any code: the reader here refuses every pickle that
names a class or function, so only lists, dicts, text and numbers come in. Users and items get their Amazon ids where
the mapping files are there, else their numbers.
"""

from __future__ import annotations

import pickle
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from prismrec.data.catalog.dataset import Tables, find_file, find_optional
from prismrec.errors import DataError

FILES = ("CDs_item_sequences.pkl", "CDs_user_mapping.pkl", "CDs_item_mapping.pkl")


def read(folder: Path) -> Tables:
    """Canonical tables: clicks (user_id, item_id, position), items with nothing but their id."""
    path = find_file(folder, "CDs_item_sequences.pkl")
    sequences = load_plain(path)
    if not _is_list_of_lists(sequences):
        raise DataError(f"{path}: expected a list of lists of item numbers")
    n_items = 1 + max(chain.from_iterable(sequences), default=-1)
    users = _ids(folder, "CDs_user_mapping.pkl", len(sequences))
    items = _ids(folder, "CDs_item_mapping.pkl", n_items)
    clicks = pa.table(
        {
            "user_id": [user for user, row in zip(users, sequences, strict=True) for _ in row],
            "item_id": [items[item] for row in sequences for item in row],
            "position": pa.array([place for row in sequences for place in range(len(row))], pa.int64()),
        }
    )
    notes = ("There is no clock: position is the place in the user's own order.", "There is no side information.")
    return Tables(clicks, pa.table({"item_id": items}), notes=notes)


def load_plain(path: Path) -> Any:
    """What a pickle of plain lists, dicts, text and numbers holds; bytes of Python 2 text are Latin-1.

    Raises:
        DataError: it names a class or function, or is damaged.
    """
    try:
        with open(path, "rb") as file:
            return _PlainUnpickler(file, encoding="latin1").load()
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        LookupError,
        OverflowError,
        TypeError,
        AttributeError,
    ) as error:
        raise DataError(f"cannot read {path} as plain lists: {error}") from error


class _PlainUnpickler(pickle.Unpickler):
    """Lists, dicts, text and numbers need no lookup; whatever asks for one is refused."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which plain data never does")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError(f"it asks for the outside object {pid!r}, which plain data never does")


def _ids(folder: Path, name: str, n: int) -> list[Any]:
    """The original ids in the order of the numbers, or the numbers."""
    path = find_optional(folder, name)
    if path is None:
        return list(range(n))
    ids = load_plain(path)
    if not isinstance(ids, list) or len(ids) < n or not all(isinstance(value, str) for value in ids):
        raise DataError(f"{path}: expected a list of at least {n:,} ids")
    return ids


def _is_list_of_lists(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, list) and all(type(item) is int and item >= 0 for item in row) for row in value
    )


__all__ = ["FILES", "load_plain", "read"]
