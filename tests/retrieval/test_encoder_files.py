"""An encoder on disk: its arrays, what it is built from and its users come back; what contradicts itself is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError, DataError
from prismrec.models.contract import KnowledgeNames, StoredEncoder
from prismrec.retrieval.encoder_files import check_encoder, read_encoder, write_encoder

USERS = Vocabulary.from_ids(["ann", "bob", "carol"], [4, 2, 1])


def encoder(**arrays: Any) -> StoredEncoder:
    standard: dict[str, Any] = {
        "users": np.arange(12, dtype=np.float32).reshape(3, 4),
        "network.layers.0.weight": np.ones((2, 3, 4), np.float32),
        "bias": np.zeros(4, np.float32),
        "scale": np.array(0.5, np.float32),
        "padding": np.array([3], np.int64),
        "mask": np.array([True, False]),
        "nothing": np.zeros((0, 4), np.float32),
    }
    return StoredEncoder("mf", {"length": 50, "heads": [1, 2]}, {**standard, **arrays}, knows_users=True)


def written(folder: Path, one: StoredEncoder, users: Vocabulary | None) -> Path:
    check_encoder(one, users)
    write_encoder(folder, one, users)
    return folder


def test_arrays_of_any_shape_config_and_users_come_back(tmp_path):
    found, users = read_encoder(written(tmp_path, encoder(), USERS))
    assert (found.algorithm, found.config, found.knows_users) == ("mf", {"length": 50, "heads": [1, 2]}, True)
    assert list(found.arrays) == list(encoder().arrays)
    for name, array in encoder().arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array, strict=True)
    assert users is not None
    assert users.ids.equals(USERS.ids)
    assert users.counts.tolist() == [4, 2, 1]


def test_arrays_are_memory_mapped(tmp_path):
    base: Any = read_encoder(written(tmp_path, encoder(), USERS))[0].arrays["users"]
    while not isinstance(base, np.memmap):
        base = base.base
    assert base.filename == tmp_path / "users.npy"


def test_an_encoder_that_knows_no_users_has_no_file_of_them(tmp_path):
    found, users = read_encoder(written(tmp_path, replace(encoder(), knows_users=False), None))
    assert users is None
    assert not found.knows_users
    assert not (tmp_path / "users.arrow").exists()


@pytest.mark.parametrize(
    ("one", "users", "message"),
    [
        (None, USERS, "3 user ids came without an encoder"),
        (encoder(), None, "the encoder of mf knows users, but their ids did not come"),
        (replace(encoder(), knows_users=False), USERS, "3 user ids came, but the encoder of mf knows no users"),
        (encoder(users=np.ones((4, 2), np.float32)), USERS, "no array .* has a row for each of 3 users"),
        (encoder(**{"../evil": np.ones(2)}), USERS, "array name '../evil' cannot name a file"),
        (encoder(ids=np.array(["a"])), USERS, "the encoder's array 'ids' holds <U1: only numbers"),
        (encoder(ids=np.array([object()])), USERS, "the encoder's array 'ids' holds object"),
        (replace(encoder(), config={"rate": float("nan")}), USERS, "must be JSON values, finite numbers"),
    ],
)
def test_what_contradicts_itself_is_refused(one, users, message):
    with pytest.raises(DataError, match=message):
        check_encoder(one, users)


def test_a_number_that_is_not_finite_is_refused_by_array_and_rows(tmp_path):
    with pytest.raises(DataError, match="the encoder's array 'bias' is not finite in rows 0 to 1"):
        write_encoder(tmp_path, encoder(bias=np.array([1, np.inf], np.float32)), USERS)


@pytest.mark.parametrize("text", ["", "[]", '{"algorithm": "mf"}', '{"algorithm": 1, "config": {}, "arrays": []}'])
def test_a_damaged_record_is_named(tmp_path, text):
    written(tmp_path, encoder(), USERS)
    (tmp_path / "encoder.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"encoder.json is damaged"):
        read_encoder(tmp_path)


def test_a_missing_array_is_named(tmp_path):
    written(tmp_path, encoder(), USERS)
    (tmp_path / "bias.npy").unlink()
    with pytest.raises(ArtifactError, match=r"bias.npy is damaged"):
        read_encoder(tmp_path)


def test_the_record_is_plain_json(tmp_path):
    record = json.loads((written(tmp_path, encoder(), USERS) / "encoder.json").read_text())
    assert record["arrays"] == list(encoder().arrays)
    assert record["knows_users"] is True


def test_names_of_the_graph_come_back(tmp_path):
    names = KnowledgeNames(pa.array(["A", "B", "Ä"]), ("director", "year"), np.array([2, -1, 0]))
    found = read_encoder(written(tmp_path, replace(encoder(), knowledge=names), USERS))[0].knowledge
    assert found.entities.to_pylist() == ["A", "B", "Ä"]
    assert found.relations == ("director", "year")
    assert found.item_entities.tolist() == [2, -1, 0]
    assert found.entity_items.tolist() == [2, -1, 0]


def test_an_encoder_without_a_graph_has_no_names(tmp_path):
    assert read_encoder(written(tmp_path, encoder(), USERS))[0].knowledge is None
    assert not (tmp_path / "knowledge").exists()


def test_items_that_are_entities_which_do_not_exist_are_refused():
    names = KnowledgeNames(pa.array(["A"]), (), np.array([0, 1]))
    with pytest.raises(DataError, match=r"items are entities 0..0, got 0..1"):
        check_encoder(replace(encoder(), knowledge=names), USERS)
