"""Processes killed in the middle of transactions: what was acknowledged is there, nothing is half there."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from retrieval.catalog.rows import FileStatus
from retrieval.catalog.transaction import Catalog
from retrieval.ids import FileId
from tests.support.catalogs import World

WRITER = """
import sys
from retrieval.catalog.account_rows import NewFile
from retrieval.catalog.rows import Attachment, Ingested, SegmentRow
from retrieval.catalog.transaction import Catalog
from retrieval.ids import ProjectId, StoreId, new_blob_name, new_file_id, new_lease_token, new_segment_id

url, project, store, now = sys.argv[1], ProjectId(sys.argv[2]), StoreId(sys.argv[3]), int(sys.argv[4])

def say(*words):
    print(*words, flush=True)

with Catalog.open(url, busy_seconds=30) as catalog:
    say("ready")
    number = 0
    while True:
        number += 1
        file = new_file_id()
        with catalog.transaction() as tx:
            tx.files.add(project, NewFile(file, "a", "assistants", 7, file, new_blob_name()), now)
            tx.store_files.attach(project, store, Attachment(file, {"n": number}), now)
        say("attached", file)
        token = new_lease_token()
        with catalog.transaction() as tx:
            claims = tx.claims.claim(store, most=1, most_bytes=10**9, token=token, now=now, lease_seconds=60)
        if claims and number % 4:
            segment = SegmentRow(new_segment_id(), store, 1, 8, 1, 1, now)
            done = [Ingested(claims[0].file_id, token, claims[0].document, 1, 100)]
            with catalog.transaction() as tx:
                published = tx.publish(store, done, segment, now).published
            for one in published:
                say("published", one)
        if number % 7 == 0:
            with catalog.transaction() as tx:
                tx.files.delete(project, file, now)
            say("deleted", file)
"""


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill_and_nothing_is_half_there(catalog: Catalog, catalog_url: str) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201  # shown when the test fails
    chance = random.Random(seed)
    world = World(catalog)
    attached: set[FileId] = set()
    published: set[FileId] = set()
    deleted: set[FileId] = set()
    unsaid: set[FileId] = set()
    for kills in range(1, 5):
        arguments = [catalog_url, world.project, world.store, str(world.now)]
        writer = subprocess.Popen([sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.02, 0.4))  # the moment of the kill is what is tried
        os.kill(writer.pid, signal.SIGKILL)
        said = writer.stdout.read()
        writer.wait(30)
        writer.stdout.close()
        for line in said.splitlines():
            verb, _, file = line.partition(" ")
            if file:
                {"attached": attached, "published": published, "deleted": deleted}[verb].add(FileId(file))
        assert world.untruths() == []
        with catalog.reading() as tx:
            missing = set(tx.files.missing(world.project, sorted(attached)))
        assert deleted <= missing
        unsaid |= missing - deleted  # the deletion was committed, and its writer killed before it said so
        assert len(unsaid) <= kills
        found = world.found()
        assert published - missing <= found
        for file in sorted(found - published):  # committed, and killed before it was said
            assert world.entry(file).status is FileStatus.COMPLETED
        world.now += 1000
    assert attached
    while claims := world.claim():  # whatever the killed held is claimed again, and ends
        world.publish(claims)
    assert world.counts().in_progress == 0
    assert world.untruths() == []


CROWD = """
import sys
import threading
from retrieval.catalog.account_rows import NewFile
from retrieval.catalog.transaction import Catalog
from retrieval.ids import ProjectId, new_blob_name, new_file_id

url, project, now = sys.argv[1], ProjectId(sys.argv[2]), int(sys.argv[3])
saying = threading.Lock()

def add(catalog):
    while True:
        new = NewFile(new_file_id(), "a", "assistants", 7, new_blob_name(), new_blob_name())
        row = catalog.together(project, lambda tx: tx.files.add(project, new, now))
        with saying:
            print(row.id, flush=True)

with Catalog.open(url, busy_seconds=30) as catalog:
    print("ready", flush=True)
    for thread in [threading.Thread(target=add, args=(catalog,)) for _ in range(8)]:
        thread.start()
    threading.Event().wait()
"""


@pytest.mark.slow
def test_writers_who_share_commits_say_nothing_that_a_kill_takes_back(catalog: Catalog, catalog_url: str) -> None:
    chance = random.Random()
    world = World(catalog)
    said: list[FileId] = []
    for _ in range(3):
        arguments = [catalog_url, world.project, str(world.now)]
        writers = subprocess.Popen([sys.executable, "-c", CROWD, *arguments], stdout=subprocess.PIPE, text=True)
        assert writers.stdout is not None
        assert writers.stdout.readline() == "ready\n"
        said.append(FileId(writers.stdout.readline().strip()))
        time.sleep(chance.uniform(0.02, 0.3))  # the moment of the kill is what is tried
        os.kill(writers.pid, signal.SIGKILL)
        lines = writers.stdout.read().split("\n")
        said += map(FileId, lines[:-1])  # the last may be half a line
        writers.wait(30)
        writers.stdout.close()
        with catalog.reading() as tx:
            assert tx.files.missing(world.project, said) == []
        assert world.untruths() == []
