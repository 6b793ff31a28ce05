"""Every bad document, through real children: each ends in its text, or in an error that blames the right side."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.children import ChildPool, Reading
from ingest.errors import DocumentError
from ingest.parsing.limits import Limits
from tests.support.poison import MARKER, Poison, all_poisons, judged

LIMITS = Limits(cpu_seconds=60, wall_seconds=240)


@pytest.fixture(scope="module")
def pool() -> Iterator[ChildPool]:
    with ChildPool(1, LIMITS) as pool:
        yield pool


def label(poison: Poison) -> str:
    return f"{poison.label} as {poison.name}".encode("ascii", "replace").decode()


@pytest.mark.parametrize("poison", all_poisons(), ids=label)
def test_a_bad_document_ends_as_stated(poison: Poison, pool: ChildPool, tmp_path: Path) -> None:
    path = tmp_path / "document"
    poison.write(path)
    attempt = pool.attempt(Reading(path, poison.name))
    path.unlink()  # half a gigabyte each: not to be kept until the run is over
    text = None if attempt.prepared is None else attempt.prepared.text
    assert judged(poison, attempt.error, text) == ""
    if sys.platform == "linux" and attempt.cost.peak_bytes is not None:
        assert attempt.cost.peak_bytes <= LIMITS.memory_bytes
    if attempt.error is not None:
        assert isinstance(attempt.error, DocumentError)
        sentence = str(attempt.error)
        assert sentence.endswith(".")
        assert 15 <= len(sentence) <= 600, "a sentence for a person"
        assert str(tmp_path) not in sentence
    if attempt.prepared is not None:
        text.encode("utf-8")  # type: ignore[union-attr] # set when it was read
        assert "\0" not in attempt.prepared.text
        assert attempt.prepared.chunks


def test_poison_between_good_documents_spoils_none_of_them(tmp_path: Path) -> None:
    poisons = [poison for poison in all_poisons() if "PDF" in poison.label or "deep" in poison.label]
    readings = []
    for number, poison in enumerate(poisons):
        path = tmp_path / f"{number}"
        poison.write(path)
        readings += [Reading(path, poison.name), Reading(f"{MARKER} {number}".encode(), "good.txt")]
    with ChildPool(2, LIMITS) as pool:
        good = list(pool.prepare_many(readings))[1::2]
    texts = [attempt.prepared.text if attempt.prepared else str(attempt.error) for attempt in good]
    assert texts == [f"{MARKER} {number}" for number in range(len(poisons))]
