"""Clients that mean harm or know no better, byte by byte: refused or survived, and nothing of them stays behind."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from select import select

import psutil
import pytest

from carrel.protocol import DROPPED_BYTES
from tests.support.server import KEY, Server, run_server
from tests.support.whole import pause
from tests.support.wire import assert_is

IMPATIENT = {"CARREL_API_HEAD_SECONDS": "0.6", "CARREL_API_STALL_SECONDS": "0.6"}
SETTLE_SECONDS = 15.0
FORM = b'--x\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
FILE = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def impatient(folder: Path) -> Iterator[Server]:
    with run_server(folder, environment=IMPATIENT) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_stays(impatient: Server, folder: Path) -> Iterator[None]:
    """After each test no stored object, no draft, no open file, no connection; and a service that answers."""
    yield
    until(lambda: not left(impatient, folder), lambda: f"left: {left(impatient, folder)}")
    with impatient.http() as http:
        assert http.get("/healthz").status_code == 200
        assert http.get("/v1/files").json()["data"] == []


def left(server: Server, folder: Path) -> list[str]:
    """Files below the storage, open ones among them that have no name any more, and connections to the service."""
    objects, port = folder / "objects", int(server.url.rsplit(":", 1)[1])
    found = [str(path) for path in objects.rglob("*") if path.is_file()]
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            target = str(descriptor.readlink())
            if target.startswith(f"{objects}/"):
                found.append(target)
    served = [one for one in psutil.Process().net_connections("tcp") if one.laddr.port == port]
    return found + [str(one) for one in served if one.status != psutil.CONN_LISTEN]


def until(holds: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    for _ in range(int(SETTLE_SECONDS / 0.05)):
        if holds():
            return
        pause(0.05)
    raise AssertionError(otherwise())


def connected(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=SETTLE_SECONDS)


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "host: x", f"authorization: Bearer {KEY}", *lines, "", ""]
    ).encode()


def answer(client: socket.socket) -> tuple[int, bytes]:
    """Status and body of what comes until the other side closes; (0, b"") if it closes without a word."""
    received = bytearray()
    try:
        while piece := client.recv(1 << 16):
            received += piece
    except ConnectionResetError:
        pass
    if not received:
        return 0, b""
    first, _, body = bytes(received).partition(b"\r\n\r\n")
    return int(first.split()[1]), body


def refused(server: Server, sent: bytes, status: int) -> str:
    """The refusal's sentence; the connection is closed after it."""
    with closing(connected(server)) as client:
        client.sendall(sent)
        got, body = answer(client)
    assert got == status, body
    assert_is("ErrorResponse", json.loads(body))
    sentence: str = json.loads(body)["error"]["message"]
    return sentence


def test_a_head_that_dribbles_or_never_comes_is_cut_off(impatient: Server) -> None:
    silent = connected(impatient)
    slow = [connected(impatient) for _ in range(10)]
    for letter in b"GET /healthz HTTP/1.1\r\nx-slow: ":
        for client in slow:
            try:
                client.send(bytes([letter]))
            except OSError:
                continue
        pause(0.03)
    with impatient.http() as http:  # nobody else waits for them
        assert http.get("/healthz").status_code == 200
    for client in (silent, *slow):
        with closing(client):
            assert answer(client)[0] in {0, 408}


def test_a_body_that_stands_still_is_cut_off(impatient: Server) -> None:
    with closing(connected(impatient)) as client:
        client.sendall(head("POST", "/v1/vector_stores", "content-type: application/json", "content-length: 50"))
        client.sendall(b'{"name": "sl')
        assert answer(client)[0] in {0, 400}
    with closing(connected(impatient)) as client:
        kind = "content-type: multipart/form-data; boundary=x"
        client.sendall(head("POST", "/v1/files", kind, "content-length: 5000000") + FORM + FILE + bytes(2 << 20))
        assert answer(client)[0] in {0, 400}


def test_a_slow_body_that_moves_is_waited_for(impatient: Server) -> None:
    body = b'{"query": "tea"}'
    with closing(connected(impatient)) as client:
        path = "/v1/vector_stores/vs_none/search"
        kind = "content-type: application/json"
        client.sendall(head("POST", path, kind, f"content-length: {len(body)}", "connection: close"))
        for at in range(0, len(body), 4):
            client.sendall(body[at : at + 4])
            pause(0.25)
        assert answer(client)[0] == 404


def test_heads_that_are_too_large(impatient: Server) -> None:
    assert "headers" in refused(impatient, head("GET", "/healthz", "x-large: " + "a" * 70_000), 431)
    assert "headers" in refused(impatient, head("GET", "/healthz", *(f"x-{n}: {n}" for n in range(9000))), 431)
    assert "headers" in refused(impatient, b"GET /" + b"a" * 3_000_000, 431)
    assert "headers" in refused(impatient, head("GET", "/" + "a" * 70_000), 431)


def test_a_refused_client_that_goes_on_sending_hears_why(impatient: Server) -> None:
    with closing(connected(impatient)) as client:
        client.sendall(head("GET", "/healthz", "x-large: " + "a" * 70_000))
        until(lambda: bool(select([client], [], [], 0)[0]), lambda: "nothing was answered")
        for _ in range(3):  # the second is what finds a closed connection
            client.sendall(b"a" * 1000)
            pause(0.05)
        received = b""
        while piece := client.recv(1 << 16):  # to its end, and not to a connection that was reset
            received += piece
    assert received.startswith(b"HTTP/1.1 431 ")


def test_what_is_no_request_behind_one_that_is_under_way(impatient: Server, caplog: pytest.LogCaptureFixture) -> None:
    with closing(connected(impatient)) as client:
        client.sendall(head("GET", "/v1/files") + b"\0\0\0\r\n\r\n")
        got, body = answer(client)
        assert (got, "not valid HTTP" in json.loads(body)["error"]["message"]) == (400, True)
        pause(0.3)  # the client stays until the first would have been answered
    assert not [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"]


def test_a_refused_client_is_not_listened_to_for_long(impatient: Server) -> None:
    silent, loud = connected(impatient), connected(impatient)
    with closing(silent), closing(loud):
        for client in (silent, loud):
            client.sendall(head("GET", "/healthz", "x-large: " + "a" * 70_000))
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            loud.sendall(bytes(DROPPED_BYTES + (32 << 20)))

        def is_closed() -> bool:
            try:
                silent.send(b"a")
            except OSError:
                return True
            return False

        until(is_closed, lambda: "the connection stays open")


@pytest.mark.parametrize(
    "lines",
    [
        ["content-length: -5"],
        ["content-length: +5"],
        ["content-length: 5", "content-length: 6"],
        ["content-length: 99999999999999999999999999"],
        ["content-length: five"],
        ["transfer-encoding: chunked", "content-length: 5"],
        ["transfer-encoding: gzip"],
        ["transfer-encoding: chunked, identity"],
    ],
)
def test_lengths_that_are_none(impatient: Server, lines: list[str]) -> None:
    sent = head("POST", "/v1/vector_stores", "content-type: application/json", *lines) + b"-1\r\n{}\r\n0\r\n\r\n"
    assert refused(impatient, sent, 400)


def test_what_is_no_http_at_all(impatient: Server) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 100, b"GET\r\n\r\n", b"HELO carrel\r\n\r\n"):
        assert refused(impatient, sent, 400)
    chunk = b"ffffffffffffffffff\r\nabc"
    kind = "content-type: application/json"
    assert refused(impatient, head("POST", "/v1/vector_stores", kind, "transfer-encoding: chunked") + chunk, 400)


def form(body: bytes, boundary: str = "x", *, said: int | None = None) -> bytes:
    kind = f"content-type: multipart/form-data; boundary={boundary}"
    length = f"content-length: {len(body) if said is None else said}"
    return head("POST", "/v1/files", kind, length, "connection: close") + body


@pytest.mark.parametrize(
    "sent",
    [
        form(b""),
        form(b"--y\r\n\r\n"),
        form(FORM + FILE + b"words"),  # without an end
        form(FORM + FILE + b"words\r\n--x--\r\n", boundary=""),
        form(FORM + FILE + b"words\r\n--x--\r\n", boundary="x" * 5000),
        form(FORM + b"--x\r\ncontent-disposition: form-data\r\n\r\nnameless\r\n--x--\r\n"),
        form(FORM + FILE + b"a\r\n" + FILE + b"b\r\n--x--\r\n"),  # two files
        form(FORM + FORM + FILE + b"a\r\n--x--\r\n"),  # a field twice
        form(FORM + b"--x\r\ncontent-disposition: form-data; name=file\r\n\r\nwords\r\n--x--\r\n"),  # no file
        form(FILE + b"words\r\n--x--\r\n"),  # no purpose
        form(b"--x\r\n" + b"a: b\r\n" * 5000 + b"\r\n\r\n--x--\r\n"),
        form(b"--x\r\ncontent-disposition: form-data; name=purpose\r\n\r\n" + b"a" * 100_000 + b"\r\n--x--\r\n"),
        form(b"--x\r\ncontent-disposition: form-data; name=purpose\r\n\r\n\xff\r\n--x--\r\n"),
        form(b"".join(FORM.replace(b"purpose", b"f%d" % n) for n in range(200)) + b"--x--\r\n"),
    ],
)
def test_forms_that_are_none(impatient: Server, sent: bytes) -> None:
    refused(impatient, sent, 400)


def test_a_form_that_says_it_is_too_large_is_refused_unread(impatient: Server) -> None:
    refused(impatient, form(FORM + FILE, said=600 << 20), 413)


def test_a_client_that_goes_away_while_it_uploads(impatient: Server) -> None:
    for sent in (FORM, FORM + FILE, FORM + FILE + bytes(3 << 20)):
        for _ in range(5):
            client = connected(impatient)
            client.sendall(form(sent, said=10 << 20))
            client.close()


def test_a_client_that_goes_away_while_it_downloads(impatient: Server) -> None:
    client = impatient.client()  # closed below, or its connection would be left
    file = client.files.create(file=("large.bin", bytes(8 << 20)), purpose="user_data").id
    for size in (1, 70_000, 1_000_000):
        for _ in range(5):
            reader = connected(impatient)
            reader.sendall(head("GET", f"/v1/files/{file}/content"))
            assert reader.recv(size)
            reader.close()
    assert len(client.files.content(file).read()) == 8 << 20
    forget(impatient, file)
    client.close()


def forget(server: Server, file: str) -> None:
    """The file's row and, as a sweep would after a day, its bytes."""
    resources = server.service.resources
    with resources.catalog.reading() as tx:
        blob = tx.files.get(server.project, file).blob  # type: ignore[arg-type]  # the id as it came
    with server.http() as http:
        assert http.delete(f"/v1/files/{file}").status_code == 200
    resources.storage.delete(blob)


def test_a_flood_of_ranges(impatient: Server) -> None:
    client = impatient.client()
    content = bytes(range(256)) * 256
    file = client.files.create(file=("ranges.bin", content), purpose="user_data").id
    path = f"/v1/files/{file}/content"
    asked = [
        "bytes=" + ",".join(f"{n}-" for n in range(5000)),
        "bytes=0-0," * 1000,
        "bytes=5-1",
        "bytes=-",
        "bytes=--1",
        "bytes=a-b",
        "lines=0-5",
        "bytes=0-" + "9" * 40,
    ]
    with impatient.http() as http:
        for one in asked:
            whole = http.get(path, headers={"range": one})
            assert (whole.status_code, whole.content) == (200, content), one
        for one in ("bytes=65536-", "bytes=99999999-", "bytes=-0"):
            none = http.get(path, headers={"range": one})
            assert (none.status_code, none.headers["content-range"]) == (416, "bytes */65536"), one
            assert_is("ErrorResponse", none.json())
        part = http.get(path, headers={"range": "bytes=1-99999999"})
        assert (part.status_code, part.content) == (206, content[1:])
        same = http.get(path, headers={"range": "bytes=1-", "if-range": part.headers["etag"]})
        assert (same.status_code, same.content) == (206, content[1:])
        other = http.get(path, headers={"range": "bytes=1-", "if-range": '"of something else"'})
        assert (other.status_code, other.content) == (200, content)
    forget(impatient, file)
    client.close()
