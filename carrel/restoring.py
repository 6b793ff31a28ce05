"""What is in a folder of backups: is every byte of it whole, and an installation made of one of them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carrel.backup import BACKUPS, CATALOG, FORMAT, OBJECTS, VERSION, Named, Report, copy_object, named_in
from carrel.durable import pieces_of, sha256_of, write
from carrel.exits import Exit
from carrel.failing import ServerError
from retrieval.errors import ObjectMissing, SegmentDamaged, StorageError
from retrieval.index.files import index_checksum
from retrieval.segments.reader import open_stored
from retrieval.storage.directory import Directory
from retrieval.storage.objects import Storage


def backups_in(target: Path) -> list[str]:
    """Names of the backups that came to their end, oldest first."""
    return sorted((path.stem for path in (target / BACKUPS).glob("*.json")), key=lambda name: (len(name), name))


def verify(target: Path, name: str | None = None) -> list[Report]:
    """Look at every byte of every backup, or of one."""
    wanted = backups_in(target) if name is None else [name]
    if not wanted or any(one not in backups_in(target) for one in wanted):
        raise ServerError(f"There is no such backup in {target}.", exit_code=Exit.NOT_FOUND)
    storage = Directory(target / OBJECTS)
    known: dict[tuple[str, str | int], str] = {}  # objects that several backups name are looked at once
    return [_verified(target, one, storage, known) for one in wanted]


def _verified(target: Path, name: str, storage: Storage, known: dict[tuple[str, str | int], str]) -> Report:
    report, catalog = Report(backup=name), target / BACKUPS / f"{name}.db"
    listed = _list(target, name)
    if not catalog.is_file():
        report.missing.append(catalog.name)
        return report
    if sha256_of(catalog) != listed["catalog"]["sha256"]:
        report.damaged.append(catalog.name)
        return report
    for one in named_in(catalog):
        report.objects += 1
        report.bytes += one.bytes
        state = known.get((one.name, one.checksum))
        if state is None:
            state = known[one.name, one.checksum] = _state(one, storage)
        if state:
            (report.missing if state == "missing" else report.damaged).append(one.name)
    return report


def _state(one: Named, storage: Storage) -> str:
    """Empty for an object that is whole."""
    try:
        if one.segment is not None:
            with open_stored(storage, one.segment) as segment:
                segment.verify_all()
            return ""
        if storage.size(one.name) != one.bytes:
            return "damaged"
        if isinstance(one.checksum, int):
            return "" if index_checksum(b"".join(storage.read(one.name))) == one.checksum else "damaged"
        digest = hashlib.sha256()
        for piece in storage.read(one.name):
            digest.update(piece)
        return "" if digest.hexdigest() == one.checksum else "damaged"
    except ObjectMissing:
        return "missing"
    except (SegmentDamaged, StorageError):
        return "damaged"


def restore(target: Path, data: Path, name: str | None = None) -> Report:
    """Make an installation of a backup (the newest) in an empty folder; cut off, it goes on where it was."""
    names = backups_in(target)
    if not names or (name is not None and name not in names):
        raise ServerError(f"There is no such backup in {target}.", exit_code=Exit.NOT_FOUND)
    if (data / CATALOG).exists():
        raise ServerError(f"{data} holds an installation already: restore into an empty folder.", exit_code=Exit.USAGE)
    chosen = name or names[-1]
    (report,) = verify(target, chosen)
    if not report.whole:
        worst = (report.damaged + report.missing)[0]
        raise ServerError(f"The backup {chosen} is not whole: {worst}.", exit_code=Exit.INCOMPLETE)
    source, storage = Directory(target / OBJECTS), Directory(data / OBJECTS)
    catalog = target / BACKUPS / f"{chosen}.db"
    for one in named_in(catalog):
        copy_object(one, source, storage, report, link=False)
    for secret in _list(target, chosen)["secrets"]:
        write(data / secret, pieces_of(target / BACKUPS / f"{chosen}.{secret}"), 0o600)
    write(data / CATALOG, pieces_of(catalog))
    return report


def _list(target: Path, name: str) -> Mapping[str, Any]:
    try:
        found = json.loads((target / BACKUPS / f"{name}.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ServerError(f"The list of the backup {name} cannot be read.", exit_code=Exit.INCOMPLETE) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT or found.get("version") != VERSION:
        raise ServerError(f"{name} in {target} is not a backup of this release.", exit_code=Exit.INCOMPLETE)
    return found
