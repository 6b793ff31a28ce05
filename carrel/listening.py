"""The port of the API: opened once, by whoever starts its processes, and shared by them.

A process that is started again finds the port still open, with the connections that came meanwhile; the others
take them before.
"""

import socket
from typing import Final

BACKLOG: Final = 2048


class PortTaken(Exception):
    """Nobody can listen there; the sentence is for whoever starts the service."""


def listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        # The protocol is named, or asyncio leaves Nagle's algorithm on and every answer waits for 40 ms.
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _taken(host, port, error) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _taken(host, port, error) from error
    return listening


def inherited(descriptor: int) -> socket.socket:
    return socket.socket(fileno=descriptor)


def _taken(host: str, port: int, error: OSError) -> PortTaken:
    return PortTaken(f"Cannot listen on {host}:{port}: {error.strerror}. Choose another: CARREL_PORT.")
