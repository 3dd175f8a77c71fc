"""Natural batches: while one is answered, what arrives forms the next; nobody waits for company.

All book-keeping happens on the event loop's thread, so there is no lock; only the answering itself runs in a thread of
its own, where numpy and faiss leave the loop free. Alone, a question costs two thread switches more than a call; under
load a batch costs little more than one question, and the queue stays short.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from prismrec.errors import PrismRecError

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_Waiting = tuple[Question, asyncio.Future[Answer]]


class OverloadedError(PrismRecError, RuntimeError):
    """More questions wait than may: come back later."""


class Batcher(Generic[Question, Answer]):
    """Answers questions of many tasks in batches, one batch at a time."""

    def __init__(
        self,
        answer: Callable[[Sequence[Question]], Sequence[Answer]],
        max_batch: int = 64,
        max_waiting: int = 512,
        effort: Callable[[Question], float] = lambda _: 1,
    ) -> None:
        """Nothing runs yet.

        Args:
            answer: answers a batch, in its order; runs in one thread, never twice at once. Where it fails for a batch,
                the halves are asked again, and so on, until only the question at fault fails.
            max_batch: questions that are answered together at most.
            max_waiting: questions that wait at most.
            effort: what a question costs beside a plain one. Those of a batch cost `max_batch` at most together, for a
                batch cannot be stopped; questions that were given up meanwhile are left out of the next one.
        """
        self._answer = answer
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._effort = effort
        self._queue: deque[_Waiting[Question, Answer]] = deque()
        self._failed: list[list[_Waiting[Question, Answer]]] = []
        self._busy = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="answers")

    @property
    def waiting(self) -> int:
        """How many questions wait for the next batch."""
        return len(self._queue)

    async def ask(self, question: Question) -> Answer:
        """The answer to one question; a caller that gives up (is cancelled) leaves the queue.

        Raises:
            OverloadedError: too many wait already.
            PrismRecError: the question cannot be answered, and so any other error of answering it.
        """
        return await self._enqueued([question])[0]

    async def ask_many(self, questions: Sequence[Question]) -> list[Answer | BaseException]:
        """The answers to several questions in their order, or why one has none.

        Raises:
            OverloadedError: too many wait already; none of these was taken then.
        """
        return await asyncio.gather(*self._enqueued(questions), return_exceptions=True)

    def close(self) -> None:
        """Finish the batch in hand and end the thread."""
        self._thread.shutdown()

    def _enqueued(self, questions: Sequence[Question]) -> list[asyncio.Future[Answer]]:
        if len(self._queue) + len(questions) > self._max_waiting:
            raise OverloadedError(f"{len(self._queue)} questions wait already: try again in a moment")
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Answer]] = [loop.create_future() for _ in questions]
        self._queue.extend(zip(questions, futures, strict=True))
        if not self._busy:
            self._start()
        return futures

    def _start(self) -> None:
        """Give the thread the next batch, if there is one."""
        batch = self._next_batch()
        self._busy = bool(batch)
        if not batch:
            return
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._thread, self._answers, [question for question, _ in batch])
        running.add_done_callback(lambda done: self._deliver(batch, done))

    def _next_batch(self) -> list[_Waiting[Question, Answer]]:
        """Part of a batch that failed, or what waits; whoever has given up is left out."""
        while self._failed or self._queue:
            batch = self._failed.pop() if self._failed else self._taken()
            wanted = [waiting for waiting in batch if not waiting[1].done()]
            if wanted:
                return wanted
        return []

    def _taken(self) -> list[_Waiting[Question, Answer]]:
        """The first that waits, and those behind it that cost no more than a batch may."""
        batch = [self._queue.popleft()]
        left = self._max_batch - self._effort(batch[0][0])
        while self._queue and (left := left - self._effort(self._queue[0][0])) >= 0:
            batch.append(self._queue.popleft())
        return batch

    def _answers(self, questions: Sequence[Question]) -> list[Answer]:
        """Runs in the thread."""
        answers = list(self._answer(questions))
        if len(answers) != len(questions):
            raise RuntimeError(f"{len(answers)} answers came to {len(questions)} questions")
        return answers

    def _deliver(self, batch: list[_Waiting[Question, Answer]], done: asyncio.Future[list[Answer]]) -> None:
        error = done.exception()
        if error is None:
            for (_, future), answer in zip(batch, done.result(), strict=True):
                if not future.done():
                    future.set_result(answer)
        elif len(batch) == 1:
            if not batch[0][1].done():
                batch[0][1].set_exception(error)
        else:
            middle = len(batch) // 2
            self._failed += [batch[middle:], batch[:middle]]
        self._start()


__all__ = ["Batcher", "OverloadedError"]
