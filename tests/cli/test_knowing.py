"""prismrec knowledge: what a graph is, in lines, as JSON and as files that can be read again."""

import pyarrow.parquet as pq
import pytest

KNOWLEDGE = """
[knowledge]
triples = "kg.tsv"
item_links = "links.tsv"
[knowledge.relations]
category = "product_type"
"""


@pytest.fixture
def config(make_shop, tmp_path):
    """A small shop with a graph: products of a category, two of them by a maker, one bad row."""
    shop = make_shop(tmp_path / "shop", 0, 20)
    lines = [f"p{i}\tmade_by\tAcme_Foods\n" for i in range(2)]
    (shop.parent / "kg.tsv").write_text("".join(lines) + "p1\tmade_by\n" + "p0\tsold_in\tOhio\n")

    products = pq.read_table(shop.parent / "clicks.parquet")["product_id"].unique().to_pylist()[:2]
    (shop.parent / "links.tsv").write_text("".join(f"{product}\tp{i}\n" for i, product in enumerate(products)))
    shop.write_text(shop.read_text() + KNOWLEDGE)
    return shop


def test_a_graph_in_a_few_lines(prismrec, config):
    result = prismrec("knowledge", config)
    assert result.exit_code == 0, result.stderr
    assert " entities in 3 relations; an entity has " in result.stdout
    assert "set aside: 1 of " in result.stdout
    assert "malformed line: expected head, relation and tail" in result.stdout
    assert "made_by" in result.stdout
    assert f"Next: prismrec evaluate {config}" in result.stdout


def test_as_json_with_everything_that_was_counted(answer, config):
    found = answer("knowledge", config, "--top", "1")
    assert found["n_relations"] == 3
    assert found["items"] == found["linked_items"]
    assert found["report"]["bad_rows"] == 1
    assert len(found["most_connected"]) == 1
    assert {relation["name"]: relation["triples"] for relation in found["relations"]}["made_by"] == 2


def test_a_control_says_that_it_is_one(prismrec, config):
    result = prismrec("knowledge", config, "--set", "knowledge.control=absent")
    assert result.stdout.startswith("0 triples between ")
    assert "control: absent: this is not what the files say" in result.stdout


def test_written_files_are_a_graph_of_their_own(prismrec, answer, config, tmp_path):
    folder = tmp_path / "graph"
    assert prismrec("knowledge", config, "-o", folder).exit_code == 0
    assert {path.name for path in folder.iterdir()} == {
        "triples.tsv", "labels.tsv", "item_links.tsv", "quarantine.parquet", "report.json",
    }  # fmt: skip
    (tmp_path / "alone.toml").write_text('[knowledge]\ntriples = "graph/triples.tsv"\nlabels = "graph/labels.tsv"\n')
    first, again = answer("knowledge", config), answer("knowledge", tmp_path / "alone.toml")
    assert (again["triples"], again["n_relations"]) == (first["triples"], first["n_relations"])
    assert (again["items"], again["report"]["test_triples"]) == (0, 0)
    assert prismrec("knowledge", config, "-o", folder).exit_code == 0, "an earlier graph is replaced"


def test_other_folders_are_left_alone(prismrec, config, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    result = prismrec("knowledge", config, "-o", tmp_path / "thesis")
    assert result.exit_code == 1
    assert "holds something other than an earlier graph" in result.stderr


def test_settings_without_a_graph_are_an_error_that_says_what_to_set(prismrec, shop):
    result = prismrec("knowledge", shop)
    assert result.exit_code == 1
    assert "there is no knowledge graph: set knowledge.triples" in result.stderr
