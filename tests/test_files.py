"""Whole or not at all: what a reader finds after success, after an error, after a kill."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prismrec import files
from prismrec.errors import ArtifactError, DataError
from prismrec.files import sha256, whole_file, whole_folder


def fill(folder: Path, text: str) -> None:
    (folder / "sub").mkdir()
    (folder / "a.txt").write_text(text)
    (folder / "sub" / "b.txt").write_text(text)


def texts(folder: Path) -> list[str]:
    return [(folder / "a.txt").read_text(), (folder / "sub" / "b.txt").read_text()]


def test_file_appears_and_replaces(tmp_path):
    path = tmp_path / "new" / "x.txt"
    for text in ("one", "two"):
        with whole_file(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() == "one"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_folder_appears_and_replaces_with_nothing_old_left(tmp_path):
    path = tmp_path / "new" / "x"
    with whole_folder(path) as temporary:
        fill(temporary, "one")
        (temporary / "only-old.txt").write_text("")
        assert not path.exists()
    with whole_folder(path) as temporary:
        fill(temporary, "two")
        assert texts(path) == ["one", "one"]
    assert texts(path) == ["two", "two"]
    assert not (path / "only-old.txt").exists()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, DataError])
def test_an_error_while_writing_leaves_the_old_and_no_scraps(tmp_path, error):
    with whole_folder(tmp_path / "x") as temporary:
        fill(temporary, "old")
    (tmp_path / "y").write_text("old")

    def write_folder():
        with whole_folder(tmp_path / "x") as temporary:
            fill(temporary, "new")
            raise error("halfway")

    def write_file():
        with whole_file(tmp_path / "y") as temporary:
            temporary.write_text("new")
            raise error("halfway")

    for write in (write_folder, write_file):
        with pytest.raises(error, match="halfway"):
            write()
    assert texts(tmp_path / "x") == ["old", "old"]
    assert (tmp_path / "y").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x", "y"]


def test_without_an_atomic_exchange_two_renames_do(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "elsewhere")
    for text in ("one", "two"):
        with whole_folder(tmp_path / "x") as temporary:
            fill(temporary, text)
    assert texts(tmp_path / "x") == ["two", "two"]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_failed_second_rename_puts_the_old_folder_back(tmp_path, monkeypatch):
    with whole_folder(tmp_path / "x") as temporary:
        fill(temporary, "old")
    rename = os.rename

    def failing(source, target):
        if str(source).endswith(".partial"):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(sys, "platform", "elsewhere")
    monkeypatch.setattr(os, "rename", failing)
    with (
        pytest.raises(ArtifactError, match=r"in the place of .*/x: No space left"),
        whole_folder(tmp_path / "x") as new,
    ):
        fill(new, "new")
    assert texts(tmp_path / "x") == ["old", "old"]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path):
    with whole_folder(tmp_path / "v1") as temporary:
        fill(temporary, "old")
    (tmp_path / "current").symlink_to("v1")
    with whole_folder(tmp_path / "current") as temporary:
        fill(temporary, "new")
    assert (tmp_path / "current").is_symlink()
    assert texts(tmp_path / "v1") == ["new", "new"]


def test_refusals_of_the_system_name_the_path(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match=r"cannot write the folder .*/file: there is a file of that name"):
        whole_folder(tmp_path / "file").__enter__()
    with pytest.raises(ArtifactError, match=r"cannot write .*/file/inner: "):
        whole_folder(tmp_path / "file" / "inner").__enter__()
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(ArtifactError, match=r"cannot write .*/folder: .*directory"),
        whole_file(tmp_path / "folder") as f,
    ):
        f.write_text("x")
    with pytest.raises(ArtifactError, match=r"cannot write .*/never: "), whole_file(tmp_path / "never"):
        pass  # the body wrote nothing


WRITER = """
import sys, time
from pathlib import Path
from prismrec.files import whole_folder
with whole_folder(Path(sys.argv[1])) as folder:
    (folder / "a.txt").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_killed_writer_is_cleaned_up_by_the_next_and_a_living_one_is_not(tmp_path):
    path = tmp_path / "x [1]"  # glob characters in a name are only characters
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        with whole_folder(path) as temporary:
            fill(temporary, "second")
        living = [p for p in tmp_path.iterdir() if p != path]
        assert [(p / "a.txt").read_text() for p in living] == ["half"]
        writer.send_signal(signal.SIGKILL)
    assert texts(path) == ["second", "second"]
    with whole_folder(path) as temporary:
        fill(temporary, "third")
    assert list(tmp_path.iterdir()) == [path]


READER = """
import sys, time
from pathlib import Path
path, n_reads = Path(sys.argv[1]), 0
print("ready", flush=True)
end = time.monotonic() + 1
while time.monotonic() < end:
    assert path.is_dir(), "the folder was gone for a moment"
    n_reads += 1
print(n_reads)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no atomic exchange of folders")
def test_a_reader_never_finds_the_folder_gone(tmp_path):
    path = tmp_path / "x"
    with whole_folder(path) as temporary:
        fill(temporary, "0")
    with subprocess.Popen([sys.executable, "-c", READER, path], stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        n_writes = 0
        end = time.monotonic() + 1
        while time.monotonic() < end:
            with whole_folder(path) as temporary:
                fill(temporary, str(n_writes))
            n_writes += 1
        n_reads = int(reader.stdout.read())
    assert reader.returncode == 0
    assert n_reads > n_writes > 1


def test_sha256_is_that_of_the_content(tmp_path):
    (tmp_path / "x").write_bytes(b"prism" * 100_000)
    assert sha256(tmp_path / "x") == hashlib.sha256(b"prism" * 100_000).hexdigest()


def test_public_names():
    assert files.__all__ == ["sha256", "whole_file", "whole_folder"]
