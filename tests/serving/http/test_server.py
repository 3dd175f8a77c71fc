"""The server as processes: what it acknowledged survives, what it took is finished, what changes is followed.

Every test starts `prismrec serve` on a free port of loopback and ends it by its id.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

FIRST = 2**60
TOKEN = "a-token-of-some-length"
pytestmark = pytest.mark.slow


async def asking(client, stop, answered):
    """Ask again and again until told to stop; every answer is written down."""
    while not stop.is_set():
        answered.append(await client.post("/v1/recommend", json={"history": [FIRST], "k": 3}))


def under_load(server, meanwhile, n_clients=4):
    """Answers that clients got while `meanwhile(client)` ran."""
    answered: list[httpx.Response] = []

    async def run():
        stop = asyncio.Event()
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            tasks = [asyncio.create_task(asking(client, stop, answered)) for _ in range(n_clients)]
            while len(answered) < 20:
                await asyncio.sleep(0.01)
            await meanwhile(client)
            seen = len(answered)
            while len(answered) < seen + 20:
                await asyncio.sleep(0.01)
            stop.set()
            await asyncio.gather(*tasks)

    asyncio.run(run())
    return answered


# ---- starting ----


def test_worker_keeps_the_collector_of_garbage_from_what_was_imported(shop, tmp_path):
    program = (
        "import asyncio, gc\nfrom prismrec.serving.http.server import worker_app\n"
        "async def main():\n    worker_app()\n    print(len(gc.get_objects()), gc.get_freeze_count())\n"
        "asyncio.run(main())"
    )
    served = json.dumps({"source": str(shop), "settings": {"home": str(tmp_path / "home")}})
    environment = {**os.environ, "PRISMREC_SERVED": served}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    watched, spared = map(int, done.stdout.split())
    assert watched < 1_000 < 50_000 < spared


# ---- stopping ----


def test_sigterm_finishes_what_was_taken_and_ends(serve):
    server = serve("--set", "serving.limits.batch=1000")
    requests = [{"history": [FIRST + i % 30], "k": 20, "diversity": 0.5, "explain": True} for i in range(500)]
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps({"requests": requests}).encode()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /v1/recommend HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        connection.sendall(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        time.sleep(0.05)
        server.process.send_signal(signal.SIGTERM)
        received = b"".join(iter(lambda: connection.recv(2**16), b""))
    status, answer = received.split(b"\r\n", 1)[0], json.loads(received.split(b"\r\n\r\n", 1)[1])
    assert status == b"HTTP/1.1 200 OK"
    assert len(answer["answers"]) == 500
    assert server.process.wait(timeout=30) in (0, -signal.SIGTERM)
    messages = [line["message"] for line in server.lines()]
    assert "Application shutdown complete." in messages
    assert not [line for line in server.lines() if line["level"] == "error"]


def test_draining_server_says_so_and_goes_on_answering(serve):
    server = serve("--set", "serving.traffic.drain_seconds=1.5")
    with httpx.Client(base_url=server.url) as client:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        ready = client.get("/ready")
        assert (ready.status_code, ready.json()["error"]["code"]) == (503, "draining")
        assert client.get("/health").status_code == 200
        assert client.post("/v1/recommend", json={"k": 1}).status_code == 200
    assert server.process.wait(timeout=30) in (0, -signal.SIGTERM)


def test_supervisor_ends_all_workers_on_sigterm(serve):
    server = serve("--workers", "2")
    server.wait_until(lambda: len(server.workers()) == 2)
    workers = server.workers()
    assert server.stop() in (0, -signal.SIGTERM)
    assert not [pid for pid in workers if os.path.exists(f"/proc/{pid}")]


# ---- kill -9 ----


def test_workers_end_when_their_supervisor_is_killed(serve):
    server = serve("--workers", "2")
    server.wait_until(lambda: len(server.workers()) == 2)
    server.process.kill()
    server.process.wait()
    deadline = time.monotonic() + 30
    while server.workers() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert server.workers() == [], "they would keep the port"


def test_acknowledged_writes_survive_killed_workers_and_the_server_goes_on(serve, shop):
    server = serve("--workers", "2")
    server.wait_until(lambda: len(server.workers()) == 2)
    acknowledged, upserted, failures = [], [], 0

    async def write():
        nonlocal failures
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            for number in range(300):
                if number in (60, 160):
                    os.kill(server.workers()[0], signal.SIGKILL)
                event = {"user_id": "u", "item_id": number, "timestamp": number, "event_id": f"e{number}"}
                item = {"item_id": number, "columns": {"name": f"new {number}"}}
                try:
                    if (await client.post("/v1/events", json=event)).status_code == 200:
                        acknowledged.append(number)
                    if number % 10 == 0 and (await client.post("/v1/items", json=item)).status_code == 200:
                        upserted.append(number)
                except httpx.TransportError:
                    failures += 1

    asyncio.run(write())
    assert failures <= 10, "only what the killed workers had in hand is lost"
    assert len(acknowledged) >= 290
    server.wait_until(lambda: len(server.workers()) == 2 and server.ready())
    for number in upserted:
        assert server("GET", f"/v1/items/{number}").json()["columns"]["name"] == f"new {number}"
    for pid in [server.process.pid, *server.workers()]:  # all at once, as a power cut would
        os.kill(pid, signal.SIGKILL)
    server.process.wait()
    again = serve()
    history = again(
        "POST", "/v1/recommend", {"user_id": "u", "filters": {"allow": upserted}, "exclude_seen": False, "k": 30}
    )
    assert {item["item_id"] for item in history.json()["items"]} == set(upserted)
    stored = read_events(shop)
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored)), "none twice"


def read_events(shop):
    from prismrec.serving.state.store import State

    state = State.open(f"sqlite:///{shop}.serve/state.sqlite")
    try:
        return state.histories(["u"], 1000)["u"]
    finally:
        state.close()


# ---- several workers ----


def test_workers_see_each_others_items_and_events(serve):
    server = serve("--workers", "2", "--set", "serving.refresh_seconds=0.1")
    server.wait_until(lambda: len(server.workers()) == 2)
    assert server("POST", "/v1/items", {"item_id": 5, "columns": {"name": "new"}}).status_code == 200
    server("POST", "/v1/events", {"user_id": "u", "item_id": 5})
    time.sleep(0.5)

    def answers():
        for _ in range(20):  # a connection each: both workers get some
            body = {"user_id": "u", "exclude_seen": False, "filters": {"allow": [5]}}
            yield [item["item_id"] for item in server("POST", "/v1/recommend", body).json()["items"]]

    assert all(found == [5] for found in answers())
    assert server("DELETE", "/v1/items/5").status_code == 200
    time.sleep(0.5)
    assert all(found == [] for found in answers())


def test_figures_are_those_of_all_workers(serve):
    server = serve("--workers", "2")
    server.wait_until(lambda: len(server.workers()) == 2)
    for _ in range(30):
        assert server("POST", "/v1/recommend", {"k": 1}).status_code == 200
    server.wait_until(lambda: "prismrec_release 1.0" in server("GET", "/metrics").text)
    text = server("GET", "/metrics").text
    assert 'prismrec_requests_total{method="POST",route="/v1/recommend",status="200"} 30.0' in text
    assert 'prismrec_answers_total{basis="popularity"} 30.0' in text
    os.kill(server.workers()[0], signal.SIGKILL)
    server.wait_until(lambda: len(server.workers()) == 2)
    server.wait_until(lambda: "prismrec_release 1.0" in server("GET", "/metrics").text)
    assert 'route="/v1/recommend",status="200"} 30.0' in server("GET", "/metrics").text, "what was counted stays"


# ---- releases ----


def test_new_bundle_is_taken_over_without_one_failed_request(serve, shop, make_shop):
    server = serve("--workers", "2", "--set", "serving.refresh_seconds=0.1")
    releases = set()

    async def replace_bundle(client):
        for seed in (8, 9):
            make_shop(shop, seed=seed, n_items=40)
            deadline = time.monotonic() + 30
            fresh: list[int] = []
            while len(fresh) < 20 and time.monotonic() < deadline:
                answer = await client.post("/v1/recommend", json={"k": 1})
                fresh = [*fresh, answer.json()["release"]] if answer.json()["release"] == seed - 6 else []
            releases.add(fresh[-1])

    answered = under_load(server, replace_bundle)
    assert releases == {2, 3}
    assert {response.status_code for response in answered} == {200}
    assert {response.json()["release"] for response in answered} == {1, 2, 3}


def test_reload_and_rollback_under_load_fail_no_request(serve, shop, make_shop):
    server = serve("--set", "serving.refresh_seconds=60", token=TOKEN)
    bearer = {"authorization": f"Bearer {TOKEN}"}
    told = []

    async def reload(client):
        make_shop(shop, seed=8)
        told.append((await client.post("/admin/reload", headers=bearer)).json())
        told.append((await client.post("/admin/rollback", headers=bearer)).json())
        told.append((await client.post("/admin/rollback", headers=bearer)).json())

    answered = under_load(server, reload)
    assert [one["release"]["number"] for one in told[:2]] == [2, 1]
    assert [one["changed"] for one in told[:2]] == [True, True]
    assert told[2]["error"]["code"] == "refused"
    assert {response.status_code for response in answered} == {200}


def test_broken_bundle_is_refused_and_the_old_one_goes_on(serve, shop, make_shop):
    server = serve("--set", "serving.refresh_seconds=0.1", token=TOKEN)
    bearer = {"authorization": f"Bearer {TOKEN}"}
    broken = make_shop(shop.parent / "next", seed=8)
    vectors = broken / "vectors" / "item.source.npy"
    content = vectors.read_bytes()
    vectors.write_bytes(content[:-1] + bytes([content[-1] ^ 255]))
    shutil.rmtree(shop)
    broken.rename(shop)
    answer = server("POST", "/admin/reload", headers=bearer)
    assert answer.status_code == 409
    assert "item.source.npy is damaged" in answer.json()["error"]["message"]
    assert str(shop.parent) not in answer.text
    assert server("POST", "/v1/recommend", {"k": 1}).json()["release"] == 1
    listed = server("GET", "/admin/releases", headers=bearer)
    assert listed.json()["refused"][0]["bundle"] == "shop"
    assert str(shop.parent) not in listed.text


def test_rollback_from_the_command_line_is_followed(serve, shop, make_shop):
    server = serve("--set", "serving.refresh_seconds=0.1")

    def release():
        return server("POST", "/v1/recommend", {"k": 1}).json()["release"]

    make_shop(shop, seed=8)
    server.wait_until(lambda: release() == 2)
    command = [sys.executable, "-m", "prismrec", "rollback", str(shop), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["number"] == 1
    server.wait_until(lambda: release() == 1)
    time.sleep(0.5)
    assert release() == 1, "what was rolled back is not adopted again"


# ---- starting ----


def test_port_that_is_taken_is_told_in_one_line(shop):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "prismrec", "serve", str(shop), "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(f"prismrec: cannot listen on 127.0.0.1, port {port}: Address already in use")


def test_floors_of_the_settings_hold(shop):
    floor = 'serving.releases.floors={"next_item/hr@10" = 0.3}'
    command = [sys.executable, "-m", "prismrec", "serve", str(shop), "--set", floor]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "next_item/hr@10 is 0.25, below the floor of 0.3" in done.stderr
