"""Stores on their way between two workshops, archives taken apart and put together again, and what a place holds."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import func, select

from retrieval.archive.exporting import begin_export, pieces
from retrieval.archive.members import END, Member, header, padding
from retrieval.catalog import tables
from retrieval.catalog.account_rows import NewFile
from retrieval.catalog.moving_rows import ImportRow
from retrieval.catalog.rows import Attachment, AttributeValue
from retrieval.ids import FileId, ImportId, StoreId, new_file_id, new_import_id, new_store_id
from retrieval.index.snapshots import Snapshots
from retrieval.search.query import Answer, Query
from retrieval.search.searcher import Searcher
from tests.support.workshop import Workshop
from workers.import_waiting import import_waiting
from workers.pipeline import index_waiting

Members = dict[str, bytes]


def stock(shop: Workshop, books: Mapping[str, bytes], store: StoreId | None = None) -> StoreId:
    """A store with these files, ingested; each has its place as an attribute."""
    store = store or shop.new_store()
    now = shop.catalog.now()
    for place, (name, content) in enumerate(books.items()):
        facts = shop.blobs.receive(shop.project, [content], most_bytes=1 << 30)
        new = NewFile(new_file_id(), name, "assistants", facts.bytes, facts.sha256, facts.name, "text/plain")
        attributes: dict[str, AttributeValue] = {"place": place, "name": name, "even": place % 2 == 0}
        with shop.catalog.transaction() as tx:
            row = tx.files.add(shop.project, new, now)
            tx.store_files.attach(shop.project, store, Attachment(new.id, attributes), now)
        if row.blob != facts.name:
            shop.storage.delete(facts.name)
    while index_waiting(store, shop.resources):
        pass
    return store


def archive_of(shop: Workshop, store: StoreId) -> bytes:
    hold = begin_export(shop.catalog, shop.storage, shop.project, store)
    return b"".join(pieces(shop.storage, hold, 0, hold.bytes))


def bring(
    shop: Workshop, archive: bytes, *, new_ids: bool = False, model: str | None = None, name: str | None = None
) -> ImportId:
    """Upload an archive and ask for its import."""
    facts = shop.blobs.receive(shop.project, [archive], most_bytes=1 << 40)
    file, wanted = new_file_id(), new_import_id()
    with shop.catalog.transaction() as tx:
        new = NewFile(file, "a.carrel", "user_data", facts.bytes, facts.sha256, facts.name)
        row = tx.files.add(shop.project, new, shop.catalog.now())
        store = new_store_id() if new_ids else None
        tx.imports.add(
            shop.project, wanted, file, size=len(archive), store=store, model=model, name=name, now=shop.catalog.now()
        )
    if row.blob != facts.name:
        shop.storage.delete(facts.name)
    return wanted


def outcome(shop: Workshop, wanted: ImportId) -> ImportRow:
    with shop.catalog.reading() as tx:
        return tx.imports.get(shop.project, wanted)


def take_in(shop: Workshop, archive: bytes, *, new_ids: bool = False, model: str | None = None) -> ImportRow:
    wanted = bring(shop, archive, new_ids=new_ids, model=model)
    assert import_waiting(shop.resources)
    return outcome(shop, wanted)


def holdings(shop: Workshop) -> tuple[dict[str, int], list[tuple[str, int]]]:
    """How many rows each table has, and every stored object: what a refused archive must leave as it was."""
    with shop.catalog.reading() as tx:
        run = tx.projects._connection.execute
        rows = {
            name: run(select(func.count()).select_from(table)).scalar_one()
            for name, table in tables.metadata.tables.items()
            if name not in {"imports", "holds"}
        }
        assert tx.untruths() == []
    return rows, sorted((stored.name, stored.bytes) for stored in shop.storage.list())


def ask(shop: Workshop, store: StoreId, question: str, **query: Any) -> Answer:
    snapshots = Snapshots(shop.catalog, shop.storage)
    try:
        searcher = Searcher(shop.catalog, snapshots, lambda _: shop.embedder)
        return searcher.search(shop.project, store, Query((question,), **query))
    finally:
        snapshots.close()


def answers(shop: Workshop, store: StoreId, questions: list[str], *, ids: bool = True) -> list[object]:
    """What searches answer, to the last bit of a score."""
    return [
        [
            (hit.file_id if ids else FileId(""), hit.filename, hit.score.hex(), dict(hit.attributes), hit.chunk.text)
            for hit in ask(shop, store, question, limit=20).hits
        ]
        for question in questions
    ]


def members_of(archive: bytes) -> Members:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]  # all are files


def packed(members: Members) -> bytes:
    parts = []
    for name, content in members.items():
        parts += [header(Member(name, len(content))), content, bytes(padding(len(content)))]
    return b"".join([*parts, END])


def changed(archive: bytes, change: Callable[[Members, dict[str, Any], list[dict[str, Any]]], None]) -> bytes:
    """The archive with something else in it, and hashes that agree with it: what a forger would make."""
    members = members_of(archive)
    manifest = json.loads(members["manifest.json"])
    lines = [json.loads(line) for line in members["files.jsonl"].splitlines()]
    change(members, manifest, lines)
    listed = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    manifest["files"] |= {"bytes": len(listed), "sha256": hashlib.sha256(listed).hexdigest()}
    said = json.dumps(manifest, indent=1).encode()
    digest = hashlib.sha256(said).hexdigest()
    first = {
        "manifest.json": said,
        "manifest.sha256": f"{digest}  manifest.json\n".encode(),
        "files.jsonl": listed,
    }
    return packed(first | {name: content for name, content in members.items() if name not in first})
