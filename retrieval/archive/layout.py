"""What stands in an archive, by name and field: here, in docs/formats/archive.md, and nowhere else. Pure.

Every value is looked at before it is used: its type, its range, and that its text could be stored and sent back.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from retrieval.archive.errors import ArchiveRefused
from retrieval.archive.fields import Fields, loads
from retrieval.catalog.moving_rows import MovedDocument, MovedFile, MovedStore
from retrieval.catalog.rows import FailureCode, FileStatus, LastError, StaticChunking
from retrieval.ids import FileId, SegmentId, StoreId

FORMAT: Final = "carrel.archive"
VERSION: Final = 1

MANIFEST: Final = "manifest.json"
MANIFEST_SUM: Final = "manifest.sha256"
FILES: Final = "files.jsonl"
CODEBOOK: Final = "codebook"
MOST_MANIFEST_BYTES: Final = 16 << 20
MOST_LINE_BYTES: Final = 1 << 20
PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals", "assistants_output")


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """One segment file: as long as `bytes`, its head vouched for by `head`, all else by its head."""

    rows: int
    bytes: int
    head: int
    created_at: int


@dataclass(frozen=True, slots=True)
class CodebookEntry:
    """The codebook of the store's vector codes, and what was measured with it. The codes are made anew."""

    version: int
    trained_rows: int
    measured_rows: int
    candidates: int
    probes: int
    recall: float
    bytes: int
    checksum: int


@dataclass(frozen=True, slots=True)
class ArchiveManifest:
    created_at: int
    store: MovedStore
    files: int
    files_bytes: int
    files_sha256: str
    segments: tuple[SegmentEntry, ...]
    codebook: CodebookEntry | None
    blobs: int
    blobs_bytes: int


def segment_member(number: int) -> str:
    return f"segments/{number:06}.safetensors"


def blob_member(sha256: str) -> str:
    return f"blobs/{sha256}"


def encode_manifest(manifest: ArchiveManifest) -> bytes:
    store = manifest.store
    entries = {
        "format": FORMAT,
        "version": VERSION,
        "created_at": manifest.created_at,
        "store": {
            "id": store.id,
            "created_at": store.created_at,
            "name": store.name,
            "description": store.description,
            "metadata": dict(store.metadata),
            "model": store.model,
            "width": store.width,
            "expires_days": store.expires_days,
            "generation": store.generation,
        },
        "files": {"count": manifest.files, "bytes": manifest.files_bytes, "sha256": manifest.files_sha256},
        "segments": [
            {"rows": one.rows, "bytes": one.bytes, "head": f"{one.head:016x}", "created_at": one.created_at}
            for one in manifest.segments
        ],
        "codebook": None if manifest.codebook is None else _codebook_entry(manifest.codebook),
        "blobs": {"count": manifest.blobs, "bytes": manifest.blobs_bytes},
    }
    return json.dumps(entries, indent=1).encode("ascii") + b"\n"


def _codebook_entry(book: CodebookEntry) -> dict[str, object]:
    return {
        "version": book.version,
        "trained_rows": book.trained_rows,
        "measured_rows": book.measured_rows,
        "candidates": book.candidates,
        "probes": book.probes,
        "recall": book.recall,
        "bytes": book.bytes,
        "checksum": f"{book.checksum:016x}",
    }


def decode_manifest(content: bytes) -> ArchiveManifest:
    given = Fields(loads(content, MANIFEST), MANIFEST)
    if given.text("format") != FORMAT:
        raise ArchiveRefused("This is not an archive of a vector store.")
    version = given.number("version")
    if version != VERSION:
        raise ArchiveRefused(f"The archive's format has version {version}; this release reads version {VERSION}.")
    listed, blobs, book = given.inner("files"), given.inner("blobs"), given.optional("codebook")
    return ArchiveManifest(
        created_at=given.number("created_at"),
        store=_store(given.inner("store")),
        files=listed.number("count"),
        files_bytes=listed.number("bytes"),
        files_sha256=listed.hash("sha256"),
        segments=tuple(_segment(one) for one in given.each("segments")),
        codebook=None if book is None else _codebook(Fields(book, "codebook")),
        blobs=blobs.number("count"),
        blobs_bytes=blobs.number("bytes"),
    )


def _store(given: Fields) -> MovedStore:
    metadata = given.optional("metadata")
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise given.wrong("metadata", "a map of texts")
    return MovedStore(
        id=StoreId(given.id("id")),
        created_at=given.number("created_at"),
        name=given.text("name", most=4096),
        description=given.maybe_text("description", most=65536),
        metadata={key: str(value) for key, value in given.pairs(metadata, "metadata").items()},
        model=given.text("model", most=1024),
        width=given.number("width", least=1, most=16_384),
        expires_days=given.maybe_number("expires_days", least=1, most=365),
        generation=given.number("generation"),
    )


def _segment(given: Fields) -> SegmentEntry:
    return SegmentEntry(
        given.number("rows", least=1, most=1 << 24),
        given.number("bytes"),
        given.hex("head"),
        given.number("created_at"),
    )


def _codebook(given: Fields) -> CodebookEntry:
    recall = given.optional("recall")
    if not isinstance(recall, int | float) or not 0 <= recall <= 1:
        raise given.wrong("recall", "a share")
    return CodebookEntry(
        version=given.number("version", least=1),
        trained_rows=given.number("trained_rows"),
        measured_rows=given.number("measured_rows", least=1),
        candidates=given.number("candidates", most=100_000),
        probes=given.number("probes", most=1_000),
        recall=float(recall),
        bytes=given.number("bytes", most=1 << 30),
        checksum=given.hex("checksum"),
    )


def encode_file(file: MovedFile, segment_numbers: Mapping[SegmentId, int]) -> bytes:
    """One line of the list of files. Segments are named by their number within the archive, from 1."""
    found = file.document
    document = None
    if found is not None:
        document = {
            "number": found.number,
            "segment": None if found.segment is None else segment_numbers[found.segment],
            "chunks": found.chunks,
            "usage_bytes": found.usage_bytes,
            "filename": found.filename,
            "attributes": None if found.attributes is None else dict(found.attributes),
        }
    chunking = file.chunking
    line = {
        "id": file.id,
        "created_at": file.created_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "media_type": file.media_type,
        "expires_at": file.expires_at,
        "attached_at": file.attached_at,
        "status": file.status.value,
        "attributes": None if file.attributes is None else dict(file.attributes),
        "chunking": None if chunking is None else [chunking.max_tokens, chunking.overlap_tokens],
        "error": None if file.error is None else [file.error.code.value, file.error.message],
        "settled_at": file.settled_at,
        "document": document,
    }
    return json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"


def decode_file(line: bytes, number: int, segments: Sequence[SegmentId]) -> MovedFile:
    """`segments[i]` is what segment i + 1 of the archive is called here."""
    given = Fields(loads(line, FILES), f"{FILES}, line {number}")
    status = given.text("status")
    if status not in set(FileStatus):
        raise given.wrong("status", "a status")
    found = given.optional("document")
    document = None if found is None else _document(Fields(found, f"{FILES}, line {number}: document"), segments)
    if (status == FileStatus.COMPLETED) and document is None:
        raise given.wrong("document", "there for a completed file")
    purpose = given.text("purpose")
    if purpose not in PURPOSES:
        raise given.wrong("purpose", "a purpose")
    return MovedFile(
        id=FileId(given.id("id")),
        created_at=given.number("created_at"),
        filename=given.text("filename", most=4096),
        purpose=purpose,
        bytes=given.number("bytes"),
        sha256=given.hash("sha256"),
        blob="",
        media_type=given.text("media_type", most=255),
        expires_at=given.maybe_number("expires_at"),
        attached_at=given.number("attached_at"),
        status=FileStatus(status),
        attributes=given.attributes("attributes"),
        chunking=_chunking(given),
        error=_error(given),
        settled_at=given.maybe_number("settled_at"),
        document=document,
    )


def _document(given: Fields, segments: Sequence[SegmentId]) -> MovedDocument:
    segment = given.maybe_number("segment", least=1, most=len(segments))
    chunks = given.number("chunks")
    if (segment is None) != (chunks == 0):
        raise given.wrong("segment", "there if it has chunks")
    return MovedDocument(
        number=given.number("number", least=1),
        segment=None if segment is None else segments[segment - 1],
        chunks=chunks,
        usage_bytes=given.number("usage_bytes"),
        filename=given.text("filename", most=4096),
        attributes=given.attributes("attributes"),
    )


def _chunking(given: Fields) -> StaticChunking | None:
    value = given.optional("chunking")
    if value is None:
        return None
    match value:
        case [int(most), int(overlap)] if 1 <= most <= 1 << 20 and 0 <= overlap < most:
            return StaticChunking(most, overlap)
    raise given.wrong("chunking", "two sizes in tokens")


def _error(given: Fields) -> LastError | None:
    value = given.optional("error")
    if value is None:
        return None
    match value:
        case [str(code), str(message)] if code in set(FailureCode) and len(message) <= MOST_LINE_BYTES:
            return LastError(FailureCode(code), given.storable(message, "error"))
    raise given.wrong("error", "a code and a sentence")
