"""Releases: what is adopted, what is refused and remembered, what a rollback means, and that no `kill -9` breaks it."""

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval import bundle_files
from prismrec.retrieval.bundle import Bundle, BundleContents
from prismrec.retrieval.manifest import read_manifest, write_manifest
from prismrec.serving.releases import files as release_files
from prismrec.serving.releases import releases as releases_module
from prismrec.serving.releases.releases import ReleaseRefusedError, Releases, ReleaseSettings

ADOPTER = Path(__file__).with_name("adopter.py")
FLOORS = ReleaseSettings(floors={"hr": 0.2})


def write(path: Path, seed: int, hr: float | None = 0.5, created: str = "") -> Path:
    """A bundle of five items; `seed` tells it from others, `created` overrides the time."""
    vectors = np.random.default_rng(seed).normal(size=(2, 5, 4)).astype(np.float32)
    contents = BundleContents(
        vectors={"item": EmbeddingTable(*vectors)},
        vocabularies={"item": Vocabulary.from_ids(range(5), range(5, 0, -1))},
        metrics={} if hr is None else {"hr": hr},
        seed=seed,
    )
    bundle_files.write_bundle(path, contents)
    if created:
        manifest = read_manifest(path / "manifest.json")
        write_manifest(path / "manifest.json", manifest.model_copy(update={"created": created}))
    return path


def day(number: int) -> str:
    return f"2026-01-{number:02d}T00:00:00+00:00"


def seed_of(release) -> int:
    return Bundle.open(release.path).manifest.seed


def damage(bundle: Path) -> None:
    """As a disk or a broken copy would: the length stays."""
    path = bundle / "vectors" / "item.source.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)


def folders(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "releases").iterdir())


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "bundle", 1)


@pytest.fixture
def releases(home, source):
    """A home with release 1, from a source that is one bundle."""
    opened = Releases(home, source, FLOORS)
    assert opened.start().number == 1
    return opened


@pytest.fixture
def shelf(tmp_path):
    """A folder of bundles of three days, the names not in their order."""
    for name, number in (("b", 1), ("a", 3), ("c", 2)):
        write(tmp_path / "shelf" / name, number, created=day(number))
    return tmp_path / "shelf"


# ---- one bundle as the source ----


def test_first_release_is_the_source_under_second_names(releases, source):
    release = releases.current()
    assert (release.number, seed_of(release)) == (1, 1)
    assert release.created == Bundle.open(source).manifest.created
    for file in (f for f in source.rglob("*") if f.is_file()):
        assert os.path.samefile(file, release.path / file.relative_to(source))


def test_copies_share_nothing(home, source):
    release = Releases(home, source, ReleaseSettings(copies=True)).start()
    assert (release.path / "manifest.json").stat().st_nlink == 1
    assert seed_of(release) == 1


def test_home_without_a_release_says_so(home, source):
    with pytest.raises(ArtifactError, match="home has no release yet: adopt a bundle first"):
        Releases(home, source).current()


def test_source_that_did_not_change_is_not_adopted_again(releases):
    assert [releases.poll(), releases.poll()] == [None, None]
    assert releases.adopt() == releases.current()
    assert releases.current().number == 1


def test_changed_source_is_adopted_once(releases, source):
    write(source, 2)
    release = releases.poll()
    assert (release.number, seed_of(release)) == (2, 2)
    assert releases.current() == release
    assert releases.poll() is None


def test_source_that_is_put_back_is_adopted_again(releases, source, tmp_path):
    shutil.copytree(source, tmp_path / "kept")
    write(source, 2)
    releases.poll()
    shutil.rmtree(source)
    shutil.copytree(tmp_path / "kept", source)
    release = releases.poll()
    assert (release.number, seed_of(release)) == (3, 1)


def test_deleted_source_takes_nothing_away(releases, source):
    shutil.rmtree(source)
    assert releases.poll() is None
    assert seed_of(releases.start()) == 1


def test_bundle_replaced_in_place_leaves_the_release_as_it_was(releases, source):
    mapped = Bundle.open(releases.current().path)
    before = mapped.contents.vectors["item"].source.copy()
    write(source, 2)
    np.testing.assert_array_equal(Bundle.open(releases.current().path).contents.vectors["item"].source, before)
    np.testing.assert_array_equal(mapped.contents.vectors["item"].source, before)


def test_restarted_server_goes_on_with_the_current_release(releases, source, home):
    assert Releases(home, source, FLOORS).start() == releases.current()


def test_restarted_server_takes_over_a_source_that_changed_meanwhile(releases, source, home):
    write(source, 2)
    assert seed_of(Releases(home, source, FLOORS).start()) == 2


def test_same_bundle_under_another_path_is_no_news(releases, source, home, tmp_path):
    moved = Releases(home, source.rename(tmp_path / "moved"), FLOORS)
    assert moved.poll() is None
    assert moved.adopt() == moved.start() == releases.current()
    assert releases.current().number == 1


def test_missing_source_says_what_is_expected(home, tmp_path):
    with pytest.raises(ArtifactError, match="nothing is no bundle, nor a folder of bundles: train one with"):
        Releases(home, tmp_path / "nothing").start()
    with pytest.raises(ArtifactError, match=r"there is no bundle at .*/elsewhere"):
        Releases(home, tmp_path / "nothing").adopt(tmp_path / "elsewhere")


# ---- refusals ----


def test_damaged_bundle_is_refused_with_the_name_of_its_file(releases, source):
    write(source, 2)
    damage(source)
    assert releases.poll() is None
    (refusal,) = releases.refused
    assert refusal.path == str(source)
    assert f"{source}/vectors/item.source.npy is damaged: its content does not match" in refusal.reason
    assert "T" in refusal.time
    assert seed_of(releases.current()) == 1
    with pytest.raises(ReleaseRefusedError, match=r"item\.source\.npy is damaged"):
        releases.adopt()


def test_refused_bundle_is_not_verified_again_until_it_changes(releases, source, monkeypatch):
    write(source, 2)
    damage(source)
    looks = []

    def take_over(*arguments, **options):
        looks.append(arguments)
        release_files.take_over(*arguments, **options)

    monkeypatch.setattr(releases_module, "take_over", take_over)
    assert [releases.poll(), releases.poll(), releases.poll()] == [None] * 3
    assert len(looks) == 1
    damage(source)  # the same bit flips back
    assert seed_of(releases.poll()) == 2
    assert releases.refused == ()


def test_missing_file_is_refused(releases, source):
    write(source, 2)
    (source / "ids" / "item.arrow").unlink()
    assert releases.poll() is None
    assert f"the bundle is not whole: {source}/ids/item.arrow is missing" in releases.refused[0].reason


def test_unreadable_manifest_is_refused_once(releases, source):
    (source / "manifest.json").write_text("{}")
    assert [releases.poll(), releases.poll()] == [None, None]
    assert "is damaged: it is not the manifest of a bundle" in releases.refused[0].reason


def test_manifest_that_names_files_outside_is_refused(releases, source, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    write(source, 2)
    manifest = read_manifest(source / "manifest.json")
    record = manifest.files["ids/item.arrow"]
    for name in ("../secret", str(secret)):
        changed = manifest.model_copy(update={"files": {**manifest.files, name: record}})
        write_manifest(source / "manifest.json", changed)
        with pytest.raises(ReleaseRefusedError, match="which lies outside of the bundle"):
            releases.adopt()
    assert secret.stat().st_nlink == 1


def test_time_that_is_none_is_refused(releases, source):
    write(source, 2, created="yesterday")
    assert releases.poll() is None
    assert "created = 'yesterday', which is no ISO 8601 time" in releases.refused[0].reason


@pytest.mark.parametrize(
    ("hr", "reason"),
    [
        (0.19, r"bundle is not served: hr is 0\.19, below the floor of 0\.2"),
        (None, r"it must reach hr = 0\.2, but its manifest has no such metric \(it has: none at all\)"),
    ],
)
def test_bundle_below_a_floor_is_refused(releases, source, hr, reason):
    write(source, 2, hr=hr)
    with pytest.raises(ReleaseRefusedError, match=reason):
        releases.adopt()
    assert seed_of(releases.current()) == 1
    assert folders(releases._home) == ["000001"]


def test_value_that_is_no_number_passes_no_floor(tmp_path, releases, source):
    manifest = Bundle.open(source).manifest
    nan = manifest.model_copy(update={"metrics": {"hr": float("nan")}})
    assert list(releases_module._below_floors(nan, {"hr": -1.0})) == ["hr is nan, below the floor of -1.0"]
    assert list(releases_module._below_floors(manifest, {"hr": 0.5})) == []


def test_floor_that_is_no_number_is_refused_as_a_setting():
    with pytest.raises(ValueError, match="finite"):
        ReleaseSettings(floors={"hr": float("nan")})


def test_lower_floor_lets_a_refused_bundle_in(releases, source, home):
    write(source, 2, hr=0.1)
    assert releases.poll() is None
    assert Releases(home, source, FLOORS).poll() is None
    release = Releases(home, source, ReleaseSettings(floors={"hr": 0.1})).poll()
    assert seed_of(release) == 2
    assert releases.refused == ()


def test_first_bundle_that_is_refused_leaves_no_release_and_says_why(home, source):
    with pytest.raises(ReleaseRefusedError, match=r"hr is 0\.5, below the floor of 0\.9"):
        Releases(home, source, ReleaseSettings(floors={"hr": 0.9})).start()


def test_home_that_cannot_be_written_is_no_fault_of_the_bundle(source, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"cannot write into .*/file/home") as caught:
        Releases(tmp_path / "file" / "home", source).start()
    assert not isinstance(caught.value, ReleaseRefusedError)


def test_full_disk_is_no_fault_of_the_bundle(releases, source, monkeypatch):
    write(source, 2)

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(releases_module, "take_over", full)
        with pytest.raises(ArtifactError, match="No space left on device"):
            releases.poll()
    assert releases.refused == ()
    assert seed_of(releases.poll()) == 2


# ---- a folder of bundles as the source ----


def test_newest_of_a_folder_is_adopted_whatever_its_name(home, shelf):
    assert seed_of(Releases(home, shelf).start()) == 3


def test_newer_bundle_is_adopted_and_an_older_one_is_not(home, shelf):
    releases = Releases(home, shelf)
    releases.start()
    write(shelf / "older", 9, created=day(2))
    assert releases.poll() is None
    write(shelf / "newer", 4, created=day(4))
    assert seed_of(releases.poll()) == 4


def test_deleting_the_newest_brings_no_older_one_back(home, shelf):
    releases = Releases(home, shelf)
    releases.start()
    shutil.rmtree(shelf / "a")
    assert releases.poll() is None
    assert seed_of(releases.start()) == 3


def test_broken_newest_is_refused_and_the_next_one_taken(home, shelf):
    damage(shelf / "a")
    releases = Releases(home, shelf)
    assert seed_of(releases.start()) == 2
    assert [refusal.path for refusal in releases.refused] == [str(shelf / "a")]
    assert releases.poll() is None
    damage(shelf / "a")
    assert seed_of(releases.poll()) == 3


def test_bundle_that_is_being_written_is_no_candidate(home, shelf):
    write(shelf / ".d.12345678.partial", 4, created=day(4))
    (shelf / "empty").mkdir()
    (shelf / "notes.txt").write_text("")
    releases = Releases(home, shelf)
    assert seed_of(releases.start()) == 3
    assert releases.refused == ()


def test_unreadable_manifest_in_a_folder_is_told_and_hinders_nothing(home, shelf):
    (shelf / "broken").mkdir()
    (shelf / "broken" / "manifest.json").write_text("no json")
    releases = Releases(home, shelf)
    assert seed_of(releases.start()) == 3
    assert [refusal.path for refusal in releases.refused] == [str(shelf / "broken")]
    assert releases.adopt() == releases.current()


def test_refusals_of_bundles_that_are_gone_are_forgotten(home, shelf):
    releases = Releases(home, shelf, ReleaseSettings(floors={"hr": 0.2}))
    releases.start()
    for name in ("d", "e"):
        write(shelf / name, 4, hr=0.1, created=day(4))
        assert releases.poll() is None
        assert [refusal.path for refusal in releases.refused] == [str(shelf / name)]
        shutil.rmtree(shelf / name)


def test_zones_are_compared_as_times_not_as_text(home, tmp_path):
    shelf = tmp_path / "shelf"
    write(shelf / "early", 1, created="2026-01-01T10:00:00+09:00")
    write(shelf / "late", 2, created="2026-01-01T03:00:00+00:00")
    assert seed_of(Releases(home, shelf).start()) == 2


# ---- what was asked for by hand ----


def test_bundle_from_elsewhere_is_served_until_the_source_changes(releases, source, tmp_path):
    release = releases.adopt(write(tmp_path / "elsewhere", 7))
    assert seed_of(release) == 7
    assert releases.poll() is None
    write(source, 2)
    assert seed_of(releases.poll()) == 2


def test_older_bundle_of_a_folder_is_served_until_a_newer_one_comes(home, shelf):
    releases = Releases(home, shelf)
    releases.start()
    assert seed_of(releases.adopt(shelf / "b")) == 1
    assert releases.poll() is None
    write(shelf / "d", 4, created=day(4))
    assert seed_of(releases.poll()) == 4


def test_another_source_is_adopted_though_it_is_older(home, shelf, tmp_path):
    Releases(home, shelf).start()
    write(tmp_path / "old shelf" / "x", 9, created=day(1))
    assert seed_of(Releases(home, tmp_path / "old shelf").start()) == 9


# ---- rollback ----


def test_rollback_serves_what_was_served_before_and_poll_leaves_it(releases, source):
    first = releases.current()
    write(source, 2)
    releases.poll()
    assert releases.rollback() == first
    assert releases.current() == first
    assert [releases.poll(), releases.poll()] == [None, None]
    assert releases.start() == first
    write(source, 3)
    release = releases.poll()
    assert (release.number, seed_of(release)) == (3, 3)
    assert releases.rollback() == first


def test_rolled_back_bundle_that_is_put_back_later_is_adopted_only_by_hand(releases, source, tmp_path):
    write(source, 2)
    shutil.copytree(source, tmp_path / "kept")
    releases.poll()
    releases.rollback()
    write(source, 3)
    releases.poll()
    shutil.rmtree(source)
    shutil.copytree(tmp_path / "kept", source)
    assert releases.poll() is None
    release = releases.adopt(source)
    assert (release.number, seed_of(release)) == (4, 2)


def test_copy_of_a_rolled_back_bundle_is_not_adopted_by_itself(home, shelf):
    releases = Releases(home, shelf)
    releases.start()
    write(shelf / "d", 4, created=day(4))
    releases.poll()
    releases.rollback()
    shutil.copytree(shelf / "d", shelf / "e")
    assert releases.poll() is None
    assert seed_of(releases.adopt(shelf / "e")) == 4
    assert releases.poll() is None


def test_rollback_twice_goes_two_back_and_then_no_further(releases, source):
    for seed in (2, 3):
        write(source, seed)
        releases.poll()
    assert [seed_of(releases.rollback()) for _ in range(2)] == [2, 1]
    with pytest.raises(ArtifactError, match="there is no earlier release to go back to"):
        releases.rollback()
    assert seed_of(releases.current()) == 1


def test_rollback_passes_over_a_release_that_is_not_whole(releases, source, home):
    for seed in (2, 3):
        write(source, seed)
        releases.poll()
    damage(home / "releases" / "000002")
    assert seed_of(releases.rollback()) == 1
    assert releases.current().number == 1


def test_rollback_with_nothing_whole_changes_nothing_and_says_why(releases, source, home):
    write(source, 2)
    releases.poll()
    shutil.rmtree(home / "releases" / "000001")
    with pytest.raises(ArtifactError, match=r"no earlier release to go back to; release 1: .*is not a bundle"):
        releases.rollback()
    assert releases.current().number == 2


# ---- what stays on disk ----


def test_only_as_many_old_releases_stay_as_are_kept(home, source):
    releases = Releases(home, source, ReleaseSettings(keep=1))
    releases.start()
    mapped = Bundle.open(releases.current().path)
    before = mapped.contents.vectors["item"].source.copy()
    for seed in (2, 3, 4):
        write(source, seed)
        releases.poll()
    assert folders(home) == ["000003", "000004"]
    np.testing.assert_array_equal(mapped.contents.vectors["item"].source, before)


def test_rolled_back_release_goes_with_the_next_adoption(releases, source, home):
    write(source, 2)
    releases.poll()
    releases.rollback()
    assert folders(home) == ["000001", "000002"]
    write(source, 3)
    releases.poll()
    assert folders(home) == ["000001", "000003"]


def test_nothing_kept_is_refused_as_a_setting():
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        ReleaseSettings(keep=0)


def test_what_a_killed_process_left_is_removed_with_the_next_adoption(releases, source, home):
    (home / "releases" / ".000002.0123abcd.partial" / "vectors").mkdir(parents=True)
    shutil.copytree(home / "releases" / "000001", home / "releases" / "000002")  # whole, but never made current
    (home / ".current.json.0123abcd.partial").write_text("{")
    write(source, 2)
    release = releases.poll()
    assert (release.number, seed_of(release)) == (2, 2)
    assert folders(home) == ["000001", "000002"]
    assert sorted(path.name for path in home.iterdir()) == ["current.json", "lock", "releases"]


# ---- many processes ----


def test_one_of_many_adopts_and_the_others_see_it(releases, source, home):
    write(source, 2)
    others = [Releases(home, source, FLOORS) for _ in range(8)]
    together = threading.Barrier(8)

    def poll(one):
        together.wait()
        return one.poll()

    with ThreadPoolExecutor(8) as pool:
        adopted = [release for release in pool.map(poll, others) if release is not None]
    assert [release.number for release in adopted] == [2]
    assert {one.current() for one in others} == {adopted[0]}


def test_servers_that_start_together_serve_one_release(home, source):
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(lambda _: Releases(home, source, FLOORS).start(), range(8)))
    assert {release.number for release in started} == {1}


def test_poll_does_not_wait_for_a_process_that_is_at_it(releases, source, home):
    write(source, 2)
    with Releases(home, source)._lock():
        assert releases.poll() is None
    assert releases.poll().number == 2


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_the_old_or_the_new_release_whole(tmp_path, shelf):
    home, rounds = tmp_path / "home", 30
    command = [sys.executable, str(ADOPTER), str(home), str(shelf), str(rounds), "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["OK"] * rounds + [""]
    releases = Releases(home, shelf, ReleaseSettings(keep=1))
    assert releases.current().number > 5, "the children were killed too early"  # the first four are not theirs
    release = releases.adopt(write(tmp_path / "last", 8))
    record = json.loads((home / "current.json").read_text())
    assert folders(home) == sorted(f"{kept['number']:06d}" for kept in record["releases"])
    assert len(folders(home)) <= 2
    assert sorted(path.name for path in home.iterdir()) == ["current.json", "lock", "releases"]
    assert seed_of(release) == 8
