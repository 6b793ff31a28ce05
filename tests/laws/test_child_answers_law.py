"""Whatever a child sends, its parent ends with a sound answer or with Garbled."""

import socket
import tempfile
import threading
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.children.channel import MAGIC, PREFIX, Channel, Frame, unpack_header
from ingest.children.errors import Garbled
from ingest.children.messages import Request, pack_prepared, pack_request, unpack_answer, unpack_request
from ingest.chunking.chunk import ChunkLimits
from ingest.errors import DocumentError
from ingest.parsing.limits import Limits
from ingest.prepared import Prepared
from tests.support.odd_child import echo

LIMITS = Limits()
REQUEST = Request(7, "a.txt", ChunkLimits())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 40) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def packed(text: str) -> tuple[dict[str, object], bytes]:
    header, body = pack_prepared(echo(text, REQUEST.chunking), REQUEST.serial)
    return header, b"".join(bytes(part) for part in body)


def sound(prepared: Prepared) -> bool:
    return all(
        chunk.ordinal == ordinal
        and 0 <= chunk.start < chunk.end <= len(prepared.text)
        and chunk.text == prepared.text[chunk.start : chunk.end]
        and 1 <= chunk.tokens <= REQUEST.chunking.max_tokens
        for ordinal, chunk in enumerate(prepared.chunks)
    )


def answered(header: dict[str, object], body: bytes) -> None:
    try:
        answer = unpack_answer(Frame(header, memoryview(body)), REQUEST, LIMITS)
    except Garbled:
        return
    if isinstance(answer, Prepared):
        assert sound(answer)
        answer.text.encode()
    elif isinstance(answer, DocumentError):
        assert str(answer).isprintable()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_prepared_arrives_unchanged(text: str) -> None:
    header, body = packed(text)
    frame = Frame(header | {"headings": [list(path) for path in header["headings"]]}, memoryview(body))  # type: ignore[attr-defined]
    header["warnings"] = list(header["warnings"])  # type: ignore[call-overload]
    frame.header["warnings"] = header["warnings"]
    assert unpack_answer(frame, REQUEST, LIMITS) == echo(text, REQUEST.chunking)


@given(st.data())
def test_an_answer_with_one_wrong_field_is_garbled_or_still_sound(data: st.DataObject) -> None:
    header, body = packed("some words to be split")
    header |= {"headings": [list(path) for path in header["headings"]], "warnings": []}  # type: ignore[attr-defined]
    header[data.draw(st.sampled_from(sorted(header)))] = data.draw(JSON)
    answered(header, body)


@given(st.data())
def test_an_answer_with_wrong_bytes_is_garbled_or_still_sound(data: st.DataObject) -> None:
    header, body = packed("some words to be split")
    header |= {"headings": [list(path) for path in header["headings"]], "warnings": []}  # type: ignore[attr-defined]
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    answered(header, bytes(changed[: data.draw(st.integers(0, len(body))) or len(body)]))


@given(st.dictionaries(st.sampled_from(["kind", "serial", "error", "sentence", "text_bytes", "chunks"]), JSON))
def test_an_answer_of_nonsense_is_garbled(header: dict[str, object]) -> None:
    answered(header | {"serial": 7}, b"")


def test_an_answer_to_another_request_is_garbled() -> None:
    header, body = packed("words")
    with pytest.raises(Garbled):
        unpack_answer(Frame(header | {"serial": 8}, memoryview(body)), REQUEST, LIMITS)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_frame_are_garbled_or_the_end(noise: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(noise)
        theirs.shutdown(socket.SHUT_WR)
        ours.settimeout(5)
        try:
            assert Channel(ours).receive(most_body_bytes=1000) is None
        except Garbled:
            assert len(noise) >= PREFIX.size


@pytest.mark.parametrize(
    "packed_header", [b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"1", b'"a"', b"{", b"\xff", b"9" * 10_000, b""]
)
def test_a_header_that_is_no_object_is_garbled(packed_header: bytes) -> None:
    with pytest.raises(Garbled):
        unpack_header(packed_header)


def test_a_frame_that_promises_too_much_is_garbled_before_anything_is_allocated() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(PREFIX.pack(MAGIC, 2, 1 << 62))
        with pytest.raises(Garbled):
            Channel(ours).receive(most_body_bytes=1000)


@given(st.text(), st.integers(100, 4096), st.sampled_from(["auto", "static"]))
def test_a_request_arrives_as_it_was_sent(name: str, most: int, strategy: str) -> None:
    request = Request(3, name, ChunkLimits(strategy, most, most // 3))  # type: ignore[arg-type] # drawn from both
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Channel(theirs).send(pack_request(request))
        frame = Channel(ours).receive(most_body_bytes=0)
    assert frame is not None
    assert unpack_request(frame.header) == request


@given(st.lists(st.text(max_size=300), min_size=1, max_size=24))
def test_requests_sent_at_once_each_arrive_with_their_own_file(names: list[str]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ExitStack() as stack:
        sender, receiver = Channel(theirs), Channel(ours)
        for serial, name in enumerate(names):
            file = stack.enter_context(tempfile.TemporaryFile())
            file.write(name.encode())
            file.flush()
            sender.send(pack_request(Request(serial, name, REQUEST.chunking)), file=file.fileno())
        for serial, name in enumerate(names):
            frame = receiver.receive(most_body_bytes=0, with_file=True)
            assert frame is not None
            assert frame.file is not None
            with open(frame.file, "rb") as received:  # noqa: PTH123 - a descriptor has no path
                received.seek(0)
                assert received.read() == name.encode()
            assert unpack_request(frame.header).serial == serial


@given(st.lists(st.binary(max_size=100_000), min_size=1, max_size=6))
def test_answers_sent_at_once_arrive_one_by_one(bodies: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def answer() -> None:
            for serial, body in enumerate(bodies):
                Channel(theirs).send({"serial": serial}, [body[:7], body[7:]])

        answering = threading.Thread(target=answer)
        answering.start()
        receiver = Channel(ours)
        frames = [receiver.receive(most_body_bytes=100_000) for _ in bodies]
        answering.join()
    found = [(frame.header["serial"], bytes(frame.body)) for frame in frames if frame is not None]
    assert found == list(enumerate(bodies))
