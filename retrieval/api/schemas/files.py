"""File: the wire's object, and what a request may say about one."""

import re
from typing import Final, Literal

from pydantic import BaseModel, Field

from retrieval.api.validation import Closed
from retrieval.catalog.account_rows import FileRow
from retrieval.errors import InvalidInput

PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
BATCH_BYTES: Final = 200 << 20
BATCH_SECONDS: Final = 30 * 86400
LEAST_SECONDS: Final = 3600
MOST_SECONDS: Final = 2592000
MOST_NAME_CHARACTERS: Final = 1024

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]


class FileObject(BaseModel):
    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"  # the SDKs' helpers wait for it; bytes are durable before any answer
    # The published description knows no null here: without an end the key is absent.
    expires_at: int | None = Field(default=None, exclude_if=lambda moment: moment is None)

    @classmethod
    def of(cls, row: FileRow) -> "FileObject":
        return cls(
            id=row.id,
            bytes=row.bytes,
            created_at=row.created_at,
            filename=row.filename,
            purpose=row.purpose,
            expires_at=row.expires_at,
        )


class FileDeleted(BaseModel):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class ExpiresAfter(Closed):
    anchor: Literal["created_at"]
    seconds: int = Field(ge=LEAST_SECONDS, le=MOST_SECONDS)


def plain_name(filename: str) -> str:
    """The name without the folders that some clients send along; never empty."""
    name = re.split(r"[/\\]", filename)[-1].replace("\x00", "")
    if len(name) > MOST_NAME_CHARACTERS:
        raise InvalidInput(
            f"'file' has a name of more than {MOST_NAME_CHARACTERS} characters.",
            param="file",
            code="string_above_max_length",
        )
    return name or "upload"


def checked_purpose(purpose: str | None) -> str:
    if purpose is None:
        raise InvalidInput("Missing required parameter: 'purpose'.", param="purpose", code="missing_required_parameter")
    if purpose not in PURPOSES:
        known = ", ".join(repr(name) for name in PURPOSES)
        raise InvalidInput(
            f"Invalid value for 'purpose': expected one of {known}.", param="purpose", code="invalid_value"
        )
    return purpose


def expiry_of(anchor: str | None, seconds: str | None) -> int | None:
    """`expires_after` as a form sends it: two fields of text, both or neither."""
    if anchor is None and seconds is None:
        return None
    for name, value in (("anchor", anchor), ("seconds", seconds)):
        if value is None:
            param = f"expires_after.{name}"
            raise InvalidInput(
                f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
            )
    if anchor != "created_at":
        param = "expires_after.anchor"
        raise InvalidInput(f"Invalid value for '{param}': expected 'created_at'.", param=param, code="invalid_value")
    param = "expires_after.seconds"
    if seconds is None or not re.fullmatch(r"-?[0-9]{1,18}", seconds):
        raise InvalidInput(f"Invalid type for '{param}': expected an integer.", param=param, code="invalid_type")
    asked = int(seconds)
    if asked < LEAST_SECONDS:
        raise InvalidInput(f"'{param}' must be at least {LEAST_SECONDS}.", param=param, code="integer_below_min_value")
    if asked > MOST_SECONDS:
        raise InvalidInput(f"'{param}' must be at most {MOST_SECONDS}.", param=param, code="integer_above_max_value")
    return asked
