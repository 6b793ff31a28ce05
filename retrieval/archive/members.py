"""Members of the tar file that an archive is: headers written one way, and read no other way.

Only plain files with plain names are members. No links, folders, sparse files, extended headers or other dialects:
what tar programs disagree about has no place in an archive, so there is nothing to be tricked with.
"""

from dataclasses import dataclass
from typing import Final

from retrieval.archive.errors import ArchiveRefused

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
MOST_NAME_BYTES: Final = 100
MOST_BYTES: Final = 1 << 43  # of one member; beyond every file system that a test could fill

_OCTAL_SIZE: Final = 8**11  # from here on, sizes are written in base 256
_MODE, _OWNER = b"0000644\0", b"0000000\0"
_MAGIC: Final = b"ustar\x0000"


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    bytes: int


def padding(size: int) -> int:
    return -size % BLOCK


def whole(size: int) -> int:
    """How much of the archive a member of this size takes."""
    return BLOCK + size + padding(size)


def header(member: Member) -> bytes:
    name = member.name.encode("ascii")
    if not 0 < len(name) <= MOST_NAME_BYTES or not 0 <= member.bytes < MOST_BYTES:
        raise ValueError(f"not a member of an archive: {member}")
    octal = member.bytes < _OCTAL_SIZE
    size = b"%011o\0" % member.bytes if octal else b"\x80" + member.bytes.to_bytes(11, "big")
    parts = [name.ljust(100, b"\0"), _MODE, _OWNER, _OWNER, size, b"%011o\0" % 0, b" " * 8, b"0", bytes(100), _MAGIC]
    block = b"".join(parts).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def read_header(block: bytes) -> Member:
    """The member that a header announces: one that `header` would have written, byte for byte."""
    if len(block) < BLOCK:
        raise ArchiveRefused("The archive is cut off: it ends where a member should begin.")
    if block[156:157] not in {b"0", b"\0"}:
        raise ArchiveRefused("The archive holds something that is not a plain file; none of ours does.")
    try:
        name = block[:100].rstrip(b"\0").decode("ascii")
        field = block[124:136]
        size = int.from_bytes(field[1:], "big") if field[0] == 0x80 else int(field.rstrip(b"\0 "), 8)
        member = Member(name, size)
        same = header(member) == block
    except (ValueError, UnicodeDecodeError) as error:
        raise ArchiveRefused("The archive is damaged or foreign: a member's header cannot be read.") from error
    if not same:
        raise ArchiveRefused("The archive is damaged or foreign: a member's header is not as Carrel writes it.")
    return member
