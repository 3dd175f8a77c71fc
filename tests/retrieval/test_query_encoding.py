"""Bundles whose model encodes queries: who asks and what they did become one vector; the rest is as ever."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError, ConfigError, DataError, MissingExtraError, UnknownIdError
from prismrec.models.contract import StoredEncoder
from prismrec.retrieval import bundle as bundle_module
from prismrec.retrieval import query_encoding
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.cold_start import ColdStart, ColdStartSettings
from prismrec.retrieval.explain import LEFT_OUT
from prismrec.retrieval.index.settings import IndexSettings
from prismrec.retrieval.query_encoding import QueryEncoding
from prismrec.retrieval.request import Condition, Diversity, Filters, NewItem, Request, SimilarRequest

FIRST = 2**60
N = 15
USERS = ("ann", "bob", "carol")
NO_POPULARITY = QuerySettings(popularity_weight=0.0)


def ids(*places):
    return tuple(FIRST + p for p in places)


def places_of(answer):
    return [item_id - FIRST for item_id in answer.item_ids]


class Recent:
    """Reads the order: halves the weight of each item before the next, and adds the user's own vector."""

    def __init__(self, sources, users):
        self.sources, self.users, self.asked = sources, users, []

    def encode(self, histories, users):
        self.asked.append((histories.to_lists(), users.tolist()))
        made = np.zeros((len(histories), self.sources.shape[1]), np.float32)
        for row, (history, user) in enumerate(zip(histories, users, strict=True)):
            for item in history:
                made[row] = made[row] / 2 + self.sources[item]
            if user != UNKNOWN:
                made[row] += self.users[user]
        return made


@pytest.fixture
def encoded(tmp_path, make_encoded):
    """A bundle of vectors per user."""
    return Bundle.write(tmp_path / "encoded", make_encoded())


@pytest.fixture(scope="module")
def shared(tmp_path_factory, make_encoded):
    return Bundle.write(tmp_path_factory.mktemp("shared") / "encoded", make_encoded())


@pytest.fixture
def recent(encoded, monkeypatch):
    """The same with an encoder that reads the order of a history."""
    tables = encoded.contents.encoder.arrays
    encoder = Recent(tables["sources"], tables["users"])
    for module in (query_encoding, bundle_module):
        monkeypatch.setattr(module, "open_encoder", lambda stored: encoder)
    return encoder


# ---- the query ----


def test_a_known_user_is_scored_by_the_product_of_their_vector_and_the_targets(encoded):
    contents = encoded.contents
    scores = contents.vectors["item"].target @ contents.encoder.arrays["users"][1]
    answer = encoded.recommend(user="bob", k=N)
    assert places_of(answer) == np.argsort(-scores, kind="stable").tolist()
    assert [a.score for a in answer] == pytest.approx(np.sort(scores)[::-1].tolist(), abs=1e-5)
    assert answer.basis == "user"


def test_another_user_is_scored_by_the_mean_of_what_their_items_say(encoded):
    contents = encoded.contents
    mean = contents.encoder.arrays["sources"][[4, 9]].mean(axis=0)
    scores = contents.vectors["item"].target @ mean
    for user in (None, "nobody"):
        answer = encoded.recommend(ids(4, 9), N, user=user, exclude_seen=False)
        assert [a.score for a in answer] == pytest.approx(np.sort(scores)[::-1].tolist(), abs=1e-5)
        assert answer.basis == "history"


def test_nothing_known_is_answered_by_popularity(encoded):
    answer = encoded.recommend(user="nobody", k=3)
    assert answer.basis == "popularity"
    assert places_of(answer) == [0, 1, 2]
    assert encoded.recommend(k=3) == answer


@settings(max_examples=40, deadline=None)
@given(
    history=st.lists(st.integers(0, N - 1), max_size=9),
    user=st.sampled_from([None, *USERS]),
    k=st.integers(1, N + 3),
    exclude_seen=st.booleans(),
    query=st.builds(
        QuerySettings,
        history_length=st.integers(1, 6),
        recency_decay=st.sampled_from([0.0, 0.5, 1.0]),
        popularity_weight=st.sampled_from([0.0, 1.0]),
        repeat_weight=st.sampled_from([-3.0, 0.0, 0.7, 50.0]),
    ),
)
def test_answers_are_the_best_scores_of_the_whole_catalogue(shared, history, user, k, exclude_seen, query):
    owner = np.array([UNKNOWN if user is None else USERS.index(user)])
    scores = shared.recommender(query).score_users(Sequences.from_lists([history]), owner)[0]
    if exclude_seen:
        scores[history] = -np.inf
    answer = shared.recommend(ids(*history), k, user=user, settings=query, exclude_seen=exclude_seen)
    found = [a.score for a in answer]
    assert found == pytest.approx(np.sort(scores[scores > -np.inf])[::-1][:k].tolist(), abs=1e-4)
    assert found == pytest.approx(scores[places_of(answer)].tolist(), abs=1e-4)


def test_requests_of_one_call_are_encoded_together_and_answered_each_for_itself(encoded, recent):
    requests = [
        Request(ids(1, 2), 4, user="ann"),
        Request(k=4),
        Request(ids(3), 4),
        Request(k=2, user="carol"),
        Request(ids(7, 8), 3, weights={"item": 1.0}, filters=Filters(where={"shop": Condition(any_of=("north",))})),
    ]
    together = encoded.retriever.recommend(requests)
    assert recent.asked == [([[1, 2], [3], [], [7, 8]], [0, UNKNOWN, 2, UNKNOWN])]
    assert together == [encoded.retriever.recommend([request])[0] for request in requests]


def test_the_encoder_reads_the_whole_history_whatever_its_length_is_set_to(encoded, recent):
    history = [3, 1, 4, 1, 5, 9, 2, 6]
    encoded.recommend(ids(*history), settings=NO_POPULARITY.model_copy(update={"history_length": 2}))
    assert recent.asked[-1] == ([history], [UNKNOWN])


def test_the_order_of_a_history_counts_where_the_encoder_reads_it(encoded, recent):
    first, second = encoded.recommend(ids(1, 2), 5), encoded.recommend(ids(2, 1), 5)
    assert [a.score for a in first] != [a.score for a in second]


def test_queries_are_what_the_targets_are_multiplied_by(encoded):
    requests = [Request(ids(4, 9)), Request(user="ann"), Request()]
    queries = encoded.retriever.queries(requests)
    targets = np.load(encoded.path / "index" / "targets.npy")
    for query, request in zip(queries, requests, strict=True):
        answer = encoded.retriever.recommend([replace(request, k=N, exclude_seen=False)])[0]
        assert [a.score for a in answer] == pytest.approx(np.sort(targets @ query)[::-1].tolist(), abs=1e-5)


def test_users_of_many_histories_are_asked_together(encoded):
    histories = [ids(1), ids(2, 3), ()]
    found = encoded.recommend_many(histories, 4, users=["ann", None, "carol"])
    assert found == [
        encoded.recommend(history, 4, user=user)
        for history, user in zip(histories, ["ann", None, "carol"], strict=True)
    ]
    with pytest.raises(DataError, match="there are 3 histories, but 2 users"):
        encoded.recommend_many(histories, users=["ann", "bob"])


def test_integer_ids_of_users_are_found_as_numbers_and_as_text(tmp_path, make_encoded):
    bundle = Bundle.write(tmp_path / "b", make_encoded(users=Vocabulary.from_ids([70, 8, 9])))
    assert bundle.recommend(user=8) == bundle.recommend(user="8")
    assert bundle.recommend(user=8).basis == "user"
    assert bundle.recommend(user="eight").basis == "popularity"
    assert bundle.recommend(user=True).basis == "popularity"


# ---- what means nothing here is refused ----


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"weights": {"category": 1.0}}, r"query.view_weights = \{'category': 1.0\} is for models whose queries mix"),
        ({"weights": {"item": -1.0}}, "query.view_weights"),
        ({"settings": QuerySettings(similarity="cosine")}, "query.similarity = 'cosine' is for models whose queries"),
        (
            {"diversity": Diversity(level=0.5, views={"colour": 1})},
            "there is no view 'colour'; views are item, category",
        ),
    ],
)
def test_settings_that_only_mixtures_can_follow_are_refused(encoded, asked, message):
    with pytest.raises(ConfigError, match=message):
        encoded.recommend(ids(1), **asked)


def test_a_user_is_refused_where_the_model_knows_none(bundle, tmp_path, make_encoded):
    with pytest.raises(ConfigError, match="mixes the items of a history and knows no users: leave out user 'ann'"):
        bundle.recommend(ids(1), user="ann")
    one = make_encoded()
    stored = StoredEncoder("mf", {}, one.encoder.arrays, knows_users=False)
    histories_alone = Bundle.write(tmp_path / "b", replace(one, encoder=stored, users=None))
    assert not histories_alone.knows_users
    with pytest.raises(ConfigError, match="the bundle's model, mf, knows histories and no users: leave out user 'ann'"):
        histories_alone.recommend(ids(1), user="ann")


def test_an_encoder_of_other_dimensions_than_the_targets_is_refused():
    tables = {"users": np.ones((1, 3), np.float32), "sources": np.ones((2, 3), np.float32)}
    encoding = QueryEncoding(StoredEncoder("mf", {}, tables, True), Vocabulary.from_ids(["ann"]), 4)
    with pytest.raises(ArtifactError, match=r"encoder of mf made vectors of shape \(1, 3\) .* targets of 4 numbers"):
        encoding.vectors([np.array([0])], [UNKNOWN])


def test_a_vector_that_is_not_finite_is_refused():
    tables = {"users": np.full((1, 3), np.nan, np.float32), "sources": np.ones((2, 3), np.float32)}
    encoding = QueryEncoding(StoredEncoder("mf", {}, tables, True), Vocabulary.from_ids(["ann"]), 3)
    with pytest.raises(ArtifactError, match="made a vector that is not finite"):
        encoding.vectors([np.array([0])], [0])


def test_an_encoder_of_a_newer_version_is_refused(encoded):
    newer = replace(encoded.contents.encoder, algorithm="oracle")
    strange = Bundle(encoded.path, encoded.manifest, replace(encoded.contents, encoder=newer))
    with pytest.raises(ArtifactError, match="holds a model 'oracle' that this PrismRec does not know"):
        strange.recommend(ids(1))


def test_without_torch_the_encoder_says_what_is_missing_and_similar_items_still_come(encoded, monkeypatch):
    def absent(stored):
        raise MissingExtraError("sasrec needs torch: pip install 'prismrec[neural]'")

    monkeypatch.setattr(query_encoding, "open_encoder", absent)
    with pytest.raises(MissingExtraError, match="sasrec needs torch"):
        encoded.recommend(ids(1))
    assert len(encoded.similar(FIRST, 3)) == 3
    assert encoded.recommend(k=2).basis == "popularity"


# ---- items added and changed since ----


def test_an_item_that_was_added_tells_the_encoder_nothing_and_the_answer_says_so(encoded, recent):
    retriever = encoded.retriever.upserted([NewItem(item_id=FIRST + 99, views={"category": ["fluid milk"]})])
    [answer] = retriever.recommend([Request((*ids(1), FIRST + 99, *ids(2)), N + 1)])
    assert recent.asked[-1] == ([[1, 2]], [UNKNOWN])
    assert answer.unknown_ids == (FIRST + 99,)
    assert set(places_of(answer)) == set(range(N)) - {1, 2}
    [alone] = retriever.recommend([Request((FIRST + 99,), 3)])
    assert (alone.basis, alone.unknown_ids) == ("popularity", (FIRST + 99,))


def test_a_changed_or_removed_item_of_the_history_is_read_as_it_was_learned(encoded, recent):
    retriever = encoded.retriever.upserted([NewItem(item_id=FIRST + 4, columns={"name": "renamed"})]).without(
        [FIRST + 5]
    )
    [answer] = retriever.recommend([Request(ids(4, 5), N)])
    assert recent.asked[-1] == ([[4, 5]], [UNKNOWN])
    assert answer.unknown_ids == ()
    assert [a.score for a in answer] == pytest.approx([a.score for a in encoded.recommend(ids(4, 5), N)])


def test_items_that_nobody_clicked_are_placed_by_what_the_items_of_their_nodes_have_in_common(tmp_path, make_encoded):
    rng = np.random.default_rng(5)
    plain = make_encoded()
    centres = 4 * rng.normal(size=(3, 6)).astype(np.float32)
    node = np.array([row[0] if len(row) else 0 for row in plain.item_nodes["category"]])
    near = (centres[node] + 0.1 * rng.normal(size=(N, 6))).astype(np.float32)
    bundle = Bundle.write(tmp_path / "b", replace(plain, vectors={"item": replace(plain.vectors["item"], target=near)}))
    retriever = bundle.retriever.upserted([NewItem(item_id=FIRST + 99, views={"category": ["100% juice"]})])
    placed = retriever.overlay.targets[0, :-1]
    assert np.linalg.norm(placed - centres, axis=1).argmin() == 2
    assert np.linalg.norm(placed - centres[2]) < 0.5 * np.linalg.norm(centres[2])
    [answer] = retriever.recommend([Request(user="ann", k=N + 1)])
    assert FIRST + 99 in answer.item_ids


def test_preferences_stand_in_only_where_neither_history_nor_user_is_known(encoded, recent):
    liked = {"category": ("100% juice",)}
    [alone, with_history, with_user] = encoded.retriever.recommend([
        Request(k=3, preferences=liked),
        Request(ids(1), 3, preferences=liked),
        Request(k=3, user="ann", preferences=liked),
    ])  # fmt: skip
    assert (alone.basis, with_history.basis, with_user.basis) == ("preferences", "history", "user")
    assert recent.asked == [([[1], []], [UNKNOWN, 0])]
    assert [with_history, with_user] == encoded.retriever.recommend([Request(ids(1), 3), Request(k=3, user="ann")])
    [query] = encoded.retriever.queries([Request(k=3, preferences=liked)])
    cold_start = ColdStart.of(encoded.contents, ColdStartSettings())
    [pseudo_item] = cold_start.preferences({"category": Sequences.from_lists([[2]])})
    np.testing.assert_allclose(query[:-1], pseudo_item, rtol=1e-5)
    assert np.abs(pseudo_item).max() > 0
    targets = np.load(encoded.path / "index" / "targets.npy")
    assert [a.score for a in alone] == pytest.approx(np.sort(targets @ query)[::-1][:3].tolist(), abs=1e-5)


# ---- filters, lists and reasons ----


def test_views_without_vectors_filter_bound_and_spread(encoded):
    category = [list(row) for row in encoded.contents.item_nodes["category"]]
    milk = encoded.recommend(user="ann", k=N, filters={"where": {"category": {"any_of": ["fluid milk"]}}})
    assert sorted(places_of(milk)) == [p for p in range(N) if category[p] == [0]]
    bounded = encoded.recommend(user="ann", k=3, diversity=Diversity(quotas={"category": 1}))
    assert len({tuple(category[p]) for p in places_of(bounded)}) == 3
    spread = encoded.recommend(user="ann", k=3, diversity=Diversity(level=0.95, views={"category": 1.0}))
    assert len({tuple(category[p]) for p in places_of(spread)}) == 3
    assert spread != encoded.recommend(user="ann", k=3)


def test_explanations_are_the_score_and_tell_what_leaving_an_item_out_would_take(encoded, recent):
    query = QuerySettings(popularity_weight=0.3, repeat_weight=0.5)
    history = (3, 8, 3, 11)
    answer = encoded.recommend(ids(*history), 4, user="bob", settings=query, exclude_seen=False, explain=True)
    scorer = encoded.recommender(query.model_copy(update={"repeat_weight": 0.0}))
    whole = scorer.score_users(Sequences.from_lists([history]), np.array([1]))[0]
    for a in answer:
        told, place = a.explanation, a.item_id - FIRST
        assert sum(told.views.values()) + told.popularity + told.repeat == pytest.approx(a.score, abs=1e-5)
        without = [np.delete(history, h) for h in range(4)]
        lost = whole[place] - scorer.score_users(Sequences.from_lists(without), np.ones(4, np.int64))[:, place]
        assert [share for _, share in told.history] == pytest.approx(np.sort(lost)[::-1].tolist(), abs=1e-5)
        assert {item_id for item_id, _ in told.history} == set(ids(*history))
        assert told.preferences == 0


def test_items_of_a_history_that_add_nothing_are_not_named(encoded):
    for a in encoded.recommend(ids(3, 8), 3, user="bob", explain=True):
        assert a.explanation.history == ()
        assert a.explanation.views == {"item": pytest.approx(a.score)}


def test_only_the_latest_of_a_long_history_are_left_out_one_by_one(encoded, recent):
    history = [p % N for p in range(LEFT_OUT + 30)]
    encoded.recommend(ids(*history), 2, exclude_seen=False, explain=True)
    left_out = recent.asked[-1][0]
    assert len(left_out) == LEFT_OUT
    assert left_out == [history[:h] + history[h + 1 :] for h in range(30, LEFT_OUT + 30)]


def test_explanations_of_preferences_alone_name_them(encoded):
    [answer] = encoded.retriever.recommend([Request(k=2, preferences={"category": ("100% juice",)}, explain=True)])
    for a in answer:
        assert a.explanation.preferences == pytest.approx(a.score)
        assert a.explanation.history == ()


def test_similar_items_are_compared_by_cosine_unless_told_otherwise(encoded, bundle):
    assert encoded.similar(FIRST + 3, 4) == encoded.similar(FIRST + 3, 4, similarity="cosine")
    assert bundle.similar(FIRST + 3, 4) == bundle.similar(FIRST + 3, 4, similarity="source_target")
    table = encoded.contents.vectors["item"]
    scores = table.target @ table.source[3]
    scores[3] = -np.inf
    found = encoded.retriever.similar([SimilarRequest(FIRST + 3, 4, similarity="source_target", explain=True)])[0]
    assert [a.score for a in found] == pytest.approx(np.sort(scores)[::-1][:4].tolist(), abs=1e-5)
    assert [a.explanation.history for a in found] == [((FIRST + 3, pytest.approx(a.score)),) for a in found]
    with pytest.raises(UnknownIdError):
        encoded.similar(7)


# ---- the index, and threads ----


def test_an_approximate_index_is_measured_with_encoded_queries(tmp_path, make_encoded, recent):
    bundle = Bundle.write(tmp_path / "b", make_encoded(index=IndexSettings(kind="scan")))
    histories, users = recent.asked[-1]
    assert len(histories) == len(users) == 128
    assert {len(history) for history in histories} == {1, 20}
    assert set(users[::2]) <= {0, 1, 2}
    assert set(users[1::2]) == {UNKNOWN}
    assert bundle.manifest.index.recall["bundle"] == 1
    assert set(bundle.manifest.index.recall) == {"bundle", "equal", "item alone", "no popularity", "popularity alone"}


def test_threads_may_share_a_bundle(encoded):
    requests = [Request(ids(p % N, (p + 4) % N), 3, user=[None, *USERS][p % 4], explain=True) for p in range(24)]
    expected = encoded.retriever.recommend(requests)
    found: dict[int, list] = {}
    threads = [
        threading.Thread(target=lambda at=at: found.update({at: encoded.retriever.recommend(requests)}))
        for at in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(found.values()) == [expected] * 6
