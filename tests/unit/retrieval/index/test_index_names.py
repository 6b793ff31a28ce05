"""Names of stored files say whose they are, and no other name is taken for one."""

import pytest

from retrieval.ids import SegmentId, StoreId
from retrieval.index.files import codebook_name, codes_name, indexed_by
from retrieval.segments.layout import segment_name, segment_of

STORE, SEGMENT = StoreId("vs_1"), SegmentId("seg_2")


def test_names_read_back() -> None:
    assert indexed_by(codes_name(STORE, SEGMENT, 12)) == (STORE, SEGMENT, 12)
    assert indexed_by(codebook_name(STORE, 7)) == (STORE, None, 7)
    assert segment_of(segment_name(STORE, SEGMENT)) == (STORE, SEGMENT)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "indexes/vs_1",
        "indexes/vs_1/seg_2.codes",
        "indexes/vs_1/x.codebook",
        "indexes/vs_1/seg_2.1.codes.old",
        "indexes/vs_1/deeper/seg_2.1.codes",
        "segments/vs_1/seg_2.1.codes",
        "segments/seg_2.safetensors",
        "segments/vs_1/deeper/seg_2.safetensors",
        "blobs/vs_1/seg_2.safetensors",
    ],
)
def test_other_names_are_nobodys(name: str) -> None:
    assert indexed_by(name) is None
    assert segment_of(name) is None
