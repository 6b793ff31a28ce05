"""A source -> its lister, if the settings still permit it."""

import importlib

from retrieval.catalog.source_rows import SourceKind, SourceWish
from retrieval.errors import CallerError
from retrieval.sources.permits import Permits
from retrieval.sources.selection import Selection
from workers.sources.directory import DirectoryLister
from workers.sources.port import Lister, SourceUnavailable
from workers.sources.web import WebLister


def open_lister(wish: SourceWish, permits: Permits) -> Lister:
    """Raises SourceUnavailable."""
    try:
        permits.check(wish.kind, wish.location)
    except CallerError as error:
        raise SourceUnavailable(error.message) from error
    selection = Selection(wish.include, wish.exclude)
    match wish.kind:
        case SourceKind.DIRECTORY:
            return DirectoryLister(permits.folder(wish.location.path), selection)
        case SourceKind.URLS:
            return WebLister(wish.location.urls, permits)
        case SourceKind.S3:
            try:
                room = importlib.import_module("workers.sources.bucket")  # its library is an extra
            except ModuleNotFoundError as error:
                raise SourceUnavailable(
                    "S3 sources need the extra 'cluster': pip install 'carrel[cluster]'."
                ) from error
            lister: Lister = room.BucketLister(wish.location, permits.bucket_access, selection)
            return lister
