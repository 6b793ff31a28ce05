"""The files for clusters: what they set exists, and their commands, run as processes over real servers, serve."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from carrel.cli import Carrel
from configs.settings import load_settings
from retrieval.catalog.rows import FileStatus
from retrieval.jobs import BULK, INTERACTIVE, UPKEEP, CeleryDoorbell, messenger
from tests.support.s3 import S3Server
from tests.support.upstream import FakeUpstream, Reply
from tests.support.whole import KEY, START_SECONDS, Redis, Whole, free_port, pause, settled
from tests.support.workshop import open_workshop

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
DASHBOARD = ROOT / "deploy" / "grafana" / "carrel.json"
MANIFESTS = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))


def objects(kind: str) -> list[dict[str, Any]]:
    found = [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text("utf-8"))]
    return [one for one in found if one["kind"] == kind]


def containers() -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"]["containers"][0] for one in objects("Deployment")]


def commands() -> tuple[list[list[str]], list[list[str]]]:
    """What the compose file runs of ours, and what the manifests run."""
    composed = [service["command"] for service in COMPOSE["services"].values() if service.get("image") == "carrel"]
    return composed, [container["args"] for container in containers()]


@pytest.mark.parametrize("words", [*commands()[0], *commands()[1]], ids=" ".join)
def test_every_command_is_one_that_the_program_has(words: list[str]) -> None:
    parsed = Carrel.words[words[0]].command(words[0]).make_context(words[0], words[1:]).params
    assert set(parsed.get("queues", INTERACTIVE).split(",")) <= {INTERACTIVE, BULK, UPKEEP}


def test_single_files_bulk_and_upkeep_each_have_a_worker() -> None:
    for some in commands():
        served = {queue for words in some for word in words[1:] if "queues=" in word for queue in word[9:].split(",")}
        assert served == {INTERACTIVE, BULK, UPKEEP}
        assert sum(words[0] == "beat" for words in some) == 1


def test_every_variable_is_a_setting() -> None:
    compose = COMPOSE["x-carrel"]["environment"]
    in_cluster = objects("ConfigMap")[0]["data"]
    in_secret = re.findall(r"from-literal=(CARREL_\w+)", (ROOT / "deploy/kubernetes/settings.yaml").read_text("utf-8"))
    load_settings(dict.fromkeys((*compose, *in_cluster, *in_secret), "x"))  # refuses a name it does not know
    assert {*in_cluster, *in_secret} - {"CARREL_HOST"} == set(compose)


def test_pods_may_do_no_more_than_they_need() -> None:
    for deployment, container in zip(objects("Deployment"), containers(), strict=True):
        assert deployment["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["resources"]["limits"]["memory"]
        written = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert written == {"/data", "/tmp"}


def test_bulk_workers_follow_a_deployment_and_a_list_that_exist() -> None:
    (scaled,) = objects("ScaledObject")
    assert scaled["spec"]["scaleTargetRef"]["name"] in {one["metadata"]["name"] for one in objects("Deployment")}
    (by_list,) = [one for one in scaled["spec"]["triggers"] if one["type"] == "redis"]
    assert by_list["metadata"]["listName"] == BULK


def test_the_dashboard_and_the_scaling_ask_for_metrics_that_exist() -> None:
    documented = set(re.findall(r"^\| `(carrel_\w+)`", (ROOT / "docs/metrics.md").read_text("utf-8"), re.MULTILINE))
    asked = [
        target["expr"] for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"] for target in panel["targets"]
    ]
    asked += [
        one["metadata"]["query"] for one in objects("ScaledObject")[0]["spec"]["triggers"] if "query" in one["metadata"]
    ]
    for expression in asked:
        for name in re.findall(r"carrel_\w+", expression):
            assert re.sub(r"_(bucket|sum|count)$", "", name) in documented, expression


def test_the_commands_of_the_compose_file_serve_over_real_servers(
    tmp_path: Path, redis: Redis, postgres_url: str, s3: S3Server
) -> None:
    redis.flush()
    bucket = s3.new_address()
    settings = {
        "CARREL_API_KEY": KEY,
        "CARREL_ACCESS_PEPPER": "pepper",
        "CARREL_CATALOG_URL": postgres_url,
        "CARREL_BROKER_URL": redis.url,
        "CARREL_STORAGE_URL": f"s3://{bucket.bucket}/{bucket.prefix}",
        "CARREL_STORAGE_ENDPOINT": s3.url,
        "CARREL_STORAGE_ACCESS_KEY_ID": "key",
        "CARREL_STORAGE_SECRET_ACCESS_KEY": "secret",
    }
    assert set(settings) == set(COMPOSE["x-carrel"]["environment"])
    services = {name: one["command"] for name, one in COMPOSE["services"].items() if one.get("image") == "carrel"}
    port = free_port()
    with ExitStack() as stack:
        for name, words in services.items():  # each a node of its own: nothing is shared but the servers
            node = Whole(tmp_path / name, settings, port=port)
            node.folder.mkdir()
            log = stack.enter_context((node.folder / "log").open("ab"))
            process = subprocess.Popen(
                [sys.executable, "-m", "carrel", *words], env=node.variables(), stdout=log, stderr=log
            )
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
        api = Whole(tmp_path / "api", settings, port=port)
        _until_ready(api)
        client = api.client()
        store = client.vector_stores.create().id
        pages = [(f"page{number}.txt", f"Page {number} tells of thing{number}.".encode()) for number in range(12)]
        client.vector_stores.file_batches.upload_and_poll(store, files=pages)
        assert settled(client, store).file_counts.completed == len(pages)
        found = [hit.filename for hit in client.vector_stores.search(store, query="thing", max_num_results=50)]
        assert sorted(found) == sorted(name for name, _ in pages)
    # What the nodes have in their folders is cache: none of it would be missed.
    assert not [name for name in services if (tmp_path / name / "objects").exists()]
    assert not list(tmp_path.rglob("catalog.db"))


def test_a_doorbell_that_a_killed_worker_held_rings_for_the_next_one(tmp_path: Path, redis: Redis) -> None:
    """There is no beat here, and so no sweeper: only the broker can bring it back."""
    redis.flush()
    with FakeUpstream(width=384) as upstream, open_workshop(tmp_path) as shop, ExitStack() as stack:
        worker = Whole(
            tmp_path,
            {
                "CARREL_BROKER_URL": redis.url,
                "CARREL_BROKER_VISIBILITY_SECONDS": "5",
                "CARREL_EMBEDDING_PROVIDER": "openai",
                "CARREL_EMBEDDING_DIMENSIONS": "384",
                "CARREL_EMBEDDING_BASE_URL": upstream.base_url,
            },
            part="worker",
        )
        store = shop.new_store()
        files = shop.attach(store, [b"One page."])
        upstream.script = lambda _: Reply(stall=threading.Event())
        with closing(messenger(redis.url, tmp_path / "queue", visibility_seconds=5)) as app:
            CeleryDoorbell(app).ring(store)
        worker.process = worker.launch()
        stack.callback(worker.kill_all)
        _until(lambda: len(upstream.asked) > 0, tmp_path / "log")
        worker.kill_all()
        upstream.script = lambda _: None
        worker.process = worker.launch()
        _until(lambda: shop.statuses(store, files) == [FileStatus.COMPLETED], tmp_path / "log")


def _until(true: Callable[[], bool], log: Path) -> None:
    until = time.monotonic() + 2 * START_SECONDS
    while not true():
        assert time.monotonic() < until, log.read_text()[-4000:]
        pause(0.1)


def _until_ready(api: Whole) -> None:
    until, said = time.monotonic() + 2 * START_SECONDS, ""  # four nodes start at once
    while time.monotonic() < until:
        try:
            answer = httpx.get(f"{api.url}/readyz", timeout=5)
        except httpx.TransportError as error:
            said = str(error)
        else:
            if answer.status_code == 200:
                return
            said = answer.text
        pause(0.1)
    raise AssertionError(said + "".join(log.read_text()[-2000:] for log in api.folder.parent.glob("*/log")))
