"""prismrec data: the catalog with its terms, and imports that the other verbs can read."""

from pathlib import Path

import pytest

from prismrec.data.catalog import available

MOVIELENS = Path(__file__).parents[2] / ".." / "shared" / "data" / "ml-1m"


def test_list_names_every_data_set_with_its_terms(prismrec):
    shown = prismrec("data").stdout
    for data_set in available():
        assert data_set.name in shown
        assert data_set.licence in shown
        assert data_set.page in shown


def test_list_as_json(answer):
    found = {entry["name"]: entry for entry in answer("data")}
    assert found["complete-journey"]["bundled"]
    assert found["complete-journey"]["may_be_passed_on"]
    assert not found["movielens-1m"]["may_be_passed_on"]


def test_bundled_data_become_tables_that_profile_reads(answer, prismrec, tmp_path):
    written = answer("data", "get", "complete-journey", "-o", tmp_path / "cj")
    assert written["n_clicks"] == 100_000
    assert (tmp_path / "cj" / "SOURCE.md").is_file()
    profile = answer("profile", written["settings"])
    assert profile["counts"]["n_interactions"] == 100_000


def test_import_says_what_to_do_next(prismrec, tmp_path):
    result = prismrec("data", "get", "complete-journey", "-o", tmp_path / "cj")
    assert "100,000 clicks" in result.stdout
    assert f"Next: prismrec profile {tmp_path / 'cj' / 'prismrec.toml'}" in result.stdout


def test_files_at_hand_are_imported(answer, tmp_path):
    if not MOVIELENS.exists():
        pytest.skip("MovieLens-1M is not at hand")
    assert answer("data", "get", "movielens-1m", "--from", MOVIELENS, "-o", tmp_path / "ml")["n_clicks"] == 1_000_209


def test_unknown_data_set_names_the_nearest(prismrec):
    result = prismrec("data", "get", "movielens1m")
    assert result.exit_code == 1
    assert "unknown data set 'movielens1m'; did you mean 'movielens-1m'?" in result.stderr


def test_missing_source_is_named(prismrec, tmp_path):
    result = prismrec("data", "get", "movielens-1m", "--from", tmp_path / "absent.zip", "-o", tmp_path / "ml")
    assert result.exit_code == 1
    assert "there is no such folder or file" in result.stderr
