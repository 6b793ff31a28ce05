"""Small uploads by the shorter way answer what the ordinary route answers, to good requests and to bad ones."""

from collections.abc import Iterator

import pytest

from tests.support.server import OTHER_KEY, READ_ONLY_KEY, Server

FORM = "multipart/form-data; boundary=edge"
FILE = 'name="file"; filename="a.txt"'
PURPOSE = ('name="purpose"', b"assistants")


def form(*parts: tuple[str, bytes]) -> bytes:
    told = (
        b"--edge\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (kind.encode(), data) for kind, data in parts
    )
    return b"".join(told) + b"--edge--\r\n"


GOOD = form(PURPOSE, (FILE, b"green tea"))
GOODS = {
    "a good one": GOOD,
    "the file first": form((FILE, b"green tea"), PURPOSE),
    "an empty file": form(PURPOSE, (FILE, b"")),
    "a file that ends": form(
        PURPOSE,
        ('name="expires_after[anchor]"', b"created_at"),
        ('name="expires_after[seconds]"', b"3600"),
        (FILE, b"green tea"),
    ),
}
BODIES = {
    **GOODS,
    "no file": form(PURPOSE),
    "no purpose": form((FILE, b"green tea")),
    "an unknown purpose": form(('name="purpose"', b"fun"), (FILE, b"green tea")),
    "an unknown field": form(PURPOSE, ('name="colour"', b"green"), (FILE, b"green tea")),
    "half an end": form(PURPOSE, ('name="expires_after[seconds]"', b"3600"), (FILE, b"green tea")),
    "two files": form(PURPOSE, (FILE, b"green"), (FILE, b"tea")),
    "a file without a name": form(PURPOSE, ('name="file"', b"green tea")),
    "a part without a name": form(PURPOSE, ('filename="a.txt"', b"green tea")),
    "a field twice": form(PURPOSE, PURPOSE, (FILE, b"green tea")),
    "a field that is no text": form(('name="purpose"', b"\xff"), (FILE, b"green tea")),
    "a field too long": form(('name="purpose"', b"a" * 70_000), (FILE, b"green tea")),
    "no end": GOOD[:-8],
    "no form": b"green tea",
    "nothing": b"",
}


def in_pieces(body: bytes) -> Iterator[bytes]:
    """Without a content-length, and so by the ordinary route."""
    yield body[: len(body) // 2]
    yield body[len(body) // 2 :]


@pytest.mark.parametrize("name", BODIES)
def test_both_ways_answer_alike(server: Server, name: str) -> None:
    with server.http() as http:
        http.headers["content-type"] = FORM
        quick = http.post("/v1/files", content=BODIES[name])
        ordinary = http.post("/v1/files", content=in_pieces(BODIES[name]))
        assert quick.status_code == ordinary.status_code == (200 if name in GOODS else 400)
        if name not in GOODS:
            assert quick.json() == ordinary.json()
            return
        of_its_own = {"id", "created_at", "expires_at"}
        assert quick.json().keys() == ordinary.json().keys()
        assert {key: value for key, value in quick.json().items() if key not in of_its_own} == {
            key: value for key, value in ordinary.json().items() if key not in of_its_own
        }
        assert quick.headers["content-type"] == ordinary.headers["content-type"]
        for answer in (quick, ordinary):
            content = http.get(f"/v1/files/{answer.json()['id']}/content").content
            assert content == (b"" if name == "an empty file" else b"green tea")


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", f"{FORM[:-4]}{'e' * 300}", None])
def test_what_is_no_form_is_refused_alike(server: Server, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    with server.http() as http:
        quick = http.post("/v1/files", content=GOOD, headers=headers)
        ordinary = http.post("/v1/files", content=in_pieces(GOOD), headers=headers)
    assert (quick.status_code, quick.json()) == (ordinary.status_code, ordinary.json())
    assert quick.status_code == 400


def test_keys_are_looked_at_on_both_ways(server: Server) -> None:
    for key, status in ((READ_ONLY_KEY, 403), (OTHER_KEY, 200), ("wrong", 401), (None, 401)):
        with server.http(key) as http:
            for body in (GOOD, in_pieces(GOOD)):
                assert http.post("/v1/files", content=body, headers={"content-type": FORM}).status_code == status


def test_a_request_that_comes_again_is_answered_as_before_by_either_way(server: Server) -> None:
    with server.http() as http:
        http.headers.update({"content-type": FORM, "idempotency-key": "an upload by two ways"})
        first = http.post("/v1/files", content=GOOD)
        again = http.post("/v1/files", content=in_pieces(GOOD))
        third = http.post("/v1/files", content=GOOD)
    assert first.json() == again.json() == third.json()
    assert ["idempotent-replayed" in one.headers for one in (first, again, third)] == [False, True, True]
