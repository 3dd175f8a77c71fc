"""What a model of news begins with: which articles teach words, which entities there are, whose vectors they have."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph
from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError

pytest.importorskip("torch")

from prismrec.models.knowledge.configs import DKNConfig
from prismrec.models.knowledge.news_beginning import begin_with

TABLE = pa.table(
    {
        "title": ["ann bob talk", "ann walks", "bob talk walks", "cid unseen talk", "dan talk"],
        "annotations": ["e1:Ann;e2:Bob", "e1:Ann", "e2:Bob", "e3:Cid", "e4:Dan"],
    }
)
TEXT = {"min_word_count": 1}


def data(**more):
    histories = Sequences.from_lists([[0, 1], [2]])
    items = Vocabulary.from_ids(list(range(5)), np.bincount(histories.values, minlength=5))
    users = Vocabulary.from_ids([0, 1])
    return PreparedData(items, histories, users, histories, item_columns=TABLE, **more)


def graph(ids, triples, labels=None):
    names = Vocabulary.from_ids(ids)
    return ItemKnowledge(
        KnowledgeGraph(names, ("knows", "is"), np.array(triples, np.int32), pa.array(labels or ids)), np.full(5, -1)
    )


def rows(beginning):
    return Sequences(beginning.values, beginning.offsets).to_lists()


def test_words_and_entities_are_those_of_articles_that_somebody_clicked_or_was_shown():
    reader, articles, _ = begin_with(DKNConfig(text=TEXT), data(), 0)
    assert set(reader.words) == {"ann", "bob", "talk", "walks"}
    assert reader.entities == ("e1", "e2")
    assert len(articles) == 5
    assert [reader.words[w] for w in articles.words[3]] == ["talk"]
    shown = data(disliked=Sequences.from_lists([[4], []]))
    assert begin_with(DKNConfig(text=TEXT), shown, 0)[0].entities == ("e1", "e2", "e4")


def test_without_a_graph_entities_of_one_title_are_neighbours():
    assert rows(begin_with(DKNConfig(text=TEXT), data(), 0)[2]) == [[1], [0]]
    absent = DKNConfig(text=TEXT, parts={"control": "absent"})
    assert rows(begin_with(absent, data(), 0)[2]) == [[], []]


def test_of_a_graph_the_entities_one_step_from_those_of_titles_are_kept():
    known = graph(["e9", "e8", "e2", "e7", "e6"], [[0, 0, 2], [2, 1, 1], [1, 0, 3], [3, 0, 4], [0, 1, 1]])
    reader, _, beginning = begin_with(DKNConfig(text=TEXT), data(knowledge=known), 0)
    assert reader.entities == ("e1", "e2", "e9", "e8")
    assert rows(beginning) == [[], [2, 3], [3, 1], [2, 1]]  # e7 and e6 are two steps away
    assert beginning.entities.shape == (4, 50)


def test_names_of_a_graph_link_titles_that_say_nothing_and_ids_are_no_names():
    known = graph(["e5", "walks"], [[0, 0, 1]], ["Talk", "walks"])
    config = DKNConfig(text={**TEXT, "linking": "dictionary", "min_link_share": 0.0})
    reader, articles, _ = begin_with(config, data(knowledge=known), 0)
    assert "e5" in reader.entities
    places = articles.entities[articles.words.offsets[4] : articles.words.offsets[5]]
    assert [reader.entities[e] for e in places if e >= 0] == ["e5"]
    walks = articles.entities[articles.words.offsets[1] : articles.words.offsets[2]][1]
    assert walks == -1


def test_words_begin_alike_where_they_stand_together_or_at_random():
    beginning = begin_with(DKNConfig(text=TEXT, embedding_dim=3), data(), 0)[2]
    again = begin_with(DKNConfig(text=TEXT, embedding_dim=3), data(), 1)[2]
    np.testing.assert_allclose(beginning.words, again.words, atol=0.5)
    assert (beginning.words != again.words).any()  # words of the same company still differ
    random = DKNConfig(text=TEXT, embedding_dim=3, vectors={"words": "random"})
    one, same, other = (begin_with(random, data(), seed)[2] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.words, same.words)
    assert (one.words != other.words).any()
    assert (one.words != beginning.words).any()
    assert beginning.words.dtype == beginning.entities.dtype == np.float32


def test_given_vectors_of_entities_are_taken_by_id_and_missing_ones_are_zero(tmp_path):
    path = tmp_path / "item.parquet"
    pq.write_table(pa.table({"id": ["e2", "other"], "source": [[3.0, 4.0], [1.0, 1.0]]}), path)
    config = DKNConfig(text=TEXT, vectors={"entities": str(path)})
    beginning = begin_with(config, data(), 0)[2]
    np.testing.assert_allclose(beginning.entities, np.array([[0, 0], [0.6, 0.8]]), rtol=1e-6)
    pq.write_table(pa.table({"id": ["other"], "source": [[1.0, 1.0]]}), path)
    with pytest.raises(DataError, match="has a vector of none of the 2 entities of the titles"):
        begin_with(config, data(), 0)


def test_titles_that_name_nobody_leave_one_entity_that_none_of_them_has():
    bare = data()
    bare = replace(bare, item_columns=TABLE.select(["title"]))
    reader, articles, beginning = begin_with(DKNConfig(text=TEXT), bare, 0)
    assert reader.entities == ()
    assert set(articles.entities) == {-1}
    assert (beginning.entities.shape, rows(beginning)) == ((1, 50), [[]])


def test_data_without_titles_are_refused():
    with pytest.raises(DataError, match="dkn reads titles, and the data have no item table"):
        begin_with(DKNConfig(), replace(data(), item_columns=None), 0)
    with pytest.raises(DataError, match="no column 'title' with titles"):
        begin_with(DKNConfig(), replace(data(), item_columns=TABLE.select(["annotations"])), 0)
