"""A bucket that is gone, closed to us or unknown is an error of ours, in words, and soon."""

from pathlib import Path

import pytest

from retrieval.errors import ObjectMissing, StorageUnavailable
from retrieval.storage.bucket import Bucket, BucketAddress
from retrieval.storage.cache import Cache
from retrieval.storage.objects import put
from tests.support.s3 import S3Server, running_s3


def test_a_server_that_went_away_is_unavailable(tmp_path: Path) -> None:
    with running_s3() as server:
        bucket = server.open(server.new_address(), tmp_path)
        put(bucket, "name", [b"content"])
        reading = bucket.read("name")
    for ask in (lambda: put(bucket, "other", [b"x"]), lambda: bucket.size("name"), lambda: list(bucket.list())):
        with pytest.raises(StorageUnavailable):
            ask()
    with pytest.raises(StorageUnavailable):
        list(reading)
    with pytest.raises(StorageUnavailable):
        bucket.check()
    with bucket.local("name") as path:  # this node has its copy
        assert path.read_bytes() == b"content"


def test_a_bucket_that_does_not_exist_is_not_a_healthy_one(s3: S3Server, tmp_path: Path) -> None:
    address = BucketAddress("no-such-bucket", "", s3.url, access_key="key", secret_key="secret", retries=0)
    bucket = s3.open(address, tmp_path)
    with pytest.raises((ObjectMissing, StorageUnavailable), match="bucket"):
        bucket.check()


def test_what_an_abandoned_upload_left_is_invisible(s3: S3Server, tmp_path: Path) -> None:
    address = s3.new_address()
    bucket = s3.open(address, tmp_path)
    with bucket.draft() as draft:
        draft.write(b"x")
        bucket._send_parts(draft._file.path, ".incoming/abandoned")
    assert list(bucket.list()) == []
    assert bucket.sweep() == 0  # too young to be called abandoned
    later = Bucket(address, Cache(tmp_path, most_bytes=1000), abandoned_seconds=0)
    assert later.sweep() == 1
    assert later.sweep() == 0
