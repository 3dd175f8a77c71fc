"""Articles as rows of words and entities."""

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.news.articles import ArticleReader
from prismrec.data.news.mentions import Mention
from prismrec.data.news.settings import NewsSettings
from prismrec.errors import DataError

TABLE = pa.table(
    {
        "title": ["Trump meets Putin", "Trump golf", "Putin speech", None, "golf trump tower speech", "rare"],
        "annotations": ["1:Donald Trump;2:Vladimir Putin", "1:Trump", "2:Putin", None, "3:Trump Tower", ""],
    }
)


def reader(table=TABLE, names=(), **settings):
    return ArticleReader.learned(NewsSettings(**settings), table, names)


def rows(made, read, known):
    """Words and entities of each article, as texts."""
    return [
        [(known.words[w], known.entities[e] if e >= 0 else "") for w, e in zip(row, read.entities[a:b], strict=True)]
        for row, a, b in zip(read.words, read.words.offsets[:-1], read.words.offsets[1:], strict=True)
    ]


def test_known_words_are_those_of_enough_titles_the_most_frequent_first():
    assert reader().words == ("trump", "golf", "putin", "speech")
    assert reader(min_word_count=3).words == ("trump",)
    assert reader().entities == ("1", "2", "3")
    assert reader(min_entity_count=2).entities == ("1", "2")


def test_rows_hold_known_words_and_their_entities():
    known = reader()
    read = known.read(TABLE)
    assert rows(TABLE, read, known) == [
        [("trump", "1"), ("putin", "2")],
        [("trump", "1"), ("golf", "")],
        [("putin", "2"), ("speech", "")],
        [],
        [("golf", ""), ("trump", "3"), ("speech", "")],
        [],
    ]
    assert len(read) == 6


def test_titles_are_cut_after_as_many_known_words_as_are_read():
    known = reader(max_words=2)
    assert known.read(TABLE).words.lengths.tolist() == [2, 2, 2, 0, 2, 0]


def test_an_entity_that_is_not_known_is_none():
    known = reader(min_entity_count=2)
    assert rows(TABLE, known.read(TABLE), known)[4] == [("golf", ""), ("trump", ""), ("speech", "")]
    wider = known.knowing(["9", "3", "1"])
    assert wider.entities == ("1", "2", "9", "3")
    assert rows(TABLE, wider.read(TABLE), wider)[4][1] == ("trump", "3")


NEW = pa.table({"title": ["Putin and Trump"], "annotations": ["1:Putin"]})


@pytest.mark.parametrize(
    ("linking", "annotations", "expected"),
    [
        ("given", "1:Putin", ["1", ""]),
        ("given", "", ["", ""]),
        ("dictionary", "1:Putin", ["2", "1"]),
        ("both", "1:Putin", ["1", ""]),
        ("both", "", ["2", "1"]),
    ],
)
def test_entities_are_given_or_found_by_their_names(linking, annotations, expected):
    known = reader(linking=linking)
    read = known.read_rows([{"title": "Putin and Trump", "annotations": annotations}])
    assert [entity for _, entity in rows(None, read, known)[0]] == expected


def test_names_of_a_graph_are_found_too():
    known = reader(names=[Mention("7", "Golf")], min_link_share=0.0)
    assert known.mentions(pa.table({"title": ["golf trump"]})) == [(Mention("7", "golf"), Mention("1", "trump"))]


def test_new_articles_may_lack_any_column():
    known = reader()
    read = known.read_rows([{}, {"title": "golf", "price": 3}, {"title": None}])
    assert read.words.to_lists() == [[], [known.words.index("golf")], []]
    assert len(known.read_rows([])) == 0


def test_a_table_without_annotations_is_read_by_names_alone():
    known = reader(annotations="")
    assert known.entities == ()
    assert known.read(TABLE.select(["title"])).entities.tolist() == [-1] * 9
    assert (
        reader().read(TABLE.select(["title"])).entities.tolist()
        == reader(linking="dictionary").read(TABLE).entities.tolist()
    )


def test_taken_rows_are_those_asked_for():
    read = reader().read(TABLE)
    taken = read.take(np.array([4, 0, 3]))
    assert taken.words.to_lists() == [read.words[4].tolist(), read.words[0].tolist(), []]
    assert taken.entities.tolist() == [-1, 2, -1, 0, 1]


def test_what_is_stored_opens_as_the_same_reader():
    known = reader().knowing(["9"])
    opened = ArticleReader.opened(known.settings, {name: np.array(a) for name, a in known.arrays().items()})
    assert (opened.words, opened.entities) == (known.words, known.entities)
    for table in (TABLE, NEW, TABLE.select(["title"])):
        before, after = known.read(table), opened.read(table)
        assert after.words.to_lists() == before.words.to_lists()
        assert after.entities.tolist() == before.entities.tolist()


def test_a_table_without_titles_is_refused():
    with pytest.raises(DataError, match="no column 'title' with titles; it has name: name it in the settings"):
        reader(pa.table({"name": ["a"]}))
    with pytest.raises(DataError, match="no title in the column 'title' of the item table has a word"):
        reader(pa.table({"title": ["...", None]}))
    with pytest.raises(DataError, match="no word is in 9 titles of the column 'title': lower min_word_count"):
        reader(min_word_count=9)
    with pytest.raises(DataError, match="expected the entities of a title as id:name;id:name"):
        reader(pa.table({"title": ["a b"], "annotations": ["nonsense"]}))
