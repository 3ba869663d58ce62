"""The daemon: events wake it, a full listing decides, and it works at its own pace."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from oms_batch import clock, logs, nsi
from oms_batch.conductor import settling_of, sweep
from oms_batch.site import Site
from oms_batch.work import Handled


class _Wake(FileSystemEventHandler):
    """Sets a flag and nothing else: the handler never opens, parses or moves a file."""

    def __init__(self, wake: threading.Event) -> None:
        self.wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        self.wake.set()


def run(site: Site, *, poll: bool = False, tell: Callable[[Handled], None] | None = None) -> None:
    """Sweep until SIGTERM or SIGINT; a job in hand is finished first.

    ``poll`` looks at the folders by listing only, as network shares need; each swept file
    is given to ``tell``. The caller holds the home's lock.
    """
    stop, wake = threading.Event(), threading.Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        wake.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    nsi.ready(site)
    settings, settling = site.settings, settling_of(site)
    observer = _watch(site, wake, poll=poll)
    try:
        while not stop.is_set():
            wake.clear()
            for handled in sweep(site, settling, stop=stop.is_set):
                if tell is not None:
                    tell(handled)
            if not _alive(observer):
                logs.event("watcher_restarted")
                observer = _watch(site, wake, poll=poll)
            wake.wait(timeout=settings.poll_seconds if poll else settings.sweep_seconds)
            # a burst of events is one sweep: let the writers finish first
            if wake.is_set() and not stop.is_set():
                clock.sleep(min(1.0, settings.sweep_seconds))
    finally:
        if observer is not None:
            observer.stop()
            observer.join(timeout=5)


def _watch(site: Site, wake: threading.Event, *, poll: bool) -> BaseObserver | None:
    """Start a watcher over the inbox; where there is none to be had, the timed listing is enough."""
    observer: BaseObserver = PollingObserver(timeout=site.settings.poll_seconds) if poll else Observer()
    try:
        observer.schedule(_Wake(wake), str(site.home.inbox), recursive=True)
        observer.start()
    except OSError:
        logs.event("watcher_absent")
        return None
    return observer


def _alive(observer: BaseObserver | None) -> bool:
    # watchdog's own is_alive() stays true after its emitters died (a remount does that)
    return observer is None or (observer.is_alive() and all(emitter.is_alive() for emitter in observer.emitters))
