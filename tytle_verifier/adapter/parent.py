"""The parent as the adapter sees it: where it is, what goes to it alone, and the requests that it understands."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from requests import PreparedRequest
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from tytle_verifier.errors import PolicyError, shown


class Parent:
    """One parent's URL, below which its API is, and the headers that it alone gets, its token among them.

    Raises: PolicyError for a URL or header that cannot work. Their values may be secrets, so errors hold none.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = _checked_url(url)
        self._headers = _checked_headers(headers)

    def fetch(self, call: bytes) -> PreparedRequest:
        """Return `POST /attest/fetch` with this JSON."""
        return self._post("/attest/fetch", call)

    def sealed(self, data: bytes) -> PreparedRequest:
        """Return `POST /attest/sealed` with this JSON."""
        return self._post("/attest/sealed", data)

    def identity(self, service: str, challenge: bytes) -> PreparedRequest:
        """Return `GET /enclaves/NAME/identity`; `service` is a name that needs no escaping."""
        return self._prepared(
            "GET", f"/enclaves/{service}/identity", params={"challenge": base64.urlsafe_b64encode(challenge).decode()}
        )

    def _post(self, path: str, data: bytes) -> PreparedRequest:
        return self._prepared("POST", path, {"Content-Type": "application/json"}, data=data)

    def _prepared(
        self,
        method: str,
        path: str,
        more: Mapping[str, str] | None = None,
        *,
        data: bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> PreparedRequest:
        headers: CaseInsensitiveDict[str] = CaseInsensitiveDict({"User-Agent": "tytle-verifier", "Accept": "*/*"})
        headers.update(self._headers)
        headers.update({**(more or {}), "Accept-Encoding": "identity"})
        prepared = PreparedRequest()
        prepared.prepare(method=method, url=self.url + path, headers=headers, data=data, params=params)
        return prepared


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()) or value != value.strip():
            raise PolicyError(f"parent_headers: the value of {shown(name)} has a line end, a blank at an end, or worse")
    return dict(headers)


def _checked_url(parent: str) -> str:
    try:
        url = parse_url(parent)
    except LocationParseError:
        raise PolicyError("the parent's URL cannot be parsed") from None  # it may hold a password
    if url.scheme not in ("http", "https") or not url.host or url.auth or url.query or url.fragment:
        raise PolicyError("the parent is an http or https URL such as http://127.0.0.1:5001, without user or query")
    return parent.rstrip("/")
