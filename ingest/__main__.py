"""`python -m ingest FOLDER`: what becomes of each file: blocks, chunks and vectors, or the reason why not.

Nothing is stored. Limits, model and number of processes are the settings' unless an option says otherwise. Exit status:
0 all files were read, 1 some were not, 2 nothing could be tried (no folder, wrong settings, no model), 130 interrupted.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from configs.errors import SettingsError
from configs.settings import Settings, load_settings
from ingest.children import Attempt, ChildPool, Reading
from ingest.chunking.chunk import ChunkLimits
from ingest.cores import usable_cores
from ingest.embedding import CacheConfig, Embedder, EmbedderConfig, open_embedder
from ingest.errors import IngestError
from ingest.parsing.limits import Limits

STATIC_TOKENS, STATIC_OVERLAP = 800, 400  # the published defaults of `static`


@dataclass(frozen=True, slots=True)
class Row:
    """One file, as it is shown. A file that was not read has an error and no more."""

    file: str
    media_type: str = ""
    blocks: int = 0
    chunks: int = 0
    tokens: int = 0
    vectors: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    peak_bytes: int | None = None
    warnings: tuple[str, ...] = ()
    error: str = ""
    code: str = ""
    sentence: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        chunking = _chunking(options)
        if not options.folder.is_dir():
            raise NotADirectoryError(f"{options.folder} is no folder")
        embedder = open_embedder(_embedder_config(settings, options.model))
    except (SettingsError, OSError, ValueError, IngestError) as error:
        print(f"ingest: {error}", file=sys.stderr)
        return 2
    paths = sorted(_files(options.folder))
    jobs = options.jobs or settings.parsing.children or usable_cores()
    rows = []
    try:
        with closing(embedder), ChildPool(jobs, _limits(settings)) as pool:
            produced = _rows(paths, options.folder, chunking, pool, embedder)
            for row in produced if options.json else _with_progress(produced, len(paths)):
                rows.append(row)
                if options.json:
                    print(json.dumps(asdict(row)), flush=True)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads our lines has seen enough; the flush at exit must not complain either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if not options.json:
        _show(rows, embedder)
    return 1 if any(row.error for row in rows) else 0


def _parser() -> argparse.ArgumentParser:
    description, _, notes = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="python -m ingest", description=description, epilog=notes)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="its files are read, hidden ones excepted")
    parser.add_argument("--chunking", choices=("auto", "static"), default="auto")
    parser.add_argument("--max-tokens", type=int, help=f"of one chunk (default {STATIC_TOKENS})")
    parser.add_argument("--overlap", type=int, help=f"tokens that static chunks share (default {STATIC_OVERLAP})")
    parser.add_argument("--model", choices=("hashed", "local"), help="default: the provider of the settings")
    parser.add_argument("--jobs", type=int, default=0, help="processes that read (default: the settings')")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each file, as it is done")
    return parser


def _chunking(options: argparse.Namespace) -> ChunkLimits:
    most = options.max_tokens or STATIC_TOKENS
    if options.chunking == "auto":
        if options.overlap:
            raise ValueError("chunks of --chunking auto do not overlap; --overlap is for static")
        return ChunkLimits("auto", most)
    overlap = min(STATIC_OVERLAP, most // 2) if options.overlap is None else options.overlap
    return ChunkLimits("static", most, overlap)


def _limits(settings: Settings) -> Limits:
    return Limits(**{field.name: getattr(settings.parsing, field.name) for field in fields(Limits)})


def _embedder_config(settings: Settings, model: str | None) -> EmbedderConfig:
    given = settings.embedding
    return EmbedderConfig(
        provider=given.provider if model is None else "hashed" if model == "hashed" else "local",
        model=given.model,
        dimensions=given.dimensions or None,
        width=given.dimensions or None,
        folder=given.models_dir,
        precision=given.precision,
        threads=given.threads,
        base_url=given.base_url,
        api_key=given.upstream_key,
        cache=CacheConfig(),  # in this process only: a trial leaves nothing behind
    )


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _rows(
    paths: Sequence[Path], folder: Path, chunking: ChunkLimits, pool: ChildPool, embedder: Embedder
) -> Iterator[Row]:
    attempts = pool.prepare_many(Reading(path, path.name, chunking) for path in paths)
    for path, attempt in zip(paths, attempts, strict=True):
        shown = os.fsencode(path.relative_to(folder)).decode("utf-8", "replace")
        yield _row(shown, attempt, embedder)


def _row(file: str, attempt: Attempt, embedder: Embedder) -> Row:
    begun = time.monotonic()
    try:
        prepared = attempt.unwrap()
        vectors = embedder.embed([chunk.text_to_embed for chunk in prepared.chunks]).vectors
    except IngestError as error:
        name, code, sentence = type(error).__name__, error.code, str(error)
        seconds, peak_bytes = attempt.cost.seconds, attempt.cost.peak_bytes
        return Row(file, seconds=seconds, peak_bytes=peak_bytes, error=name, code=code, sentence=sentence)
    return Row(
        file,
        media_type=prepared.media_type,
        blocks=prepared.block_count,
        chunks=len(prepared.chunks),
        tokens=prepared.tokens,
        vectors=(len(vectors), vectors.shape[1]),
        seconds=attempt.cost.seconds + time.monotonic() - begun,
        peak_bytes=attempt.cost.peak_bytes,
        warnings=prepared.warnings,
    )


def _with_progress(rows: Iterator[Row], count: int) -> Iterator[Row]:
    console = Console(stderr=True)
    return iter(track(rows, "reading", total=count, console=console, transient=True, disable=not console.is_terminal))


def _show(rows: Sequence[Row], embedder: Embedder) -> None:
    # Without a terminal nothing is cut: whoever pipes this wants the sentences whole.
    console = Console() if sys.stdout.isatty() else Console(width=240)
    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("type", overflow="fold")
    for name in ("blocks", "chunks", "tokens", "vectors", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("remarks", overflow="fold")
    for row in rows:
        remarks = (
            Text(f"{row.error} ({row.code}): {row.sentence}", "red") if row.error else Text(" ".join(row.warnings))
        )
        counts = (f"{row.blocks:,}", f"{row.chunks:,}", f"{row.tokens:,}", f"{row.vectors[0]:,} × {row.vectors[1]}")
        cells = ("", "", "", "") if row.error else counts
        table.add_row(Text(row.file), row.media_type, *cells, f"{row.seconds:.2f}", remarks)
    console.print(table)
    failed = sum(1 for row in rows if row.error)
    console.print(
        f"\n{len(rows) - failed:,} of {len(rows):,} files read: {sum(row.blocks for row in rows):,} blocks, "
        f"{sum(row.chunks for row in rows):,} chunks, {sum(row.tokens for row in rows):,} tokens; "
        f"vectors by {embedder.spec.name}, {embedder.spec.width} wide.",
        highlight=False,
    )


if __name__ == "__main__":
    sys.exit(main())
