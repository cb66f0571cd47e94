"""Sessions from which nothing leaves unattested.

`session.mount(prefix, adapter)` alone is not enough for that: `requests` takes another adapter where the URL begins
otherwise, and a redirect, a `:443` or a `user@` in front of the same host do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn, TypeVar

from requests import PreparedRequest, Session
from requests.adapters import BaseAdapter

from tytle_verifier.adapter.call import target_of
from tytle_verifier.adapter.errors import NotSendable
from tytle_verifier.adapter.transport import AttestedAdapter
from tytle_verifier.errors import PolicyError

_Session = TypeVar("_Session", bound=Session)


class RefuseUnattested(BaseAdapter):
    """Sends nothing: mounted at `https://` and `http://`, it stops whatever no AttestedAdapter is mounted for."""

    def send(self, request: PreparedRequest, *_: object, **__: object) -> NoReturn:
        """Raise: NotSendable. Only the origin is named: the rest of a URL may hold secrets."""
        url = target_of(request)
        raise NotSendable(f"no attested adapter is mounted for {url.scheme}://{url.netloc}", request=request)

    def close(self) -> None:
        """There is nothing to close."""


def attest_only(session: _Session, adapters: Mapping[str, AttestedAdapter]) -> _Session:
    """Take every adapter off `session`, mount these (URL prefix past the host's slash -> adapter), refuse the rest.

    Returns the session. Raises: PolicyError for no prefix, or one such as `https://host` that other hosts begin with.
    """
    if not adapters or any(prefix.count("/") < 3 for prefix in adapters):
        raise PolicyError("mount at least one prefix, each like https://host/")
    session.close()
    session.adapters.clear()
    refuse = RefuseUnattested()
    for prefix, adapter in {"https://": refuse, "http://": refuse, **adapters}.items():
        session.mount(prefix, adapter)
    return session
