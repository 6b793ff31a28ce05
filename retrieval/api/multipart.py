"""Multipart bodies, read as they arrive: fields are collected, the one file goes piece by piece to whoever stores it.

Nothing is spooled first: a file's bytes are hashed and written once, on their way in, off the event loop.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import DEFAULT_MAX_HEADER_SIZE, MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from retrieval.errors import InvalidInput

MOST_FIELDS: Final = 100
MOST_FIELD_BYTES: Final = 64 << 10
WRITE_BYTES: Final = 1 << 20  # gathered before a thread is asked to write them

_ESCAPED: Final = re.compile(r"%(22|0[0-9A-Fa-f]|1[0-9A-Fa-f]|7[Ff])")


class Sink(Protocol):
    """Takes a file's bytes; called in a thread."""

    def write(self, piece: bytearray) -> None: ...


@dataclass(frozen=True, slots=True)
class FilePart:
    filename: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Form:
    fields: Mapping[str, str]
    file: FilePart | None


@dataclass(slots=True)
class _Part:
    headers: dict[str, str] = field(default_factory=dict)
    name: str = ""
    is_file: bool = False
    value: bytearray = field(default_factory=bytearray)


class _Reader:
    """Turns the parser's callbacks into fields and waiting file bytes."""

    def __init__(self, boundary: bytes, file_field: str) -> None:
        self.fields: dict[str, str] = {}
        self.file: FilePart | None = None
        self.waiting = bytearray()
        self._ended = False
        self._file_field = file_field
        self._part = _Part()
        self._header = bytearray()
        self._header_value = bytearray()
        self.parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_header_field": self._on_header,
                "on_header_value": self._on_header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_end": self._finish,
            },
        )

    def taken(self) -> bytearray:
        """The file bytes that wait, once."""
        taken, self.waiting = self.waiting, bytearray()
        return taken

    def _begin(self) -> None:
        self._part = _Part()
        if len(self.fields) >= MOST_FIELDS:
            raise InvalidInput(f"The form has more than {MOST_FIELDS} fields.")

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        name = self._header.decode("latin-1").lower()
        self._part.headers[name] = self._header_value.decode("utf-8", "replace")
        self._header.clear()
        self._header_value.clear()

    def _headers_finished(self) -> None:
        disposition = self._part.headers.get("content-disposition", "")
        names = _parameters(disposition)
        self._part.name = names.get("name", "")
        if not self._part.name:
            raise InvalidInput("A part of the form has no name.")
        if self._part.name == self._file_field:
            if self.file is not None:
                raise InvalidInput(f"The form has more than one part '{self._file_field}'.", param=self._file_field)
            if "filename" not in names and "filename*" in names:  # as old releases of urllib3 send what is not ASCII
                names["filename"] = _extended(names["filename*"])
            if "filename" not in names:
                raise InvalidInput(
                    f"'{self._file_field}' must be a file: give its part a filename.",
                    param=self._file_field,
                    code="invalid_type",
                )
            self._part.is_file = True
            kind = self._part.headers.get("content-type", "application/octet-stream")
            self.file = FilePart(names["filename"], kind)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.is_file:
            self.waiting += data[start:end]
            return
        self._part.value += data[start:end]
        if len(self._part.value) > MOST_FIELD_BYTES:
            sentence = f"The field '{self._part.name}' is too long."
            raise InvalidInput(sentence, param=self._part.name, code="string_above_max_length")

    def _end(self) -> None:
        if self._part.is_file:
            return
        if self._part.name in self.fields:
            raise InvalidInput(f"The form has the field '{self._part.name}' twice.", param=self._part.name)
        try:
            self.fields[self._part.name] = self._part.value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"The field '{self._part.name}' is not UTF-8.", param=self._part.name) from error

    def _finish(self) -> None:
        self._ended = True

    def form(self) -> Form:
        """What was read; `waiting` holds what of the file was not taken yet."""
        if not self._ended:
            raise InvalidInput("The multipart body ends before its closing boundary.")
        return Form(self.fields, self.file)


class _Behind:
    """A sink that writes one piece while the next one arrives."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._writing: asyncio.Task[None] | None = None

    async def write(self, piece: bytearray) -> None:
        """Raises what went wrong with the piece before."""
        await self.wait()
        if piece:
            self._writing = asyncio.create_task(run_in_threadpool(self._sink.write, piece))

    async def wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing


async def read_form(request: Request, file_field: str, sink_of: Callable[[FilePart], Sink]) -> Form:
    """Read the whole body. `sink_of` is asked once, when the file part begins."""
    sink: _Behind | None = None
    try:
        with _well_formed():
            reader = _reader_of(request, file_field)
            async for piece in request.stream():
                reader.parser.write(piece)
                if reader.file is not None and sink is None:
                    sink = _Behind(sink_of(reader.file))
                if sink is not None and len(reader.waiting) >= WRITE_BYTES:
                    await sink.write(reader.taken())
            reader.parser.finalize()
        if sink is not None:
            await sink.write(reader.taken())
    except ClientDisconnect as error:
        raise InvalidInput("The client went away before the whole body had arrived.") from error
    finally:
        if sink is not None:  # nobody may close what a thread writes to
            await sink.wait()
    return reader.form()


def form_of(request: Request, body: bytes, file_field: str, sink_of: Callable[[FilePart], Sink]) -> Form:
    """The same for a body that is here already; for whoever is in a thread."""
    with _well_formed():
        reader = _reader_of(request, file_field)
        reader.parser.write(body)
        reader.parser.finalize()
    form = reader.form()
    if form.file is not None:
        sink_of(form.file).write(reader.taken())
    return form


def _reader_of(request: Request, file_field: str) -> _Reader:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidInput("The request body must be multipart/form-data with a boundary.", param=None)
    return _Reader(boundary, file_field)  # refuses boundaries of absurd length


@contextmanager
def _well_formed() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise InvalidInput(f"The multipart body is not well formed: {_reason(error)}.") from error


def _reason(error: FormParserError) -> str:
    """The parser's sentence as a part of ours."""
    said = str(error)
    if said.startswith("Maximum header size"):
        return f"a part has a header of more than {DEFAULT_MAX_HEADER_SIZE} bytes, its file name included"
    return said[:1].lower() + said[1:].rstrip(".")


def _parameters(disposition: str) -> dict[str, str]:
    """name and filename as the SDKs write them: UTF-8 unescaped, quotes as %22, backslashes doubled."""
    found = {}
    for match in re.finditer(r';\s*([\w*]+)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))', disposition):
        name, quoted, bare = match.groups()
        value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
        found[name.lower()] = _ESCAPED.sub(lambda code: chr(int(code.group(1), 16)), value)
    return found


def _extended(value: str) -> str:
    """The text of RFC 5987: a character set, a language, percent-coded bytes."""
    *charset, coded = value.split("'", 2)
    return unquote(coded, "latin-1" if charset and charset[0].lower() == "iso-8859-1" else "utf-8", "replace")
