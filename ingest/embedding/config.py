"""EmbedderConfig: which model, where it lives and what it may use, as plain values.

Nothing here is read from the environment; whoever owns the settings fills it in. `api_key` stays out of `repr`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Provider = Literal["local", "openai", "hashed"]
Precision = Literal["int8", "fp32"]
Accelerator = Literal["cpu", "cuda"]

DEFAULT_MODEL = "all-MiniLM-L6-v2"
MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """Vectors already paid for. No folder: they are kept in this process only."""

    memory_bytes: int = 64 * MEBIBYTE
    folder: Path | None = None
    disk_bytes: int = 1024 * MEBIBYTE  # for each model; a folder outlives its models, so delete it when changing often


@dataclass(frozen=True, slots=True)
class RemoteLimits:
    """What one OpenAI-compatible upstream is asked to bear; it may teach us less at run time."""

    inputs_per_call: int = 4096
    tokens_per_call: int = 300_000  # estimated: a token for four letters or one sign
    calls_at_once: int = 4  # of documents; queries do not queue behind them
    call_seconds: float = 60.0  # one attempt
    patience_seconds: float = 120.0  # a call of documents that got no answer for this long, retries included, gives up
    query_patience_seconds: float = 15.0  # the same for a query: somebody is waiting
    longest_pause_seconds: float = 30.0  # between attempts, where the upstream does not ask for more


@dataclass(frozen=True, slots=True)
class EmbedderConfig:
    provider: Provider = "local"
    model: str = DEFAULT_MODEL
    width: int | None = None  # of the model's own vectors; a local folder knows it, an upstream must be told
    dimensions: int | None = None  # shorten to this; only for models trained to be shortened
    shortens: bool = False  # the model was trained so that its first dimensions alone still mean the text
    window_tokens: int | None = None  # a local folder knows it; upstreams default to 8,192
    dollars_per_million_tokens: float = 0.0
    query_prefix: str = ""  # some models want "query: " before a question
    document_prefix: str = ""
    folder: Path = Path("models")  # local: holds one folder for each model
    precision: Precision = "int8"
    threads: int = 0  # local: 0 means one for each core this process may use
    accelerator: Accelerator = "cpu"
    base_url: str = ""  # openai: up to and with "/v1"
    api_key: str = field(default="", repr=False)
    limits: RemoteLimits = RemoteLimits()
    cache: CacheConfig = CacheConfig()
