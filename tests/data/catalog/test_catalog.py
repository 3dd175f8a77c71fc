"""The catalog: its table, and imports that are whole, counted, and come with their terms and settings."""

import re
import tomllib
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prismrec.data.bundled import bundled_paths
from prismrec.data.catalog import DATA_SETS, available, find, get
from prismrec.errors import DataError

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data"


def source(name):
    if not (SHARED / name).exists():
        pytest.skip(f"the data set is not here: {SHARED / name}")
    return SHARED / name


def distinct(table, column):
    return pc.count_distinct(table[column]).as_py()


def test_the_catalog_lists_its_data_sets_each_with_terms_and_source():
    assert [data_set.name for data_set in available()] == [
        "complete-journey", "online-retail", "movielens-1m", "movielens-1m-graph", "lastfm-hetrec", "amazon-cds",
        "movielens-1m-knowledge", "mkr-movie", "mkr-music", "wn18rr", "nations", "kinships", "umls", "news-demo",
        "mind",
    ]  # fmt: skip
    for data_set in available():
        assert data_set.licence
        assert data_set.page.startswith("https://")
        assert data_set.bundled or data_set.downloads or data_set.name == "mind"  # whose terms are accepted first


def test_only_data_with_a_free_licence_may_ship():
    assert [data_set.name for data_set in DATA_SETS if data_set.may_ship] == ["complete-journey", "online-retail"]


@pytest.mark.parametrize("data_set", DATA_SETS, ids=lambda data_set: data_set.name)
def test_downloads_have_a_digest_or_an_address_that_names_a_fixed_version(data_set):
    for download in data_set.downloads:
        assert len(download.sha256) == 64 or re.search("/[0-9a-f]{40}/", download.url)


def test_an_unknown_name_is_an_error_that_names_the_nearest():
    with pytest.raises(DataError, match="unknown data set 'movielens'; did you mean 'movielens-1m'"):
        find("movielens")
    with pytest.raises(DataError, match="there are complete-journey, online-retail"):
        find("zzz")


def test_complete_journey_needs_no_network(tmp_path):
    result = get("complete-journey", tmp_path / "cj")
    assert (result.n_clicks, result.n_items) == (100_000, 23_945)
    settings = tomllib.loads(result.settings.read_text())
    bundled = tomllib.loads((bundled_paths().clicks.parent / "complete_journey.toml").read_text())
    del bundled["data"]["name"]
    bundled["data"] |= {"interactions": "clicks.parquet", "items": "items.parquet"}
    assert settings == bundled, "the demo and the import of its data should run with the same settings"
    columns = pq.read_schema(tmp_path / "cj" / "clicks.parquet").names
    assert set(settings["data"]["columns"].values()) <= set(columns)


def test_an_import_comes_with_its_terms(tmp_path):
    get("complete-journey", tmp_path / "cj")
    text = (tmp_path / "cj" / "SOURCE.md").read_text()
    assert "CC0 1.0; credit 84.51°" in text
    assert "a random sample of 100,000 rows" in text


def test_an_earlier_import_is_replaced_and_anything_else_is_left_alone(tmp_path):
    folder = tmp_path / "cj"
    get("complete-journey", folder)
    (folder / "users.parquet").touch()  # a leftover that the new import does not have
    get("complete-journey", folder)
    assert not (folder / "users.parquet").exists()
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something other than an earlier import"):
        get("complete-journey", other)
    assert (other / "chapter.txt").read_text() == "mine"


def test_a_missing_file_is_an_error_that_says_what_was_looked_for(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no file named movies\.dat in .*empty"):
        get("movielens-1m", tmp_path / "ml", from_path=tmp_path / "empty")
    assert not (tmp_path / "ml").exists()


def test_a_wrong_path_is_an_error(tmp_path):
    with pytest.raises(DataError, match="there is no such folder or file"):
        get("movielens-1m", tmp_path / "ml", from_path=tmp_path / "nowhere.zip")


def test_files_in_another_form_are_a_clear_error(tmp_path):
    (tmp_path / "at").mkdir()
    for name in ("movies.dat", "users.dat"):
        (tmp_path / "at" / name).write_text("")
    (tmp_path / "at" / "ratings.dat").write_text("one::two::three::four\n")
    with pytest.raises(DataError, match=r"cannot read the ratings in .*ratings\.dat"):
        get("movielens-1m", tmp_path / "ml", from_path=tmp_path / "at")
    (tmp_path / "at" / "movies.dat").write_text("x::Heat (1995)::Action\n")
    with pytest.raises(DataError, match="are not those of movielens-1m: ValueError"):
        get("movielens-1m", tmp_path / "ml", from_path=tmp_path / "at")


def test_complete_journey_from_its_csv_files_has_the_known_counts(tmp_path):
    result = get("complete-journey", tmp_path / "cj", from_path=source("completejourney"))
    clicks, items, users = (pq.read_table(result.folder / f"{name}.parquet") for name in ("clicks", "items", "users"))
    counts = [distinct(clicks, c) for c in ("household_id", "product_id", "basket_id", "store_id")]
    assert counts == [2405, 23_950, 56_625, 308]
    assert (clicks.num_rows, items.num_rows, users.num_rows) == (100_000, 92_331, 801)


def test_movielens_has_the_known_counts_and_keeps_the_order_of_every_user(tmp_path):
    folder = source("ml-1m")
    result = get("movielens-1m", tmp_path / "ml", from_path=folder)
    clicks, items, users = (pq.read_table(result.folder / f"{name}.parquet") for name in ("clicks", "items", "users"))
    assert (clicks.num_rows, distinct(clicks, "user_id"), distinct(clicks, "movie_id")) == (1_000_209, 6040, 3706)
    assert (items.num_rows, users.num_rows) == (3883, 6040)
    expected = pq.read_table(folder / "ratings.parquet").sort_by([("user_id", "ascending"), ("pos", "ascending")])
    assert clicks.equals(expected.select(["user_id", "movie_id", "rating", "timestamp"]))
    settings = tomllib.loads(result.settings.read_text())
    assert settings["data"]["timestamp_unit"] == "s"
    assert settings["views"] == {"genre": "genres", "director": "directors", "year": "year"}
    assert settings["user_views"]["area"] == {"column": "zip_code", "prefix": 3}


def test_lastfm_has_the_known_counts(tmp_path):
    result = get("lastfm-hetrec", tmp_path / "fm", from_path=source("lastfm-hetrec"))
    clicks, items, links = (
        pq.read_table(result.folder / f"{name}.parquet") for name in ("clicks", "items", "user_links")
    )
    assert (clicks.num_rows, distinct(clicks, "user_id"), distinct(clicks, "artist_id")) == (92_834, 1892, 17_632)
    assert items.num_rows == 17_632
    assert links.num_rows == 25_434
    assert not (result.folder / "users.parquet").exists()
    assert result.notes[0] == "Read 186,479 tag assignments and 25,434 friend rows."
    names = dict(zip(items["artist_id"].to_pylist(), items["name"].to_pylist(), strict=True))
    assert names[1686] == '"Weird Al" Yankovic'  # quotation marks are part of the name
    assert names[64] == "Röyksopp"


def test_online_retail_has_the_known_counts_and_says_what_it_left_out(tmp_path):
    result = get("online-retail", tmp_path / "or", from_path=source("online-retail"))
    assert result.notes[0] == "Read 541,909 lines of 4,372 customers and 4,070 stock codes."
    assert "Left out 135,080 lines: without a customer." in result.notes
    left_out = sum(int(note.split()[2].replace(",", "")) for note in result.notes[1:])
    assert result.n_clicks + left_out == 541_909
    clicks = pq.read_table(result.folder / "clicks.parquet")
    assert pc.min(clicks["quantity"]).as_py() > 0
    assert clicks["customer_id"].null_count == 0


def test_amazon_has_the_known_counts_and_original_ids(tmp_path):
    result = get("amazon-cds", tmp_path / "cd", from_path=source("amazon-cds"))
    clicks = pq.read_table(result.folder / "clicks.parquet")
    assert (clicks.num_rows, distinct(clicks, "user_id"), distinct(clicks, "item_id")) == (472_265, 17_052, 35_118)
    assert result.n_items == 35_118
    assert clicks["user_id"][0].as_py() == "A08161909WK3HU7UYTMW"
    assert tomllib.loads(result.settings.read_text())["data"]["timestamp_unit"] == "order"


def test_the_news_demo_has_the_known_counts(tmp_path):
    result = get("news-demo", tmp_path / "news", from_path=source("news-demo"))
    clicks, items = (pq.read_table(result.folder / f"{name}.parquet") for name in ("clicks", "items"))
    assert [distinct(clicks, c) for c in ("user_id", "article_id")] == [469, 9075]
    assert (clicks.num_rows, items.num_rows) == (10_863, 9075)
    assert clicks["part"].value_counts().to_pylist() == [
        {"values": "train", "counts": 10_401}, {"values": "test", "counts": 462},
    ]  # fmt: skip
    assert pc.sum(clicks["label"]).as_py() == 6305 + 271
