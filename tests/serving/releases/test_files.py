"""Files of bundles taken over: links where they can be, copies elsewhere, and one bundle even while it is replaced."""

import errno
import os
import shutil
from datetime import UTC, datetime

import numpy as np
import pytest

from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError
from prismrec.files import whole_folder
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.bundle import Bundle, BundleContents
from prismrec.serving.releases import files as release_files
from prismrec.serving.releases.files import candidates, created_at, fingerprint_of, state_of, take_over


def write(path, seed):
    vectors = np.random.default_rng(seed).normal(size=(2, 5, 4)).astype(np.float32)
    vocabulary = Vocabulary.from_ids(range(5))
    return Bundle.write(path, BundleContents({"item": EmbeddingTable(*vectors)}, {"item": vocabulary}, seed=seed)).path


@pytest.fixture
def bundle(tmp_path):
    return write(tmp_path / "bundle", 1)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "taken").mkdir()
    return tmp_path / "taken"


def files(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def linked(bundle, folder):
    """Whether each file of the folder is a second name of the bundle's."""
    return {os.path.samefile(bundle / name, folder / name) for name in files(folder)}


# ---- taking over ----


def test_every_file_of_the_manifest_is_linked_and_no_other(bundle, folder):
    (bundle / "notes.txt").write_text("mine")
    take_over(bundle, folder, copies=False)
    assert files(folder) == [name for name in files(bundle) if name != "notes.txt"]
    assert linked(bundle, folder) == {True}
    assert Bundle.open(folder).manifest.seed == 1


def test_copies_are_equal_and_apart(bundle, folder):
    take_over(bundle, folder, copies=True)
    assert linked(bundle, folder) == {False}
    assert Bundle.open(folder).manifest.seed == 1


@pytest.mark.parametrize("reason", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_files_that_cannot_be_linked_are_copied(bundle, folder, monkeypatch, reason):
    def refuse(*_arguments, **_options):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "link", refuse)
    take_over(bundle, folder, copies=False)
    assert linked(bundle, folder) == {False}
    assert Bundle.open(folder).manifest.seed == 1


def test_full_disk_is_passed_on(bundle, folder, monkeypatch):
    def refuse(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="No space left"):
        take_over(bundle, folder, copies=False)


def test_linked_files_inside_a_bundle_are_copied_as_what_they_lead_to(bundle, folder, tmp_path):
    inside = bundle / "ids" / "item.arrow"
    shutil.move(inside, tmp_path / "elsewhere.arrow")
    inside.symlink_to(tmp_path / "elsewhere.arrow")
    take_over(bundle, folder, copies=False)
    assert not (folder / "ids" / "item.arrow").is_symlink()
    assert Bundle.open(folder).manifest.seed == 1


def test_source_may_be_a_link_to_a_bundle(bundle, folder, tmp_path):
    (tmp_path / "latest").symlink_to(bundle)
    take_over(tmp_path / "latest", folder, copies=False)
    assert linked(bundle, folder) == {True}


@pytest.mark.parametrize("instead", [None, os.mkfifo, os.mkdir])
def test_what_is_missing_or_no_file_is_left_out_without_waiting(bundle, folder, instead):
    (bundle / "ids" / "item.arrow").unlink()
    if instead is not None:
        instead(bundle / "ids" / "item.arrow")
    take_over(bundle, folder, copies=True)
    with pytest.raises(ArtifactError, match=r"not whole: .*item\.arrow is missing"):
        Bundle.open(folder)


def test_source_that_is_no_folder_is_named(tmp_path, folder):
    (tmp_path / "file").write_text("")
    for name in ("file", "nothing"):
        with pytest.raises(ArtifactError, match=f"cannot open the bundle .*/{name}"):
            take_over(tmp_path / name, folder, copies=False)


def replaced_at(monkeypatch, bundle, turns):
    """Replace the bundle, as training does, before the links with these numbers; returns the seeds it had."""
    seeds, real, calls = [1], os.link, iter(range(10_000))

    def link(*arguments, **options):
        if next(calls) in turns:
            seeds.append(seeds[-1] + 1)
            write(bundle, seeds[-1])
        real(*arguments, **options)

    monkeypatch.setattr(os, "link", link)
    return seeds


@pytest.mark.parametrize("turn", range(5))
def test_bundle_replaced_in_between_is_taken_whole(bundle, folder, monkeypatch, turn):
    """Either the old one (its links were all made) or the new one, never files of both."""
    seeds = replaced_at(monkeypatch, bundle, {turn})
    take_over(bundle, folder, copies=False)
    assert Bundle.open(folder).manifest.seed == seeds[-1] == 2


def test_bundle_replaced_again_and_again_is_given_up(bundle, folder, monkeypatch):
    replaced_at(monkeypatch, bundle, set(range(10_000)))
    with pytest.raises(ArtifactError, match="was replaced 5 times while it was read: wait until it is written"):
        take_over(bundle, folder, copies=False)


def test_bundle_deleted_in_between_is_left_incomplete(bundle, folder, monkeypatch):
    real = os.link

    def link(*arguments, **options):
        real(*arguments, **options)
        shutil.rmtree(bundle, ignore_errors=True)

    monkeypatch.setattr(os, "link", link)
    take_over(bundle, folder, copies=False)
    with pytest.raises(ArtifactError, match="the bundle is not whole"):
        Bundle.open(folder)


# ---- what a source offers ----


def test_one_bundle_offers_itself(bundle):
    (candidate,) = candidates(bundle)
    assert candidate.path == bundle
    assert candidate.created.isoformat() == Bundle.open(bundle).manifest.created
    assert candidate.fingerprint == fingerprint_of(bundle)


def test_no_folder_offers_nothing(tmp_path):
    assert candidates(tmp_path / "nothing") == []
    assert candidates(tmp_path) == []


def test_hidden_folder_is_offered_when_it_is_finished(tmp_path):
    with whole_folder(tmp_path / "shelf" / "new") as temporary:
        shutil.copytree(write(tmp_path / "made", 1), temporary, dirs_exist_ok=True)
        assert candidates(tmp_path / "shelf") == []
    assert [candidate.path.name for candidate in candidates(tmp_path / "shelf")] == ["new"]


def test_unreadable_bundles_come_first(tmp_path, bundle):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{}")
    assert [candidate.path.name for candidate in candidates(tmp_path)] == ["broken", "bundle"]
    assert candidates(tmp_path)[0].fingerprint == ""


def test_unchanged_manifest_is_read_once(bundle, monkeypatch):
    candidates(bundle)
    monkeypatch.setattr(release_files, "read_manifest", None)
    assert len(candidates(bundle)) == 1


def test_replaced_bundle_is_another_candidate(bundle):
    before = candidates(bundle)
    write(bundle, 2)
    assert candidates(bundle)[0].fingerprint != before[0].fingerprint


# ---- states and times ----


def test_state_changes_with_any_file_and_not_by_being_linked(bundle, folder):
    before = state_of(bundle)
    take_over(bundle, folder, copies=False)
    assert state_of(bundle) == before
    path = bundle / "training_log.json"
    content = path.read_bytes()
    path.write_bytes(content)
    os.utime(path, ns=(0, 0))
    assert state_of(bundle) != before


def test_state_changes_where_a_file_appears_or_goes(bundle):
    before = state_of(bundle)
    (bundle / "more").write_text("")
    with_more = state_of(bundle)
    (bundle / "more").unlink()
    assert with_more != before == state_of(bundle)


def test_fingerprint_of_nothing_is_empty(tmp_path):
    assert fingerprint_of(tmp_path) == ""
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(ArtifactError, match=r"cannot read .*/manifest\.json"):
        fingerprint_of(tmp_path)


def test_time_without_a_zone_is_utc():
    assert created_at("2026-01-02T03:04:05") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert created_at("2026-01-02T03:04:05+03:00") == datetime(2026, 1, 2, 0, 4, 5, tzinfo=UTC)
    with pytest.raises(ArtifactError, match="created = 'soon', which is no ISO 8601 time"):
        created_at("soon")
