"""Addresses on the web: asked by HEAD, read by GET, over connections to addresses that were looked at before.

A name is resolved once for each request, every address it has is judged, and the connection goes to one of these
very addresses: a name that answers differently a moment later gains nothing. Redirects are followed by hand, and
each station is judged like the first.
"""

import ipaddress
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from retrieval.catalog.source_rows import Stamp
from retrieval.errors import InvalidInput
from retrieval.sources.permits import Permits
from workers.sources.port import ItemChanged, ItemUnreadable, Listed, Trouble

MOST_REDIRECTS: Final = 5
CONNECT_SECONDS: Final = 10
_REDIRECTS: Final = {301, 302, 303, 307, 308}
_GONE: Final = {404, 410}
_NO_HEAD: Final = {405, 501}
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Gone(Exception):
    """The address answers that there is nothing (404, 410)."""


class WebLister:
    def __init__(self, urls: tuple[str, ...], permits: Permits) -> None:
        self._urls = tuple(dict.fromkeys(urls))
        self._permits = permits
        self._client = httpx.Client(
            follow_redirects=False,
            trust_env=False,  # a proxy would resolve names by itself
            headers={"user-agent": "carrel", "accept-encoding": "identity"},
            timeout=httpx.Timeout(permits.url_limits.seconds, connect=CONNECT_SECONDS),
        )

    def items(self) -> Iterator[Listed | Trouble]:
        for url in self._urls:
            try:
                with self._asked("HEAD", url) as answer:
                    if answer.status_code in _NO_HEAD:
                        yield Listed(url, Stamp())  # tells nothing: it is read and compared by its content
                    else:
                        yield Listed(url, _stamp(answer))
            except Gone:
                continue
            except ItemUnreadable as error:
                yield Trouble(url, str(error))

    def read(self, item: Listed) -> Iterator[bytes]:
        limits, size = self._permits.url_limits, 0
        deadline = time.monotonic() + limits.seconds
        try:
            with self._asked("GET", item.key) as answer:
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise ItemUnreadable("The server sent the page compressed although it was asked not to.")
                for piece in answer.iter_raw():
                    size += len(piece)
                    if size > limits.bytes:
                        raise ItemUnreadable(f"The page is larger than {limits.bytes} bytes (sources.url_bytes).")
                    if time.monotonic() > deadline:
                        raise ItemUnreadable(f"The page took longer than {limits.seconds} s (sources.url_seconds).")
                    yield piece
        except Gone as error:
            raise ItemChanged(f"{item.key} has gone since it was listed") from error
        except httpx.HTTPError as error:
            raise ItemUnreadable(f"The page cannot be read: {_why(error)}.") from error

    def look(self, key: str) -> Listed | None:  # noqa: ARG002 - the port's word
        """Addresses are read whole or not at all; they are not looked at again."""
        return None

    @contextmanager
    def _asked(self, method: str, url: str) -> Iterator[httpx.Response]:
        """The answer behind all redirects, its body not yet read."""
        for _ in range(MOST_REDIRECTS + 1):
            request = self._request(method, url)
            try:
                answer = self._client.send(request, stream=True)
            except httpx.HTTPError as error:
                raise ItemUnreadable(f"{url} does not answer: {_why(error)}.") from error
            try:
                if answer.status_code in _REDIRECTS and "location" in answer.headers:
                    url = urljoin(url, answer.headers["location"])
                    continue
                if answer.status_code in _GONE:
                    raise Gone
                if answer.status_code != HTTPStatus.OK and not (method == "HEAD" and answer.status_code in _NO_HEAD):
                    raise ItemUnreadable(f"{url} answered {answer.status_code}.")
                yield answer
                return
            finally:
                answer.close()
        raise ItemUnreadable(f"More than {MOST_REDIRECTS} redirects.")

    def _request(self, method: str, url: str) -> httpx.Request:
        """To an address that was judged, in the name that was asked for."""
        try:
            host = self._permits.check_url(url)
        except InvalidInput as error:
            raise ItemUnreadable(error.message) from error
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = self._address(host, port)
        literal = f"[{address}]" if address.version == 6 else str(address)
        pinned = parts._replace(netloc=f"{literal}:{port}", fragment="").geturl()
        usual = parts.port is None
        name = f"[{host}]" if ":" in host else host
        host_header = {"host": name if usual else f"{name}:{port}"}
        try:
            return self._client.build_request(method, pinned, headers=host_header, extensions={"sni_hostname": host})
        except httpx.InvalidURL as error:
            raise ItemUnreadable(f"{url} is not an address: {error}.") from error

    def _address(self, host: str, port: int) -> Address:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ItemUnreadable(f"The name {host} cannot be resolved.") from error
        addresses = [ipaddress.ip_address(str(one[4][0]).split("%")[0]) for one in found]
        if not addresses:
            raise ItemUnreadable(f"The name {host} has no address.")
        if not self._permits.url_limits.private_addresses:
            for address in addresses:
                if not public(address):
                    raise ItemUnreadable(
                        f"{host} is at {address}, which is no public address; sources.private_addresses would allow it."
                    )
        return addresses[0]

    def close(self) -> None:
        self._client.close()


def public(address: Address) -> bool:
    """Whether an address belongs to the open internet, also behind the ways in which IPv6 spells one of IPv4."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return public(inner)
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


def _stamp(answer: httpx.Response) -> Stamp:
    etag, modified = answer.headers.get("etag"), answer.headers.get("last-modified")
    length = answer.headers.get("content-length", "")
    return Stamp(int(length) if length.isdigit() else None, _nanoseconds(modified), etag)


def _nanoseconds(modified: str | None) -> int | None:
    if not modified:
        return None
    try:
        moment = parsedate_to_datetime(modified)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 10**9


def _why(error: httpx.HTTPError) -> str:
    return "timed out" if isinstance(error, httpx.TimeoutException) else (str(error) or type(error).__name__)
