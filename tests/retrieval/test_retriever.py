"""Requests answered by id: against a slow search over everything, with filters, lists, removals and added items."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError, DataError, UnknownIdError
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.cold_start import ColdStart
from prismrec.retrieval.request import Condition, Diversity, Filters, NewItem, Request, SimilarRequest

FIRST = 2**60
N = 15
WEIGHTS = st.sampled_from([-1.0, 0.0, 0.5, 2.0])


def ids(*places):
    return tuple(FIRST + p for p in places)


def where(**conditions):
    return Filters(where={name: Condition(**condition) for name, condition in conditions.items()})


def places_of(answer):
    return [item_id - FIRST for item_id in answer.item_ids]


@pytest.fixture
def retriever(bundle):
    return bundle.retriever


# ---- against the scorer that evaluation uses ----


@settings(max_examples=60, deadline=None)
@given(
    history=st.lists(st.integers(0, N - 1), max_size=9),
    k=st.integers(1, N + 3),
    exclude_seen=st.booleans(),
    query=st.builds(
        QuerySettings,
        view_weights=st.fixed_dictionaries(dict.fromkeys(("item", "category", "shop"), WEIGHTS)),
        history_length=st.integers(1, 6),
        recency_decay=st.sampled_from([0.0, 0.5, 1.0]),
        popularity_weight=st.sampled_from([0.0, 1.0]),
        repeat_weight=st.sampled_from([-3.0, 0.0, 0.7, 50.0]),
        similarity=st.sampled_from(["source_target", "cosine"]),
    ),
)  # fmt: skip
def test_answers_are_the_best_scores_of_the_whole_catalogue(shared_bundle, history, k, exclude_seen, query):
    scores = shared_bundle.recommender(query).score(Sequences.from_lists([history]))[0]
    if exclude_seen:
        scores[history] = -np.inf
    [answer] = shared_bundle.retriever.recommend([Request(ids(*history), k, query, exclude_seen=exclude_seen)])
    found = [a.score for a in answer]
    best = np.sort(scores[scores > -np.inf])[::-1][:k]
    assert found == pytest.approx(best.tolist(), abs=1e-4)
    assert found == pytest.approx(scores[places_of(answer)].tolist(), abs=1e-4)
    assert len(set(places_of(answer))) == len(answer)


@pytest.fixture(scope="module")
def shared_bundle(tmp_path_factory, make):
    return Bundle.write(tmp_path_factory.mktemp("shared") / "bundle", make())


def test_requests_of_one_call_are_answered_each_for_itself(retriever):
    requests = [
        Request(ids(1, 2), 4),
        Request(ids(3), 2, weights={"shop": -1.0}),
        Request((), 3, filters=where(category={"any_of": ["fluid milk"]})),
        Request(ids(4), 5, QuerySettings(similarity="cosine")),
        Request(ids(5), 5, diversity=Diversity(level=0.5)),
    ]
    together = retriever.recommend(requests)
    alone = [retriever.recommend([request])[0] for request in requests]
    assert [a.item_ids for a in together] == [a.item_ids for a in alone]
    assert retriever.recommend([]) == []


# ---- filters and lists ----


def test_only_matching_items_come_and_all_of_them_where_k_allows(retriever):
    [answer] = retriever.recommend([Request(ids(0), 99, filters=where(category={"any_of": ["fluid milk"]}))])
    assert sorted(places_of(answer)) == [3, 6, 9, 12]  # every third but the seen one; 14 has no category
    [answer] = retriever.recommend([Request((), 99, filters=where(price={"min": 1.0, "max": 1.5}))])
    assert sorted(places_of(answer)) == [4, 5, 6]


def test_allowed_and_blocked_items(retriever):
    [answer] = retriever.recommend([Request(ids(0), 99, filters=Filters(allow=ids(0, 3, 4, 5), block=ids(4)))])
    assert sorted(places_of(answer)) == [3, 5]  # 0 was seen
    [nothing] = retriever.recommend([Request((), 5, filters=Filters(allow=()))])
    assert nothing.item_ids == []


def test_unknown_ids_of_history_and_lists_are_reported_once(retriever):
    filters = Filters(allow=(*ids(1, 2), "x", 7), block=(7, 8))
    [answer] = retriever.recommend([Request((*ids(0), "x", 3.5), 5, filters=filters)])
    assert answer.unknown_ids == ("x", 3.5, 7, 8)


def test_an_unknown_column_is_named(retriever):
    with pytest.raises(ConfigError, match="prise"):
        retriever.recommend([Request(filters=where(prise={"max": 3}))])


def test_a_whole_catalogue_that_was_seen_leaves_nothing(retriever):
    [answer] = retriever.recommend([Request(ids(*range(N)), 5)])
    assert answer.item_ids == []
    assert answer.basis == "history"


# ---- who is asked for ----


def test_without_anything_known_the_most_popular_items_come_within_the_filters(retriever):
    [answer] = retriever.recommend([Request(("?",), 3, filters=where(category={"any_of": ["100% juice"]}))])
    assert places_of(answer) == [2, 5, 8]
    assert answer.basis == "popularity"


def test_declared_preferences_stand_in_for_a_history(retriever):
    [answer] = retriever.recommend([Request(preferences={"category": ("100% juice", "who knows")}, k=3)])
    [popular] = retriever.recommend([Request(k=3)])
    assert answer.basis == "preferences"
    assert answer.unknown_ids == ("who knows",)
    assert [a.score for a in answer] != [a.score for a in popular]


def test_preferences_that_nobody_knows_fall_back_to_popularity(retriever):
    [answer] = retriever.recommend([Request(preferences={"category": ("who knows",)}, k=3)])
    assert (answer.basis, places_of(answer)) == ("popularity", [0, 1, 2])


def test_preferences_in_an_unknown_view_are_refused(retriever):
    with pytest.raises(DataError, match="preferences: there is no side view 'brand'; there are category, shop"):
        retriever.recommend([Request(preferences={"brand": ("x",)})])


def test_preferences_beside_a_history_count_as_its_oldest_item(retriever, contents):
    half = QuerySettings(recency_decay=0.5, popularity_weight=0.0)
    [both] = retriever.recommend([Request(ids(2), N, half, preferences={"shop": ("north",)}, exclude_seen=False)])
    [alone] = retriever.recommend([Request(ids(2), N, half, exclude_seen=False)])
    [liked] = retriever.recommend([Request((), N, half, preferences={"shop": ("north",)}, exclude_seen=False)])
    of_liked, of_alone = ({a.item_id: a.score for a in answer} for answer in (liked, alone))
    assert both.basis == "history"
    for a in both:
        assert a.score == pytest.approx((of_alone[a.item_id] + 0.5 * of_liked[a.item_id]) / 1.5, abs=1e-5)


def test_weights_that_would_overflow_are_refused(retriever):
    with pytest.raises(ConfigError, match="too large: the scores would overflow"):
        retriever.recommend([Request(ids(0), weights={"item": 1e30})])


# ---- diversity ----


def test_quotas_hold_and_the_list_is_filled_while_items_match(retriever):
    [answer] = retriever.recommend([Request((), 6, diversity=Diversity(quotas={"category": 2}))])
    nodes = [retriever.item(i).views["category"] for i in answer.item_ids]
    flat = [n for row in nodes for n in row]
    assert len(answer) == 6
    assert max(flat.count(n) for n in flat) == 2
    [short] = retriever.recommend([Request((), 15, diversity=Diversity(quotas={"category": 2}))])
    assert len(short) == 7  # two of each category, and the one without


def test_quotas_look_beyond_the_first_pool(retriever):
    diversity = Diversity(quotas={"category": 1}, pool=4)
    [answer] = retriever.recommend([Request((), 4, diversity=diversity)])
    assert len(answer) == 4
    assert answer.report is not None


def test_a_level_of_zero_changes_nothing_and_reports_nothing(retriever):
    [plain], [zero] = (
        retriever.recommend([Request(ids(1), 5, diversity=d)]) for d in (Diversity(), Diversity(level=0))
    )
    assert plain == zero
    assert plain.report is None


def test_diversity_reports_what_it_gave_and_took(retriever):
    [answer] = retriever.recommend([Request((), 5, diversity=Diversity(level=0.9, views={"category": 1.0}))])
    assert 0 < answer.report.relevance_kept <= 1
    before, after = answer.report.distinct["category"]
    assert after >= before
    assert set(answer.report.distinct) == {"category", "shop"}


# ---- similar items ----


def test_similar_items_can_be_filtered_and_spread(retriever):
    asked = SimilarRequest(FIRST + 1, 99, filters=where(shop={"any_of": ["south"]}), diversity=Diversity(level=0.3))
    [answer] = retriever.similar([asked])
    assert answer.basis == "item"
    assert FIRST + 1 not in answer.item_ids
    assert all("south" in retriever.item(i).views["shop"] for i in answer.item_ids)


# ---- items added, changed and removed ----

NEW = NewItem(item_id=FIRST + 100, views={"category": "fluid milk", "shop": ["north", "west"]}, columns={"name": "new"})


def test_an_added_item_is_answered_with_its_columns(retriever):
    later = retriever.upserted([NEW])
    [answer] = later.recommend([Request(ids(0, 3), 99)])
    found = {a.item_id: a for a in answer}
    assert found[FIRST + 100].columns == {"name": "new"}
    assert later.n_items == N + 1
    card = later.item(FIRST + 100)
    assert (card.added, card.count, card.views["shop"]) == (True, 0, ["north", "west"])


def test_the_retriever_before_stays_as_it_was(retriever):
    before = retriever.recommend([Request(ids(0), 99)])
    retriever.upserted([NEW]).without([FIRST + 1])
    assert retriever.recommend([Request(ids(0), 99)]) == before
    assert retriever.n_items == N
    with pytest.raises(UnknownIdError, match="unknown id"):
        retriever.item(FIRST + 100)


def test_an_added_item_serves_as_history_and_has_similar_ones(retriever):
    later = retriever.upserted([NEW])
    [answer] = later.recommend([Request((FIRST + 100,), 5)])
    assert answer.basis == "history"
    assert FIRST + 100 not in answer.item_ids
    [like] = later.similar([SimilarRequest(FIRST + 100, 5)])
    assert len(like) == 5
    [by_cosine] = later.similar([SimilarRequest(FIRST + 3, N, similarity="cosine", weights={"category": 1.0})])
    assert {a.item_id: a.score for a in by_cosine}[FIRST + 100] == pytest.approx(1.0, abs=1e-5)  # both are fluid milk


def test_filters_and_lists_hold_for_added_items(retriever):
    later = retriever.upserted([NEW])
    [west] = later.recommend([Request((), 9, filters=where(shop={"any_of": ["west"]}))])
    assert west.item_ids == [FIRST + 100]
    [juice] = later.recommend([Request((), 99, filters=where(category={"any_of": ["100% juice"]}))])
    assert FIRST + 100 not in juice.item_ids
    [listed] = later.recommend([Request((), 9, filters=Filters(allow=(FIRST + 100, FIRST + 1)))])
    assert set(listed.item_ids) == {FIRST + 100, FIRST + 1}
    [blocked] = later.recommend([Request((), 99, filters=Filters(block=(FIRST + 100,)))])
    assert FIRST + 100 not in blocked.item_ids


def test_quotas_count_nodes_that_came_with_added_items(retriever):
    shops = [NewItem(item_id=FIRST + 200 + i, views={"shop": ["west"]}) for i in range(4)]
    later = retriever.upserted(shops)
    allow = tuple(item.item_id for item in shops)
    [answer] = later.recommend([Request((), 9, filters=Filters(allow=allow), diversity=Diversity(quotas={"shop": 2}))])
    assert len(answer) == 2


def test_a_removed_item_is_not_answered_but_still_tells_about_its_buyers(retriever):
    later = retriever.without([FIRST + 3, "never heard of"])
    assert FIRST + 3 not in later.recommend([Request((), 99)])[0].item_ids
    with_it = later.recommend([Request(ids(3), 5)])[0]
    assert (with_it.basis, with_it.unknown_ids) == ("history", ())
    for ask in (lambda: later.item(FIRST + 3), lambda: later.similar([SimilarRequest(FIRST + 3)])):
        with pytest.raises(UnknownIdError, match="the item was removed"):
            ask()


def test_removing_most_items_still_gives_k(retriever):
    later = retriever.without(ids(*range(11)))
    assert sorted(places_of(later.recommend([Request((), 4)])[0])) == [11, 12, 13, 14]


def test_a_removed_item_comes_back_when_it_is_added_again(retriever):
    again = retriever.without([FIRST + 3]).upserted([NewItem(item_id=FIRST + 3, columns={"price": 9.5})])
    assert again.item(FIRST + 3).columns == {"name": "article 3", "price": 9.5}
    gone = again.without([FIRST + 3])
    assert gone.n_items == N - 1


def test_a_changed_item_keeps_its_learned_vector_and_takes_its_new_nodes(retriever, contents):
    changed = retriever.upserted([NewItem(item_id=FIRST + 4, views={"category": ["100% juice"]})])
    query = QuerySettings(view_weights={"item": 1.0}, popularity_weight=1.0)
    for asked in (Request(ids(2), N, query), Request(ids(4, 2), N, query, exclude_seen=False)):
        [before], [after] = retriever.recommend([asked]), changed.recommend([asked])
        assert {a.item_id: pytest.approx(a.score, abs=1e-5) for a in after} == {a.item_id: a.score for a in before}
    by_category = QuerySettings(view_weights={"category": 1.0}, popularity_weight=0.0)
    [answer] = changed.recommend([Request(ids(0), N, by_category)])
    scores = {a.item_id: a.score for a in answer}
    assert scores[FIRST + 4] == pytest.approx(scores[FIRST + 2], abs=1e-6)  # item 2 is juice


def test_ids_of_another_type_and_unknown_views_are_refused(retriever):
    with pytest.raises(DataError, match="item 'x': ids of this bundle are integers"):
        retriever.upserted([NewItem(item_id="x")])
    with pytest.raises(DataError, match="there is no side view 'brand'; there are category, shop"):
        retriever.upserted([NewItem(item_id=5, views={"brand": ["x"]})])
    with pytest.raises(DataError, match="price"):
        retriever.upserted([NewItem(item_id=5, columns={"price": "cheap"})])


def test_of_several_items_with_one_id_the_last_counts(retriever):
    twice = [NewItem(item_id=5, columns={"name": "first"}), NewItem(item_id=5, columns={"name": "second"})]
    assert retriever.upserted(twice).item(5).columns == {"name": "second"}
    assert retriever.upserted(twice[:1]).upserted(twice[1:]).n_items == N + 1


def test_prepared_once_new_items_need_no_calibration(retriever, monkeypatch):
    retriever.prepare()
    monkeypatch.setattr(ColdStart, "of", None)
    assert retriever.upserted([NEW]).item(FIRST + 100).added
    assert retriever.recommend([Request(preferences={"shop": ("north",)})])[0].basis == "preferences"


# ---- reasons ----


def test_the_parts_of_an_explanation_add_up_to_the_score(retriever):
    query = QuerySettings(
        view_weights={"item": 1.0, "shop": -0.5}, popularity_weight=0.3, repeat_weight=2.0, recency_decay=0.7
    )
    later = retriever.upserted([NEW])
    history, liked = (*ids(1, 2, 1), FIRST + 100), {"shop": ("south",)}
    asked = Request(history, 99, query, exclude_seen=False, preferences=liked, explain=True)
    [answer] = later.recommend([asked])
    assert len(answer) == N + 1
    for a in answer:
        why = a.explanation
        assert sum(why.views.values()) + why.popularity + why.repeat == pytest.approx(a.score, abs=1e-4)
        assert sum(s for _, s in why.history) + why.preferences == pytest.approx(sum(why.views.values()), abs=1e-4)
        assert set(why.views) == {"item", "shop"}
        assert (why.repeat > 0) == (a.item_id in asked.history)


def test_an_explanation_names_the_items_of_the_history_that_speak_for_it(retriever, contents):
    query = QuerySettings(view_weights={"item": 1.0}, popularity_weight=0.0, recency_decay=1.0)
    [answer] = retriever.recommend([Request(ids(4, 9), 1, query, explain=True)])
    item, best = contents.vectors["item"], answer[0].item_id - FIRST
    expected = {FIRST + h: float(item.source[h] @ item.target[best]) / 2 for h in (4, 9)}
    assert dict(answer[0].explanation.history) == pytest.approx(expected, abs=1e-5)
    shares = [share for _, share in answer[0].explanation.history]
    assert shares == sorted(shares, reverse=True)


def test_no_explanation_unless_asked(retriever):
    assert retriever.recommend([Request(ids(1), 3)])[0][0].explanation is None


# ---- what a bundle's views are made of ----


def test_views_of_new_items_follow_from_the_columns_they_are_made_of(tmp_path, make):
    config = {"views": {"category": {"column": "kind", "separator": "|", "prefix": 0}}}
    retriever = Bundle.write(tmp_path / "b", make(config=config)).retriever
    later = retriever.upserted([NewItem(item_id=5, columns={"kind": "fluid milk| 100% juice|"})])
    assert later.item(5).views == {"category": ["fluid milk", "100% juice"], "shop": []}


def test_new_items_are_placed_as_the_bundle_was_made_to(tmp_path, make):
    new = NewItem(item_id=5, views={"category": ["fluid milk"]})

    def score(name, config):
        opened = Bundle.write(tmp_path / name, make(config=config))
        later = opened.retriever.upserted([new])
        by_prior = Request((), 99, QuerySettings(view_weights={"item": 1.0}, popularity_weight=1.0))
        return {a.item_id: a.score for a in later.recommend([by_prior])[0]}[5]

    plain, leaning = score("plain", {}), score("leaning", {"cold_start": {"lean": 0.75}})
    assert leaning - plain == pytest.approx(0.75, abs=1e-5)
    with pytest.raises(ConfigError, match=r"the bundle's \[cold_start\]"):
        score("wrong", {"cold_start": {"lean": "much"}})


def test_change_replaces_the_change_before_it(retriever):
    first = retriever.upserted([NewItem(item_id=FIRST, columns={"name": "renamed"})])
    second = first.upserted([NewItem(item_id=FIRST, columns={"note": "back in stock"})])
    whole = retriever.item(FIRST).columns
    assert second.item(FIRST).columns == {**whole, "note": "back in stock"}


def test_a_bundle_without_side_views_takes_new_items_too(tmp_path, make):
    whole = make()
    alone = {
        "vectors": {"item": whole.vectors["item"]}, "vocabularies": {"item": whole.vocabularies["item"]},
        "item_nodes": {}, "alignment": {}, "query": QuerySettings(),
    }  # fmt: skip
    retriever = Bundle.write(tmp_path / "b", make(**alone)).retriever
    later = retriever.upserted([NewItem(item_id=5, columns={"name": "plain"})])
    assert 5 in later.recommend([Request((), 99)])[0].item_ids
