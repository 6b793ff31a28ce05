from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.storage.directory import Directory
from retrieval.storage.objects import Storage
from tests.support.s3 import S3Server


@pytest.fixture(params=["directory", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "directory":
        opened: Storage = Directory(tmp_path / "objects")
    else:
        server: S3Server = request.getfixturevalue("s3")
        opened = server.open(server.new_address(), tmp_path / "cache")
    yield opened
    opened.close()
