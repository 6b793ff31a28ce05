"""Packs and runs: nothing lost, nothing over the bounds, little padding."""

from ingest.embedding.batching import packs, runs


def test_packs_hold_every_index_once_and_keep_the_padded_size_within_bounds() -> None:
    lengths = [5, 100, 7, 7, 60, 1, 1, 1, 99, 300]
    result = packs(lengths, most_tokens=200, most_texts=4)
    assert sorted(index for pack in result for index in pack) == list(range(len(lengths)))
    for pack in result:
        assert len(pack) <= 4
        assert len(pack) == 1 or len(pack) * max(lengths[index] for index in pack) <= 200


def test_packs_begin_with_the_longest_text() -> None:
    assert packs([1, 3, 2], most_tokens=3, most_texts=9) == [[1], [2], [0]]


def test_a_text_over_the_bound_travels_alone() -> None:
    assert packs([500, 500], most_tokens=100, most_texts=8) == [[0], [1]]
    assert runs([500, 1, 1], most_size=100, most_items=8) == [range(1), range(1, 3)]


def test_runs_are_consecutive_and_cover_everything() -> None:
    assert runs([1] * 10, most_size=100, most_items=4) == [range(4), range(4, 8), range(8, 10)]
    assert runs([40, 40, 40], most_size=80, most_items=9) == [range(2), range(2, 3)]


def test_nothing_in_gives_nothing_out() -> None:
    assert packs([], most_tokens=1, most_texts=1) == []
    assert runs([], most_size=1, most_items=1) == []
