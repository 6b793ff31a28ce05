"""Redis as the broker, mended where Kombu 5.7 leaves a worker deaf.

A worker that may have one message at once listens no more while it has it. If Redis goes away meanwhile, its word that
it is done does not arrive, Kombu goes on counting the message as in hand, and the worker neither listens nor notices
that its connection is dead. Here the message counts as done whether Redis could be told or not: the worker listens,
finds the connection dead and makes another. Redis gives the message out once more, and a doorbell may ring twice.
"""

from typing import Any

from kombu.transport import redis


class Unacknowledged(redis.QoS):
    def ack(self, delivery_tag: Any) -> None:
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]  # Kombu has no types
        except self.channel.connection_errors:
            self._quick_ack(delivery_tag)
            raise

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        try:
            super().reject(delivery_tag, requeue=requeue)  # type: ignore[no-untyped-call]
        except self.channel.connection_errors:
            self._quick_ack(delivery_tag)
            raise


class Channel(redis.Channel):
    QoS = Unacknowledged


class Transport(redis.Transport):
    Channel = Channel
