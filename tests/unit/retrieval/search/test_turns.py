"""Turns: never more at once than there are, and none is held by whoever waits."""

import threading

import pytest

from retrieval.search.turns import Turns

WAIT_SECONDS = 30.0


def test_no_more_take_a_turn_at_once_than_there_are() -> None:
    turns, lock = Turns(2), threading.Lock()
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with turns:
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(WAIT_SECONDS)
    assert (inside, 1 <= most <= 2) == (0, True)


def test_a_turn_comes_back_from_what_failed_and_from_what_failed_while_it_was_given_away() -> None:
    turns = Turns(1)
    with pytest.raises(ZeroDivisionError), turns:
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), turns, turns.given_away():
        raise ZeroDivisionError
    with turns:
        pass


def test_whoever_waits_lets_others_in() -> None:
    turns, answered = Turns(1), threading.Event()

    def other() -> None:
        with turns:
            answered.set()

    with turns, turns.given_away():
        threading.Thread(target=other).start()
        assert answered.wait(WAIT_SECONDS)


def test_a_free_core_is_used_and_given_back_also_by_what_fails() -> None:
    turns, released = Turns(2), threading.Event()
    with turns:
        assert turns.beside(threading.get_ident)() != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            turns.beside(lambda: 1 // 0)()
        waiting = turns.beside(lambda: released.wait(WAIT_SECONDS))
        assert turns.beside(threading.get_ident)() == threading.get_ident()  # no core is free now
        released.set()
        assert waiting()
