"""Sources of URLs against a real web server: what is fetched, what is compared, and where nothing leads."""

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ingest.children import ChildPool
from ingest.parsing.limits import Limits
from retrieval.catalog.source_rows import Location, Outcome, SourceKind
from retrieval.catalog.transaction import Catalog
from retrieval.sources.permits import Permits, UrlLimits
from tests.support.mirror import folder_wish, open_mirror
from workers.sources.port import ItemUnreadable, Listed, Trouble
from workers.sources.web import WebLister, public


@dataclass
class Page:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    head: bool = True
    slowly: float = 0.0  # seconds before each byte


@dataclass
class Site:
    port: int
    pages: dict[str, Page]
    asked: list[tuple[str, str, str]]  # method, path, host

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
def site() -> Iterator[Site]:
    pages: dict[str, Page] = {}
    asked: list[tuple[str, str, str]] = []
    ending = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked.append((self.command, self.path, self.headers["host"]))
            page = pages.get(self.path, Page(status=404))
            if self.command == "HEAD" and not page.head:
                page = Page(status=405)
            self.send_response(page.status)
            for name, value in {"content-length": str(len(page.body)), **page.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            if not page.slowly:
                self.wfile.write(page.body)
                return
            for at in range(len(page.body)):
                if ending.wait(page.slowly):
                    return
                self.wfile.write(page.body[at : at + 1])

        do_HEAD = do_GET  # noqa: N815 - the name that the server looks for

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Site(server.server_address[1], pages, asked)
        ending.set()
        server.shutdown()
        thread.join()


OPEN = Permits(hosts=("127.0.0.1", "site.test", "other.test"), url_limits=UrlLimits(private_addresses=True, seconds=5))


def listed(url: str, permits: Permits = OPEN) -> Listed | Trouble | None:
    lister = WebLister((url,), permits)
    try:
        return next(lister.items(), None)
    finally:
        lister.close()


def read(url: str, permits: Permits = OPEN) -> bytes:
    lister = WebLister((url,), permits)
    try:
        [item] = lister.items()
        assert isinstance(item, Listed), item
        return b"".join(lister.read(item))
    finally:
        lister.close()


def resolving(names: dict[str, list[str]]) -> Callable[..., list[tuple[object, ...]]]:
    """A resolver for tests: each question takes the next answer, the last one stays."""
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: object, **named: object) -> list[tuple[object, ...]]:
        if host in names:
            answers = names[host]
            address = answers.pop(0) if len(answers) > 1 else answers[0]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
        return real(host, port, *rest, **named)  # type: ignore[arg-type, return-value]  # whatever it takes

    return resolve


def test_a_mirror_of_pages_follows_them(shared_catalog: Catalog, tmp_path: Path, site: Site) -> None:
    site.pages |= {
        "/a": Page(b"<html><title>A</title><body><p>Words about herons.</p></body></html>", headers={"etag": '"1"'}),
        "/b.txt": Page(b"Plain words.", headers={"last-modified": "Sun, 01 Mar 2026 10:00:00 GMT"}),
        "/c.md": Page(b"# No HEAD here", head=False),
    }
    with ChildPool(1, Limits()) as children, open_mirror(shared_catalog, tmp_path, children) as mirror:
        mirror.parts = replace(mirror.parts, permits=OPEN)
        urls = tuple(site.url(path) for path in ("/a", "/b.txt", "/c.md", "/gone"))
        wish = folder_wish(tmp_path, kind=SourceKind.URLS, location=Location(urls=urls), include=(), exclude=())
        mirror.source_id = mirror.add(wish)
        first = mirror.run()
        assert (first.counts.listed, first.counts.added, first.counts.failed) == (3, 3, 0)
        names = {str(one.attributes["path"]): one.filename for one in mirror.living()}
        assert names == {urls[0]: "a.html", urls[1]: "b.txt", urls[2]: "c.md"}
        site.asked.clear()
        assert mirror.run().counts.unchanged == 3
        read_again = [path for method, path, _ in site.asked if method == "GET"]
        assert read_again == ["/c.md"], "only what says nothing of its state is read to be compared"
        site.pages["/a"] = Page(b"<p>Words about cranes, and about much more.</p>", headers={"etag": '"2"'})
        site.pages["/b.txt"] = Page(status=503)
        del site.pages["/c.md"]
        report = mirror.run()
        counts = report.counts
        assert (counts.changed, counts.removed, counts.failed) == (1, 1, 1)
        assert mirror.keys(report.id, Outcome.FAILED) == [urls[1]]
        assert set(mirror.found()) == {urls[0], urls[1]}, "what only fails to answer is kept"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
     "::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::"],
)  # fmt: skip
def test_addresses_that_are_not_of_the_open_internet(address: str) -> None:
    assert not public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_addresses_that_are(address: str) -> None:
    assert public(ipaddress.ip_address(address))


def test_a_private_address_is_refused_whatever_its_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages["/a"] = Page(b"secret")
    closed = replace(OPEN, url_limits=UrlLimits())
    monkeypatch.setattr(socket, "getaddrinfo", resolving({"site.test": ["127.0.0.1"]}))
    for host in ("127.0.0.1", "site.test"):
        trouble = listed(site.url("/a", host), closed)
        assert isinstance(trouble, Trouble)
        assert "sources.private_addresses" in trouble.reason
    assert site.asked == []


def test_a_name_is_asked_for_once_and_the_connection_goes_where_it_was_judged(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers a public address first and a private one a moment later gains nothing."""
    site.pages["/a"] = Page(b"words")
    closed = replace(OPEN, url_limits=UrlLimits(seconds=2))
    questions: list[str] = []
    resolve = resolving({"site.test": ["203.0.113.7", "127.0.0.1"]})

    def counted(host: str, *rest: object, **named: object) -> object:
        questions.append(host)
        return resolve(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    monkeypatch.setattr("workers.sources.web.public", lambda address: str(address) == "203.0.113.7")
    monkeypatch.setattr("workers.sources.web.CONNECT_SECONDS", 1)
    trouble = listed(site.url("/a", "site.test"), closed)
    assert isinstance(trouble, Trouble)
    assert questions.count("site.test") == 1
    assert site.asked == [], "the second answer was never used"


def test_the_name_that_was_asked_for_is_the_host_that_the_server_hears(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages["/a"] = Page(b"words")
    monkeypatch.setattr(socket, "getaddrinfo", resolving({"site.test": ["127.0.0.1"]}))
    assert read(site.url("/a", "site.test")) == b"words"
    assert {host for _, _, host in site.asked} == {f"site.test:{site.port}"}


def test_redirects_are_judged_like_the_first_address(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages |= {
        "/near": Page(status=302, headers={"location": "/a"}),
        "/a": Page(b"words"),
        "/elsewhere": Page(status=302, headers={"location": "http://169.254.169.254/latest/"}),
        "/file": Page(status=302, headers={"location": "file:///etc/passwd"}),
        "/inside": Page(status=302, headers={"location": site.url("/secret", "other.test")}),
        "/round": Page(status=302, headers={"location": "/round"}),
        "/secret": Page(b"secret"),
    }
    assert read(site.url("/near")) == b"words"
    for path, words in (("/elsewhere", "169.254.169.254"), ("/file", "http or https"), ("/round", "redirects")):
        trouble = listed(site.url(path))
        assert isinstance(trouble, Trouble)
        assert words in trouble.reason
    # A public page that leads to a private address behind an allowed name.
    names = {"site.test": ["127.0.0.1"], "other.test": ["127.0.0.2"]}
    monkeypatch.setattr(socket, "getaddrinfo", resolving(names))
    monkeypatch.setattr("workers.sources.web.public", lambda address: str(address) == "127.0.0.1")
    site.asked.clear()
    trouble = listed(site.url("/inside", "site.test"), replace(OPEN, url_limits=UrlLimits(seconds=5)))
    assert isinstance(trouble, Trouble)
    assert "127.0.0.2" in trouble.reason
    assert [path for _, path, _ in site.asked] == ["/inside"]


def test_size_and_time_have_limits(site: Site) -> None:
    site.pages |= {
        "/large": Page(b"x" * 100_000),
        "/endless": Page(b"y" * 200, slowly=0.1),
        "/packed": Page(b"z", headers={"content-encoding": "gzip"}),
    }
    small = replace(OPEN, url_limits=UrlLimits(bytes=50_000, seconds=1, private_addresses=True))
    with pytest.raises(ItemUnreadable, match="url_bytes"):
        read(site.url("/large"), small)
    with pytest.raises(ItemUnreadable, match="url_seconds"):
        read(site.url("/endless"), small)
    with pytest.raises(ItemUnreadable, match="compressed"):
        read(site.url("/packed"), small)


def test_a_server_that_is_not_there_is_trouble_and_a_page_that_is_not_is_gone(site: Site) -> None:
    assert listed(site.url("/nothing")) is None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    trouble = listed(f"http://127.0.0.1:{port}/a")
    assert isinstance(trouble, Trouble)
    assert "does not answer" in trouble.reason


def test_hosts_that_no_setting_names_are_not_asked(site: Site) -> None:
    trouble = listed(site.url("/a"), replace(OPEN, hosts=("*.example.com",)))
    assert isinstance(trouble, Trouble)
    assert "sources.hosts" in trouble.reason
    assert site.asked == []
