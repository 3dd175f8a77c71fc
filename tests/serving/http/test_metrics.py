"""Figures for Prometheus: right in one process, and over several."""

import os
import subprocess
import sys

from prometheus_client.parser import text_string_to_metric_families

from prismrec.serving.http.metrics import FOLDER_VARIABLE, Metrics

FIRST = 2**60


def figures(text):
    """(name, labels) -> value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def asked(api):
    response = api("GET", "/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return figures(response.text)


def test_requests_answers_and_writes_are_counted(api):
    api("POST", "/v1/recommend", {"history": [FIRST, 1, "x"]})
    api("POST", "/v1/recommend", {"requests": [{}, {}]})
    api("POST", "/v1/recommend", {"k": 0})
    api("POST", "/v1/events", {"events": [{"user_id": 1, "item_id": 2}, {"user_id": 1, "item_id": 3}]})
    api("POST", "/v1/items", {"item_id": 5})
    api("DELETE", "/v1/items/5")
    found = asked(api)
    route = ("route", "/v1/recommend")
    assert found["prismrec_requests_total", (("method", "POST"), route, ("status", "200"))] == 2
    assert found["prismrec_requests_total", (("method", "POST"), route, ("status", "422"))] == 1
    assert found["prismrec_request_seconds_count", (route,)] == 3
    assert found["prismrec_answers_total", (("basis", "history"),)] == 1
    assert found["prismrec_answers_total", (("basis", "popularity"),)] == 2
    assert found["prismrec_unknown_ids_total", ()] == 2
    assert found["prismrec_events_stored_total", ()] == 2
    assert found["prismrec_item_changes_total", (("change", "upsert"),)] == 1
    assert found["prismrec_item_changes_total", (("change", "delete"),)] == 1
    assert found["prismrec_batch_size_sum", ()] == 3
    assert found["prismrec_release", ()] == 1
    assert found["prismrec_requests_running", ()] == 1, "the one that asks"


def test_paths_of_strangers_make_no_new_label(api):
    for path in ("/a", "/b", "/v1/items/1", "/v1/items/2"):
        api("GET", path)
    routes = {dict(labels)["route"] for name, labels in asked(api) if name == "prismrec_requests_total"}
    assert routes == {"unmatched", "/v1/items/{item_id:path}"}


WORKER = """
import sys
from prismrec.serving.http.metrics import Metrics
metrics = Metrics()
metrics.events.inc(int(sys.argv[1]))
metrics.release.set(int(sys.argv[2]))
metrics.running.inc()
print(metrics.text().decode())
"""


def test_several_processes_are_counted_together_and_the_dead_no_longer_run(tmp_path):
    environment = {**os.environ, FOLDER_VARIABLE: str(tmp_path)}

    def worker(events, release):
        command = [sys.executable, "-c", WORKER, str(events), str(release)]
        return figures(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)

    assert worker(3, 1)["prismrec_events_stored_total", ()] == 3
    found = worker(4, 2)
    assert found["prismrec_events_stored_total", ()] == 7, "what the first one counted stays"
    assert found["prismrec_release", ()] == 2, "what it answered with does not"
    assert found["prismrec_requests_running", ()] == 1


def test_figures_of_two_applications_are_apart():
    first, second = Metrics(), Metrics()
    first.events.inc(5)
    assert figures(second.text().decode())["prismrec_events_stored_total", ()] == 0
