"""Signals that ask a program to end: held back, so that it can save its state first."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruption() -> Iterator[Callable[[], str | None]]:
    """Yield a function that names the signal that came, SIGTERM or SIGINT, or returns None.

    Only the first signal is held back; a second one has its usual effect. Outside of the main thread, where Python
    handles no signals, nothing is held back.
    """
    came: list[str] = []
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)} if main else {}

    def hold_back(number: int, frame: object) -> None:
        came.append(signal.Signals(number).name)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, hold_back)
    try:
        yield lambda: came[0] if came else None
    finally:
        restore()
