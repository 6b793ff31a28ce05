"""A form's file goes to its sink piece by piece, in order, while the next piece arrives; and never after the end."""

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from retrieval.api.multipart import WRITE_BYTES, Form, read_form
from retrieval.errors import InvalidInput, StorageFull

CONTENT = bytes(range(256)) * (WRITE_BYTES // 64)  # four pieces
FORM = (
    b'--edge\r\ncontent-disposition: form-data; name="file"; filename="a.bin"\r\n\r\n' + CONTENT + b"\r\n--edge--\r\n"
)


class Sink:
    """Counts its writes; the one numbered `fails_at`, from 1, finds the disk full."""

    def __init__(self, fails_at: int = 0) -> None:
        self.fails_at = fails_at
        self.writes = 0
        self.content = bytearray()

    def write(self, piece: bytearray) -> None:
        self.writes += 1
        if self.writes == self.fails_at:
            raise StorageFull("no room")
        self.content += piece


def read(body: bytes, sink: Sink, *, gone_after: int | None = None) -> Form:
    pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)][:gone_after]
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request"} if gone_after is None else {"type": "http.disconnect"})

    async def receive() -> Message:
        return messages.pop(0)

    headers = [(b"content-type", b"multipart/form-data; boundary=edge")]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}

    async def run() -> Form:
        return await read_form(Request(scope, receive), "file", lambda _: sink)

    return asyncio.run(run())


def test_every_byte_arrives_once_and_in_order() -> None:
    sink = Sink()
    form = read(FORM, sink)
    assert form.file is not None
    assert bytes(sink.content) == CONTENT
    assert sink.writes >= 4


@pytest.mark.parametrize("fails_at", [1, 2, 4])
def test_a_piece_that_cannot_be_written_is_told_also_if_it_is_the_last(fails_at: int) -> None:
    sink = Sink(fails_at)
    with pytest.raises(StorageFull):
        read(FORM, sink)
    assert sink.writes == fails_at


def test_nothing_is_written_once_a_client_that_went_away_was_told_of() -> None:
    sink = Sink()
    with pytest.raises(InvalidInput, match="went away"):
        read(FORM, sink, gone_after=40)
    assert bytes(sink.content) == CONTENT[: len(sink.content)]
    assert sink.writes == 2


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("filename*=UTF-8''%E2%82%AC%20rates.txt", "€ rates.txt"),
        ("filename*=utf-8'en'na%C3%AFve.txt", "naïve.txt"),
        ("filename*=iso-8859-1''na%EFve.txt", "naïve.txt"),
        ("filename=\"plain.txt\"; filename*=UTF-8''other.txt", "plain.txt"),
    ],
)
def test_names_as_older_clients_write_them(said: str, name: str) -> None:
    form = read(FORM.replace(b'filename="a.bin"', said.encode()), Sink())
    assert form.file is not None
    assert form.file.filename == name


def test_a_name_without_end_is_told_as_what_it_is() -> None:
    with pytest.raises(InvalidInput, match=r"a header of more than 4224 bytes, its file name included"):
        read(FORM.replace(b"a.bin", b"a" * 5_000), Sink())
