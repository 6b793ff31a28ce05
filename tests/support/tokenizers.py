"""Tokenizers opened once for the whole run, and the genuine encodings to hold them against."""

import base64
import importlib
import lzma
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import tiktoken

import ingest.chunking
from ingest.chunking.tokens import EncodingName, Tokenizer


@cache
def tokenizer(name: EncodingName = "cl100k_base") -> Tokenizer:
    return Tokenizer(name)


@cache
def short_pieces() -> Tokenizer:
    """Cuts text into pieces so short that small examples show what happens at their ends."""
    return Tokenizer(piece_characters=24)


@cache
def genuine(name: EncodingName = "cl100k_base") -> tiktoken.Encoding:
    """The encoding as its publisher defines it; only the table is read from our file instead of the network."""
    published: Any = importlib.import_module("tiktoken_ext.openai_public")
    packed = (Path(ingest.chunking.__file__).parent / f"{name}.tiktoken.xz").read_bytes()
    lines = lzma.decompress(packed).splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, lines)}
    with mock.patch.object(published, "load_tiktoken_bpe", return_value=ranks):
        return tiktoken.Encoding(**getattr(published, name)())


def recount(text: str, name: EncodingName = "cl100k_base") -> int:
    return len(genuine(name).encode_ordinary(text))
