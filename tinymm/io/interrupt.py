"""Ctrl-C as a request to stop at the next good moment."""

import contextlib
import signal
import threading


@contextlib.contextmanager
def ctrl_c():
    """``with ctrl_c() as pressed:`` gives a list that is filled at the first Ctrl-C; a second one interrupts as ever.

    Look at the list between two steps of a long work. Outside of the main thread, where Python allows no handlers,
    the list stays empty.
    """
    pressed = []

    def handler(number, frame):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    here = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, handler) if here else None
    try:
        yield pressed
    finally:
        if here:
            signal.signal(signal.SIGINT, before or signal.default_int_handler)
