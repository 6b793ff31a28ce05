"""E-mail -> Document: who, to whom, when and about what; then the words, quoted messages under their subjects.

Of alternatives the plain text is read, or else the HTML. Attachments are named in the warnings and not opened.
"""

import email
import email.policy
import re
from email.errors import MessageError
from email.message import EmailMessage
from typing import Final

from ingest.document import BlockKind, Document
from ingest.errors import EmptyDocument, HostileDocument
from ingest.parsing.assembly import Assembly
from ingest.parsing.encoding import decode
from ingest.parsing.html import add_html
from ingest.parsing.limits import Limits, Source
from ingest.parsing.text import paragraphs, with_line_feeds

MEDIA_TYPE: Final = "message/rfc822"
_SHOWN: Final = ("From", "To", "Cc", "Date", "Subject")
_MOST_HEADER_CHARACTERS: Final = 2_000
_BOUNDARY: Final = re.compile(rb"^content-type:\s*multipart/", re.IGNORECASE | re.MULTILINE)
_MOST_HEADING_LEVEL: Final = 6


def parse_email(source: Source, limits: Limits) -> Document:
    # The standard parser recurses with every multipart; counted here, it never gets that far.
    if sum(1 for _ in _BOUNDARY.finditer(source)) > limits.nesting:
        raise HostileDocument(f"The message holds more than {limits.nesting} groups of parts.")
    try:
        message = email.message_from_bytes(source[:], policy=email.policy.default)
    except RecursionError as error:
        raise HostileDocument("The message nests its parts too deeply to be read.") from error
    reader = _Reader(Assembly(limits), limits)
    reader.add(message, 0)
    try:
        return reader.assembly.finish(MEDIA_TYPE, title=_header(message, "Subject"))
    except EmptyDocument as error:
        raise EmptyDocument("The message holds no text.") from error


class _Reader:
    def __init__(self, assembly: Assembly, limits: Limits) -> None:
        self.assembly = assembly
        self._limits = limits

    def add(self, message: EmailMessage, depth: int) -> None:
        if depth > self._limits.nesting:
            raise HostileDocument(f"The message holds messages in messages, more than {self._limits.nesting} deep.")
        subject = _header(message, "Subject")
        if depth and subject:
            self.assembly.add(subject, BlockKind.HEADING, level=min(depth, _MOST_HEADING_LEVEL))
        shown = ((name, _header(message, name)) for name in _SHOWN)
        self.assembly.add("\n".join(f"{name}: {value}" for name, value in shown if value))
        self._add_part(message, depth)

    def _add_part(self, part: EmailMessage, depth: int) -> None:
        if depth > self._limits.nesting:
            raise HostileDocument(f"The message nests its parts more than {self._limits.nesting} levels deep.")
        content_type = part.get_content_type()
        if content_type == "message/rfc822":
            for inner in _children(part):
                self.add(inner, depth + 1)
        elif content_type == "multipart/alternative":
            self._add_best(_children(part), depth)
        elif part.is_multipart():
            for inner in _children(part):
                self._add_part(inner, depth + 1)
        elif content_type in ("text/plain", "text/html") and not part.is_attachment():
            self._add_words(part, content_type)
        else:
            name = " ".join((_file_name(part) or content_type).split())[:200]
            self.assembly.warnings.append(f"The attachment {name!r} was left out: upload it as a file of its own.")

    def _add_best(self, parts: list[EmailMessage], depth: int) -> None:
        """One of several forms of the same words; senders put the richest last."""
        for wanted in ("text/plain", "text/html"):
            for part in parts:
                if part.get_content_type() == wanted and _payload(part).strip():
                    self._add_words(part, wanted)
                    return
        for part in reversed(parts):
            if part.is_multipart():
                self._add_part(part, depth + 1)
                return

    def _add_words(self, part: EmailMessage, content_type: str) -> None:
        payload = _payload(part)
        if not payload.strip():
            return
        declared = part.get_param("charset", "")
        decoded = decode(payload, self._limits, declared=declared if isinstance(declared, str) else "", markup=True)
        self.assembly.warnings.extend(decoded.warnings)
        if content_type == "text/html":
            add_html(decoded.text, self.assembly, self._limits)
            return
        text = with_line_feeds(decoded.text)
        for block in paragraphs(text, 0, len(text)):
            self.assembly.add(text[block.start : block.end], block.kind, table_header=block.table_header)


def _children(part: EmailMessage) -> list[EmailMessage]:
    payload = part.get_payload()
    return [inner for inner in payload if isinstance(inner, EmailMessage)] if isinstance(payload, list) else []


def _payload(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _header(message: EmailMessage, name: str) -> str:
    """One line; broken headers, of which there are many, as they stand."""
    try:
        value = str(message.get(name) or "")
    except (MessageError, ValueError, LookupError, AttributeError, IndexError, TypeError):
        value = next((str(raw) for key, raw in message.raw_items() if key.lower() == name.lower()), "")
    return " ".join(value.split())[:_MOST_HEADER_CHARACTERS]


def _file_name(part: EmailMessage) -> str:
    try:
        return part.get_filename() or ""
    except (MessageError, ValueError, LookupError, AttributeError, IndexError, TypeError):
        return ""
