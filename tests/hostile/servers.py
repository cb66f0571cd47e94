"""One running server for each certificate variant and TLS version, made when first asked for."""

from __future__ import annotations

import contextlib
import ssl
from types import TracebackType

from devstack.tls_pki import Authority
from devstack.tls_variants import VARIANTS, server_context
from tests.hostile.case import PLAIN, RAW, TLS_1_2, TLS_1_3
from tests.hostile.server import HostileServer

HOST = "api.hostile.test"
FIXED_VERSION = frozenset({"tls-1.1", "cbc-only", "static-rsa-only"})  # the variant itself sets it
_VERSIONS = {TLS_1_2: ssl.TLSVersion.TLSv1_2, TLS_1_3: ssl.TLSVersion.TLSv1_3}


class Servers:
    """Starts servers on demand and ends them all with the `with` block. Their certificates are for `host`."""

    def __init__(self, *, authority: Authority | None = None, host: str = HOST) -> None:
        self.authority = authority or Authority()
        self._host = host
        self._running: dict[tuple[str, str], HostileServer] = {}
        self._stack = contextlib.ExitStack()

    def get(self, variant: str, version: str) -> HostileServer:
        """Returns the server of this variant and TLS version. Raises: KeyError for an unknown one."""
        key = (variant, version)
        if key not in self._running:
            self._running[key] = self._stack.enter_context(HostileServer(self._context(variant, version)))
        return self._running[key]

    def _context(self, variant: str, version: str) -> ssl.SSLContext | None:
        if variant in (PLAIN, RAW):
            return None
        if variant not in VARIANTS:
            raise KeyError(variant)
        context = server_context(self.authority, self._host, variant=variant)
        if variant not in FIXED_VERSION:
            context.minimum_version = context.maximum_version = _VERSIONS[version]
        return context

    def __enter__(self) -> Servers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
