"""LangChain's and LlamaIndex's ways to retrieve with OpenAI: both embed over HTTP and keep the vectors themselves.

Neither has a client of OpenAI's vector stores. Needs a package index; where none can be reached the tests are skipped
and say so.
"""

import hashlib
import lzma
import sys
from importlib import resources
from pathlib import Path

import pytest

from tests.contract.test_sdk_releases import HERE, finished, install, python_installer, run
from tests.support.server import KEY, Server

PACKAGES = ["langchain-openai==1.7.4", "llama-index-embeddings-openai==0.7.0", "llama-index-core==0.14.25"]
TABLE = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"


def token_table(folder: Path) -> None:
    """Where tiktoken looks before it fetches; what the product ships is the same table."""
    folder.mkdir()
    packed = resources.files("ingest.chunking").joinpath("cl100k_base.tiktoken.xz").read_bytes()
    name = hashlib.sha1(TABLE.encode(), usedforsecurity=False).hexdigest()
    (folder / name).write_bytes(lzma.decompress(packed))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both at once: they share most of what they need."""
    folder = tmp_path_factory.mktemp("frameworks")
    install([*python_installer(PACKAGES[0], folder / "site"), *PACKAGES[1:]], folder, " and ".join(PACKAGES))
    token_table(folder / "tokens")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "word"),
    [("langchain_program.py", "langchain-openai 1.7.4"), ("llama_index_program.py", "llama-index 0.7.0")],
    ids=["langchain", "llama-index"],
)
def test_a_program_of_the_framework_runs(server: Server, installed: Path, program: str, word: str) -> None:
    where = {"PYTHONPATH": str(installed / "site"), "TIKTOKEN_CACHE_DIR": str(installed / "tokens")}
    words = [sys.executable, str(HERE / program), f"{server.url}/v1", KEY]
    assert f"done with {word}" in finished(run(words, installed, **where))
