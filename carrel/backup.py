"""Backing up: a whole installation on one machine, copied while it runs.

First the catalog, as one consistent copy; then the objects that it names, which never change, so that a second backup
into the same folder copies only what is new. A hold keeps the sweeper from all of them meanwhile. A backup counts once
its list, written last, is there. Restoring copies objects first and puts the catalog in place last.
"""

import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from carrel.durable import sha256_of, sync, write
from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.version import version
from configs.settings import Settings
from retrieval.api.secret_files import KEY_FILE, PEPPER_FILE
from retrieval.catalog.copying import copy_catalog, objects_named_in
from retrieval.catalog.rows import SegmentRow
from retrieval.catalog.transaction import Catalog
from retrieval.errors import ObjectExists, ObjectMissing
from retrieval.ids import HoldId, new_backup_id
from retrieval.index.files import codebook_name, codes_name
from retrieval.resources import catalog_url, open_storage
from retrieval.segments.layout import segment_name
from retrieval.storage.directory import Directory
from retrieval.storage.objects import Storage, put

CATALOG: Final = "catalog.db"
OBJECTS: Final = "objects"
BACKUPS: Final = "backups"
SECRETS: Final = (PEPPER_FILE, KEY_FILE)
RENEWED_SECONDS: Final = 300
FORMAT: Final = "carrel.backup"
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Named:
    """An object that a catalog names, and how to tell that it is whole."""

    name: str
    bytes: int
    checksum: str | int  # SHA-256 of a blob, the low 63 bits of XXH3-64 of an index, of the head of a segment
    segment: SegmentRow | None = None


@dataclass(slots=True)
class Report:
    backup: str = ""
    objects: int = 0
    bytes: int = 0
    copied: int = 0
    copied_bytes: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.missing and not self.damaged

    def document(self) -> dict[str, Any]:
        return {
            "object": "backup",
            "backup": self.backup,
            "objects": self.objects,
            "bytes": self.bytes,
            "copied": self.copied,
            "copied_bytes": self.copied_bytes,
            "missing": self.missing,
            "damaged": self.damaged,
        }


# Backing up


def back_up(settings: Settings, target: Path, *, link: bool = False) -> Report:
    """Copy the installation of these settings into `target`, which may hold earlier backups of it."""
    if settings.catalog.url:
        raise ServerError(
            "Only a catalog in the data folder can be backed up by this command; docs/operations.md says what to do "
            "in a cluster.",
            exit_code=Exit.USAGE,
        )
    if not (settings.data_dir / CATALOG).is_file():
        raise ServerError(f"There is no installation in {settings.data_dir}.", exit_code=Exit.NOT_FOUND)
    storage = open_storage(settings)
    copies = Directory(target / OBJECTS)
    with closing(storage), Catalog.open(catalog_url(settings)) as catalog, _held(catalog):
        name = _free_name(target, catalog.now())
        copy = target / BACKUPS / f"{name}.db"
        copy_catalog(settings.data_dir / CATALOG, copy)
        sync(copy)
        sync(copy.parent)
        report = Report(backup=name)
        for one in named_in(copy):
            report.objects += 1
            report.bytes += one.bytes
            copy_object(one, storage, copies, report, link=link)
        secrets = _keep_secrets(settings.data_dir, target / BACKUPS, name)
        if report.missing:
            raise ServerError(
                f"{len(report.missing)} objects that the catalog names are not there, among them {report.missing[0]}: "
                "no backup was made.",
                exit_code=Exit.INCOMPLETE,
            )
        _write_list(target / BACKUPS / f"{name}.json", copy, report, secrets)
    return report


@contextmanager
def _held(catalog: Catalog) -> Iterator[HoldId]:
    """Nothing is swept within; should we die, the hold ends by itself."""
    hold = new_backup_id()
    with catalog.transaction() as tx:
        tx.holds.add(hold, None, None, catalog.now())
    left = threading.Event()

    def renew() -> None:
        while not left.wait(RENEWED_SECONDS):
            with catalog.transaction() as tx:
                tx.holds.renew(hold, catalog.now())

    renewing = threading.Thread(target=renew, name="backup hold", daemon=True)
    renewing.start()
    try:
        yield hold
    finally:
        left.set()
        renewing.join(timeout=60)
        with catalog.transaction() as tx:
            tx.holds.release(hold)


def named_in(catalog: Path) -> Iterator[Named]:
    """Every object without which a search or a download would fail."""
    found = objects_named_in(catalog)
    for blob in found.blobs:
        yield Named(blob.name, blob.bytes, blob.sha256)
    for segment in found.segments:
        yield Named(segment_name(segment.store_id, segment.id), segment.bytes, segment.checksum, segment)
    for store, index in found.indexes:
        yield Named(codes_name(store, index.segment_id, index.codebook), index.bytes, index.checksum)
    for store, number, length, checksum in found.codebooks:
        yield Named(codebook_name(store, number), length, checksum)


def _free_name(target: Path, now: int) -> str:
    (target / BACKUPS).mkdir(parents=True, exist_ok=True)
    taken = {path.stem for path in (target / BACKUPS).iterdir()}
    number = now
    while str(number) in taken:
        number += 1
    return str(number)


def copy_object(one: Named, storage: Storage, copies: Directory, report: Report, *, link: bool) -> None:
    if copies.exists(one.name) and copies.size(one.name) == one.bytes:
        return
    try:
        if link and isinstance(storage, Directory):
            _link(storage.path(one.name), copies, one.name)
        else:
            put(copies, one.name, storage.read(one.name), replace=copies.exists(one.name))
    except ObjectExists:
        return
    except (ObjectMissing, FileNotFoundError):
        report.missing.append(one.name)
        return
    report.copied += 1
    report.copied_bytes += one.bytes


def _link(source: Path, copies: Directory, name: str) -> None:
    copy = copies.path(name)
    copies.ensure_folder(copy.parent)
    try:
        os.link(source, copy)
    except FileExistsError:
        copy.unlink()
        os.link(source, copy)
    sync(copy.parent)


def _keep_secrets(data: Path, folder: Path, name: str) -> list[str]:
    """The pepper, without which no key fits, and the first key: for their owner's eyes."""
    kept = []
    for secret in SECRETS:
        source = data / secret
        if source.is_file():
            write(folder / f"{name}.{secret}", [source.read_bytes()], 0o600)
            kept.append(secret)
    return kept


def _write_list(path: Path, copy: Path, report: Report, secrets: Iterable[str]) -> None:
    content = {
        "format": FORMAT,
        "version": VERSION,
        "release": version(),
        "made_at": int(report.backup),
        "catalog": {"bytes": copy.stat().st_size, "sha256": sha256_of(copy)},
        "objects": report.objects,
        "bytes": report.bytes,
        "secrets": sorted(secrets),
    }
    write(path, [json.dumps(content, indent=1).encode() + b"\n"])
