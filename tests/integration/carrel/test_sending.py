"""Large files go up by parts, and after a break where they were; small ones in one piece."""

import io
import time
from collections.abc import Iterator

import pytest

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.remote import Remote
from carrel.sending import Outgoing, Parts, send
from tests.support.server import Server

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def remote(server: Server) -> Iterator[Remote]:
    with Remote(server.url, server.new_key()) as remote:
        yield remote


def sent(remote: Remote, parts: Parts, moved: list[int], *, content: bytes = CONTENT, whole_bytes: int = 1_000) -> str:
    file = Outgoing(io.BytesIO(content), len(content), "large.txt", seconds=7_200)
    return send(remote, file, parts, moved.append, whole_bytes=whole_bytes, part_bytes=1_000)


@pytest.mark.parametrize("whole_bytes", [1_000, 1_000_000])
def test_both_ways_make_the_same_file(remote: Remote, whole_bytes: int) -> None:
    moved: list[int] = []
    file = remote.get(f"files/{sent(remote, Parts(), moved, whole_bytes=whole_bytes)}")
    assert (file["filename"], file["bytes"], file["purpose"]) == ("large.txt", len(CONTENT), "user_data")
    assert abs(file["expires_at"] - time.time() - 7_200) < 600
    with remote.download(f"files/{file['id']}/content") as pieces:
        assert b"".join(pieces) == CONTENT
    assert moved == sorted(moved)
    assert moved[-1] == len(CONTENT)


def test_what_broke_off_goes_on_with_the_parts_that_are_missing(remote: Remote) -> None:
    parts, moved = Parts(), list[int]()

    def stop() -> None:
        if len(parts.parts) == 4:
            raise ServerError("gone", exit_code=Exit.UNAVAILABLE)

    parts.kept = stop
    with pytest.raises(ServerError, match="gone"):
        sent(remote, parts, moved)
    later, again = Parts(parts.upload, list(parts.parts)), list[int]()
    file = sent(remote, later, again)
    assert (moved[-1], again[0]) == (3_000, 5_000)
    with remote.download(f"files/{file}/content") as pieces:
        assert b"".join(pieces) == CONTENT


def test_an_upload_that_is_over_begins_anew_once(remote: Remote) -> None:
    parts = Parts()
    sent(remote, parts, [])
    over = Parts(parts.upload, parts.parts[:3])
    file = sent(remote, over, [])
    assert over.upload != parts.upload
    assert remote.get(f"files/{file}")["bytes"] == len(CONTENT)
    changed = Outgoing(io.BytesIO(CONTENT[:-1]), len(CONTENT), "shorter.txt")
    with pytest.raises(ServerError, match="declared with"):
        send(remote, changed, Parts(parts.upload, parts.parts[:3]), lambda _: None, whole_bytes=1, part_bytes=1_000)
