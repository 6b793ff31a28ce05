from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.embedding import HashedEmbedder
from retrieval.catalog.transaction import Catalog
from retrieval.storage.directory import Directory
from retrieval.storage.objects import Storage
from tests.support.s3 import S3Server
from tests.support.shelf import Shelf


@pytest.fixture(params=["sqlite and a directory", "postgresql and a bucket"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    if request.param == "sqlite and a directory":
        catalog = Catalog.open(request.getfixturevalue("sqlite_url"))
        storage: Storage = Directory(tmp_path / "objects")
    else:
        catalog = Catalog.open(request.getfixturevalue("postgres_url"))
        server: S3Server = request.getfixturevalue("s3")
        storage = server.open(server.new_address(), tmp_path / "cache")
    with Shelf(catalog, storage, HashedEmbedder(width=64)) as opened:
        with catalog.transaction() as tx:
            tx.projects.add(opened.project, "tests", opened.now)
        yield opened
