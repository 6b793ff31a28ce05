"""Identifiers: how each kind is minted and recognised.

Ids are opaque, ASCII and safe in a URL. The prefix is part of the wire contract; the rest is random.
"""

import re
import secrets
from typing import NewType

ProjectId = NewType("ProjectId", str)
KeyId = NewType("KeyId", str)
FileId = NewType("FileId", str)
UploadId = NewType("UploadId", str)
PartId = NewType("PartId", str)
StoreId = NewType("StoreId", str)
BatchId = NewType("BatchId", str)
SegmentId = NewType("SegmentId", str)
HoldId = NewType("HoldId", str)
ImportId = NewType("ImportId", str)
SourceId = NewType("SourceId", str)
RunId = NewType("RunId", str)
ReindexId = NewType("ReindexId", str)
LeaseToken = NewType("LeaseToken", str)

_WELL_FORMED = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")


def _random() -> str:
    return secrets.token_hex(12)


def new_project_id() -> ProjectId:
    return ProjectId(f"proj_{_random()}")


def new_key_id() -> KeyId:
    return KeyId(f"key_{_random()}")


def new_file_id() -> FileId:
    return FileId(f"file-{_random()}")


def new_upload_id() -> UploadId:
    return UploadId(f"upload_{_random()}")


def new_part_id() -> PartId:
    return PartId(f"part_{_random()}")


def new_store_id() -> StoreId:
    return StoreId(f"vs_{_random()}")


def new_batch_id() -> BatchId:
    return BatchId(f"vsfb_{_random()}")


def new_segment_id() -> SegmentId:
    return SegmentId(f"seg_{_random()}")


def new_export_id() -> HoldId:
    return HoldId(f"export_{_random()}")


def new_backup_id() -> HoldId:
    return HoldId(f"backup_{_random()}")


def new_import_id() -> ImportId:
    return ImportId(f"import_{_random()}")


def new_source_id() -> SourceId:
    return SourceId(f"src_{_random()}")


def new_run_id() -> RunId:
    return RunId(f"run_{_random()}")


def new_reindex_id() -> ReindexId:
    return ReindexId(f"ridx_{_random()}")


def new_lease_token() -> LeaseToken:
    return LeaseToken(_random())


def new_blob_name() -> str:
    """A stored object's name; never used twice, so that an object may go once its row has gone."""
    return f"blob_{_random()}"


def well_formed(identifier: str) -> bool:
    """Whether a caller's id could be one of ours at all; whether it exists is the catalog's answer."""
    return _WELL_FORMED.match(identifier) is not None
