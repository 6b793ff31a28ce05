"""What sources may read: by settings, and nothing by default.

Whoever may call the API is not thereby allowed to read the server's disk, its network or every bucket that its
credentials open. Asked when a source is made and again at each run.
"""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from retrieval.catalog.source_rows import Location, SourceKind
from retrieval.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """How buckets of sources are reached; empty: as the service's own storage is, or by the machine's credentials."""

    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class UrlLimits:
    bytes: int = 64 << 20
    seconds: int = 60
    private_addresses: bool = False


@dataclass(frozen=True, slots=True)
class Permits:
    roots: tuple[Path, ...] = ()
    buckets: tuple[str, ...] = ()  # `bucket` or `bucket/prefix`
    hosts: tuple[str, ...] = ()  # `docs.example.com` or `*.example.com`
    bucket_access: BucketAccess = field(default_factory=BucketAccess)
    url_limits: UrlLimits = field(default_factory=UrlLimits)
    max_removed_share: float = 0.3
    runs_kept: int = 100

    def check(self, kind: SourceKind, location: Location) -> None:
        """Refuse, in words that say which setting would allow it."""
        match kind:
            case SourceKind.DIRECTORY:
                self.folder(location.path)
            case SourceKind.S3:
                self._check_bucket(location)
            case SourceKind.URLS:
                for at, url in enumerate(location.urls):
                    self.check_url(url, f"source.urls[{at}]")

    def folder(self, path: str) -> Path:
        """The real folder behind a path, links resolved, if it lies below an allowed root."""
        if not path.startswith("/") or "\x00" in path:
            raise InvalidInput(
                "Invalid value for 'source.path': an absolute path on the server is expected.",
                param="source.path",
                code="invalid_value",
            )
        try:
            real = Path(path).resolve()
            allowed = any(real.is_relative_to(root.resolve()) for root in self.roots)
        except (OSError, RuntimeError, ValueError):  # a loop of links, or no path at all
            allowed = False
        if not allowed:
            known = ", ".join(str(root) for root in self.roots) or "none"
            raise InvalidInput(
                f"This server may not read {path} for sources. Allowed roots: {known}. Its operator can allow one with "
                f"the setting sources.roots, for example CARREL_SOURCES_ROOTS={path}, and start it again.",
                param="source.path",
                code="source_not_allowed",
            )
        return real

    def _check_bucket(self, location: Location) -> None:
        prefix = location.prefix.strip("/")
        for allowed in self.buckets:
            bucket, _, below = allowed.strip("/").partition("/")
            inside = not below or prefix == below or prefix.startswith(f"{below}/")
            if bucket == location.bucket and inside:
                return
        known = ", ".join(self.buckets) or "none"
        wanted = f"{location.bucket}/{prefix}".strip("/")
        raise InvalidInput(
            f"This server may not read s3://{wanted} for sources. Allowed: {known}. Its operator can allow it with the "
            f"setting sources.buckets, for example CARREL_SOURCES_BUCKETS={wanted}, and start it again.",
            param="source.bucket",
            code="source_not_allowed",
        )

    def check_url(self, url: str, param: str = "source.urls") -> str:
        """The host of an address that may be asked, as far as its name tells."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower().rstrip("."), parts.port
        except ValueError:
            parts, host, port = urlsplit(""), "", None
        odd = not url.isprintable() or " " in url or not host.isascii()
        if odd or parts.scheme not in {"http", "https"} or not host or port == 0 or parts.username or parts.password:
            raise InvalidInput(
                f"Invalid value for '{param}': an http or https address in ASCII and without a user is expected.",
                param=param,
                code="invalid_value",
            )
        if not any(_matches(host, allowed.lower()) for allowed in self.hosts):
            known = ", ".join(self.hosts) or "none"
            raise InvalidInput(
                f"This server may not fetch from {host} for sources. Allowed hosts: {known}. Its operator can allow it "
                f"with the setting sources.hosts, for example CARREL_SOURCES_HOSTS={host}, and start it again.",
                param=param,
                code="source_not_allowed",
            )
        return host


def _matches(host: str, allowed: str) -> bool:
    if allowed.startswith("*."):
        return host.endswith(allowed[1:])
    return host == allowed
