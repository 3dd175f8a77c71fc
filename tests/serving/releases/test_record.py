"""current.json: written whole, read back equal, refused where damaged or newer; and what each step makes of it."""

import json

import pytest

from prismrec.errors import ArtifactError
from prismrec.serving.releases.record import KeptRelease, Record, Refusal, Seen, read_record, write_record


def kept(number: int) -> KeptRelease:
    return KeptRelease(number=number, created=f"2026-01-{number:02d}T00:00:00+00:00", fingerprint=f"print {number}")


@pytest.fixture
def third(tmp_path) -> Record:
    """Three releases one after the other, of which two earlier ones may stay."""
    record = Record()
    for number in (1, 2, 3):
        record = record.adopted(kept(number), tmp_path / "source", None, keep=2)
    return record


def test_home_without_a_record_has_an_empty_one(tmp_path):
    assert read_record(tmp_path) == Record()


def test_record_comes_back_as_it_was_written(tmp_path, third):
    record = third.rolled_back_to(2).with_refusal(tmp_path, "state", "broken")
    record = record.model_copy(update={"seen": Seen(source="a", fingerprint="b", created="c")})
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert [path.name for path in tmp_path.iterdir()] == ["current.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": "x"}', '{"schema_version": 1, "current": "x"}'])
def test_damaged_record_is_named(tmp_path, text):
    (tmp_path / "current.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"cannot read .*/current\.json: .*; move it away to start with a fresh"):
        read_record(tmp_path)


def test_record_that_is_no_text_is_named(tmp_path):
    (tmp_path / "current.json").write_bytes(b"\xff")
    with pytest.raises(ArtifactError, match=r"cannot read .*/current\.json: .*utf-8"):
        read_record(tmp_path)


def test_newer_record_is_refused(tmp_path):
    (tmp_path / "current.json").write_text(json.dumps({"schema_version": 2, "anything": 1}))
    with pytest.raises(ArtifactError, match=r"schema version 2, and this PrismRec knows up to 1: .*upgrade with"):
        read_record(tmp_path)


def test_adoption_keeps_as_many_earlier_ones_as_asked(tmp_path, third):
    assert (third.current, third.previous, third.last_number) == (3, (1, 2), 3)
    fourth = third.adopted(kept(4), tmp_path, None, keep=2)
    assert (fourth.current, fourth.previous) == (4, (2, 3))
    assert [release.number for release in fourth.releases] == [2, 3, 4]
    assert fourth.release(1) is None
    assert fourth.release(4) == kept(4)


def test_rollback_remembers_what_it_left_and_no_number_is_given_twice(tmp_path, third):
    back = third.rolled_back_to(2)
    assert (back.current, back.previous, back.last_number) == (2, (1,), 3)
    assert back.rolled_back == ("print 3",)
    assert back.release(3) == kept(3)
    twice = back.rolled_back_to(1)
    assert (twice.current, twice.previous, twice.rolled_back) == (1, (), ("print 3", "print 2"))
    after = twice.adopted(kept(4), tmp_path, None, keep=2)
    assert (after.current, after.previous, after.last_number) == (4, (1,), 4)
    assert [release.number for release in after.releases] == [1, 4]


def test_rollback_far_back_skips_what_lies_between(third):
    assert third.rolled_back_to(1).previous == ()


def test_adopting_what_was_rolled_back_takes_it_off_the_list(tmp_path, third):
    again = kept(3).model_copy(update={"number": 4})
    assert third.rolled_back_to(2).adopted(again, tmp_path, None, keep=2).rolled_back == ()


def test_refusals_are_one_per_path_and_end_with_its_adoption(tmp_path, third):
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.mkdir()
    record = (
        third.with_refusal(paths[0], "1", "old").with_refusal(paths[1], "2", "b").with_refusal(paths[0], "3", "new")
    )
    assert [(refusal.path, refusal.reason) for refusal in record.refused] == [
        (str(paths[1]), "b"),
        (str(paths[0]), "new"),
    ]
    adopted = record.adopted(kept(4), paths[0], None, keep=2)
    assert [refusal.path for refusal in adopted.refused] == [str(paths[1])]


def test_only_the_latest_refusals_and_rollbacks_are_remembered(tmp_path):
    record = Record()
    for number in range(1, 121):
        (tmp_path / str(number)).mkdir()
        record = record.with_refusal(tmp_path / str(number), "state", "broken")
        record = record.adopted(kept(1), tmp_path, None, keep=2).adopted(
            KeptRelease(number=2, created="", fingerprint=f"print {number}"), tmp_path, None, keep=2
        )
        record = record.rolled_back_to(1)
    assert [refusal.path for refusal in record.refused] == [str(tmp_path / str(n)) for n in range(21, 121)]
    assert record.rolled_back == tuple(f"print {n}" for n in range(21, 121))


def test_refusal_says_when(tmp_path):
    (refusal,) = Record().with_refusal(tmp_path, "state", "broken").refused
    assert isinstance(refusal, Refusal)
    assert refusal.time.endswith("+00:00")
