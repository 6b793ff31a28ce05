"""A segment file under another name: the same body byte for byte, behind a head that names its new owner."""

from collections.abc import Iterator
from dataclasses import replace

from retrieval.catalog.rows import SegmentRow
from retrieval.ids import SegmentId, StoreId
from retrieval.segments.layout import HEAD_BYTES, SegmentFacts, decode_head, encode_head, head_checksum


def renamed_head(head: bytes, store: StoreId, segment: SegmentId) -> bytes:
    """`head` was compared with its checksum; raises `NotASegment` if this version cannot read it."""
    read = decode_head(head)
    facts = SegmentFacts(segment, store, read.facts.created_at, read.facts.total_length)
    return encode_head(replace(read, facts=facts))


def renamed(
    row: SegmentRow, head: bytes, body: Iterator[bytes], store: StoreId, segment: SegmentId
) -> tuple[SegmentRow, Iterator[bytes]]:
    """The row and the bytes of a copy. `body` begins behind the head."""
    fresh = renamed_head(head, store, segment)
    assert len(fresh) == HEAD_BYTES

    def pieces() -> Iterator[bytes]:
        yield fresh
        yield from body

    made = replace(row, id=segment, store_id=store, checksum=head_checksum(fresh))
    return made, pieces()
