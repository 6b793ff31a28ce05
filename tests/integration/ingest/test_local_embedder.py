"""The in-process model with its genuine weights, which `make test` fetches; without them these tests fail."""

import dataclasses
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.embedding import CacheConfig, Embedder, EmbedderConfig, ModelMissing, open_embedder
from ingest.embedding.bert import BertShape, build_graph
from ingest.embedding.frugal import FrugalEmbedder
from ingest.embedding.local import LocalEngine
from ingest.embedding.onnx_writer import Element, GraphWriter
from ingest.embedding.weights import open_weights

MODELS = Path(__file__).parents[3] / "models"
NAME = "all-MiniLM-L6-v2"
NO_CACHE = CacheConfig(memory_bytes=0)

# Made with sentence-transformers 6.2 on torch 2.13, float32: the first eight dimensions.
REFERENCE = {
    "The cat sits on the mat.": [0.134177, -0.0329, -0.024804, 0.041439, -0.036348, 0.041814, 0.031217, 0.037202],
    "Revenue rose 12.5% to $3,204,118 in Q3; see table 4.": [
        0.019433,
        -0.013289,
        -0.075186,
        -0.055174,
        -0.071872,
        0.029785,
        0.01106,
        0.051543,
    ],
    "Die Gewährleistung für den Heizkessel beträgt zwei Jahre.": [
        -0.006593,
        0.204847,
        -0.068198,
        0.006301,
        -0.053904,
        0.04983,
        0.099829,
        0.07003,
    ],
    "日本語の文章も分割されずに読まれる。": [
        0.028693,
        0.092206,
        0.000217,
        0.023529,
        -0.09088,
        0.053101,
        0.02349,
        -0.041066,
    ],
}

TEXTS = [
    "The cat sits on the mat.",
    "",
    "def embed(texts): return [model(text) for text in texts]  # code",
    "Die Gewährleistung für den Heizkessel beträgt zwei Jahre.",
    "日本語の文章も分割されずに読まれる。",
    "word " * 240,
    "Revenue rose 12.5% to $3,204,118 in Q3; see table 4.",
    "🙂 \x00 \u200d fi",
]


def config(**changes: Any) -> EmbedderConfig:
    return dataclasses.replace(EmbedderConfig(folder=MODELS, threads=2, cache=NO_CACHE), **changes)


@pytest.fixture(scope="module")
def int8() -> Iterator[Embedder]:
    embedder = open_embedder(config(precision="int8"))
    yield embedder
    embedder.close()


@pytest.fixture(scope="module")
def fp32() -> Iterator[Embedder]:
    embedder = open_embedder(config(precision="fp32"))
    yield embedder
    embedder.close()


@pytest.fixture(params=["int8", "fp32"])
def either(request: pytest.FixtureRequest) -> Embedder:
    embedder: Embedder = request.getfixturevalue(request.param)
    return embedder


def engine_of(embedder: Embedder) -> LocalEngine:
    assert isinstance(embedder, FrugalEmbedder)
    engine = embedder._engine
    assert isinstance(engine, LocalEngine)
    return engine


def test_fp32_gives_the_published_models_vectors(fp32: Embedder) -> None:
    vectors = fp32.embed(list(REFERENCE)).vectors
    np.testing.assert_allclose(vectors[:, :8], list(REFERENCE.values()), atol=2e-5)


def test_int8_stays_close_to_fp32(int8: Embedder, fp32: Embedder) -> None:
    source = Path(json.__file__).read_text("utf-8")
    texts = TEXTS + [source[at : at + 40 + at % 600] for at in range(0, len(source), 300)]
    cosines = np.einsum("ij,ij->i", int8.embed(texts).vectors, fp32.embed(texts).vectors)
    assert cosines.mean() > 0.99
    assert cosines.min() > 0.97


def test_the_model_says_what_it_is(either: Embedder) -> None:
    assert either.spec.name == NAME
    assert either.spec.width == 384
    assert either.spec.window_tokens == 256
    assert not either.spec.shortens


def test_rows_are_unit_float32_in_the_order_of_the_texts(either: Embedder) -> None:
    embedded = either.embed(TEXTS)
    assert embedded.vectors.shape == (len(TEXTS), 384)
    assert embedded.vectors.dtype == np.float32
    assert embedded.vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(embedded.vectors, axis=1), 1, atol=1e-6)
    backwards = either.embed(TEXTS[::-1])
    np.testing.assert_allclose(backwards.vectors[::-1], embedded.vectors, atol=1e-6)
    assert backwards.tokens == embedded.tokens


def test_an_int8_vector_depends_on_its_text_alone(int8: Embedder) -> None:
    together = int8.embed(TEXTS).vectors
    for row, text in zip(together, TEXTS, strict=True):
        np.testing.assert_array_equal(int8.embed([text]).vectors[0], row)
        np.testing.assert_array_equal(int8.embed([text], purpose="query").vectors[0], row)


def test_an_fp32_vector_depends_on_its_company_by_rounding_only(fp32: Embedder) -> None:
    together = fp32.embed(TEXTS).vectors
    alone = np.stack([fp32.embed([text]).vectors[0] for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_meaning_beats_words(either: Embedder) -> None:
    query, near, far = either.embed(
        ["How long is my heating covered?", "The boiler's warranty is two years.", "How long is the river Rhine?"]
    ).vectors
    assert query @ near > query @ far


def test_a_long_text_is_read_to_its_end(either: Embedder) -> None:
    filler = "The committee met on Tuesday and approved the minutes of its last meeting. " * 60
    ending = "Penguins breed on the sea ice of Antarctica in the middle of winter. " * 20
    without, whole = either.embed([filler, filler + ending]).vectors
    question = either.embed(["Where do penguins breed?"], purpose="query").vectors[0]
    assert question @ whole > question @ without + 0.1


def test_no_window_is_longer_than_the_model_reads(int8: Embedder) -> None:
    engine = engine_of(int8)
    for text in ("word " * 2000, "a.b-c/" * 900, "日本語" * 900, "ﷺ" * 900, "é" * 3000, "x" * 3000, "0123456789" * 400):
        windows = engine.windows(text)
        assert "".join(windows) == text
        assert max(sum(portion.tokens) for window in windows for portion in engine.encode([window], "document")) <= 256


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=400), max_size=5))
def test_any_text_has_a_unit_vector(int8: Embedder, texts: list[str]) -> None:
    vectors = int8.embed(texts).vectors
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_threads_embed_at_once_without_mixing_texts_up(int8: Embedder) -> None:
    texts = [f"Document {number} is about subject {number * 31 % 97}." for number in range(120)]
    expected = int8.embed(texts).vectors
    results = dict[int, np.ndarray]()

    def work(number: int) -> None:
        results[number] = int8.embed(texts[number::6], purpose="query" if number % 2 else "document").vectors

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number in range(6):
        np.testing.assert_array_equal(results[number], expected[number::6])


def test_one_thread_gives_what_two_give(int8: Embedder) -> None:
    alone = open_embedder(config(threads=1))
    np.testing.assert_array_equal(alone.embed(TEXTS).vectors, int8.embed(TEXTS).vectors)
    alone.close()


def test_weights_for_processors_without_exact_signed_products_give_the_same_vectors(int8: Embedder) -> None:
    """The unsigned form of the weights is what such processors get; here it must give the same numbers."""
    shape = BertShape.of(json.loads((MODELS / NAME / "config.json").read_text()), NAME)
    graph = build_graph(shape, open_weights(MODELS / NAME / "model.safetensors"), "int8", signed_weights=False)
    assert {array.dtype.name for name, array in graph.weights.items() if name.endswith(".whole")} == {"uint8"}
    signed = build_graph(shape, open_weights(MODELS / NAME / "model.safetensors"), "int8")
    for name, array in graph.weights.items():
        if name.endswith(".whole"):
            np.testing.assert_array_equal(array.astype(int) - 128, signed.weights[name])


def test_a_vector_from_the_cache_is_the_fresh_one_to_the_bit(tmp_path: Path, int8: Embedder) -> None:
    cached = config(cache=CacheConfig(memory_bytes=0, folder=tmp_path, disk_bytes=1 << 22))
    for _ in range(2):
        embedder = open_embedder(cached)
        np.testing.assert_array_equal(embedder.embed(TEXTS).vectors, int8.embed(TEXTS).vectors)
        embedder.close()


def test_precisions_do_not_share_cached_vectors(tmp_path: Path) -> None:
    for precision in ("int8", "fp32"):
        cache = CacheConfig(memory_bytes=0, folder=tmp_path, disk_bytes=1 << 22)
        open_embedder(config(cache=cache, precision=precision)).close()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_missing_model_names_the_command_that_gets_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="carrel model fetch"):
        open_embedder(config(folder=tmp_path))


def test_a_missing_unpublished_model_names_the_files_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"tokenizer\.json with model\.onnx"):
        open_embedder(config(folder=tmp_path, model="my-own"))


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_published_model_that_was_changed_is_refused(tmp_path: Path, file: str) -> None:
    shutil.copytree(MODELS / NAME, tmp_path / NAME)
    with (tmp_path / NAME / file).open("r+b") as damaged:
        damaged.seek(100_000)
        damaged.write(b"?")
    with pytest.raises(ModelMissing, match=f"{file} is not the published"):
        open_embedder(config(folder=tmp_path))


def named_otherwise(tmp_path: Path, **shape: object) -> EmbedderConfig:
    """The model under a name without a published hash, with other words in its config.json."""
    folder = tmp_path / "mine"
    shutil.copytree(MODELS / NAME, folder)
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(described | shape))
    return config(folder=tmp_path, model="mine")


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ({"model_type": "roberta"}, "model_type 'roberta'"),
        ({"hidden_act": "relu"}, "hidden_act 'relu'"),
        ({"num_attention_heads": 7}, "does not describe a BERT"),
        ({"num_hidden_layers": 7}, r"no usable tensor encoder\.layer\.6"),
    ],
)
def test_models_that_would_be_computed_wrongly_are_refused(
    tmp_path: Path, shape: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ModelMissing, match=sentence):
        open_embedder(named_otherwise(tmp_path, **shape))


@pytest.mark.parametrize(
    "damage", [b"", b"\x00" * 7, b"\xff" * 64, (20).to_bytes(8, "little") + b"{not json at all....}"]
)
def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path, damage: bytes) -> None:
    wanted = named_otherwise(tmp_path)
    (tmp_path / "mine" / "model.safetensors").write_bytes(damage)
    with pytest.raises(ModelMissing, match="damaged"):
        open_embedder(wanted)


def test_a_folder_without_a_published_hash_is_taken_as_it_is(tmp_path: Path, int8: Embedder) -> None:
    embedder = open_embedder(named_otherwise(tmp_path))
    np.testing.assert_array_equal(embedder.embed(TEXTS[:1]).vectors, int8.embed(TEXTS[:1]).vectors)
    embedder.close()


def token_states_graph() -> bytes:
    """A model.onnx that looks each token up in a table of four dimensions."""
    graph = GraphWriter("lookup")
    graph.input("input_ids", Element.INT64, ["texts", "tokens"])
    graph.input("attention_mask", Element.INT64, ["texts", "tokens"])
    table = np.random.default_rng(0).normal(size=(30522, 4)).astype(np.float32)
    graph.small_weight("table", Element.FLOAT, table.shape, table.tobytes())
    graph.node("Gather", ["table", "input_ids"], ["last_hidden_state"], axis=0)
    graph.output("last_hidden_state", Element.FLOAT, ["texts", "tokens", 4])
    return graph.serialise()


def test_a_ready_onnx_graph_is_used_as_it_is(tmp_path: Path, fp32: Embedder) -> None:
    wanted = named_otherwise(tmp_path)
    (tmp_path / "mine" / "model.safetensors").unlink()
    (tmp_path / "mine" / "model.onnx").write_bytes(token_states_graph())
    embedder = open_embedder(wanted)
    first, second = embedder.embed(["alpha beta", "alpha beta gamma"]).vectors
    np.testing.assert_allclose([np.linalg.norm(first), np.linalg.norm(second)], 1, atol=1e-6)
    assert embedder.spec.width == 4
    assert first @ second < 0.9999
    embedder.close()


def test_a_graph_that_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    wanted = named_otherwise(tmp_path)
    (tmp_path / "mine" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelMissing, match="cannot load"):
        open_embedder(wanted)


def test_a_width_that_is_not_the_models_is_refused() -> None:
    with pytest.raises(ModelMissing, match="384 wide, and 768"):
        open_embedder(config(width=768))


def test_dimensions_are_refused_for_a_model_not_trained_for_them() -> None:
    with pytest.raises(ValueError, match="not trained to be shortened"):
        open_embedder(config(dimensions=128))


def test_importing_and_opening_leave_torch_and_the_network_alone() -> None:
    program = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "from pathlib import Path\n"
        "from ingest.embedding import EmbedderConfig, open_embedder\n"
        "embedder = open_embedder(EmbedderConfig(folder=Path('models')))\n"
        "embedder.embed(['text'])\n"
        "assert not {'torch', 'transformers', 'onnx'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=MODELS.parent, check=True, timeout=120)
