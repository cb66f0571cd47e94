"""Idle connections, kept for the next request to the same upstream with the same credentials.

Rule: a connection that carried a credential is never shared with another one. Some servers bind what they remember to
the connection (NTLM, connection-level caches), and a relying party should not have to think about that.
"""

import hashlib
import hmac
import os
import threading
import time
from collections import OrderedDict, deque

from enclave_worker.upstream.connection import Connection
from policy.headers import is_secret
from policy.rules import Allowed

MAX_IDLE_SECONDS = 20.0  # below the keep-alive of common servers and load balancers (nginx 75 s, AWS ALB 60 s)
MAX_IDLE_CONNECTIONS = 64  # as many as fetches at once, the oldest goes first; each has a place at the vsock-proxy

Key = tuple[str, bytes]


class Pool:
    """Holds idle connections by upstream and credential. Safe to use from many threads."""

    def __init__(self, *, max_idle: int = MAX_IDLE_CONNECTIONS, max_idle_seconds: float = MAX_IDLE_SECONDS) -> None:
        self._lock = threading.Lock()
        self._idle: OrderedDict[Key, deque[Connection]] = OrderedDict()
        self._count = 0
        self._max_idle = max_idle
        self._max_idle_seconds = max_idle_seconds
        self._salt = os.urandom(32)

    def key(self, allowed: Allowed) -> Key:
        """Return under which key this request's connections are kept. Secrets enter it only under a keyed hash."""
        digest = hmac.new(self._salt, digestmod=hashlib.sha256)
        for header in allowed.headers:
            if is_secret(header.name, allowed.upstream.secret_headers):
                digest.update(f"{header.name.lower()}\0{header.value}\0".encode())
        return allowed.upstream.host, digest.digest()

    def take(self, key: Key) -> Connection | None:
        """Return an idle connection that is still good, the one used last first, or None."""
        self._drop_expired()
        while (connection := self._pop(key)) is not None:
            if time.monotonic() - connection.idle_since < self._max_idle_seconds and connection.is_quiet():
                return connection
            connection.close()
        return None

    def give(self, key: Key, connection: Connection) -> None:
        """Keep a connection whose last exchange ended cleanly. The oldest key's connection makes room if needed."""
        connection.idle_since = time.monotonic()
        with self._lock:
            self._idle.setdefault(key, deque()).append(connection)
            self._idle.move_to_end(key)
            self._count += 1
            surplus = self._drop_oldest() if self._count > self._max_idle else None
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            connections = [connection for queue in self._idle.values() for connection in queue]
            self._idle.clear()
            self._count = 0
        for connection in connections:
            connection.close()

    def _drop_expired(self) -> None:
        """Close what nobody came back for, whatever its key: it holds places at the proxy that others need."""
        oldest = time.monotonic() - self._max_idle_seconds
        expired: list[Connection] = []
        with self._lock:
            for key, queue in list(self._idle.items()):
                while queue and queue[0].idle_since < oldest:
                    expired.append(queue.popleft())
                if not queue:
                    del self._idle[key]
            self._count -= len(expired)
        for connection in expired:
            connection.close()

    def _pop(self, key: Key) -> Connection | None:
        with self._lock:
            queue = self._idle.get(key)
            if not queue:
                return None
            self._count -= 1
            connection = queue.pop()
            if not queue:
                del self._idle[key]
            return connection

    def _drop_oldest(self) -> Connection:
        key, queue = next(iter(self._idle.items()))
        connection = queue.popleft()
        self._count -= 1
        if not queue:
            del self._idle[key]
        return connection
