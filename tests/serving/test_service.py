"""The service without HTTP: loading, item changes, users, and what a new bundle does to each."""

import threading
import time

import pytest

from prismrec.config import build
from prismrec.errors import ArtifactError, DataError, NotFittedError, UnknownIdError
from prismrec.retrieval.request import Request
from prismrec.retrieval.retriever import Retriever
from prismrec.serving.live import Live
from prismrec.serving.schemas import Event, Item, Recommend, Similar
from prismrec.serving.service import Asked, Service
from prismrec.serving.settings import ServeSettings
from prismrec.serving.state.store import StateError

FIRST = 2**60


@pytest.fixture
def opened(shop):
    """Open services on the shop, as several workers do; none has looked for a release yet."""
    services = []

    def make(**values):
        services.append(Service.open(shop, build(ServeSettings, values)))
        return services[-1]

    yield make
    for service in services:
        service.close()


@pytest.fixture
def service(opened):
    made = opened()
    made.refresh()
    return made


def ids(service, **question):
    return service.answer([Asked(Recommend(**{"k": 60, **question}))])[0].found.item_ids


# ---- loading ----


def test_nothing_answers_before_the_first_release_is_loaded(opened):
    service = opened()
    assert (service.ready, service.loaded) == (False, 0)
    with pytest.raises(NotFittedError, match="no release is loaded yet: try again"):
        service.answer([Asked(Recommend())])
    service.refresh()
    assert (service.ready, service.loaded) == (True, 1)


def test_draining_service_is_not_ready_but_answers(service):
    service.draining = True
    assert not service.ready
    assert len(ids(service, k=3)) == 3


def test_files_lie_beside_the_bundle_unless_set_otherwise(opened, shop, tmp_path):
    assert opened().home == shop.with_name("shop.serve")
    assert (shop.with_name("shop.serve") / "state.sqlite").exists()
    elsewhere = opened(home=str(tmp_path / "home"), state=f"sqlite:///{tmp_path}/events.db")
    elsewhere.refresh()
    assert (tmp_path / "home" / "current.json").exists()
    assert (tmp_path / "events.db").exists()


def test_new_bundle_is_loaded_and_answers_in_flight_keep_the_old_one(service, shop, make_shop):
    before = service.live
    assert len(ids(service)) == 30
    make_shop(shop, seed=8, n_items=40)
    service.refresh()
    assert service.loaded == 2
    assert len(ids(service)) == 40
    assert len(before.retriever.recommend([Request(k=60)])[0]) == 30


def test_placing_new_items_is_prepared_after_a_release_answers_and_once(service, monkeypatch):
    prepared = []
    monkeypatch.setattr(Retriever, "prepare", lambda self: prepared.append(self))
    service.refresh()
    service.refresh()
    assert prepared == [service.retriever]


def test_release_that_cannot_place_new_items_goes_on_answering(service, monkeypatch, caplog):
    def refuses(self):
        raise DataError("the alignment does not fit")

    monkeypatch.setattr(Retriever, "prepare", refuses)
    service.refresh()
    assert "release 1 cannot place new items: the alignment does not fit" in caplog.text
    assert len(ids(service, k=3)) == 3


def test_release_that_cannot_be_loaded_is_told_once_and_the_old_one_goes_on(service, shop, make_shop, monkeypatch):
    tries = []

    def broken(live):
        tries.append(live.release.number)
        raise ArtifactError("it cannot be warmed up")

    make_shop(shop, seed=8)
    with monkeypatch.context() as patch:
        patch.setattr(Live, "warm_up", broken)
        with pytest.raises(ArtifactError, match="it cannot be warmed up"):
            service.refresh()
        service.refresh()
        assert tries == [2]
        assert service.loaded == 1
        assert len(ids(service, k=3)) == 3
        with pytest.raises(ArtifactError, match="it cannot be warmed up"):
            service.reload()
    assert service.reload().number == 2
    assert service.loaded == 2


def test_reload_and_rollback_tell_what_answers_then(service, shop, make_shop):
    assert service.reload().number == 1, "nothing changed"
    make_shop(shop, seed=8)
    assert service.reload().number == 2
    assert service.rollback().number == 1
    service.refresh()
    assert service.loaded == 1, "what was rolled back is not adopted again"
    with pytest.raises(ArtifactError, match="no earlier release"):
        service.rollback()


# ---- items ----


def test_items_changed_in_one_worker_show_in_the_other(opened):
    one, other = opened(), opened()
    one.refresh()
    other.refresh()
    one.upsert([Item(item_id="5", columns={"name": "new"}), Item(item_id=6)])
    one.delete(FIRST)
    assert not {5, 6} & set(ids(other))
    other.refresh()
    assert {5, 6} < set(ids(other))
    assert FIRST not in ids(other)
    assert other.item("5").columns["name"] == "new"


def test_item_added_elsewhere_a_moment_ago_can_be_read_and_deleted(opened):
    one, other = opened(), opened()
    one.refresh()
    other.refresh()
    one.upsert([Item(item_id=5)])
    assert other.item(5).added
    one.upsert([Item(item_id=6)])
    assert other.delete("6") == 6
    with pytest.raises(UnknownIdError, match="unknown id 6"):
        other.item(6)


def test_items_outlive_the_process(opened):
    first = opened()
    first.refresh()
    first.upsert([Item(item_id=5, columns={"name": "kept"})])
    first.delete(FIRST + 1)
    again = opened()
    again.refresh()
    assert again.item(5).columns["name"] == "kept"
    assert FIRST + 1 not in ids(again)


def test_items_that_do_not_fit_are_refused_before_they_are_stored(service):
    with pytest.raises(DataError, match="there is no side view 'size'"):
        service.upsert([Item(item_id=5), Item(item_id=6, views={"size": ("xl",)})])
    assert service.state.changes().number == 0


def test_stored_items_are_shown_before_a_new_bundle_answers(service, shop, make_shop):
    service.upsert([Item(item_id=5)])
    service.delete(FIRST + 2)
    make_shop(shop, seed=8, n_items=40)
    service.refresh()
    assert service.loaded == 2
    assert 5 in ids(service)
    assert FIRST + 2 not in ids(service), "deletions stay"


def test_changed_item_gives_way_to_a_bundle_that_was_trained_with_it_later(service, shop, make_shop):
    service.upsert(
        [Item(item_id=FIRST, columns={"name": "changed"}), Item(item_id=FIRST + 35, columns={"name": "new"})]
    )
    assert service.item(FIRST).columns["name"] == "changed"
    time.sleep(1.1)  # bundles tell the second they were made in
    make_shop(shop, seed=8, n_items=40)
    service.refresh()
    assert service.item(FIRST).columns["name"] == "article 0"
    assert service.item(FIRST + 35).columns["name"] == "article 35"
    service.upsert([Item(item_id=FIRST, columns={"name": "changed again"})])
    assert service.item(FIRST).columns["name"] == "changed again"


def test_upserts_of_many_threads_are_all_there(service):
    threads = [threading.Thread(target=service.upsert, args=([Item(item_id=i)],)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(range(20)) < set(ids(service))


# ---- users ----


def test_events_make_a_history_for_every_worker(opened):
    one, other = opened(), opened()
    one.refresh()
    assert (
        one.record([Event(user_id="u", item_id=str(FIRST), timestamp=2), Event(user_id="u", item_id=5, timestamp=1)])
        == 2
    )
    assert other.histories(["u", "v"], 10) == {"u": (5, FIRST), "v": ()}
    assert other.histories(["u"], 1) == {"u": (FIRST,)}


@pytest.mark.parametrize(
    ("spelt", "forgotten"),
    [
        ("7", 2), ("-7", 1), ("07", 1), ("u", 1), ("٧", 0), ("--7", 1), ("-", 0), ("0", 1), (str(2**64 - 1), 1),
        (str(2**64), 0), ("9" * 300, 0),
    ],
)  # fmt: skip
def test_user_is_forgotten_as_text_and_as_number(service, spelt, forgotten):
    for user in (7, "7", -7, "07", "u", "--7", 0, 2**64 - 1):
        service.record([Event(user_id=user, item_id=1)])
    assert service.forget(spelt) == forgotten


# ---- questions ----


def test_questions_of_both_kinds_are_answered_in_their_order(service):
    asked = [Asked(Recommend(k=2)), Asked(Similar(item_id=FIRST, k=3)), Asked(Recommend(k=4), stored=(FIRST,))]
    answers = service.answer(asked)
    assert [len(answer.found) for answer in answers] == [2, 3, 4]
    assert [answer.found.basis for answer in answers] == ["popularity", "item", "history"]
    assert {answer.release for answer in answers} == {1}


def test_batch_is_answered_by_one_model_though_it_is_swapped_meanwhile(service, monkeypatch):
    live, reads = service.live, []

    def read(self):
        reads.append(1)
        return live

    monkeypatch.setattr(Service, "live", property(read))
    service.answer([Asked(Recommend(k=1)), Asked(Similar(item_id=FIRST)), Asked(Recommend(k=1))])
    assert len(reads) == 1


def test_trouble_with_the_state_is_told_and_the_model_answers_on(service, monkeypatch):
    def broken(after=0):
        raise StateError("the disk is gone")

    monkeypatch.setattr(service.state, "changes", broken)
    with pytest.raises(StateError, match="the disk is gone"):
        service.refresh()
    assert len(ids(service, k=3)) == 3
