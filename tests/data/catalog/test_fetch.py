"""Downloads are checked and whole; archives give only what was asked for. `file:` stands for the network."""

import dataclasses
import hashlib
import zipfile

import pytest

from prismrec.data.catalog import find, get
from prismrec.data.catalog.dataset import Download
from prismrec.data.catalog.fetch import fetch, unpack
from prismrec.errors import DataError


@pytest.fixture
def remote(tmp_path):
    path = tmp_path / "remote.bin"
    path.write_bytes(b"seven b")
    return path


def test_a_file_with_the_right_size_and_digest_is_taken(remote, tmp_path):
    digest = hashlib.sha256(b"seven b").hexdigest()
    path = fetch(Download(remote.as_uri(), "here.bin", digest, 7), tmp_path / "new")
    assert path.read_bytes() == b"seven b"


def test_a_wrong_digest_is_an_error_and_leaves_nothing(remote, tmp_path):
    with pytest.raises(DataError, match=r"came with SHA-256 .*, expected 00"):
        fetch(Download(remote.as_uri(), "here.bin", "00" * 32), tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_wrong_size_is_an_error(remote, tmp_path):
    with pytest.raises(DataError, match="came with 7 bytes, expected 8; try again"):
        fetch(Download(remote.as_uri(), "here.bin", n_bytes=8), tmp_path)


def test_no_network_is_an_error_that_names_the_other_way(tmp_path):
    with pytest.raises(DataError, match=r"cannot download file:.*import it with --from PATH"):
        fetch(Download((tmp_path / "nowhere").as_uri(), "here.bin"), tmp_path)


def make_archive(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def test_an_archive_gives_only_what_matches_and_never_leaves_its_folder(tmp_path):
    members = {"ml-1m/movies.dat": "yes", "ml-1m/._movies.dat": "shadow", "../../users.dat": "out", "README": "no"}
    folder = tmp_path / "inner" / "deep"
    folder.mkdir(parents=True)
    unpack(make_archive(tmp_path / "a.zip", members), folder, ["movies.dat", "users.dat"])
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"movies.dat": "yes", "users.dat": "out"}
    assert not (tmp_path / "users.dat").exists()


def test_an_archive_without_the_files_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"holds none of the expected files: movies\.dat"):
        unpack(make_archive(tmp_path / "a.zip", {"README": "no"}), tmp_path, ["movies.dat"])


def test_something_else_than_an_archive_is_an_error(remote, tmp_path):
    with pytest.raises(DataError, match="is not a whole zip archive"):
        unpack(remote, tmp_path, ["*"])


def test_get_downloads_unpacks_and_imports(tmp_path, monkeypatch):
    archive = make_archive(
        tmp_path / "ml-1m.zip",
        {
            "ml-1m/ratings.dat": "1::20::5::100\n1::10::3::50\n",
            "ml-1m/movies.dat": "10::Heat (1995)::Action\n20::Sabrina (1995)::Comedy|Romance\n",
            "ml-1m/users.dat": "1::F::1::10::48067\n",
        },
    )
    nearby = dataclasses.replace(find("movielens-1m"), downloads=(Download(archive.as_uri(), "ml-1m.zip"),))
    monkeypatch.setattr("prismrec.data.catalog.DATA_SETS", (nearby,))
    result = get("movielens-1m", tmp_path / "ml")
    assert (result.n_clicks, result.n_items) == (2, 2)
    assert result.notes == ("No movies_extrainfos.dat: the items have genres and year, but no directors and actors.",)
    assert "director" not in result.settings.read_text()
