"""The application put together: what runs beside the routes, and what is mounted."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from prismrec.errors import ArtifactError, ConfigError
from prismrec.serving.http.app import Refresher
from prismrec.serving.http.metrics import Metrics


class Refreshed:
    """A service that can be told to fail."""

    def __init__(self):
        self.looks, self.loaded, self.error = 0, 0, None

    def refresh(self):
        self.looks += 1
        if self.error:
            raise self.error
        self.loaded = self.looks


def value(metrics, name):
    return next(float(line.split()[1]) for line in metrics.text().decode().splitlines() if line.startswith(f"{name} "))


@pytest.fixture
def parts():
    with ThreadPoolExecutor(max_workers=1) as thread:
        service, metrics = Refreshed(), Metrics()
        yield service, metrics, Refresher(service, metrics, thread)  # type: ignore[arg-type]


def test_failure_is_told_once_and_again_when_it_is_another_one(parts, caplog):
    service, metrics, refresher = parts

    async def look():
        for error in ("gone", "gone", "gone", None, "gone", "worse"):
            service.error = ArtifactError(error) if error else None
            await refresher.once()

    with caplog.at_level(logging.ERROR, "prismrec.serving.http.app"):
        asyncio.run(look())
    told = [record.getMessage() for record in caplog.records]
    assert told == ["cannot refresh: gone", "cannot refresh: gone", "cannot refresh: worse"]
    assert not any(record.exc_info for record in caplog.records)
    assert value(metrics, "prismrec_refresh_failures_total") == 5
    assert value(metrics, "prismrec_release") == 4


def test_failure_that_nobody_thought_of_is_told_with_its_traceback(parts, caplog):
    service, metrics, refresher = parts
    service.error = FileNotFoundError("a folder went while it was listed")
    with caplog.at_level(logging.ERROR, "prismrec.serving.http.app"):
        asyncio.run(refresher.once())
    assert caplog.records[0].getMessage() == "cannot refresh: FileNotFoundError: a folder went while it was listed"
    assert caplog.records[0].exc_info
    assert value(metrics, "prismrec_refresh_failures_total") == 1


@pytest.mark.parametrize("error", [ArtifactError("gone"), OSError("disk"), KeyError("nobody thought of it")])
def test_looks_go_on_after_a_failure_until_they_are_cancelled(parts, error):
    service, _, refresher = parts
    service.error = error

    async def look():
        task = asyncio.create_task(refresher.again_and_again(0.01))
        while service.looks < 3:
            await asyncio.sleep(0.01)
        service.error = None
        while not service.loaded:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        seen = service.looks
        await asyncio.sleep(0.05)
        assert service.looks == seen

    asyncio.run(look())


def test_changes_are_picked_up_beside_the_requests(make_api, shop, make_shop):
    api = make_api({"refresh_seconds": 0.05})
    make_shop(shop, seed=8, n_items=40)
    deadline = time.monotonic() + 30
    while api("POST", "/v1/recommend", {"k": 1}).json()["release"] == 1 and time.monotonic() < deadline:
        api.run(asyncio.sleep(0.02))
    assert api("POST", "/v1/recommend", {"k": 1}).json()["release"] == 2
    assert "prismrec_release 2.0" in api("GET", "/metrics").text


def test_requests_side_by_side_share_batches(api):
    async def ask():
        bodies = [{"history": [2**60 + i], "k": 3} for i in range(24)]
        return await asyncio.gather(*(api.client.post("/v1/recommend", json=body) for body in bodies))

    together = [[item["item_id"] for item in response.json()["items"]] for response in api.run(ask())]
    alone = [
        [item["item_id"] for item in api("POST", "/v1/recommend", {"history": [2**60 + i], "k": 3}).json()["items"]]
        for i in range(24)
    ]
    assert together == alone
    text = api("GET", "/metrics").text
    n_batches = float(text.split("prismrec_batch_size_count ")[1].split()[0])
    assert n_batches < 24 + 12


def test_one_bad_request_costs_its_companions_nothing(api):
    async def ask():
        bodies = [{"k": 3}, {"weights": {"size": 1}}, {"history": [2**60]}, {"filters": {"where": {"size": {}}}}]
        return await asyncio.gather(*(api.client.post("/v1/recommend", json=body) for body in bodies * 4))

    assert [response.status_code for response in api.run(ask())] == [200, 422, 200, 422] * 4


def test_page_is_at_the_root(api):
    response = api("GET", "/")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")


def test_unusable_token_keeps_the_application_from_starting(make_api):
    with pytest.raises(ConfigError, match="PRISMREC_TOKEN"):
        make_api(token="short")
