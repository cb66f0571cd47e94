"""What the verifier's tests share beside the kit: the test root, a policy that fits, and "refused at step N"."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import verifier_kit as kit

from tytle_verifier import (
    Live,
    Policy,
    Release,
    Request,
    TestPkiRoot,
    VerificationError,
    VerifiedReply,
    verify_reply,
)

ROOT = TestPkiRoot(kit.pki().root.der)
NOW = Live(now=kit.SIGNED_AT + timedelta(seconds=2))
RELEASE = Release(commit=kit.COMMIT, pcrs={i: kit.PCRS[i] for i in (0, 1, 2)}, manifest=kit.MANIFEST)
REQUEST = Request(
    method="POST", url=kit.URL, headers=tuple(kit.HEADERS), body=kit.ASKED, challenge=kit.CHALLENGE, id="call-1"
)


def policy(**changes: Any) -> Policy:
    return Policy(**{"service": "vies", "releases": (RELEASE,), **changes})


def verify(reply: bytes, **changes: Any) -> VerifiedReply:
    return verify_reply(reply, **{"policy": policy(), "time": NOW, "root": ROOT, "request": REQUEST, **changes})


def refused(step: int, problem: str, check: Callable[..., object], *given: Any, **named: Any) -> VerificationError:
    """Demand that `check` refuses at `step` and that the message holds `problem`; return the error."""
    with pytest.raises(VerificationError) as caught:
        check(*given, **named)
    assert (caught.value.step, problem in str(caught.value)) == (step, True), str(caught.value)
    return caught.value
