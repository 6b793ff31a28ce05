"""Bytes of this machine to a server as one uploaded file: in one piece, or by parts where that takes no more.

What has gone up by parts stands in `Parts`; whoever keeps that goes on after a kill where the last part ended.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.remote import Remote

WHOLE_BYTES: Final = 512 << 20  # what the server writes and hashes once, and the most that it takes so
PART_BYTES: Final = 64 << 20


@dataclass(slots=True)
class Parts:
    """An upload that is not complete. `kept` is called whenever it has changed."""

    upload: str = ""
    parts: list[str] = field(default_factory=list)
    kept: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file and what is said of it; `seconds`: how long it is to live."""

    content: BinaryIO
    bytes: int
    name: str
    purpose: str = "user_data"
    media_type: str = "application/octet-stream"
    seconds: int | None = None


def send(
    remote: Remote,
    file: Outgoing,
    parts: Parts,
    moved: Callable[[int], None],
    *,
    whole_bytes: int = WHOLE_BYTES,
    part_bytes: int = PART_BYTES,
) -> str:
    """The id of the file that was made. `moved` is told how much has gone up so far."""
    if not parts.upload and file.bytes <= whole_bytes:
        return _in_one_piece(remote, file, moved)
    begun_before = bool(parts.parts)
    try:
        return _by_parts(remote, file, parts, moved, part_bytes)
    except ServerError as error:
        if not begun_before or error.exit_code not in {Exit.REFUSED, Exit.NOT_FOUND}:
            raise
    parts.upload, parts.parts = "", []  # its hour is over: once more from the beginning
    return _by_parts(remote, file, parts, moved, part_bytes)


def _in_one_piece(remote: Remote, file: Outgoing, moved: Callable[[int], None]) -> str:
    sent = 0

    def came(size: int) -> None:
        nonlocal sent
        sent += size
        moved(min(sent, file.bytes))  # it may have to be sent twice

    fields = {"purpose": file.purpose}
    if file.seconds is not None:
        fields |= {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(file.seconds)}
    return str(remote.upload("files", file.content, file.name, fields, moved=came)["id"])


def _by_parts(remote: Remote, file: Outgoing, parts: Parts, moved: Callable[[int], None], part_bytes: int) -> str:
    if not parts.upload:
        parts.upload = str(remote.post("uploads", _form(file))["id"])
        parts.kept()
    file.content.seek(len(parts.parts) * part_bytes)
    while piece := file.content.read(part_bytes):
        part = remote.upload(f"uploads/{parts.upload}/parts", io.BytesIO(piece), "part", {}, field="data")
        parts.parts.append(str(part["id"]))
        parts.kept()
        moved(min(len(parts.parts) * part_bytes, file.bytes))
    made = remote.post(f"uploads/{parts.upload}/complete", {"part_ids": parts.parts})
    return str(made["file"]["id"])


def _form(file: Outgoing) -> Mapping[str, object]:
    form: dict[str, object] = {
        "filename": file.name,
        "purpose": file.purpose,
        "bytes": file.bytes,
        "mime_type": file.media_type,
    }
    if file.seconds is not None:
        form["expires_after"] = {"anchor": "created_at", "seconds": file.seconds}
    return form
