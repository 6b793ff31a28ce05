"""Reading an upstream's answer: every row proved, or the answer refused."""

import base64
import json

import numpy as np
import pytest

from ingest.embedding.answers import apportion, read_answer
from ingest.errors import EmbedderMisbehaved


def item(embedding: object, index: object = None) -> dict[str, object]:
    return {"object": "embedding", "embedding": embedding} | ({} if index is None else {"index": index})


def body(*items: object, **more: object) -> bytes:
    return json.dumps({"data": list(items)} | more).encode()


def packed(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, dtype="<f4").tobytes()).decode()


def test_base64_and_lists_give_the_same_rows() -> None:
    answer = read_answer(body(item([1.5, -2], 0), item(packed(1.5, -2), 1)), inputs=2, width=2)
    np.testing.assert_array_equal(answer.vectors, [[1.5, -2], [1.5, -2]])


def test_answers_out_of_order_are_put_back_by_their_index() -> None:
    answer = read_answer(body(item([2.0], 1), item([3.0], 2), item([1.0], 0)), inputs=3, width=1)
    assert answer.vectors.ravel().tolist() == [1, 2, 3]


def test_answers_without_any_index_stand_in_the_order_given() -> None:
    assert read_answer(body(item([1.0]), item([2.0])), inputs=2, width=1).vectors.ravel().tolist() == [1, 2]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 3, "total_tokens": 4}, 4),
        ({"prompt_tokens": 3}, 3),
        ({}, None),
        (None, None),
        ("many", None),
        ({"total_tokens": -1}, None),
        ({"total_tokens": True}, None),
    ],
)
def test_usage_is_taken_where_it_is_a_count(usage: object, tokens: int | None) -> None:
    assert read_answer(body(item([1.0], 0), usage=usage), inputs=1, width=1).tokens == tokens


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"<html>", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "without a list"),
        (b'{"data": null}', "without a list"),
        (b'{"data": [1, 2]}', "without a list"),
        (b'{"error": {"message": "no"}}', "without a list"),
        (body(item([1, 2], 0)), "1 embeddings for 2"),
        (body(item([1, 2], 0), item([1, 2], 1), item([1, 2], 2)), "3 embeddings for 2"),
        (body(item([1, 2], 0), item([1, 2], 0)), "indices"),
        (body(item([1, 2], 1), item([1, 2], 2)), "indices"),
        (body(item([1, 2], 0), item([1, 2])), "indices"),
        (body(item([1, 2], 0), item([1, 2], "1")), "indices"),
        (body(item([1, 2], 0), item([1, 2, 3], 1)), "3 dimensions where 2"),
        (body(item([1, 2], 0), item(packed(1), 1)), "1 dimensions where 2"),
        (body(item([1, 2], 0), item("AAA", 1)), "not base64"),
        (body(item([1, 2], 0), item("!!!!", 1)), "not base64"),
        (body(item([1, 2], 0), item(["1", "2"], 1)), "no list of numbers"),
        (body(item([1, 2], 0), item([[1], [2]], 1)), "no list of numbers"),
        (body(item([1, 2], 0), item(None, 1)), "no list of numbers"),
        (body(item([1, 2], 0), item([True, 2], 1)), "no list of numbers"),
        (b'{"data": [{"embedding": [NaN, 1]}, {"embedding": [1, 1]}]}', "finite"),
        (b'{"data": [{"embedding": [1e39, 1]}, {"embedding": [1, 1]}]}', "finite"),
        (body(item([10**400, 1], 0), item([1, 2], 1)), "finite"),
        (body(item(packed(float("inf"), 1), 0), item([1, 2], 1)), "finite"),
    ],
)
def test_anything_else_is_refused_with_its_reason(answer: bytes, sentence: str) -> None:
    with pytest.raises(EmbedderMisbehaved, match=sentence):
        read_answer(answer, inputs=2, width=2)


def test_apportioned_tokens_add_up_to_what_was_charged() -> None:
    assert apportion(10, [1, 1, 1]) == [3, 3, 4]
    assert apportion(7, [0, 0]) == [3, 4]
    assert apportion(0, [5, 5]) == [0, 0]
    assert apportion(100, [1, 99]) == [1, 99]
