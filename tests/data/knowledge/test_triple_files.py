"""Every form of triple file, its bad rows, and how the form is told."""

import pytest

from prismrec.data.knowledge.lines import Reading
from prismrec.data.knowledge.triple_files import find_triples, read_triples
from prismrec.errors import DataError


def read(place, form="auto"):
    """Triples as a list, the labels, and what was noticed."""
    reading = Reading()
    found = read_triples(find_triples(str(place), form), reading)
    rows = [tuple(row.values()) for row in found.table.to_pylist()]
    return rows, dict(found.labels), reading


def bad(reading):
    return [(row.row, row.reason) for row in reading.bad]


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


def test_tabs_leave_spaces_in_names(tmp_path):
    write(tmp_path, kg__tsv="Tom Hanks\tacted in\tBig\n Big \t genre \tComedy\n")
    rows, _, reading = read(tmp_path / "kg.tsv")
    assert rows == [("Tom Hanks", "acted in", "Big"), ("Big", "genre", "Comedy")]
    assert (reading.n_rows, reading.bad, reading.notes) == (2, [], {"form": "tsv"})


def test_without_tabs_spaces_part_the_fields(tmp_path):
    write(tmp_path, kg__txt="0 3 17\n  1   2 5 \n")
    assert read(tmp_path / "kg.txt")[0] == [("0", "3", "17"), ("1", "2", "5")]


def test_rows_that_are_no_triples_are_set_aside_with_their_place(tmp_path):
    write(tmp_path, kg__tsv="a\tr\tb\na\tr\n\nx\ty\tz\tw\na\t\tb\n\tr\tb\na\tr\t \nc\tr\td\n")
    rows, _, reading = read(tmp_path / "kg.tsv")
    assert rows == [("a", "r", "b"), ("c", "r", "d")]
    malformed, missing = "malformed line: expected head, relation and tail", "missing head, relation or tail"
    assert bad(reading) == [(2, malformed), (4, malformed), (5, missing), (6, missing), (7, missing)]
    assert reading.n_rows == 7
    assert reading.bad[0].text == "a\tr"


def test_several_files_are_one_graph(tmp_path):
    write(tmp_path / "parts", a__tsv="a\tr\tb\n", b__tsv="b\tr\tc\n")
    assert read(tmp_path / "parts")[0] == [("a", "r", "b"), ("b", "r", "c")]
    assert read(tmp_path / "parts" / "*.tsv")[0] == [("a", "r", "b"), ("b", "r", "c")]


N_TRIPLES = r"""# a comment
<http://x/Big> <http://x/genre> <http://x/Comedy> .
_:b1 <http://x/knows> <http://x/Big>. # why not
<http://x/Big> <http://www.w3.org/2000/01/rdf-schema#label> "\"Big\" \u00e9"@en .
<http://x/Big> <http://www.w3.org/2000/01/rdf-schema#label> "a second name" .
<http://x/Big> <http://x/year> "1988"^^<http://www.w3.org/2001/XMLSchema#gYear> .
<http://x/Big> <http://x/genre> Comedy .
<http://x/S\u00e3o> <http://x/in> <http://x/Brazil> .
"""


def test_n_triples(tmp_path):
    write(tmp_path, kg__nt=N_TRIPLES)
    rows, labels, reading = read(tmp_path / "kg.nt")
    assert rows == [
        ("http://x/Big", "http://x/genre", "http://x/Comedy"),
        ("_:b1", "http://x/knows", "http://x/Big"),
        ("http://x/São", "http://x/in", "http://x/Brazil"),
    ]
    assert labels == {"http://x/Big": '"Big" é'}, "the first name is taken"
    assert reading.notes == {"literals_left_out": 1, "form": "ntriples"}
    assert bad(reading) == [(7, "malformed line: no statement of N-Triples")]


def test_n_triples_are_told_by_their_first_line_too(tmp_path):
    write(tmp_path, kg__txt=N_TRIPLES.split("\n", 1)[1])
    assert read(tmp_path / "kg.txt")[2].notes["form"] == "ntriples"


OPENKE = {
    "entity2id__txt": "3\nTom Hanks\t0\nBig\t1\nAlien 2\n",
    "relation2id__txt": "2\nacts\t0\nlikes\t1\n",
    "train2id__txt": "3\n0 1 0\n0 2 1\n0 9 0\n",
    "valid2id__txt": "1\n2 1 1\n",
}


def test_openke_has_the_relation_last_and_counts_first(tmp_path):
    write(tmp_path / "wn", **OPENKE)
    rows, _, reading = read(tmp_path / "wn")
    assert rows == [("Tom Hanks", "acts", "Big"), ("Tom Hanks", "likes", "Alien")]
    assert bad(reading) == [(4, "number that the lists of entities and relations lack")]
    assert read(tmp_path / "wn" / "valid2id.txt")[0] == [("Alien", "likes", "Big")]


def test_kgat_has_headers_on_its_lists(tmp_path):
    write(
        tmp_path / "kgat",
        entity_list__txt="org_id remap_id\nm.01 0\nm.02 1\n",
        relation_list__txt="org_id remap_id\nhttp://r/genre 0\n",
        kg_final__txt="0 0 1\n1 5 0\n",
    )
    rows, _, reading = read(tmp_path / "kgat")
    assert rows == [("m.01", "http://r/genre", "m.02")]
    assert (reading.notes["form"], len(reading.bad)) == ("kgat", 1)


def test_mkr_takes_the_graph_with_named_relations_where_both_are_there(tmp_path):
    write(tmp_path / "m", kg__txt="0\tfilm.star\t5\n", kg_final__txt="0\t0\t1\n", item_index2entity_id__txt="7\t0\n")
    assert read(tmp_path / "m")[0] == [("0", "film.star", "5")]
    assert read(tmp_path / "m" / "kg_final.txt")[0] == [("0", "0", "1")]
    (tmp_path / "m" / "kg.txt").unlink()
    assert read(tmp_path / "m")[0] == [("0", "0", "1")]


def test_a_form_that_is_named_needs_its_lists(tmp_path):
    write(tmp_path, train2id__txt="1\n0 0 0\n")
    with pytest.raises(
        DataError, match=r"read in the form 'openke', which needs entity2id\.txt in .*: it is not there"
    ):
        find_triples(str(tmp_path / "train2id.txt"), "openke")


def test_a_list_whose_numbers_repeat_is_an_error_with_its_row(tmp_path):
    write(tmp_path / "wn", **{**OPENKE, "entity2id__txt": "2\na 0\nb 0\n"})
    with pytest.raises(DataError, match=r"entity2id\.txt row 3: expected a name and a number of its own, got 'b 0'"):
        read(tmp_path / "wn")


def test_nothing_to_read_is_an_error(tmp_path):
    write(tmp_path, kg__tsv="\n")
    with pytest.raises(DataError, match=r"kg\.tsv holds no triple"):
        read(tmp_path / "kg.tsv")
    with pytest.raises(DataError, match="nothing to read at"):
        read(tmp_path / "nowhere.tsv")
