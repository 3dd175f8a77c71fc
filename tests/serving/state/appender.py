"""Child processes that append to a state and say what was acknowledged, until `kill -9`.

Run as `appender.py URL ROUNDS SEED`. Every round forks a child with four threads, each of which appends batches of
three events, some of them twice, and prints the name of a batch once it was acknowledged. The parent lets it live for a
random time after it opened the state. The event ids are NAME/0, NAME/1, NAME/2 of user "user-THREAD".
"""

import os
import random
import signal
import sys
import threading
import time

from prismrec.serving.state.store import Event, State

THREADS = 4


def append_forever(state: State, round_: int, thread: int) -> None:
    number = 0
    while True:
        name = f"{round_}-{thread}-{number}"
        events = [Event(f"user-{thread}", number, float(number), f"{name}/{i}") for i in range(3)]
        for _ in range(1 + number % 2):
            state.append(events)
        os.write(1, f"{name}\n".encode())
        number += 1


def live(url: str, round_: int, started: int) -> None:
    state = State.open(url, kept_events=1_000_000)
    for thread in range(1, THREADS):
        threading.Thread(target=append_forever, args=(state, round_, thread), daemon=True).start()
    os.write(started, b".")
    append_forever(state, round_, 0)


def main(url: str, rounds: int, seed: int) -> None:
    moments = random.Random(seed)
    for round_ in range(rounds):
        heard, started = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                live(url, round_, started)
            finally:
                os._exit(1)
        os.close(started)
        os.read(heard, 1)
        os.close(heard)
        time.sleep(moments.uniform(0.0, 0.1))
        os.kill(child, signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
            sys.exit(f"the child of round {round_} ended by itself")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
