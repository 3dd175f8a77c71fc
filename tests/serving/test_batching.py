"""Batches form by themselves, and no question pays for another one's fault."""

import asyncio
import threading
import time

import pytest

from prismrec.errors import ConfigError
from prismrec.serving.batching import Batcher, OverloadedError


class Slow:
    """Doubles numbers, one batch at a time, when it is let; fails for negative ones."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()

    def __call__(self, questions):
        self.batches.append(list(questions))
        assert self.go.wait(10)
        if any(q < 0 for q in questions):
            raise ConfigError(f"negative among {len(questions)}")
        return [2 * q for q in questions]


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def closing():
    """Close batchers at the end of a test."""
    made = []

    def make(*arguments, **options):
        made.append(Batcher(*arguments, **options))
        return made[-1]

    yield make
    for batcher in made:
        batcher.close()


def test_questions_that_cost_much_come_in_small_batches(closing, slow):
    async def ask():
        batcher = closing(slow, max_batch=4, effort=abs)
        first = asyncio.create_task(batcher.ask(1))
        while not slow.batches:
            await asyncio.sleep(0.001)
        rest = asyncio.create_task(batcher.ask_many([1, 1, 2, 1, 9, 9, 3, 0]))
        await settled()
        slow.go.set()
        return await first, await rest

    assert asyncio.run(ask()) == (2, [2, 2, 4, 2, 18, 18, 6, 0])
    assert slow.batches == [[1], [1, 1, 2], [1], [9], [9], [3, 0]]


async def settled():
    for _ in range(3):
        await asyncio.sleep(0)


def test_one_question_is_answered_at_once(closing):
    assert asyncio.run(closing(lambda qs: [q + 1 for q in qs]).ask(1)) == 2


def test_what_arrives_meanwhile_forms_the_next_batch(closing, slow):
    async def ask():
        batcher = closing(slow)
        first = asyncio.create_task(batcher.ask(0))
        while not slow.batches:
            await asyncio.sleep(0.001)
        rest = [asyncio.create_task(batcher.ask(i)) for i in (1, 2, 3)]
        await settled()
        assert batcher.waiting == 3
        slow.go.set()
        return await asyncio.gather(first, *rest)

    assert asyncio.run(ask()) == [0, 2, 4, 6]
    assert slow.batches == [[0], [1, 2, 3]]


def test_batches_are_no_larger_than_they_may(closing, slow):
    async def ask():
        batcher = closing(slow, max_batch=2)
        tasks = [asyncio.create_task(batcher.ask(i)) for i in range(5)]
        await settled()
        slow.go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(ask()) == [0, 2, 4, 6, 8]
    assert [len(batch) for batch in slow.batches] == [1, 2, 2]


def test_only_the_question_at_fault_fails(closing, slow):
    slow.go.set()

    async def ask():
        return await closing(slow).ask_many([1, 2, -3, 4, 5, 6, 7])

    answers = asyncio.run(ask())
    assert [a for a in answers if not isinstance(a, Exception)] == [2, 4, 8, 10, 12, 14]
    assert str(answers[2]) == "negative among 1"
    assert len(slow.batches) <= 1 + 2 * 3, "halves of halves, not one by one"


def test_an_error_of_the_program_reaches_whoever_asked(closing):
    def broken(questions):
        raise ZeroDivisionError("oops")

    with pytest.raises(ZeroDivisionError, match="oops"):
        asyncio.run(closing(broken).ask(1))


def test_too_few_answers_are_an_error_and_nobody_waits_for_ever(closing):
    with pytest.raises(RuntimeError, match="0 answers came to 1 questions"):
        asyncio.run(closing(lambda questions: []).ask(1))


def test_too_many_waiting_are_refused_all_or_none(closing, slow):
    async def ask():
        batcher = closing(slow, max_waiting=3)
        first = asyncio.create_task(batcher.ask(0))
        await settled()
        taken = asyncio.create_task(batcher.ask_many([1, 2]))
        await settled()
        with pytest.raises(OverloadedError, match="2 questions wait already: try again"):
            await batcher.ask_many([3, 4])
        assert batcher.waiting == 2
        slow.go.set()
        return [await first, *(await taken), await batcher.ask(5)]

    assert asyncio.run(ask()) == [0, 2, 4, 10]


def test_whoever_gives_up_leaves_the_queue(closing, slow):
    async def ask():
        batcher = closing(slow)
        first = asyncio.create_task(batcher.ask(0))
        await settled()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher.ask(1), 0.01)
        second = asyncio.create_task(batcher.ask(2))
        await settled()
        slow.go.set()
        return [await first, await second]

    assert asyncio.run(ask()) == [0, 4]
    assert slow.batches == [[0], [2]]


def test_giving_up_on_the_batch_in_hand_leaves_its_companions_alone(closing, slow):
    async def ask():
        batcher = closing(slow)
        given_up, kept = asyncio.create_task(batcher.ask(1)), None
        await settled()
        kept = asyncio.create_task(batcher.ask(2))
        await settled()
        given_up.cancel()
        slow.go.set()
        return await kept

    assert asyncio.run(ask()) == 4


def test_the_loop_is_free_while_a_batch_is_answered(closing, slow):
    async def ask():
        task = asyncio.create_task(closing(slow).ask(1))
        started = time.perf_counter()
        await asyncio.sleep(0.01)
        assert time.perf_counter() - started < 5
        slow.go.set()
        return await task

    assert asyncio.run(ask()) == 2
