"""Files of two columns: links, labels, aliases."""

import pytest

from prismrec.data.knowledge.lines import Reading
from prismrec.data.knowledge.links import Aliases, read_aliases, read_labels, read_links
from prismrec.errors import DataError


@pytest.fixture
def pairs(tmp_path):
    """Write a file and read it: `pairs(read, text)` gives what was found and the bad rows."""

    def read(reader, text):
        (tmp_path / "pairs.txt").write_text(text, encoding="utf-8")
        reading = Reading()
        found = reader(str(tmp_path / "pairs.txt"), reading)
        return found, [(row.row, row.reason, row.text) for row in reading.bad]

    return read


@pytest.mark.parametrize("text", ["7\tm.01\n8\tm.02\n", "7,m.01\n8, m.02\n", "7  m.01\n8 m.02\n"])
def test_links_stand_between_tabs_commas_or_spaces(pairs, text):
    assert pairs(read_links, text) == ({"7": "m.01", "8": "m.02"}, [])


def test_kgat_has_a_header_and_a_third_column(pairs):
    assert pairs(read_links, "org_id remap_id freebase_id\n7 0 m.01\n8 1\n") == (
        {"7": "0"},
        [(3, "malformed line: expected two fields", "8 1")],
    )


def test_an_item_is_one_entity_and_an_entity_one_item(pairs):
    found, bad = pairs(read_links, "7\ta\n7\tb\n8\ta\n9\tc\n9\n\t\n")
    assert found == {"7": "a", "9": "c"}
    assert bad == [
        (2, "item with two entities", "7\tb"),
        (3, "entity of another item", "8\ta"),
        (5, "malformed line: expected two fields", "9"),
    ]


def test_labels_may_hold_spaces_and_commas(pairs):
    assert pairs(read_labels, "m.1\tHanks, Tom\nm.2\tBig\n")[0] == {"m.1": "Hanks, Tom", "m.2": "Big"}
    assert pairs(read_labels, "m.1,Tom Hanks, actor\n")[0] == {"m.1": "Tom Hanks, actor"}
    assert read_labels("", Reading()) == {}


def test_an_entity_with_two_names_keeps_the_first(pairs):
    found, bad = pairs(read_labels, "m.1\tTom\nm.1\tTom\nm.1\tThomas\n")
    assert found == {"m.1": "Tom"}
    assert bad == [(3, "entity with two names", "m.1\tThomas")]


def test_chains_of_aliases_lead_to_their_end(pairs):
    found, _ = pairs(read_aliases, "a\tb\nb\tc\nx\ty\n")
    assert [found.entity(name) for name in "abcxz"] == ["c", "c", "c", "y", "z"]


def test_aliases_in_a_circle_are_an_error(pairs):
    with pytest.raises(DataError, match="the aliases go round in a circle at 'a'"):
        pairs(read_aliases, "a\tb\nb\ta\n")


def test_aliases_of_names_work_in_any_spelling():
    aliases = Aliases({"Larry_Wachowski": "Lana Wachowski", "J.R. Smith": "J. R. Smith", "???": "x"})
    assert aliases.keys("person") == {"larry wachowski": "lana wachowski"}, "the second is no other name"
    assert read_aliases("", Reading()).names == {}
