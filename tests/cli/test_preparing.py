"""prismrec profile and prepare: what is in a log, and training data from it or from a graph."""

import builtins
import sys

import pyarrow.parquet as pq
import pytest

from prismrec.data.prepared import load_prepared
from prismrec.data.sharded import open_prepared
from prismrec.retrieval.bundle import Bundle

EDGES = "# who is bought with whom\n" + "".join(f"{a} {(a + step) % 30}\n" for a in range(30) for step in (1, 2))


def test_profile_in_a_few_lines(prismrec, shop):
    result = prismrec("profile", shop)
    assert result.exit_code == 0
    clicks = pq.read_table(shop.parent / "clicks.parquet")
    assert result.stdout.startswith(f"{clicks.num_rows:,} interactions of 100 users with")
    assert "view category (product_type): " in result.stdout
    assert "sessions: " in result.stdout


def test_profile_as_json_counts_the_same(answer, shop):
    found = answer("profile", shop)
    clicks = pq.read_table(shop.parent / "clicks.parquet")
    assert found["counts"]["n_interactions"] == clicks.num_rows
    assert found["counts"]["n_items"] == len(clicks["product_id"].unique())
    assert [view["view"] for view in found["coverage"]] == ["category", "shop"]


def test_profile_page_is_one_file(prismrec, shop, tmp_path):
    pytest.importorskip("plotly", reason="the page needs the extra profile")
    result = prismrec("profile", shop, "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.stderr
    assert f"page written: {tmp_path / 'page.html'}" in result.stderr
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_profile_page_without_plotly_names_the_extra(prismrec, shop, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "plotly"]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without_plotly(name, *arguments, **options):
        if name.split(".")[0] == "plotly":
            raise ModuleNotFoundError("No module named 'plotly'", name="plotly")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_plotly)
    result = prismrec("profile", shop, "-o", tmp_path / "page.html")
    assert result.exit_code == 1
    assert "prismrec[profile]" in result.stderr
    assert not (tmp_path / "page.html").exists()


def test_missing_column_names_file_and_column(prismrec, shop):
    result = prismrec("profile", shop, "--set", "data.columns.item=product")
    assert result.exit_code == 1
    assert "clicks.parquet" in result.stderr
    assert "'product'" in result.stderr


def test_missing_table_is_an_error(prismrec, shop):
    result = prismrec("prepare", shop, "-o", shop.parent / "never", "--set", "data.interactions=absent.parquet")
    assert result.exit_code == 1
    assert "absent.parquet" in result.stderr
    assert not (shop.parent / "never").exists()


def test_prepare_reports_every_stage_and_what_was_set_aside(prismrec, make_shop, tmp_path):
    config = make_shop(tmp_path / "shop", last=40)
    clicks = pq.read_table(config.parent / "clicks.parquet")
    users = clicks["household_id"].to_pylist()
    users[0] = None
    pq.write_table(clicks.set_column(0, "household_id", [users]), config.parent / "clicks.parquet")
    result = prismrec("prepare", config, "-o", tmp_path / "prepared")
    assert result.exit_code == 0, result.stderr
    assert "input, bad by reason: missing user id 1" in result.stdout
    assert f"interactions: read {clicks.num_rows - 1:,}, short dwell 0" in result.stdout
    assert "views, category: nodes" in result.stdout
    assert pq.read_table(tmp_path / "prepared" / "quarantine" / "interactions.parquet")["source_row"].to_pylist() == [1]


def test_a_note_that_names_itself_is_not_named_twice(prismrec, shop, tmp_path):
    told = prismrec("prepare", shop, "-o", tmp_path / "data").stdout
    assert ", timestamps read as " in " ".join(told.split())
    assert "timestamps timestamps" not in told


def test_prepare_as_json_is_the_report(answer, shop, tmp_path):
    found = answer("prepare", shop, "-o", tmp_path / "prepared")
    data = load_prepared(tmp_path / "prepared")
    assert found["prepared"]["items"] == len(data.items)
    assert found["folder"] == str(tmp_path / "prepared")
    assert set(found["views"]) == {"category", "shop"}


def test_a_graph_without_a_log_trains_and_answers(prismrec, answer, tmp_path):
    (tmp_path / "edges.txt").write_text(EDGES + "only-one-end\n")
    config = tmp_path / "graph.toml"
    config.write_text("[edges]\nsymmetric = true\n[walks]\nwalk_length = 20\n[training]\nepochs = 30\n")
    prepared = prismrec("prepare", config, "--edges", tmp_path / "edges.txt", "-o", tmp_path / "prepared")
    assert prepared.exit_code == 0, prepared.stderr
    assert "edges, bad by reason: expected source, target and perhaps a weight 1" in prepared.stdout
    assert (tmp_path / "prepared" / "quarantine" / "edges.parquet").is_file()
    trained = prismrec("train", config, "--prepared", tmp_path / "prepared", "-o", tmp_path / "bundle")
    assert trained.exit_code == 0, trained.stderr
    near = [item["item_id"] for item in answer("similar", tmp_path / "bundle", "10", "-k", 4)["items"]]
    assert set(near) <= {6, 7, 8, 9, 11, 12, 13, 14}, "neighbours on the ring"
    assert len(Bundle.open(tmp_path / "bundle").items) == 30


def test_walks_cannot_start_from_a_bundle(prismrec, shop, bundle, tmp_path):
    (tmp_path / "edges.txt").write_text(EDGES)
    command = ["prepare", shop, "--edges", tmp_path / "edges.txt", "--from", bundle, "-o", tmp_path / "prepared"]
    assert prismrec(*command).exit_code == 2


def test_prepare_in_shards_tells_of_stages_and_goes_on(prismrec, answer, shop, tmp_path):
    command = ["prepare", shop, "-o", tmp_path / "shards", "--shards", 2]
    first = prismrec(*command, "--keep-stages")
    assert first.exit_code == 0, first.stderr
    assert "vocabulary/item: " in first.stderr
    assert "prepared: users 100" in first.stdout
    assert f"Next: prismrec train {shop} --prepared {tmp_path / 'shards'} -o bundle" in first.stdout
    assert (tmp_path / "shards.stages" / "log" / "clean" / "_SUCCESS").is_file()
    again = prismrec(*command)
    assert "whole, kept from the earlier run" in again.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]
    changed = prismrec("prepare", shop, "-o", tmp_path / "shards", "--shards", 3)
    assert "kept" not in changed.stderr, "another number of files is another preparation"
    found = answer("prepare", shop, "-o", tmp_path / "plain")
    shards = answer("prepare", shop, "-o", tmp_path / "shards", "--shards", 3)
    assert shards["views"].keys() == found["views"].keys()
    assert shards["prepared"].items() >= {"users": 100, "items": found["prepared"]["items"]}.items()


def test_shards_hold_what_the_plain_folder_holds(prismrec, shop, tmp_path):
    for folder, more in (("plain", ()), ("shards", ("--shards", 2))):
        assert prismrec("prepare", shop, "-o", tmp_path / folder, *more).exit_code == 0
    plain, shards = load_prepared(tmp_path / "plain"), open_prepared(tmp_path / "shards", "histories")
    assert shards.items.ids.equals(plain.items.ids)
    assert shards.histories.to_lists() == plain.histories.to_lists()
    assert shards.views["shop"].item_nodes.to_lists() == plain.views["shop"].item_nodes.to_lists()


def test_shards_start_from_a_bundle(prismrec, shop, bundle, make_shop, tmp_path):
    known = Bundle.open(bundle).items
    later = make_shop(tmp_path / "later", first=50, last=150)
    result = prismrec("prepare", later, "-o", tmp_path / "shards", "--shards", 2, "--from", bundle)
    assert result.exit_code == 0, result.stderr
    items = open_prepared(tmp_path / "shards").items
    assert items.ids[: len(known)].equals(known.ids)
    assert len(items) > len(known)


def test_a_changed_file_is_prepared_again(prismrec, make_shop, tmp_path):
    config = make_shop(tmp_path / "shop", last=20)
    command = ["prepare", config, "-o", tmp_path / "shards", "--shards", 2]
    prismrec(*command)
    make_shop(tmp_path / "shop", last=30)
    result = prismrec(*command)
    assert "kept" not in result.stderr
    assert "prepared: users 30" in result.stdout


def test_options_of_shards_that_contradict_are_refused(prismrec, shop, tmp_path):
    (tmp_path / "edges.txt").write_text(EDGES)
    walks = prismrec("prepare", shop, "--edges", tmp_path / "edges.txt", "-o", tmp_path / "p", "--shards", 2)
    assert walks.exit_code == 2
    assert "walks over a graph are made in memory" in walks.stderr
    stages = prismrec("prepare", shop, "-o", tmp_path / "p", "--keep-stages")
    assert stages.exit_code == 2
    assert "only sharded preparation has stages" in stages.stderr


def test_shards_need_a_log(prismrec, tmp_path):
    (tmp_path / "empty.toml").write_text("[views]\n")
    result = prismrec("prepare", tmp_path / "empty.toml", "-o", tmp_path / "p", "--shards", 2)
    assert result.exit_code == 1
    assert "there is no click log" in result.stderr


def test_profile_tells_what_the_bounds_of_a_run_would_leave_out(prismrec, shop):
    result = prismrec("profile", shop, "--set", "sessions.min_user_interactions=7")
    assert "step sessions.min_user_interactions = 7: would leave out " in result.stdout
    assert "step sessions.min_item_interactions = 5: would leave out " in result.stdout, "as a study took it"
    assert "step ratings." not in result.stdout, "the shop has no ratings"
