"""Bodies as requests to the retriever."""

from dataclasses import replace

import pytest

from prismrec.errors import ConfigError
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.request import Condition, Diversity, Filters, Request, SimilarRequest
from prismrec.serving.live import Live
from prismrec.serving.questions import effort_of, query_of, request_of, similar_request_of
from prismrec.serving.releases.releases import Release
from prismrec.serving.schemas import ConditionBody, DiversityBody, FilterBody, Recommend, Similar

FIRST = 2**60


@pytest.fixture
def live(shop):
    return Live.opened(Release(1, shop, "2026-05-01", "f"))


def test_plain_body_is_a_plain_request(live):
    assert request_of(Recommend(), (), live) == Request()
    assert similar_request_of(Similar(item_id="5"), live) == SimilarRequest(5)


def test_everything_of_a_body_arrives(live):
    where = {"price": ConditionBody(max=3)}
    body = Recommend(
        history=("7", "x"), k=7, weights={"item": 1.0}, exclude_seen=False, explain=True, diversity=0.5,
        preferences={"shop": ("north",)}, filters=FilterBody(where=where, allow=("1", 2), block=("3",)),
    )  # fmt: skip
    request = request_of(body, ("5", 6), live)
    assert request.filters.where["price"].model_dump() == Condition(max=3).model_dump()
    assert request == Request(
        history=(5, 6, 7, "x"), k=7, weights={"item": 1.0}, exclude_seen=False, explain=True,
        diversity=Diversity(level=0.5), preferences={"shop": ("north",)},
        filters=Filters.model_construct(where=dict(where), allow=(1, 2), block=(3,)),
    )  # fmt: skip


def test_everything_of_a_similar_body_arrives(live):
    body = Similar(item_id=str(FIRST), k=3, weights={"shop": -1.0}, similarity="cosine", explain=True,
                   diversity=0.25, filters=FilterBody(block=("3",)))  # fmt: skip
    assert similar_request_of(body, live) == SimilarRequest(
        FIRST, 3, {"shop": -1.0}, "cosine", Filters.model_construct(where={}, allow=None, block=(3,)),
        Diversity(level=0.25), True,
    )  # fmt: skip


def test_query_settings_are_the_bundles_where_a_request_says_nothing(live):
    standard = live.bundle.contents.query
    assert query_of(Recommend(), standard) is None
    changed = query_of(Recommend(recency_decay=0.0, history_length=3), standard)
    assert changed is not None
    assert changed.model_dump() == {**standard.model_dump(), "recency_decay": 0.0, "history_length": 3}


def test_a_model_that_knows_users_is_asked_for_them_and_others_are_not(live, encoded_shop):
    encoded = Live.opened(Release(1, encoded_shop, "2026-05-01", "f"))
    assert request_of(Recommend(user_id="ann"), (5,), encoded) == Request((5,), user="ann")
    assert request_of(Recommend(user_id="ann"), (5,), live) == Request((5,))


@pytest.mark.parametrize("name", ["recency_decay", "history_length"])
def test_knobs_that_an_encoder_does_not_have_are_refused_unless_repeats_have_a_bonus(encoded_shop, name):
    encoded = Live.opened(Release(1, encoded_shop, "2026-05-01", "f"))
    body = Recommend(**{name: 1})
    with pytest.raises(ConfigError, match=f"{name} changes nothing here: the bundle's model, mf, reads histories in"):
        request_of(body, (), encoded)
    bundle = encoded.bundle
    query = bundle.contents.query.model_copy(update={"repeat_weight": 2.0})
    with_bonus = Bundle(bundle.path, bundle.manifest, replace(bundle.contents, query=query))
    request = request_of(body, (), replace(encoded, bundle=with_bonus))
    assert request.query is not None
    assert getattr(request.query, name) == 1


@pytest.mark.parametrize(
    ("body", "plain_questions"),
    [
        (Recommend(k=500), 1),
        (Recommend(k=500, diversity=0.0), 1),
        (Recommend(k=10, diversity=0.5), 1),
        (Recommend(k=50, diversity=0.5), 1),
        (Recommend(k=100, diversity=0.5), 2),
        (Similar(item_id=1, k=500, diversity=0.5), 50),
        (Recommend(k=100, diversity=DiversityBody(quotas={"shop": 3}, pool=2000)), 40),
    ],
)
def test_effort_counts_in_plain_questions(body, plain_questions):
    assert effort_of(body) == plain_questions
