"""Secrets in every part of a request that can hold one, and the demand that none is where it should not be."""

import traceback
from typing import Any

import pytest
import requests
from verifier_parent import URL
from verifier_sealed import HostileParent

SECRETS = {
    "Authorization": "Bearer planted-in-authorization",
    "Cookie": "session=planted-in-cookie",
    "X-Api-Key": "planted-in-key",
    "X-Plain": "planted-in-header",
}
BODY = "planted-in-body"
ASKED_URL = f"{URL}?token=planted-in-query"


def ask(session: requests.Session, **more: Any) -> requests.Response:
    return session.post(ASKED_URL, headers=SECRETS, data=BODY, **more)


def ending(parent: HostileParent, kind: type[Exception], match: str | None = None, **changes: Any) -> Any:
    """Demand that a request full of secrets ends in `kind`, and that no secret is in it or reached the parent."""
    with pytest.raises(kind, match=match) as caught:
        ask(parent.session(**changes))
    holds_no_secret(caught.value)
    assert b"planted" not in parent.everything()
    return caught.value


def holds_no_secret(error: BaseException) -> None:
    linked = [error]
    while (before := linked[-1].__cause__ or linked[-1].__context__) is not None:
        linked.append(before)
    seen = "".join(traceback.format_exception(error)) + "".join(repr(vars(one)) + repr(one.args) for one in linked)
    assert "planted" not in seen
    assert [getattr(one, "response", None) for one in linked] == [None] * len(linked)
