"""How long the command line waits for a server: long for one that was there, hardly for one that never was."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.remote import Remote
from tests.support.whole import free_port, pause

AWAY_SECONDS = 3.5  # longer than one waits that was never there
WEEK_SECONDS = 604_800.0


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"path": self.path}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002 - the name that it has above
        pass


class Restarted(ThreadingHTTPServer):
    """Answers while it is entered."""

    daemon_threads = True

    def __enter__(self) -> "Restarted":
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def test_a_server_that_never_answered_is_given_up_however_patient_one_is() -> None:
    with (
        Remote(f"http://127.0.0.1:{free_port()}", None, patience_seconds=WEEK_SECONDS) as remote,
        pytest.raises(ServerError, match="Nothing answers") as refused,
    ):
        remote.get("models")
    assert (refused.value.exit_code, refused.value.code) == (Exit.UNAVAILABLE, "no_connection")


def test_a_server_that_answered_before_is_waited_for_while_it_starts_again() -> None:
    place = ("127.0.0.1", free_port())
    with Remote(f"http://127.0.0.1:{place[1]}", None, patience_seconds=WEEK_SECONDS) as remote:
        with Restarted(place, Answering):
            assert remote.get("models") == {"path": "/v1/models"}
        answers: list[object] = []
        asking = threading.Thread(target=lambda: answers.append(remote.get("files")))
        asking.start()
        pause(AWAY_SECONDS)
        with Restarted(place, Answering):
            asking.join(60)
    assert answers == [{"path": "/v1/files"}]
