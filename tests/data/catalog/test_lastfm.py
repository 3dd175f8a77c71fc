"""Last.FM rows by hand: mixed encodings, quotation marks, the choice of tags, friends."""

import pytest

from prismrec.data.catalog import lastfm
from prismrec.errors import DataError


@pytest.fixture
def folder(tmp_path):
    tags = b"tagID\ttagValue\n1\trock\n2\t" + "tropicália\n".encode("latin-1") + b"3\tpop\n"
    (tmp_path / "tags.dat").write_bytes(tags)
    (tmp_path / "artists.dat").write_bytes(
        'id\tname\turl\tpictureURL\n10\tLee "Scratch" Perry\tu\tp\n11\tRöyksopp\t\t\n'.encode()
    )
    (tmp_path / "user_artists.dat").write_text("userID\tartistID\tweight\n2\t11\t900\n2\t10\t50\n1\t10\t7\n")
    (tmp_path / "user_friends.dat").write_text("userID\tfriendID\n2\t1\n1\t2\n2\t9\n")
    rows = [(1, 10, 1), (2, 10, 1), (3, 10, 1), (1, 10, 3), (2, 10, 3), (1, 10, 2), (3, 10, 2), (1, 11, 1)]
    text = "".join(f"{user}\t{artist}\t{tag}\t1\t4\t1956\n" for user, artist, tag in rows)
    (tmp_path / "user_taggedartists.dat").write_text("userID\tartistID\ttagID\tday\tmonth\tyear\n" + text)
    return tmp_path


def test_plays_keep_the_order_of_the_source(folder):
    assert lastfm.read(folder).clicks.to_pylist() == [
        {"user_id": 2, "artist_id": 11, "plays": 900, "source_order": 1},
        {"user_id": 2, "artist_id": 10, "plays": 50, "source_order": 2},
        {"user_id": 1, "artist_id": 10, "plays": 7, "source_order": 3},
    ]


def test_tags_are_by_number_of_users_then_by_name_and_latin_1_lines_are_read(folder):
    items = lastfm.read(folder).items.to_pylist()
    assert items[0] == {"artist_id": 10, "name": 'Lee "Scratch" Perry', "tags": ["rock", "pop", "tropicália"]}
    assert items[1] == {"artist_id": 11, "name": "Röyksopp", "tags": None}


def test_an_artist_keeps_only_its_most_given_tags(folder, monkeypatch):
    monkeypatch.setattr(lastfm, "N_TAGS", 1)
    assert lastfm.read(folder).items["tags"][0].as_py() == ["rock"]


def test_a_tag_of_one_user_alone_never_reaches_the_item_table(folder):
    before = lastfm.read(folder).items
    with open(folder / "user_taggedartists.dat", "a") as file:
        file.write("3\t11\t2\t1\t4\t2009\n")  # user 3 tags an artist whom nobody else gave this tag
    assert lastfm.read(folder).items.equals(before)
    with open(folder / "user_taggedartists.dat", "a") as file:
        file.write("2\t11\t2\t1\t4\t2009\n")
    assert lastfm.read(folder).items["tags"][1].as_py() == ["tropicália"]


def test_friends_are_links_as_the_source_has_them_and_nothing_else_is_known_of_users(folder):
    tables = lastfm.read(folder)
    assert tables.user_links.to_pylist() == [
        {"user_id": 2, "friend_id": 1}, {"user_id": 1, "friend_id": 2}, {"user_id": 2, "friend_id": 9},
    ]  # fmt: skip
    assert tables.users is None


def test_a_row_in_another_form_is_named(folder):
    (folder / "tags.dat").write_text("tagID\ttagValue\n1\trock\troll\n")
    with pytest.raises(DataError, match=r"tags\.dat, row 2: expected 2 fields separated by tabs, got 3"):
        lastfm.read(folder)
    (folder / "user_friends.dat").write_text("userID\tfriendID\n1\ttwo\n")
    with pytest.raises(DataError, match=r"user_friends\.dat: expected whole numbers"):
        lastfm.read(folder)
