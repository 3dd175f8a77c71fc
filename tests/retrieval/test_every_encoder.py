"""Each model that encodes queries, as it is built, through a bundle: what was written answers as the model does."""

import threading

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch")

from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph  # noqa: E402
from prismrec.data.prepared import PreparedData, View  # noqa: E402
from prismrec.data.schema import UNKNOWN  # noqa: E402
from prismrec.data.sequences import Sequences  # noqa: E402
from prismrec.data.views import mapped  # noqa: E402
from prismrec.data.vocabulary import Vocabulary  # noqa: E402
from prismrec.models.algorithms import NEURAL, ModelsConfig, build_model  # noqa: E402
from prismrec.models.contract import CandidateScorer, ItemReader  # noqa: E402
from prismrec.retrieval.blend import QuerySettings  # noqa: E402
from prismrec.retrieval.bundle import Bundle, BundleContents  # noqa: E402
from prismrec.retrieval.request import Diversity, NewItem, Request  # noqa: E402

N_ITEMS, N_USERS = 24, 20
CASES = [([1, 2, 3], 4), ([5], UNKNOWN), ([], 7), ([3, 3, 9, 1, 0, 2, 8, 4, 11], UNKNOWN), ([6, 7], 0)]
"""(history, user); nothing is known of none of them."""

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch_geometric


@pytest.fixture(scope="module")
def data():
    """Users that wander over items of three genres, which are entities too."""
    rng = np.random.default_rng(0)
    histories = Sequences.from_lists([rng.integers(0, N_ITEMS, 8) for _ in range(N_USERS)])
    genre = Sequences.from_lists([[item % 3] for item in range(N_ITEMS)])
    sessions = mapped(histories, genre)
    genres = Vocabulary.from_ids(["a", "b", "c"], np.bincount(sessions.values))
    items = Vocabulary.from_ids([f"i{n}" for n in range(N_ITEMS)], np.bincount(histories.values, minlength=N_ITEMS))
    users = Vocabulary.from_ids([f"u{n}" for n in range(N_USERS)])
    names = [f"entity {n}" for n in range(N_ITEMS + 3)]
    triples = np.array([(i, 0, N_ITEMS + i % 3) for i in range(N_ITEMS)], np.int32)
    graph = KnowledgeGraph(Vocabulary.from_ids(names), ("genre",), triples, pa.array(names))
    return PreparedData(
        items, histories, users, histories, {"genre": View("genre", genres, genre, sessions)},
        item_columns=pa.table({"title": [f"genre{i % 3} place{i % 4}" for i in range(N_ITEMS)]}),
        knowledge=ItemKnowledge(graph, np.arange(N_ITEMS, dtype=np.int64)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def taken(data, tmp_path_factory):
    """`taken(name)`: a model, and the bundle of it; each is made once."""
    made = {}

    def take(name):
        if name not in made:
            model = build_model(name, ModelsConfig(), data, seed=0, device="cpu")
            stored = model.stored()
            contents = BundleContents(
                vectors={"item": model.table()},
                vocabularies={"item": data.items, "genre": data.views["genre"].nodes},
                item_nodes={"genre": data.views["genre"].item_nodes},
                query=QuerySettings(popularity_weight=0.0),
                encoder=stored,
                users=data.users if stored.knows_users else None,
            )
            made[name] = model, Bundle.write(tmp_path_factory.mktemp(name) / "bundle", contents)
        return made[name]

    return take


def questions(bundle, k=N_ITEMS, **options):
    """The cases as requests; for a model that knows no users only those with a history."""
    return [
        Request(tuple(f"i{n}" for n in history), k, user=_user(bundle, user), exclude_seen=False, **options)
        for history, user in CASES
        if history or bundle.knows_users
    ]


def _user(bundle, user):
    return f"u{user}" if bundle.knows_users and user != UNKNOWN else None


def expected(model, bundle):
    """(n_questions, n_items): the scores by the model itself."""
    cases = [(history, user) for history, user in CASES if history or bundle.knows_users]
    users = [user if bundle.knows_users else UNKNOWN for _, user in cases]
    encoder, asked = model.encoder(), (Sequences.from_lists([h for h, _ in cases]), np.array(users, np.int64))
    if isinstance(encoder, CandidateScorer):
        return encoder.score_candidates(*asked, np.tile(np.arange(N_ITEMS), (len(cases), 1)))
    return encoder.encode(*asked) @ model.table().target.T


@pytest.mark.parametrize("name", NEURAL)
def test_a_bundle_scores_as_the_model_does(taken, name):
    model, bundle = taken(name)
    answers = bundle.retriever.recommend(questions(bundle))
    for answer, scores in zip(answers, expected(model, bundle), strict=True):
        found = {a.item_id: a.score for a in answer}
        assert [found[f"i{n}"] for n in range(N_ITEMS)] == pytest.approx(scores.tolist(), abs=1e-4)
        assert np.ptp(list(found.values())) > 0, "a query that tells all items alike tells nothing"


@pytest.mark.parametrize("name", NEURAL)
def test_filters_reasons_similar_items_and_new_items_work_with_it(taken, name):
    _, bundle = taken(name)
    retriever = bundle.retriever.upserted([NewItem(item_id="new", views={"genre": ["b"]})])
    history = ("i1", "new", "i2")
    [answer] = retriever.recommend([Request(history, 6, explain=True, diversity=Diversity(quotas={"genre": 2}))])
    reads = isinstance(bundle.retriever._encoding.encoder, ItemReader)  # items that come later too
    assert answer.unknown_ids == (() if reads else ("new",))
    assert len(answer) == 6
    assert not {"i1", "i2", "new"} & set(answer.item_ids)
    for a in answer:
        told = a.explanation
        assert sum(told.views.values()) + told.popularity + told.repeat == pytest.approx(a.score, abs=1e-4)
        assert {item_id for item_id, _ in told.history} <= {"i1", "i2", *(["new"] if reads else [])}
    only = bundle.recommend(history[:1], N_ITEMS, filters={"where": {"genre": {"any_of": ["c"]}}})
    assert {int(item_id[1:]) % 3 for item_id in only.item_ids} == {2}
    assert "i4" not in bundle.similar("i4", 5).item_ids


@pytest.mark.parametrize("name", NEURAL)
def test_threads_may_share_its_encoder(taken, name):
    _, bundle = taken(name)
    requests = questions(bundle, k=5, explain=True)
    found: dict[int, list] = {}
    alone = bundle.retriever.recommend(requests)
    threads = [
        threading.Thread(target=lambda at=at: found.update({at: bundle.retriever.recommend(requests)}))
        for at in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for at in range(4):
        for one, other in zip(found[at], alone, strict=True):
            assert one.item_ids == other.item_ids
            assert [a.score for a in one] == pytest.approx([a.score for a in other], abs=1e-5)
