"""What can go wrong between bytes and vectors, and whose fault it is.

    IngestError
    ├── DocumentError             the document is to blame: trying again gives the same answer
    │   ├── UnsupportedFile       nothing here reads this kind of file
    │   └── InvalidFile           the right kind, but it cannot be read
    │       ├── EmptyDocument     no text at all
    │       ├── NoTextLayer       pages that are pictures of text
    │       ├── UndecodableText   bytes that are no text in any encoding we know
    │       ├── DamagedDocument   truncated, or not what its format demands
    │       ├── EncryptedDocument a password stands before the text
    │       ├── DocumentTooLarge  a limit from the settings was passed
    │       └── HostileDocument   built to exhaust whoever opens it
    └── MachineError              we are to blame: the same document may succeed later
        ├── ChildDied             the process that parsed it was killed from outside
        ├── ChildrenBusy          no such process was free for a long time
        ├── ParserFault           a bug of ours: an exception that no parser foresaw
        ├── SourceUnreadable      the stored bytes cannot be opened
        ├── ModelMissing          the embedding model is not on this machine
        ├── EmbedderUnavailable   the embedder is away, overloaded or slow
        └── EmbedderMisbehaved    the embedder answered, and the answer is no set of vectors
            └── TextRefused       it takes other texts, and turns this one away

`str(error)` is a sentence for the person who uploaded the file. It never holds document text.
"""

from typing import ClassVar, Literal

Fault = Literal["document", "machine"]
WireCode = Literal["unsupported_file", "invalid_file", "server_error"]


class IngestError(Exception):
    """Root of the tree; `fault` says whom to blame, `code` is `last_error.code` on the wire."""

    fault: ClassVar[Fault]
    code: ClassVar[WireCode]


class DocumentError(IngestError):
    fault = "document"
    code: ClassVar[WireCode] = "invalid_file"


class UnsupportedFile(DocumentError):
    code: ClassVar[WireCode] = "unsupported_file"


class InvalidFile(DocumentError):
    pass


class EmptyDocument(InvalidFile):
    pass


class NoTextLayer(InvalidFile):
    pass


class UndecodableText(InvalidFile):
    pass


class DamagedDocument(InvalidFile):
    pass


class EncryptedDocument(InvalidFile):
    pass


class DocumentTooLarge(InvalidFile):
    pass


class HostileDocument(InvalidFile):
    pass


class MachineError(IngestError):
    fault = "machine"
    code = "server_error"


class ChildDied(MachineError):
    pass


class ChildrenBusy(MachineError):
    pass


class ParserFault(MachineError):
    pass


class SourceUnreadable(MachineError):
    pass


class ModelMissing(MachineError):
    pass


class EmbedderUnavailable(MachineError):
    """Away, overloaded or slow. `retry_after_seconds` is what the upstream asked for, if it did."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class EmbedderMisbehaved(MachineError):
    pass


class TextRefused(EmbedderMisbehaved):
    pass
