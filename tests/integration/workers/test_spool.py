"""The folder that stands in for a broker: each message is given out once, and what is no message harms nobody."""

import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu.entity import Exchange, Queue
from kombu.exceptions import ChannelError
from kombu.message import Message
from kombu.messaging import Consumer

from retrieval.jobs import messenger


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "queue"


@pytest.fixture
def channel(spool: Path) -> Iterator[Any]:
    app = messenger("", spool)
    with app.connection_for_write() as connection, connection.channel() as opened:
        yield opened
    app.close()


def messages(spool: Path) -> list[Path]:
    return list((spool / "messages").iterdir())


def test_messages_come_in_order_and_once(channel: Any) -> None:
    for number in range(3):
        channel._put("bulk", {"number": number})
    channel._put("interactive", {"number": 9})
    assert channel._size("bulk") == 3
    assert [channel._get("bulk")["number"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Empty):
        channel._get("bulk")
    assert channel._get("interactive") == {"number": 9}


@pytest.mark.parametrize("content", [b"", b'{"body": "ha', b"\xff\xfe"])
def test_what_is_no_message_is_passed_over_and_put_aside(channel: Any, spool: Path, content: bytes) -> None:
    """A disk that was full left an empty file, and every worker that met it ended."""
    (spool / "messages" / "0_odd.bulk.msg").write_bytes(content)
    channel._put("bulk", {"number": 1})
    assert channel._get("bulk") == {"number": 1}
    with pytest.raises(Empty):
        channel._get("bulk")
    assert messages(spool) == []


def test_a_full_disk_refuses_a_message_and_keeps_nothing_of_it(channel: Any, spool: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(ChannelError):
            channel._put("bulk", {"text": "long " * 1000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert messages(spool) == []


def test_a_doorbell_goes_through_it(spool: Path) -> None:
    app = messenger("", spool)
    app.send_task("carrel.nothing", ("vs_1", True), queue="bulk")
    with app.connection_for_write() as connection, connection.channel() as channel:
        assert channel._get("bulk")["headers"]["task"] == "carrel.nothing"
    app.close()


def test_a_message_is_heard_however_soon_it_comes_after_another_or_after_none(spool: Path) -> None:
    app, heard, most = messenger("", spool, poll_seconds=0.01), list[int](), 200

    def hear(number: int, message: Message) -> None:
        heard.append(number)
        message.ack()

    with app.connection_for_read() as connection, connection.channel() as channel, app.connection_for_write() as other:
        queue = Queue("bulk", Exchange("bulk"), routing_key="bulk")
        consumer = Consumer(channel, [queue], callbacks=[hear])

        def send() -> None:
            with other.Producer() as producer:
                for number in range(most):
                    producer.publish(number, exchange="bulk", routing_key="bulk", declare=[queue])
                    time.sleep(number % 5 / 200)

        with consumer:
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.3)
            sending = threading.Thread(target=send)
            sending.start()
            while len(heard) < most:
                connection.drain_events(timeout=20)
            sending.join()
    app.close()
    assert heard == list(range(most))
