"""Answers as JSON values: they are what their models say."""

from pathlib import Path

from prismrec.retrieval.answers import ExplainedPath, Explanation, ListReport, Recommendation, Recommendations
from prismrec.retrieval.retriever import ItemCard
from prismrec.serving.http.documents import (
    ItemCardAnswer,
    ListAnswer,
    ReleasesAnswer,
    card_document,
    list_document,
    release_document,
    releases_document,
)
from prismrec.serving.http.encoding import encoded
from prismrec.serving.http.failures import without_paths
from prismrec.serving.releases.record import KeptRelease, Record, Refusal
from prismrec.serving.releases.releases import Release
from prismrec.serving.service import Answered

LARGE = 2**53 + 1
PATH = ExplainedPath(("Cast Away", "Robert Zemeckis"), (LARGE, None), ("director",), 0.25)
REASONS = Explanation(
    views={"item": 0.5}, popularity=0.25, repeat=0.0, history=((LARGE, 0.5),), preferences=0.125, paths=(PATH,)
)
FOUND = Recommendations(
    items=(Recommendation(LARGE, 0.75, {"price": 2, "code": LARGE, "tags": [LARGE, "x"]}, REASONS),),
    unknown_ids=("x", 7),
    basis="history",
    report=ListReport(relevance_kept=0.9, distinct={"shop": (1, 2)}),
)


def test_list_document_is_a_list_answer():
    document = list_document(Answered(FOUND, 3), text_ids=False)
    assert document == {
        "items": [{
            "item_id": LARGE,
            "score": 0.75,
            "columns": {"price": 2, "code": LARGE, "tags": [LARGE, "x"]},
            "explanation": {
                "views": {"item": 0.5}, "popularity": 0.25, "repeat": 0.0, "history": [(LARGE, 0.5)],
                "preferences": 0.125,
                "paths": [{
                    "entities": ["Cast Away", "Robert Zemeckis"], "item_ids": [LARGE, None],
                    "relations": ["director"], "weight": 0.25,
                }],
            },
        }],
        "unknown_ids": ["x", 7],
        "basis": "history",
        "release": 3,
        "report": {"relevance_kept": 0.9, "distinct": {"shop": (1, 2)}},
    }  # fmt: skip
    again = ListAnswer.model_validate_json(encoded(document), strict=True)
    assert again.items[0].item_id == LARGE


def test_text_ids_make_text_of_ids_and_of_integers_that_javascript_rounds():
    document = list_document(Answered(FOUND, 3), text_ids=True)
    assert document["items"][0]["item_id"] == str(LARGE)
    assert document["items"][0]["columns"] == {"price": 2, "code": str(LARGE), "tags": [str(LARGE), "x"]}
    assert document["items"][0]["explanation"]["history"] == [(str(LARGE), 0.5)]
    assert document["items"][0]["explanation"]["paths"][0]["item_ids"] == [str(LARGE), None]
    assert document["unknown_ids"] == ["x", "7"]


def test_plain_list_has_neither_report_nor_reasons():
    document = list_document(Answered(Recommendations((Recommendation("a", 1.0),)), 1), text_ids=False)
    assert "report" not in document
    assert "explanation" not in document["items"][0]


def test_card_document_is_an_item_card():
    card = ItemCard(LARGE, {"name": "x"}, {"shop": [LARGE, "north"]}, 5, True)
    assert card_document(card, text_ids=False) == {
        "item_id": LARGE, "columns": {"name": "x"}, "views": {"shop": [LARGE, "north"]}, "count": 5, "added": True,
    }  # fmt: skip
    assert card_document(card, text_ids=True)["views"] == {"shop": [str(LARGE), "north"]}
    ItemCardAnswer.model_validate_json(encoded(card_document(card, text_ids=True)), strict=True)


def test_releases_tell_no_folder():
    record = Record(
        current=2,
        releases=(KeptRelease(number=2, created="2026-01-01", fingerprint="f"),),
        refused=(Refusal(path="/srv/shop/new", state="s", reason="/srv/shop/new/x.npy is damaged", time="t"),),
    )
    document = releases_document(record, 2, without_paths)
    ReleasesAnswer.model_validate_json(encoded(document), strict=True)
    assert document["refused"] == [{"bundle": "new", "reason": "x.npy is damaged", "time": "t"}]
    assert "/srv" not in encoded(document).decode()
    release = Release(2, Path("/srv/home/releases/2"), "2026-01-01", "f")
    assert release_document(release) == document["releases"][0]
