"""What the page shows of a bundle: names, cards, values, the map; large ids as text, added items too."""

import json

import numpy as np
import pyarrow as pa
import pytest

from prismrec.config import build
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError
from prismrec.models.contract import EmbeddingTable, StoredEncoder
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle, BundleContents
from prismrec.retrieval.request import NewItem
from prismrec.serving.page.data import PageData, name_column
from prismrec.serving.page.settings import PageSettings

BASE = 2**60
IDS = [BASE + i for i in range(6)]
TABLE = {
    "kind": ["cheese", "cheese", "juice", "juice", None, "cheese"],
    "Title": ["Brie", "  Comté ", "Apple juice", None, "", "<img src=x onerror=alert(1)>"],
    "shop_id": [7, 7, 8, 7, 8, 7],
}
CONFIG = {"views": {"kind": {"column": "kind"}, "shop": {"column": "shop_id"}}, "data": {"name": "Dairy"}}


def write(path, table=TABLE, config=CONFIG, **changes) -> Bundle:
    rng = np.random.default_rng(2)

    def vectors(n, dim=4):
        return EmbeddingTable(*rng.normal(size=(2, n, dim)).astype(np.float32))

    values = {
        "vectors": {"item": vectors(6), "kind": vectors(2), "shop": vectors(3)},
        "vocabularies": {
            "item": Vocabulary.from_ids(IDS, [5, 50, 20, 3, 2, 1]),
            "kind": Vocabulary.from_ids(["cheese", "juice"], [56, 23]),
            "shop": Vocabulary.from_ids([7, 8, 9], [59, 22, 0]),
        },
        "item_nodes": {
            "kind": Sequences.from_lists([[0], [0], [1], [1, 0], [], [0]]),
            "shop": Sequences.from_lists([[0], [0], [1], [0], [1], [0]]),
        },
        "item_columns": None if table is None else pa.table({"item_id": IDS, **table}),
        "query": QuerySettings(view_weights={"item": 1.0, "kind": 0.5}),
        "config": config,
        **changes,
    }
    return Bundle.write(path, BundleContents(**values))


@pytest.fixture
def bundle(tmp_path) -> Bundle:
    return write(tmp_path / "bundle")


@pytest.fixture
def data(bundle) -> PageData:
    return PageData(bundle, PageSettings())


def test_names_are_trimmed_and_ids_stand_in(data):
    assert data.names.to_pylist() == [
        "Brie", "Comté", "Apple juice", str(BASE + 3), str(BASE + 4), "<img src=x onerror=alert(1)>",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (["price", "Title", "description"], "Title"),
        (["description", "NAME"], "NAME"),
        (["kind", "brand", "colour"], "brand"),
        (["kind"], ""),
        (["price"], ""),
    ],
)
def test_name_column_is_found_sensibly(tmp_path, columns, found):
    table = {name: [1.5] * 6 if name == "price" else ["x"] * 6 for name in columns}
    assert name_column(write(tmp_path / "bundle", table)) == found


def test_name_column_can_be_chosen(bundle):
    data = PageData(bundle, build(PageSettings, {"name_column": "shop_id"}))
    assert data.names.to_pylist()[:3] == ["7", "7", "8"]


def test_chosen_name_column_must_be_there(bundle):
    with pytest.raises(ConfigError, match=r"name_column: .* no column 'label'; it has kind, Title, shop_id"):
        PageData(bundle, build(PageSettings, {"name_column": "label"}))


def test_bundle_without_item_table_shows_ids(tmp_path):
    data = PageData(write(tmp_path / "bundle", table=None), PageSettings())
    assert data.name_column == ""
    assert data.names.to_pylist() == [str(i) for i in IDS]


def test_overview_tells_catalogue_views_and_query(data):
    overview = data.overview()
    assert (overview["title"], overview["n_items"], overview["n_clicks"], overview["name_column"]) == (
        "Dairy",
        6,
        81,
        "Title",
    )
    item, kind, shop = overview["views"]
    assert (item["name"], item["column"], item["weight"], item["items_covered"]) == ("item", "", 1.0, 1.0)
    assert (kind["column"], kind["weight"], kind["n_nodes"], kind["integer_nodes"]) == ("kind", 0.5, 2, False)
    assert kind["items_covered"] == pytest.approx(5 / 6)
    assert (shop["weight"], shop["integer_nodes"]) == (0.0, True)
    assert json.loads(json.dumps(overview)) == overview


@pytest.mark.parametrize("config", [{}, {"views": 3, "data": []}, {"views": {"kind": "kind"}, "data": {"name": None}}])
def test_settings_of_others_in_a_bundle_are_no_obstacle(tmp_path, config):
    overview = PageData(write(tmp_path / "cheeses", config=config), PageSettings()).overview()
    assert overview["title"] == "cheeses"
    assert [view["column"] for view in overview["views"]] == ["", "", ""]


def test_title_can_be_chosen(bundle):
    assert PageData(bundle, PageSettings(title="Our shop")).overview()["title"] == "Our shop"


def test_cards_come_by_the_text_of_their_ids(data, bundle):
    cards = data.cards(bundle.retriever, [str(BASE + 3), "nobody", str(BASE + 1)])
    assert cards[0] == {
        "id": str(BASE + 3), "name": str(BASE + 3), "count": 3, "added": False,
        "views": {"kind": ["juice", "cheese"], "shop": ["7"]},
    }  # fmt: skip
    assert cards[1]["unknown"] is True
    assert (cards[1]["id"], cards[1]["views"]) == ("nobody", {})
    assert cards[2]["name"] == "Comté"


def test_search_gives_cards_best_first(data, bundle):
    assert [card["name"] for card in data.found(bundle.retriever, "comte", 5)] == ["Comté"]
    assert [card["count"] for card in data.found(bundle.retriever, "", 3)] == [50, 20, 5]
    assert data.found(bundle.retriever, "img", 5)[0]["name"] == "<img src=x onerror=alert(1)>"


def test_added_items_are_found_changed_ones_by_their_new_name_removed_ones_not(data, bundle):
    retriever = bundle.retriever.upserted([
        NewItem(item_id=BASE + 90, columns={"Title": "Goat brie"}, views={"kind": ["cheese"]}),
        NewItem(item_id=BASE + 1, columns={"Title": "Beaufort"}),
    ]).without([BASE + 2])  # fmt: skip
    assert [card["id"] for card in data.found(retriever, "brie", 5)] == [str(BASE), str(BASE + 90)]
    assert data.found(retriever, "brie", 5)[1]["added"] is True
    assert data.found(retriever, "comte", 5) == []
    [beaufort] = data.found(retriever, "beau", 5)
    assert (beaufort["id"], beaufort["count"]) == (str(BASE + 1), 50)
    assert data.found(retriever, "apple", 5) == []
    assert [card["count"] for card in data.found(retriever, "", 2)] == [50, 5], (
        "the most clicked, changed ones among them"
    )
    assert data.cards(retriever, [str(BASE + 2)])[0]["unknown"] is True


def test_values_to_filter_by_are_those_of_the_side_views(data):
    assert data.values("", 10) == [
        {"view": "kind", "value": "cheese", "n_items": 4},
        {"view": "shop", "value": "7", "n_items": 4},
        {"view": "kind", "value": "juice", "n_items": 2},
        {"view": "shop", "value": "8", "n_items": 2},
    ]
    assert [value["value"] for value in data.values("JUÏC", 10)] == ["juice"]
    assert len(data.values("", 1)) == 1
    assert data.values("9", 10) == [], "a node without items filters nothing"


def test_map_has_a_point_per_item_and_colours_by_the_most_frequent_node(bundle):
    data = PageData(bundle, PageSettings.model_construct(**{**PageSettings().model_dump(), "map_items": 5}))
    shown = data.map_document(None)
    assert shown["ids"] == [str(BASE + i) for i in (1, 2, 0, 3, 4)]
    assert shown["names"][:2] == ["Comté", "Apple juice"]
    assert shown["counts"] == [50, 20, 5, 3, 2]
    assert shown["colours"]["kind"] == {"labels": ["cheese", "juice"], "codes": [0, 1, 0, 0, -1]}
    assert shown["method"] == "principal components"
    assert len(shown["x"]) == len(shown["y"]) == 5
    assert json.loads(json.dumps(shown)) == shown


def test_better_positions_take_the_place_of_the_rough_ones(data):
    shown = data.map_document([[0.1] * 6, [0.2] * 6])
    assert (shown["method"], shown["x"][0], shown["y"][5]) == ("t-SNE", 0.1, 0.2)


def test_side_views_of_a_model_that_encodes_queries_are_shown_without_weights(tmp_path, bundle):
    items = bundle.contents.vectors["item"]
    encoder = StoredEncoder("sasrec", {}, {"sources": items.source}, knows_users=False)
    encoded = write(tmp_path / "e", vectors={"item": items}, query=QuerySettings(), encoder=encoder)
    data = PageData(encoded, PageSettings())
    overview = data.overview()
    assert overview["encoder"] == "sasrec"
    assert [(v["name"], v["dim"], v["weighable"], v["n_nodes"]) for v in overview["views"]] == [
        ("item", 4, False, 6), ("kind", 0, False, 2), ("shop", 0, False, 3),
    ]  # fmt: skip
    assert data.values("cheese", 5) == [{"view": "kind", "value": "cheese", "n_items": 4}]
    assert set(data.map_document(None)["colours"]) == {"kind", "shop"}
    plain = PageData(bundle, PageSettings()).overview()
    assert plain["encoder"] == ""
    assert [view["weighable"] for view in plain["views"]] == [True] * 3
