"""The encoder of a bundle on disk: what its model makes queries with, and the users that it knows.

    encoder/encoder.json    which model it is of, what it is built from, the names of its arrays
    encoder/<name>.npy      what it learned, any shape; numbers or truth values
    encoder/network/<name>.npy   parameters that only a training needs which begins with this one
    encoder/users.arrow     the ids behind the rows of users, where the model knows users
    encoder/knowledge/      labels of the entities, and which of them the items are, where it walks through a graph

Arrays are memory-mapped where they are read; how an encoder answers from them is `models.algorithms.open_encoder`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from prismrec.config import Section
from prismrec.data.arrow_files import map_table, write_table
from prismrec.data.blocks import row_blocks
from prismrec.data.schema import UNKNOWN
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.models.contract import KnowledgeNames, StoredEncoder
from prismrec.retrieval.manifest import damaged, render_json
from prismrec.retrieval.matrix_files import map_matrix

ENCODER_FOLDER = "encoder"

_RECORD = "encoder.json"
_USERS = "users.arrow"
_NETWORK = "network"
_KNOWLEDGE, _LABELS, _ITEM_ENTITIES = "knowledge", "entities.arrow", "item_entities.npy"
_NAME = re.compile(r"\w[\w.-]*")


class EncoderRecord(Section):
    """The content of encoder.json."""

    algorithm: str
    config: dict[str, Any]
    arrays: tuple[str, ...]
    knows_users: bool
    network: tuple[str, ...] = ()
    relations: tuple[str, ...] | None = None


def check_encoder(encoder: StoredEncoder | None, users: Vocabulary | None) -> None:
    """Refuse an encoder that could not be written, or users that it does not speak of.

    Raises:
        DataError: names what contradicts what.
    """
    if encoder is None:
        if users is not None:
            raise DataError(f"{len(users)} user ids came without an encoder: only an encoder knows users")
        return
    if encoder.knows_users and users is None:
        raise DataError(f"the encoder of {encoder.algorithm} knows users, but their ids did not come")
    if users is not None:
        if not encoder.knows_users:
            raise DataError(f"{len(users)} user ids came, but the encoder of {encoder.algorithm} knows no users")
        if not any(array.ndim and len(array) == len(users) for array in encoder.arrays.values()):
            raise DataError(f"no array of the encoder of {encoder.algorithm} has a row for each of {len(users)} users")
    if encoder.knowledge is not None:
        _check_names(encoder.knowledge)
    render_json(dict(encoder.config))
    for name, array in (*encoder.arrays.items(), *encoder.network.items()):
        if not _NAME.fullmatch(name):
            raise DataError(f"the array name {name!r} cannot name a file: use letters, digits, '_', '-' and '.'")
        if array.dtype.kind not in "fiub":
            raise DataError(f"the encoder's array {name!r} holds {array.dtype}: only numbers and truth values are kept")


def write_encoder(folder: Path, encoder: StoredEncoder, users: Vocabulary | None) -> None:
    """Write what `check_encoder` let pass into a folder that exists.

    Raises:
        DataError: an array holds a number that is not finite.
    """
    (folder / _NETWORK).mkdir()
    for place, arrays in ((folder, encoder.arrays), (folder / _NETWORK, encoder.network)):
        for name, array in arrays.items():
            _refuse_not_finite(name, array)
            np.save(place / f"{name}.npy", array, allow_pickle=False)
    if users is not None:
        users.save(folder / _USERS)
    names = encoder.knowledge
    if names is not None:
        _write_names(folder / _KNOWLEDGE, names)
    record = EncoderRecord(
        algorithm=encoder.algorithm,
        config=dict(encoder.config),
        arrays=tuple(encoder.arrays),
        knows_users=encoder.knows_users,
        network=tuple(encoder.network),
        relations=None if names is None else names.relations,
    )
    (folder / _RECORD).write_text(render_json(record.model_dump(mode="json")), encoding="utf-8")


def read_encoder(folder: Path) -> tuple[StoredEncoder, Vocabulary | None]:
    """Map what `write_encoder` wrote into memory.

    Raises:
        ArtifactError: a file is missing or damaged; names it.
    """
    path = folder / _RECORD
    try:
        record = EncoderRecord.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise damaged(path, str(error)) from error
    arrays = {name: map_matrix(folder / f"{name}.npy") for name in record.arrays}
    users = Vocabulary.load(folder / _USERS) if record.knows_users else None
    network = {name: map_matrix(folder / _NETWORK / f"{name}.npy") for name in record.network}
    names = None if record.relations is None else _read_names(folder / _KNOWLEDGE, record.relations)
    return StoredEncoder(record.algorithm, record.config, arrays, record.knows_users, network, names), users


def _check_names(names: KnowledgeNames) -> None:
    linked = names.item_entities[names.item_entities != UNKNOWN]
    if len(linked) and not (linked.min() >= 0 and linked.max() < len(names.entities)):
        raise DataError(f"items are entities 0..{len(names.entities) - 1}, got {linked.min()}..{linked.max()}")


def _write_names(folder: Path, names: KnowledgeNames) -> None:
    folder.mkdir()
    write_table(folder / _LABELS, pa.table({"label": names.entities}))
    np.save(folder / _ITEM_ENTITIES, names.item_entities, allow_pickle=False)


def _read_names(folder: Path, relations: tuple[str, ...]) -> KnowledgeNames:
    labels = map_table(folder / _LABELS)["label"].combine_chunks()
    item_entities: NDArray[Any] = map_matrix(folder / _ITEM_ENTITIES)
    return KnowledgeNames(labels, relations, item_entities)


def _refuse_not_finite(name: str, array: NDArray) -> None:
    rows = np.atleast_1d(array)
    for block in row_blocks(len(rows), max(1, rows.nbytes // max(1, len(rows)))):
        if not np.isfinite(rows[block]).all():
            raise DataError(f"the encoder's array {name!r} is not finite in rows {block.start} to {block.stop - 1}")


__all__ = ["ENCODER_FOLDER", "EncoderRecord", "check_encoder", "read_encoder", "write_encoder"]
