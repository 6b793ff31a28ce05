"""The program of a child: `python -m ingest.children.child PARENT_PID LIMITS`, a reader that may be killed.

Parsers and token tables are loaded once, before the first document; what is imported here is what a start costs.
"""

import json
import sys
from collections.abc import Sequence

from ingest.children.confinement import die_with
from ingest.children.serving import run
from ingest.chunking.chunk import ChunkLimits
from ingest.chunking.tokens import Tokenizer
from ingest.collecting import collect_rarely
from ingest.parsing.limits import Limits, Source
from ingest.preparation import prepare
from ingest.prepared import Prepared

NEW_OBJECTS = 20_000  # between two looks for cycles: a document must not leave much behind


def main(arguments: Sequence[str]) -> int:
    parent_pid, limits = int(arguments[0]), Limits(**json.loads(arguments[1]))
    die_with(parent_pid)
    tokenizer = Tokenizer()

    def prepare_document(source: Source, name: str, limits: Limits, chunking: ChunkLimits) -> Prepared:
        return prepare(source, name, limits, chunking, tokenizer)

    # Looking through modules and token tables again and again took a third of each document.
    collect_rarely(NEW_OBJECTS)
    run(limits, prepare_document)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
