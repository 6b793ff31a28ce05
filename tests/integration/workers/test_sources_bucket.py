"""Sources in a bucket, against a real S3 server: listed below their prefix, read as listed, compared by their tags."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import obstore
import pytest

from ingest.children import ChildPool
from ingest.parsing.limits import Limits
from retrieval.catalog.source_rows import Location, Outcome, RunStatus, SourceKind, Stamp
from retrieval.catalog.transaction import Catalog
from retrieval.sources.permits import BucketAccess, Permits
from retrieval.sources.selection import Selection
from tests.support.mirror import Mirror, folder_wish, open_mirror
from tests.support.s3 import S3Server
from workers.sources.bucket import BucketLister
from workers.sources.port import ItemChanged, Listed, SourceUnavailable


@pytest.fixture
def lister(s3: S3Server) -> BucketLister:
    place = s3.new_address()
    access = BucketAccess(place.endpoint or "", place.region, place.access_key or "", place.secret_key or "")
    return BucketLister(Location(bucket=place.bucket, prefix="docs"), access, Selection(("*.md",), ()))


def put(lister: BucketLister, key: str, text: str) -> None:
    obstore.put(lister._store, key, text.encode())


def test_objects_are_listed_below_the_prefix_and_read(lister: BucketLister) -> None:
    put(lister, "a.md", "Words.")
    put(lister, "deep/b.md", "More words.")
    put(lister, "deep/c.txt", "Not chosen.")
    items = {item.key: item for item in lister.items() if isinstance(item, Listed)}
    assert set(items) == {"a.md", "deep/b.md"}
    assert items["a.md"].stamp.tells
    assert b"".join(lister.read(items["deep/b.md"])) == b"More words."
    assert lister.look("a.md") == items["a.md"]
    assert lister.look("nothing.md") is None


def test_an_object_that_changed_since_it_was_listed_is_noticed(lister: BucketLister) -> None:
    put(lister, "a.md", "Words.")
    [item] = [one for one in lister.items() if isinstance(one, Listed)]
    put(lister, "a.md", "Other.")
    with pytest.raises(ItemChanged):
        list(lister.read(item))
    with pytest.raises(ItemChanged):
        list(lister.read(Listed("nothing.md", Stamp(1, 1, None))))


def test_a_bucket_that_is_not_there_is_unavailable_and_not_empty(s3: S3Server) -> None:
    place = s3.new_address()
    access = BucketAccess(place.endpoint or "", place.region, place.access_key or "", place.secret_key or "")
    with pytest.raises(SourceUnavailable, match="no-such-bucket"):
        list(BucketLister(Location(bucket="no-such-bucket"), access, Selection((), ())).items())


@pytest.fixture
def mirror(shared_catalog: Catalog, tmp_path: Path) -> Iterator[Mirror]:
    with ChildPool(1, Limits()) as children, open_mirror(shared_catalog, tmp_path, children) as opened:
        yield opened


def test_a_mirror_of_a_bucket_follows_it(mirror: Mirror, s3: S3Server) -> None:
    place = s3.new_address()
    access = BucketAccess(place.endpoint or "", place.region, place.access_key or "", place.secret_key or "")
    mirror.parts = replace(mirror.parts, permits=Permits(buckets=(f"{place.bucket}/docs",), bucket_access=access))
    where = Location(bucket=place.bucket, prefix="docs/handbook")
    mirror.source_id = mirror.add(folder_wish(mirror.root, kind=SourceKind.S3, location=where))
    writer = BucketLister(where, access, Selection((), ()))
    for number in range(4):
        put(writer, f"page{number}.md", f"Page {number}.")
    assert mirror.run().counts.added == 4
    put(writer, "page0.md", "Page 0, written anew.")
    obstore.delete(writer._store, "page1.md")
    report = mirror.run()
    assert (report.counts.changed, report.counts.removed, report.counts.unchanged) == (1, 1, 2)
    assert mirror.keys(report.id, Outcome.CHANGED) == ["page0.md"]
    mirror.parts = replace(mirror.parts, permits=Permits(buckets=("other",), bucket_access=access))
    refused = mirror.run()
    assert refused.status is RunStatus.FAILED
    assert "sources.buckets" in (refused.message or "")
    assert len(mirror.found()) == 3
