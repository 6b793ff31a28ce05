"""Opens what the API is made of, in order, and closes it in reverse; once per process."""

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from configs.settings import Embedding, Settings
from ingest.embedding import CacheConfig, EmbedderConfig, RemoteLimits, TokenIds
from retrieval.catalog.transaction import Catalog
from retrieval.embedders import Embedders
from retrieval.index.snapshots import Snapshots
from retrieval.index.vectors import use_one_thread
from retrieval.pauses import CatalogPauses
from retrieval.search.searcher import Searcher
from retrieval.sources.permits import BucketAccess, Permits, UrlLimits
from retrieval.storage.blobs import Blobs
from retrieval.storage.cache import Cache
from retrieval.storage.directory import Directory
from retrieval.storage.objects import Storage


@dataclass(frozen=True, slots=True)
class Resources:
    catalog: Catalog
    storage: Storage
    blobs: Blobs
    embedders: Embedders
    token_ids: TokenIds
    snapshots: Snapshots
    searcher: Searcher
    permits: Permits


def catalog_url(settings: Settings) -> str:
    return settings.catalog.url or f"sqlite:///{settings.data_dir.absolute()}/catalog.db"


def embedder_configs(settings: Settings) -> list[EmbedderConfig]:
    """The default first."""
    folder = settings.data_dir / "cache" / "vectors"
    return [_embedder_config(given, folder) for given in (settings.embedding, *settings.models.values())]


def _embedder_config(given: Embedding, cache: Path) -> EmbedderConfig:
    return EmbedderConfig(
        provider=given.provider,
        model=given.model,
        width=given.dimensions or None,
        dimensions=(given.dimensions or None) if given.provider != "openai" else None,
        dollars_per_million_tokens=given.dollars_per_million_tokens,
        folder=given.models_dir,
        precision=given.precision,
        threads=given.threads,
        base_url=given.base_url,
        api_key=given.upstream_key,
        limits=RemoteLimits(
            inputs_per_call=given.inputs_per_call,
            tokens_per_call=given.tokens_per_call,
            calls_at_once=given.concurrent_calls,
            call_seconds=given.timeout_seconds,
            patience_seconds=given.give_up_after_seconds,
        ),
        cache=CacheConfig(folder=cache, disk_bytes=given.cache_bytes),
    )


def open_storage(settings: Settings) -> Storage:
    if not settings.storage.url:
        return Directory(settings.data_dir / "objects", reserve_bytes=settings.storage.reserve_bytes)
    return _open_bucket(settings)


def _aliases(settings: Settings) -> dict[str, str]:
    """Names of other services for models of ours. A model that has such a name itself is meant by it."""
    configured = (*settings.models.values(), settings.embedding)
    return {name: model.model for model in configured for name in _listed(model.aliases) if name not in settings.models}


def permits_of(settings: Settings) -> Permits:
    given, storage = settings.sources, settings.storage
    return Permits(
        roots=tuple(Path(root).expanduser() for root in _listed(given.roots)),
        buckets=_listed(given.buckets),
        hosts=_listed(given.hosts),
        bucket_access=BucketAccess(
            endpoint=given.s3_endpoint or storage.endpoint,
            region=given.s3_region or storage.region,
            access_key=given.s3_access_key_id or storage.access_key_id,
            secret_key=given.s3_secret_access_key or storage.secret_access_key,
        ),
        url_limits=UrlLimits(given.url_bytes, given.url_seconds, given.private_addresses),
        max_removed_share=given.max_removed_share,
        runs_kept=given.runs_kept,
    )


def _listed(given: str) -> tuple[str, ...]:
    return tuple(name for one in given.split(",") if (name := one.strip()))


@contextmanager
def open_resources(settings: Settings) -> Iterator[Resources]:
    use_one_thread()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        catalog = stack.enter_context(
            Catalog.open(
                catalog_url(settings),
                busy_seconds=settings.catalog.busy_timeout_seconds,
                connections=settings.catalog.pool_size,
            )
        )
        storage = open_storage(settings)
        stack.callback(storage.close)
        embedders = Embedders(embedder_configs(settings), _aliases(settings), pauses=CatalogPauses(catalog))
        stack.callback(embedders.close)
        snapshots = Snapshots(catalog, storage)
        stack.callback(snapshots.close)
        searcher = Searcher(catalog, snapshots, embedders.get)
        yield Resources(
            catalog, storage, Blobs(storage), embedders, TokenIds(), snapshots, searcher, permits_of(settings)
        )


def _open_bucket(settings: Settings) -> Storage:
    """s3://bucket/prefix. The bucket's library is an extra, so its room is entered only on demand."""
    given = settings.storage
    address = urlsplit(given.url)
    if address.scheme != "s3" or not address.netloc:
        raise ValueError(f"storage.url: {given.url!r} is not of the form s3://bucket/prefix")
    try:
        room = importlib.import_module("retrieval.storage.bucket")
    except ModuleNotFoundError as error:
        raise ValueError("storage.url: S3 needs the extra 'cluster': pip install 'carrel[cluster]'") from error
    place = room.BucketAddress(
        bucket=address.netloc,
        prefix=address.path.strip("/"),
        endpoint=given.endpoint or None,
        region=given.region,
        access_key=given.access_key_id or None,
        secret_key=given.secret_access_key or None,
    )
    cache = Cache(settings.data_dir / "cache" / "objects", most_bytes=given.cache_bytes)
    bucket: Storage = room.Bucket(place, cache)
    return bucket
