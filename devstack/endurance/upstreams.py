"""The way from the enclaves to the stand-ins: one server and one relay for each host, and what can go wrong there."""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from devstack.endurance import invented
from devstack.relay import Relay
from devstack.tls_pki import Authority
from devstack.upstream import Handler, Request, Response, UpstreamServer
from devstack.worker import relay_path
from policy.manifest import Upstream

MAX_CONNECTIONS = 256
CUT_AFTER_BYTES = 3_000  # of a connection: in the middle of a TLS handshake or of an answer


class Slow:
    """A handler that keeps its answers back for `seconds`, which may be changed at any time."""

    def __init__(self, handler: Handler) -> None:
        self.seconds = 0.0
        self._handler = handler
        self._over = threading.Event()

    def __call__(self, request: Request) -> Response:
        """Answers one request."""
        if self.seconds:
            self._over.wait(self.seconds)
        return self._handler(request)

    def stop(self) -> None:
        """Keep nothing back any more."""
        self._over.set()


class Way:
    """One host: its server, and the relay before it."""

    def __init__(self, upstream: Upstream, handler: Handler, *, authority: Authority, folder: Path) -> None:
        self._slow = Slow(handler)
        self._handlers = {upstream.host: self._slow}
        self._authority = authority if upstream.tls else None
        self._path = relay_path(folder, upstream)
        self._server = UpstreamServer(self._handlers, authority=self._authority).start()
        self._port = self._server.address[1]
        self._relay = self._new_relay()

    @property
    def relay(self) -> Relay:
        """The relay that is there now."""
        return self._relay

    def close(self) -> None:
        """End relay and server."""
        self._slow.stop()
        self._relay.stop()
        self._server.stop()

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Nobody listens where the upstream was, and its connections have ended."""
        self._server.stop()
        yield
        self._server = UpstreamServer(self._handlers, authority=self._authority, port=self._port).start()

    @contextlib.contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """The upstream answers so much later."""
        self._slow.seconds = seconds
        yield
        self._slow.seconds = 0.0

    @contextlib.contextmanager
    def relay_down(self) -> Iterator[None]:
        """The relay has ended, and with it its connections."""
        self._relay.stop()
        yield
        self._relay = self._new_relay()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Every connection ends in the middle."""
        self._relay.stop()
        self._relay = self._new_relay(cut_after=CUT_AFTER_BYTES)
        yield
        self._relay.stop()
        self._relay = self._new_relay()

    def _new_relay(self, cut_after: int | None = None) -> Relay:
        address = ("127.0.0.1", self._port)
        return Relay(address, listen=self._path, max_connections=MAX_CONNECTIONS, cut_after=cut_after).start()


class Ways:
    """The ways to all hosts; use `with`."""

    def __init__(
        self,
        upstreams: Iterable[Upstream],
        *,
        authority: Authority,
        folder: Path,
        handlers: Mapping[str, Handler] | None = None,
    ) -> None:
        handlers = handlers or invented.handlers()
        self.by_host = {
            each.host: Way(each, handlers[each.host], authority=authority, folder=folder) for each in upstreams
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for way in self.by_host.values():
            way.close()
