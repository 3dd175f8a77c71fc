"""Ids go in and come back unchanged, whatever they are; known ids keep their index for ever."""

import enum
import time
import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data import vocabulary as vocabulary_module
from prismrec.data.vocabulary import Vocabulary, id_array
from prismrec.errors import ArtifactError, DataError, UnknownIdError

INT64 = st.integers(-(2**63), 2**63 - 1)
UINT64 = st.integers(2**53, 2**64 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KINDS = [INT64, UINT64, TEXT, st.uuids()]
ID_LISTS = st.one_of([st.lists(kind, unique=True, max_size=12) for kind in KINDS])


@given(ID_LISTS)
def test_ids_come_back_unchanged_by_every_way(ids):
    vocabulary = Vocabulary.from_ids(ids)
    n = len(ids)
    assert vocabulary.ids_of(range(n)) == ids
    assert [type(i) for i in vocabulary.ids_of(range(n))] == [type(i) for i in ids]
    assert [vocabulary.id_of(i) for i in range(n)] == ids
    assert [vocabulary.find(i) for i in ids] == list(range(n))
    assert [vocabulary.index_of(i) for i in ids] == list(range(n))
    assert vocabulary.indices_of(ids).tolist() == list(range(n))
    assert [vocabulary.parsed(str(i)) for i in ids] == ids


@given(ID_LISTS, st.integers(0, 5))
def test_saved_and_loaded_is_equal(tmp_path_factory, ids, step):
    path = tmp_path_factory.mktemp("vocabulary") / "v.arrow"
    Vocabulary.from_ids(ids, np.arange(len(ids)) * step).save(path)
    loaded = Vocabulary.load(path)
    assert loaded.ids_of(range(len(ids))) == ids
    assert loaded.counts.tolist() == [step * i for i in range(len(ids))]
    assert [loaded.find(i) for i in ids] == list(range(len(ids)))


@given(
    st.sampled_from(KINDS).flatmap(
        lambda kind: st.lists(st.lists(kind, unique=True, max_size=8), min_size=3, max_size=3)
    )
)
def test_extended_twice_keeps_every_index_and_appends_in_order(batches):
    vocabularies = [Vocabulary.from_ids(ids, range(1, len(ids) + 1)) for ids in batches]
    expected = list(dict.fromkeys(i for ids in batches for i in ids))
    grown = vocabularies[0].extended(vocabularies[1]).extended(vocabularies[2])
    assert grown.ids_of(range(len(grown))) == expected
    latest = dict(zip(batches[2], range(1, len(batches[2]) + 1), strict=True))
    assert grown.counts.tolist() == [latest.get(i, 0) for i in expected]
    assert [grown.find(i) for i in expected] == list(range(len(expected)))


@given(st.lists(TEXT, unique=True, max_size=12), st.lists(TEXT, max_size=12))
def test_look_ups_one_by_one_and_together_agree_with_a_dict(ids, asked):
    vocabulary = Vocabulary.from_ids(ids)
    places = {i: n for n, i in enumerate(ids)}
    expected = [places.get(i, -1) for i in asked]
    assert [vocabulary.find(i) for i in asked] == expected
    assert vocabulary.indices_of(asked).tolist() == expected


@given(st.lists(st.integers(0, 60), max_size=40), st.sampled_from([0, 1, 4, 10**6]), st.booleans())
def test_many_ids_are_found_whichever_side_is_hashed(asked, few, as_text):
    ids = [i for i in range(59, -1, -1) if i % 3]
    kind = str if as_text else int
    vocabulary = Vocabulary.from_ids([kind(i) for i in ids])
    array = pa.array([kind(i) if i else None for i in asked], pa.string() if as_text else pa.int64())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary_module, "_FEW", few)
        found = vocabulary.indices_of(array)
    assert found.dtype == np.int64
    assert found.tolist() == [ids.index(i) if i in ids else -1 for i in asked]


@given(st.lists(INT64 | UINT64, max_size=12))
def test_integers_beyond_the_range_of_the_ids_are_unknown(asked):
    for ids in ([-1, 0, 2**60], [0, 2**63, 2**64 - 1]):
        vocabulary = Vocabulary.from_ids(ids)
        places = {i: n for n, i in enumerate(ids)}
        assert [vocabulary.find(i) for i in [*asked, 2**80, -(2**80)]] == [*[places.get(i, -1) for i in asked], -1, -1]
    small, large = Vocabulary.from_ids([-1, 5]), Vocabulary.from_ids([5, 2**64 - 1])
    assert small.indices_of(large.ids).tolist() == [1, -1]
    assert large.indices_of(small.ids).tolist() == [-1, 0]


@pytest.mark.parametrize("stranger", [True, 1.0, np.float64(1), np.bool_(True), "1", b"1", None, [1], uuid.UUID(int=1)])
def test_other_types_never_match_an_integer(stranger):
    assert Vocabulary.from_ids([0, 1]).find(stranger) == -1


def test_numpy_scalars_are_the_same_id():
    assert Vocabulary.from_ids([5, 7]).find(np.int16(7)) == 1
    assert Vocabulary.from_ids([np.int64(5), np.int64(7)]).find(7) == 1
    assert Vocabulary.from_ids(["a", "b"]).find(np.str_("b")) == 1


def test_text_that_no_utf_8_holds_is_unknown():
    assert Vocabulary.from_ids(["a", "\ue000"]).find("\ud800") == -1


def test_an_unknown_id_fails_with_what_the_ids_are():
    vocabulary = Vocabulary.from_ids([1, 2, 3])
    with pytest.raises(UnknownIdError, match=r"unknown id 9: it is not among the 3 known ids$"):
        vocabulary.index_of(9)
    with pytest.raises(UnknownIdError, match=r"unknown id '2': .*; ids here are integers$"):
        vocabulary.index_of("2")


def test_text_from_a_command_line_becomes_an_id():
    assert Vocabulary.from_ids([7]).parsed("7") == 7
    assert Vocabulary.from_ids([7]).parsed("seven") == "seven"
    assert Vocabulary.from_ids(["7"]).parsed("7") == "7"
    one = uuid.uuid5(uuid.NAMESPACE_DNS, "one")
    assert Vocabulary.from_ids([one]).parsed(str(one)) == one


def test_a_sliced_arrow_array_is_looked_up_in_its_own_rows():
    for ids in (["a", "bb", "", "dä"], [4, 3, 2, 1], [uuid.UUID(int=i) for i in range(4)]):
        vocabulary = Vocabulary.from_ids(id_array(ids)[1:])
        assert [vocabulary.find(i) for i in ids] == [-1, 0, 1, 2]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1.5, 2.5], "type double are not supported.*already lost digits: read the column as text"),
        ([True, False], "type bool are not supported: use integers, strings or UUIDs"),
        ([1, "a"], "ids must all be of one type"),
        ([uuid.UUID(int=1), "a" * 16], "UUIDs came among others"),
        ([b"ab"], "type binary are not supported"),
        ([-1, 2**63], "integer ids must fit into 64 bits, all signed or all unsigned"),
        ([2**64], "integer ids must fit into 64 bits"),
        (["\ud800"], "ids must all be of one type.*surrogates"),
        (["a", None], r"cannot hold a missing id \(1 found\)"),
        ([None], r"cannot hold a missing id \(1 found\)"),
        (["a", "b", "a"], "id 'a' appears more than once"),
        ([uuid.UUID(int=1)] * 2, r"id UUID\('00000000-.*01'\) appears more than once"),
    ],
)
def test_bad_ids_are_refused_with_the_reason(ids, message):
    with pytest.raises(DataError, match=message):
        Vocabulary.from_ids(ids)


def test_counts_must_fit():
    with pytest.raises(DataError, match="2 ids but 1 counts"):
        Vocabulary.from_ids(["a", "b"], [1])


def test_ids_cannot_change_their_type_between_trainings():
    with pytest.raises(DataError, match="ids changed their type: int64 before, string now"):
        Vocabulary.from_ids([1]).extended(Vocabulary.from_ids(["1"]))
    assert Vocabulary.from_ids([]).extended(Vocabulary.from_ids([1])).ids_of([0]) == [1]
    assert Vocabulary.from_ids([1]).extended(Vocabulary.from_ids([])).ids_of([0]) == [1]


def test_ids_beyond_2_63_may_join_later():
    grown = Vocabulary.from_ids([3, 1]).extended(Vocabulary.from_ids([2**63 + 1, 3]))
    assert grown.ids_of(range(3)) == [3, 1, 2**63 + 1]
    assert Vocabulary.from_ids([2**63 - 1]).extended(Vocabulary.from_ids(pa.array([4], pa.uint64()))).find(4) == 1
    with pytest.raises(DataError, match=r"negative ids and ids of 2\^63 and above .*: read the id column as text"):
        Vocabulary.from_ids([-1]).extended(Vocabulary.from_ids([2**63]))


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "v.arrow"
    with pytest.raises(ArtifactError, match=r"cannot read the vocabulary .*v.arrow"):
        Vocabulary.load(path)
    Vocabulary.from_ids(["a", "b"]).save(path)
    for content in (b"", b"ARROW1", path.read_bytes()[:-9]):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"cannot read the vocabulary .*v.arrow"):
            Vocabulary.load(path)


def test_a_loaded_vocabulary_of_a_million_needs_no_index(tmp_path):
    n = 1_000_000
    ids = [f"sku-{i * 7919 % n:09d}" for i in range(n)]
    Vocabulary.from_ids(ids).save(tmp_path / "v.arrow")
    loaded = Vocabulary.load(tmp_path / "v.arrow")
    asked = ids[:: n // 2000]
    start = time.perf_counter()
    found = [loaded.find(i) for i in asked]
    seconds_each = (time.perf_counter() - start) / len(asked)
    assert loaded.ids_of(found) == asked
    assert seconds_each < 500e-6, "a scan or a rebuilt index takes milliseconds; a binary search some 15 microseconds"


def test_enum_members_are_not_taken_for_plain_ids():
    class Colour(enum.Enum):
        RED = 1

    assert Vocabulary.from_ids([1]).find(Colour.RED) == -1


@pytest.mark.parametrize("text", ["1_0", " 7", "+7", "٧", "7.0", "", "-", "9" * 5000])
def test_text_that_is_no_plain_integer_is_no_integer_id(text):
    assert Vocabulary.from_ids([7, 10, -3]).parsed(text) == text


def test_digits_are_the_integer_id_they_spell():
    assert [Vocabulary.from_ids([7]).parsed(text) for text in ("7", "-3", "18446744073709551615")] == [7, -3, 2**64 - 1]
