"""Exports as the other tool sees them: pyarrow and DuckDB, gensim, faiss."""

import json
import uuid
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq
import pytest

from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError, ConfigError, DataError
from prismrec.models.contract import StoredEncoder
from prismrec.retrieval import export as export_module
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.export import export
from prismrec.retrieval.request import Request

FIRST = 2**60


def with_item_ids(make, ids):
    vocabularies = {**make().vocabularies, "item": Vocabulary.from_ids(ids, range(15, 0, -1))}
    return make(vocabularies=vocabularies, item_columns=None)


@pytest.fixture(params=[65_536, 4], ids=["one block", "blocks of 4"])
def block(request, monkeypatch):
    monkeypatch.setattr(export_module, "_ROWS", request.param)


@pytest.mark.usefixtures("block")
def test_parquet_holds_ids_of_their_own_type_and_both_vectors(bundle, contents, tmp_path):
    folder = export(bundle, tmp_path / "out", "parquet")
    for view, first in (("item", FIRST), ("category", "fluid milk")):
        table = pq.read_table(folder / f"{view}.parquet")
        assert table.column_names == ["id", "view", "source", "target"]
        assert table["id"].to_pylist() == contents.vocabularies[view].ids_of(range(table.num_rows))
        assert table["id"][0].as_py() == first
        assert set(table["view"].to_pylist()) == {view}
        assert np.array_equal(np.array(table["source"].to_pylist(), np.float32), contents.vectors[view].source)
        assert np.array_equal(np.array(table["target"].to_pylist(), np.float32), contents.vectors[view].target)


def test_parquet_keeps_uuids(tmp_path, make):
    ids = [uuid.UUID(int=i) for i in range(15)]
    folder = export(Bundle.write(tmp_path / "b", with_item_ids(make, ids)), tmp_path / "out", "parquet")
    assert pq.read_table(folder / "item.parquet")["id"].to_pylist() == ids


@pytest.mark.usefixtures("block")
def test_word2vec_loads_in_gensim(bundle, contents, tmp_path):
    models = pytest.importorskip("gensim.models", reason="gensim is not installed (extra: bench)")
    folder = export(bundle, tmp_path / "out", "word2vec")
    vectors = models.KeyedVectors.load_word2vec_format(folder / "item.source.txt")
    assert vectors.index_to_key == [str(FIRST + i) for i in range(15)]
    assert np.array_equal(vectors.vectors, contents.vectors["item"].source)
    nearest = [int(key) for key, _ in vectors.most_similar(str(FIRST + 1), topn=5)]
    assert nearest == bundle.similar(FIRST + 1, k=5, similarity="cosine").item_ids
    targets = models.KeyedVectors.load_word2vec_format(folder / "shop.target.txt")
    assert np.array_equal(targets["south"], contents.vectors["shop"].target[1])


def test_word2vec_ids_with_white_space_come_back_through_unquote(tmp_path, make):
    models = pytest.importorskip("gensim.models", reason="gensim is not installed (extra: bench)")
    odd = [
        "a b",
        "a\nb",
        "a\tb",
        " a",
        "a ",
        "a%20b",
        "100%",
        "ä\u00a0ö",
        "x\u2028y",
        "\r",
        "日本",
        "a_b",
        "+",
        "a\x0bb",
        "q",
    ]
    bundle = Bundle.write(tmp_path / "b", with_item_ids(make, odd))
    folder = export(bundle, tmp_path / "out", "word2vec")
    vectors = models.KeyedVectors.load_word2vec_format(folder / "item.source.txt")
    assert [unquote(key) for key in vectors.index_to_key] == odd
    assert vectors.index_to_key[0] == "a%20b"
    assert np.array_equal(vectors.vectors, bundle.contents.vectors["item"].source)


@pytest.mark.usefixtures("block")
def test_word2vec_refuses_the_empty_id_and_leaves_nothing(tmp_path, make):
    bundle = Bundle.write(tmp_path / "b", with_item_ids(make, [*"abcdefghijklm", "", "x"]))
    with pytest.raises(DataError, match="cannot hold the empty id in row 13 of view 'item': use parquet"):
        export(bundle, tmp_path / "out", "word2vec")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def faiss_query(folder, recipe, rows):
    """The recipe of export.json, followed as a stranger would."""
    settings, sources = recipe["settings"], np.load(folder / "sources.npy")
    rows = rows[-settings["history_length"] :][::-1]
    decays = np.array([settings["recency_decay"] ** age for age in range(len(rows))])
    query = np.zeros(sources.shape[1] + 1, np.float32)
    for view, weight in settings["view_weights"].items():
        start, stop = recipe["columns"][view]
        query[start:stop] = weight * (decays @ sources[rows, start:stop]) / decays.sum()
    query[-1] = settings["popularity_weight"]
    return query


def test_faiss_index_answers_like_the_bundle(bundle, tmp_path):
    faiss = pytest.importorskip("faiss")
    folder = export(bundle, tmp_path / "out", "faiss")
    recipe = json.loads((folder / "export.json").read_text())
    index, ids = faiss.read_index(str(folder / "items.faiss")), Vocabulary.load(folder / "ids.arrow")
    history = [3, 8, 1, 1, 12, 5, 9]
    scores, rows = index.search(faiss_query(folder, recipe, history)[None], 15)
    found = [
        (ids.id_of(row), score) for row, score in zip(rows[0].tolist(), scores[0], strict=True) if row not in history
    ]
    expected = bundle.recommend([FIRST + i for i in history], k=15)
    assert [item_id for item_id, _ in found] == expected.item_ids
    assert [score for _, score in found] == pytest.approx([a.score for a in expected], abs=1e-5)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("similarity", ["source_target", "cosine"])
def test_faiss_index_holds_the_targets_of_the_scorer_bit_for_bit(tmp_path, make, similarity):
    faiss = pytest.importorskip("faiss")
    bundle = Bundle.write(tmp_path / "b", make(query=QuerySettings(similarity=similarity)))
    folder = export(bundle, tmp_path / "out", "faiss")
    assert sorted(path.name for path in folder.iterdir()) == ["export.json", "ids.arrow", "items.faiss", "sources.npy"]
    index, scorer = faiss.read_index(str(folder / "items.faiss")), bundle.recommender()
    assert np.array_equal(index.reconstruct_n(0, 15), scorer.targets)
    assert np.array_equal(np.load(folder / "sources.npy"), scorer.sources)
    recipe = json.loads((folder / "export.json").read_text())
    assert recipe["columns"] == {view: [part.start, part.stop] for view, part in scorer.columns.items()}


def test_export_says_what_it_is_and_where_it_came_from(bundle, tmp_path):
    recipe = json.loads((export(bundle, tmp_path / "out", "parquet") / "export.json").read_text())
    assert recipe["format"] == "parquet"
    assert recipe["prismrec_version"] == "0.1.0"
    assert recipe["files"] == {"item": "item.parquet", "category": "category.parquet", "shop": "shop.parquet"}


def test_an_earlier_export_is_replaced_and_other_folders_are_not(bundle, tmp_path):
    export(bundle, tmp_path / "out", "parquet")
    export(bundle, tmp_path / "out", "word2vec")
    assert not (tmp_path / "out" / "item.parquet").exists()
    with pytest.raises(ArtifactError, match=r"holds other files \(no export.json among them\)"):
        export(bundle, bundle.path, "parquet")


def test_unknown_format_is_refused(bundle, tmp_path):
    with pytest.raises(ConfigError, match="no export format 'csv': choose one of parquet, word2vec, faiss"):
        export(bundle, tmp_path / "out", "csv")  # type: ignore[arg-type]


# ---- a model that encodes its queries ----


def test_vectors_of_users_are_exported_beside_those_of_items(make_encoded, tmp_path):
    bundle = Bundle.write(tmp_path / "b", make_encoded())
    folder = export(bundle, tmp_path / "out", "parquet")
    assert json.loads((folder / "export.json").read_text())["files"] == {
        "item": "item.parquet",
        "users": "users.parquet",
    }
    table = pq.read_table(folder / "users.parquet")
    assert table["id"].to_pylist() == ["ann", "bob", "carol"]
    np.testing.assert_array_equal(table["vector"].to_pylist(), bundle.contents.encoder.arrays["users"])


def test_faiss_index_answers_users_like_the_bundle(make_encoded, tmp_path):
    faiss = pytest.importorskip("faiss")
    bundle = Bundle.write(tmp_path / "b", make_encoded(query=QuerySettings(popularity_weight=0.25)))
    folder = export(bundle, tmp_path / "out", "faiss")
    recipe = json.loads((folder / "export.json").read_text())
    assert "retriever.queries([Request(history, user=user)])[0]" in recipe["query"]
    assert "users.npy[row in users.arrow], followed by popularity_weight" in recipe["query"]
    row = Vocabulary.load(folder / "users.arrow").index_of("bob")
    query = np.append(np.load(folder / "users.npy")[row], np.float32(recipe["settings"]["popularity_weight"]))
    np.testing.assert_allclose(bundle.retriever.queries([Request(user="bob")])[0], query)
    scores, rows = faiss.read_index(str(folder / "items.faiss")).search(query[None], 15)
    answer = bundle.recommend(user="bob", k=15)
    assert Vocabulary.load(folder / "ids.arrow").ids_of(rows[0]) == answer.item_ids
    assert scores[0] == pytest.approx([a.score for a in answer], abs=1e-5)


def test_without_vectors_of_users_the_recipe_is_to_ask_the_bundle(make_encoded, tmp_path):
    plain = make_encoded()
    encoder = StoredEncoder("sasrec", {}, {"sources": plain.vectors["item"].source}, knows_users=False)
    bundle = Bundle.write(tmp_path / "b", make_encoded(encoder=encoder, users=None))
    folder = export(bundle, tmp_path / "out", "faiss")
    assert not (folder / "users.npy").exists()
    recipe = json.loads((folder / "export.json").read_text())["query"]
    assert recipe.startswith("The model encodes histories, and the bundle is needed to ask it")
    assert "users.npy" not in recipe
    assert json.loads((export(bundle, tmp_path / "p", "parquet") / "export.json").read_text())["files"] == {
        "item": "item.parquet"
    }
