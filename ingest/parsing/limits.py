"""Limits: how much one document may cost before it is refused. The values come from the settings."""

from dataclasses import dataclass
from mmap import mmap

MEBIBYTE = 1 << 20

# What every parser takes: the whole file, in memory or mapped (read-only). Both slice to `bytes`, have `find` and
# `len`, and give a `memoryview` without a copy; an empty file cannot be mapped and comes as b"".
Source = bytes | mmap


@dataclass(frozen=True, slots=True)
class Limits:
    source_bytes: int = 512 * MEBIBYTE  # of the file as uploaded
    tokens: int = 5_000_000  # of the text inside it
    pages: int = 20_000
    expanded_bytes: int = 2048 * MEBIBYTE  # of all members of an archive, or all streams of a PDF, unpacked
    expansion_ratio: int = 200  # unpacked to packed size, of any member above a mebibyte
    archive_members: int = 20_000
    nesting: int = 200  # of elements, objects, lists, quoted messages
    columns: int = 20_000  # of one table row
    memory_bytes: int = 1536 * MEBIBYTE  # of the child that parses
    cpu_seconds: int = 300
    wall_seconds: int = 600
