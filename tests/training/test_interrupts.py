"""The first signal is a request, the second ends at once, and nothing of it outlives the context."""

import os
import signal
import threading

import pytest

from prismrec.training.interrupts import TrainingInterrupted, signal_name, stop_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_only_noted(number):
    with stop_signals() as request:
        assert request.signal_number is None
        os.kill(os.getpid(), number)
        assert request.signal_number == number


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_at_once(second):
    with stop_signals() as request:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(TrainingInterrupted, match="training stopped at once") as caught:
            os.kill(os.getpid(), second)
        assert request.signal_number == signal.SIGINT
    assert caught.value.exit_code == 128 + second


def test_handlers_come_back_even_after_an_error():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def fail():
        with stop_signals():
            assert signal.getsignal(signal.SIGINT) != before[0]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_signals() as request:
            os.kill(os.getpid(), signal.SIGINT)
            assert request.signal_number is None
            assert signal.getsignal(signal.SIGTERM) == request.receive
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_handlers_stay_as_they_are():
    seen = []

    def work():
        with stop_signals() as request:
            seen.append((signal.getsignal(signal.SIGINT), request.signal_number))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, None)]


def test_interruption_is_a_keyboard_interrupt_and_no_ordinary_error():
    assert issubclass(TrainingInterrupted, KeyboardInterrupt)
    assert not issubclass(TrainingInterrupted, Exception)


def test_signals_have_names_that_people_know():
    assert signal_name(signal.SIGINT) == "Ctrl-C"
    assert signal_name(signal.SIGTERM) == "SIGTERM"
