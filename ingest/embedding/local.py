"""LocalEngine: a sentence-embedding model on this machine's processors; the only importer of `tokenizers`.

Threads share nothing but the read-only model. The caller of `encode` always works itself, so that a query never
stands behind somebody's batch, and gets the help of what threads are free.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock

import numpy as np
from tokenizers import Tokenizer

from ingest.cores import usable_cores
from ingest.embedding.batching import packs, runs
from ingest.embedding.bert import BertShape
from ingest.embedding.config import Accelerator, EmbedderConfig, Precision
from ingest.embedding.embedder import ModelSpec, Purpose, Vectors
from ingest.embedding.engine import Portion
from ingest.embedding.model_folder import ModelFolder, read_model_folder
from ingest.embedding.sessions import Encode, open_built, open_given
from ingest.embedding.weights import open_weights
from ingest.embedding.windows import WindowLimits, split
from ingest.errors import EmbedderMisbehaved, ModelMissing

_TOKENS_A_PORTION = 16_384  # what is yielded, and cached, at once: about a second of work
_CPU_PACK_TOKENS = 512  # stays in the processor's own cache: faster than large batches (measured)
_GPU_PACK_TOKENS = 16_384


class LocalEngine:
    def __init__(
        self,
        *,
        spec: ModelSpec,
        identity: str,
        tokenizer: Tokenizer,
        encode: Encode,
        limits: WindowLimits,
        positions: int,
        pack_tokens: int,
        threads: int,
    ) -> None:
        self._spec = spec
        self._identity = identity
        self._tokenizer = tokenizer
        self._encode = encode
        self._limits = limits
        self._positions = positions
        self._pack_tokens = pack_tokens
        self._helpers = ThreadPoolExecutor(threads - 1, thread_name_prefix="embed") if threads > 1 else None
        self._helper_count = threads - 1

    @classmethod
    def open(cls, config: EmbedderConfig) -> "LocalEngine":
        """Reads, checks and builds the model: some 0.3 s. Raises ModelMissing."""
        folder = read_model_folder(config.model, config.folder)
        accelerator = config.accelerator
        precision = config.precision if accelerator == "cpu" else "fp32"  # rounding pays on processors only
        encode, positions, packed = _open_encode(folder, accelerator, precision)
        tokenizer = _open_tokenizer(folder)
        window_tokens = min(config.window_tokens or folder.window_tokens, positions)
        marks = len(tokenizer.encode("").ids)
        prefix = max(len(tokenizer.encode(text).ids) - marks for text in (config.query_prefix, config.document_prefix))
        limits = WindowLimits.of_model(max(8, window_tokens - marks - prefix))
        width = _width_of(encode, tokenizer)
        if config.width is not None and config.width != width:
            raise ModelMissing(f"the embedding model {config.model} is {width} wide, and {config.width} was asked for")
        price = config.dollars_per_million_tokens
        spec = ModelSpec(config.model, width, window_tokens, price, shortens=config.shortens)
        pack_tokens = (_GPU_PACK_TOKENS if accelerator == "cuda" else _CPU_PACK_TOKENS) if packed else 0
        return cls(
            spec=spec,
            identity=f"local {folder.identity} {precision} {accelerator} {limits}",
            tokenizer=tokenizer,
            encode=encode,
            limits=limits,
            positions=positions,
            pack_tokens=pack_tokens,
            threads=config.threads or usable_cores(),
        )

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def identity(self) -> str:
        return self._identity

    def windows(self, text: str) -> list[str]:
        spans = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return split(text, spans, self._limits)

    def encode(self, texts: Sequence[str], purpose: Purpose) -> Iterator[Portion]:  # noqa: ARG002 - one space for both
        ids = [self._tokenizer.encode(text).ids for text in texts]
        for portion in runs(
            [len(one) for one in ids], most_size=_TOKENS_A_PORTION * (self._helper_count + 1), most_items=4096
        ):
            some = [ids[index] for index in portion]
            yield Portion(portion, self._vectors(some), [len(one) for one in some])

    def close(self) -> None:
        if self._helpers is not None:
            self._helpers.shutdown(wait=True, cancel_futures=True)

    def _vectors(self, ids: Sequence[Sequence[int]]) -> Vectors:
        longest = max(len(one) for one in ids)
        if longest > self._positions:  # windows are to prevent this; never answer for a text that was not read whole
            raise EmbedderMisbehaved(f"a text of {longest} tokens reached a model that reads {self._positions}")
        lengths = [len(one) for one in ids]
        vectors = np.empty((len(ids), self._spec.width), dtype=np.float32)
        waiting = iter(packs(lengths, most_tokens=self._pack_tokens, most_texts=1024))
        taking = Lock()  # guards `waiting`

        def work() -> None:
            while True:
                with taking:
                    pack = next(waiting, None)
                if pack is None:
                    return
                vectors[pack] = self._encode([ids[index] for index in pack])

        helpers = min(self._helper_count, len(ids) - 1)
        others: list[Future[None]] = []
        if self._helpers is not None:
            others = [self._helpers.submit(work) for _ in range(helpers)]
        try:
            work()
        finally:
            for one in others:
                one.cancel()  # those that never started; the rest finish their pack and find nothing more
            wait(others)
        for one in others:
            if not one.cancelled():
                one.result()
        return vectors


def _open_encode(folder: ModelFolder, accelerator: Accelerator, precision: Precision) -> tuple[Encode, int, bool]:
    """How ids become vectors, how many ids a text may have, and whether texts may share a call."""
    positions = folder.shape.get("max_position_embeddings")
    first = folder.pools_first_token
    if folder.graph is not None:
        encode = open_given(folder.graph, accelerator=accelerator, pools_first_token=first)
        # A given graph may round per call as our int8 does; alone in its call, a text has one vector.
        return encode, positions if isinstance(positions, int) else folder.window_tokens, False
    shape = BertShape.of(folder.shape, folder.name)
    tensor = open_weights(folder.weights)
    encode = open_built(shape, tensor, precision, accelerator=accelerator, pools_first_token=first)
    return encode, shape.positions, precision == "fp32"


def _open_tokenizer(folder: ModelFolder) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder.tokenizer))
    tokenizer.no_truncation()  # files are shipped with a limit; ours is the window, and it cuts nothing off
    tokenizer.no_padding()
    return tokenizer


def _width_of(encode: Encode, tokenizer: Tokenizer) -> int:
    """Run once: proves at start that the model works, and warms it up."""
    return int(encode([tokenizer.encode("warm").ids]).shape[1])
