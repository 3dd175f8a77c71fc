"""Asking a bundle: ids in, ids out, with the numbers of the scorer behind them."""

import uuid

import numpy as np
import pytest

from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError, UnknownIdError
from prismrec.retrieval import bundle as bundle_module
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle

FIRST = 2**60  # the id of item index 0


def test_recommends_the_best_scores_of_its_recommender(bundle):
    scores = bundle.recommender().score(Sequences.from_lists([[4, 2]]))[0]
    scores[[4, 2]] = -np.inf
    order = np.argsort(-scores, kind="stable")[:5]
    answer = bundle.recommend(history=[FIRST + 4, FIRST + 2], k=5)
    assert answer.item_ids == [FIRST + i for i in order.tolist()]
    assert [a.score for a in answer] == pytest.approx(scores[order].tolist())
    assert answer[0].score > answer[-1].score
    assert answer.unknown_ids == ()


def test_answers_carry_the_item_table_without_the_id_column(bundle):
    by_id = {a.item_id: a.columns for a in bundle.recommend([], k=15)}
    assert by_id[FIRST + 2] == {"name": "article 2", "price": 0.5}
    assert by_id[FIRST + 3] == {"name": "article 3", "price": None}


def test_answers_without_an_item_table_have_no_columns(tmp_path, make):
    bundle = Bundle.write(tmp_path / "b", make(item_columns=None))
    assert [dict(a.columns) for a in bundle.recommend([], k=2)] == [{}, {}]


def test_seen_items_are_left_out_unless_wanted(bundle):
    history = [FIRST + i for i in range(12)]  # longer than history_length
    assert set(bundle.recommend(history, k=99).item_ids) == {FIRST + 12, FIRST + 13, FIRST + 14}
    assert len(bundle.recommend(history, k=99, exclude_seen=False)) == 15


def test_unknown_ids_are_reported_once_and_ignored(bundle):
    answer = bundle.recommend([FIRST, -5, "what", FIRST + 1, -5, 2.0, True], k=3)
    assert answer.unknown_ids == (-5, "what", 2.0, True)
    assert answer.items == bundle.recommend([FIRST, FIRST + 1], k=3).items


@pytest.mark.parametrize("history", [[], [-1], ["nothing", "known"]])
def test_history_without_a_known_id_gets_the_most_popular(bundle, history):
    assert bundle.recommend(history, k=4).item_ids == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]


def test_weights_of_a_request_replace_those_of_the_bundle(bundle):
    plain = bundle.recommend([FIRST], k=14)
    shop_only = bundle.recommend([FIRST], k=14, weights={"shop": 1.0})
    against = bundle.recommend([FIRST], k=14, weights={"shop": -1.0})
    assert plain.item_ids != shop_only.item_ids
    prior = bundle.recommender().prior  # the popularity weight of the bundle, 0.1, stays
    for toward, away in zip(sorted(shop_only, key=id_of), sorted(against, key=id_of), strict=True):
        assert toward.score + away.score == pytest.approx(2 * 0.1 * prior[toward.item_id - FIRST], abs=1e-5)


def id_of(recommendation):
    return recommendation.item_id


def test_settings_of_a_request_replace_all_of_the_bundle(bundle):
    settings = QuerySettings(view_weights={"category": 2.0}, popularity_weight=0.0)
    expected = bundle.recommender(settings).score(Sequences.from_lists([[0]]))[0]
    answer = bundle.recommend([FIRST], k=14, settings=settings)
    assert [a.score for a in answer] == pytest.approx([expected[a.item_id - FIRST] for a in answer])


def test_many_histories_answer_like_each_alone(bundle, monkeypatch):
    histories = [[FIRST + i, FIRST + (3 * i) % 15] for i in range(9)] + [[], ["unknown"]]
    alone = [bundle.recommend(history, k=4) for history in histories]
    together = bundle.recommend_many(histories, k=4)
    monkeypatch.setattr(bundle_module, "_TOGETHER", 2)
    in_pieces = bundle.recommend_many(histories, k=4)
    for one, many, piece in zip(alone, together, in_pieces, strict=True):
        assert one.item_ids == many.item_ids == piece.item_ids
        assert one.unknown_ids == many.unknown_ids
        assert [a.score for a in many] == pytest.approx([a.score for a in one], abs=1e-5)


def test_similar_is_source_times_target_without_the_item_itself(bundle, contents):
    item = contents.vectors["item"]
    scores = item.target @ item.source[6]
    order = [i for i in np.argsort(-scores).tolist() if i != 6][:4]
    answer = bundle.similar(FIRST + 6, k=4)
    assert answer.item_ids == [FIRST + i for i in order]
    assert [a.score for a in answer] == pytest.approx(scores[order].tolist(), abs=1e-5)


@pytest.mark.parametrize("similarity", ["source_target", "cosine"])
def test_similar_never_answers_with_the_item_itself(bundle, similarity):
    for index in range(15):
        answer = bundle.similar(FIRST + index, k=99, similarity=similarity)
        assert sorted(answer.item_ids) == [FIRST + i for i in range(15) if i != index]


def test_similar_blends_views(bundle, contents):
    item, category = contents.vectors["item"], contents.vectors["category"]
    answer = bundle.similar(FIRST + 1, k=14, weights={"item": 1.0, "category": 0.3, "shop": 0.0})
    score = {a.item_id: a.score for a in answer}[FIRST + 5]  # items 1 and 5: categories 1 and 2
    expected = item.source[1] @ item.target[5] + 0.3 * category.source[1] @ category.target[2]
    assert score == pytest.approx(expected, abs=1e-5)


def test_similar_by_cosine_is_symmetric_and_at_most_one(bundle):
    from_1 = {a.item_id: a.score for a in bundle.similar(FIRST + 1, k=14, similarity="cosine")}
    from_2 = {a.item_id: a.score for a in bundle.similar(FIRST + 2, k=14, similarity="cosine")}
    assert from_1[FIRST + 2] == pytest.approx(from_2[FIRST + 1], abs=1e-6)
    assert max(map(abs, from_1.values())) <= 1 + 1e-6


def test_similar_to_an_unknown_id_fails_clearly(bundle):
    with pytest.raises(UnknownIdError, match="unknown id 3: it is not among the 15 known ids"):
        bundle.similar(3)
    with pytest.raises(UnknownIdError, match=r"unknown id '3'.*; ids here are integers"):
        bundle.similar("3")


def test_bad_requests_fail_clearly(bundle):
    with pytest.raises(ConfigError, match="no view 'categori'; did you mean 'category'"):
        bundle.recommend([FIRST], weights={"categori": 1.0})
    with pytest.raises(ConfigError, match=r"weights: 'view_weights.item'.*finite"):
        bundle.similar(FIRST, weights={"item": float("inf")})
    with pytest.raises(ConfigError, match="k, the number of recommendations, must be at least 1, got 0"):
        bundle.recommend([FIRST], k=0)
    with pytest.raises(DataError, match="a history is a list of item ids, got the text 'abc'"):
        bundle.recommend("abc")


def test_a_wrong_keyword_is_refused(bundle):
    with pytest.raises(TypeError, match="exclude_sen"):
        bundle.recommend([FIRST], exclude_sen=False)


def test_uuid_and_text_ids_come_back_as_they_are(tmp_path, make):
    for ids in ([uuid.UUID(int=i) for i in range(15)], [f"größe {i} \n" for i in range(15)]):
        contents = make()
        vocabularies = {**contents.vocabularies, "item": Vocabulary.from_ids(ids, range(15, 0, -1))}
        bundle = Bundle.write(tmp_path / "b", make(vocabularies=vocabularies, item_columns=None))
        assert bundle.recommend([], k=3).item_ids == ids[:3]
        assert ids[0] not in bundle.recommend([ids[0]], k=99).item_ids


def test_result_behaves_like_a_list(bundle):
    answer = bundle.recommend([FIRST], k=5)
    assert len(answer) == 5
    assert list(answer) == [answer[i] for i in range(5)]
    assert answer[1:3] == answer.items[1:3]
    assert answer[0] in answer


def test_recommender_scores_the_catalogue_as_float32(bundle):
    scores = bundle.recommender().score(Sequences.from_lists([[0], []]))
    assert scores.shape == (2, 15)
    assert scores.dtype == np.float32
    assert bundle.views == ("item", "category", "shop")
