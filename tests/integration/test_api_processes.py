"""`carrel api` with several processes on one port: all of them answer, alike and at once, and one may die."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from carrel.exits import Exit
from tests.support.whole import KEY, START_SECONDS, Whole, installed, pause

PROCESSES = 2


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    made = Whole(tmp_path / "data", {"CARREL_API_PROCESSES": str(PROCESSES)}, part="api")
    try:
        made.start()
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.kill_all()


def serving(whole: Whole) -> dict[int, int]:
    """The API processes, and how many connections each has."""
    assert whole.process is not None
    found = {}
    for one in psutil.Process(whole.process.pid).children():
        open_ones = [link for link in one.net_connections("tcp") if link.status == psutil.CONN_ESTABLISHED]
        found[one.pid] = sum(link.laddr.port == whole.port for link in open_ones)
    return found


def connect_to_all(whole: Whole) -> list[httpx.Client]:
    """Clients with a connection each, until every process has one."""
    clients: list[httpx.Client] = []
    for _ in range(200):
        client = httpx.Client(base_url=whole.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60)
        clients.append(client)
        assert client.get("/v1/models").status_code == 200
        taken = serving(whole)
        if len(taken) == PROCESSES and all(taken.values()):
            return clients
        pause(0.02)
    raise AssertionError(f"connections by process: {serving(whole)}")


def test_processes_share_a_port_and_every_one_reads_what_another_wrote(whole: Whole) -> None:
    clients = connect_to_all(whole)
    for writer in clients:
        store = writer.post("/v1/vector_stores", json={"name": "shared"}).json()["id"]
        for reader in clients:
            assert reader.get(f"/v1/vector_stores/{store}").json()["name"] == "shared"
            assert reader.post(f"/v1/vector_stores/{store}/search", json={"query": "tea"}).json()["data"] == []
        assert writer.delete(f"/v1/vector_stores/{store}").status_code == 200
        for reader in clients:
            assert reader.post(f"/v1/vector_stores/{store}/search", json={"query": "tea"}).status_code == 404
    for client in clients:
        client.close()

    # One dies: the others take what comes, until it is back.
    dead = next(iter(serving(whole)))
    psutil.Process(dead).kill()
    for _ in range(20):
        assert httpx.get(f"{whole.url}/healthz", timeout=30).status_code == 200
    for _ in range(600):
        if dead not in serving(whole) and len(serving(whole)) == PROCESSES:
            break
        pause(0.05)
    for client in connect_to_all(whole):
        client.close()

    # Told to end, it ends, and the port is free.
    below = whole.processes()[1:]
    assert whole.stop() == 0
    assert not psutil.wait_procs(below, timeout=10)[1]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", whole.port)) != 0


@pytest.mark.parametrize("part", ["serve", "api"])
def test_without_keys_nothing_is_started_that_others_could_reach(tmp_path: Path, part: str) -> None:
    """Not even to be restarted for ever by the supervisor."""
    open_to_anybody = {"CARREL_HOST": "0.0.0.0", "CARREL_ACCESS_REQUIRE_KEYS": "false", "CARREL_API_PROCESSES": "2"}
    with installed(tmp_path / "data", open_to_anybody) as whole:
        whole.part = part
        whole.process = whole.launch()
        assert whole.process.wait(START_SECONDS) == Exit.SETTINGS
        assert (
            "Without keys the service listens on loopback only, not on 0.0.0.0." in (whole.folder / "log").read_text()
        )
