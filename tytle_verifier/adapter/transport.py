"""The adapter: one request becomes one call to the parent, and its reply a verified Response or an exception.

It overrides `send` and calls `super().send` with what goes to the parent, so that whatever replaces HTTPAdapter.send
in a test (the `responses` package) replaces the parent, and the verification still runs.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from requests.utils import should_bypass_proxies
from urllib3.util import Retry

from tytle_verifier.adapter import call as calls
from tytle_verifier.adapter import credentials, hearsay, incoming, timeouts
from tytle_verifier.adapter.call import Call
from tytle_verifier.adapter.errors import FAILURES, ConnectionFailureAttested, FailureAttested, NotVerified
from tytle_verifier.adapter.parent import Parent
from tytle_verifier.adapter.response import Attestation, raw
from tytle_verifier.adapter.sealing import SealedWay, check_boot, sent_once
from tytle_verifier.chain import LinkCache
from tytle_verifier.clock import live
from tytle_verifier.errors import AttestedFailure, NotAttested, PolicyError, VerifierError, shown
from tytle_verifier.policy import KNOWN_MODES, Policy
from tytle_verifier.roots import AWS_ROOT, Root
from tytle_verifier.sealed import Identities, VerifiedIdentity
from tytle_verifier.statement import Failure
from tytle_verifier.verify import verify_reply
from tytle_verifier.when import Time

CHALLENGE_BYTES = 32


class AttestedAdapter(HTTPAdapter):
    """Fetches through the enclave behind `parent` and hands out what `verify_reply` accepted under `policy`.

    - `parent`: the parent's URL, before `/attest/fetch`. `parent_headers` go to the parent only, for example
      `{"Authorization": "Bearer ..."}`; the request's own headers, Authorization among them, go to the upstream.
    - `policy`: without a challenge of its own, since each request carries a fresh one. `root`: AWS's, or a TestPkiRoot.
    - `mode`: how answers are to be signed, "document", "batch" or "session" (VERIFICATION.md, step 7). An answer in
      another mode is refused, so that a parent cannot choose a weaker one; so is a mode that the policy does not list.
    - `sealed`: the enclave's identity is verified first and requests and answers are sealed, so that the parent sees
      the service's name, sizes and times. False sends them in clear; recorded replies can be replayed only so.
    - `clock` returns the time that each verification is about: this machine's now; `Archive` replays recorded replies.
    - `random` returns that many bytes: the challenge of each request and of each identity (32 bytes).
    - `max_retries` as for HTTPAdapter: what never reached the parent is sent again, sealed or not. Beyond that, a
      urllib3 `Retry` repeats unsealed calls only, each time one more fetch under the same challenge.
    - `pool_maxsize`: connections to the parent that are kept.

    As safe between threads as HTTPAdapter is. Raises: PolicyError for a parent, policy or clock that cannot work.
    """

    def __init__(
        self,
        *,
        parent: str,
        policy: Policy,
        root: Root = AWS_ROOT,
        mode: str = calls.DEFAULT_MODE,
        sealed: bool = True,
        parent_headers: Mapping[str, str] | None = None,
        clock: Callable[[], Time] = live,
        random: Callable[[int], bytes] = secrets.token_bytes,
        max_retries: Retry | int = 0,
        pool_maxsize: int = 10,
    ) -> None:
        super().__init__(max_retries=max_retries, pool_maxsize=pool_maxsize)
        if policy.challenge is not None:
            raise PolicyError("this policy expects one challenge for ever; the adapter makes one per request")
        self._parent = Parent(parent, parent_headers or {})
        self._mode = mode
        self._policy, self._root = _in_mode(policy, mode), root
        self._clock, self._random = clock, random
        self._cache = LinkCache()
        self._sealed: SealedWay | None = None
        if sealed:
            self.max_retries = sent_once(self.max_retries)
            identities = Identities(policy=policy, clock=clock, random=random, root=root)
            self._sealed = SealedWay(parent=self._parent, service=policy.service, identities=identities)

    def __getstate__(self) -> NoReturn:
        """Refuse to be pickled: HTTPAdapter would come back without its policy. Make one in each process."""
        raise TypeError("an AttestedAdapter cannot be pickled: make one in each process")

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: timeouts.Given = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Response:
        """Fetch `request` through the enclave.

        `stream` changes nothing: an answer is read whole and verified before any of it is handed out. `verify`, `cert`
        and `proxies` are those of the connection to the parent (NO_PROXY of the environment included), and so is all
        that `requests` raises about connections. `timeout` holds for the question for an enclave's identity and for
        the request, each. Raises: NoAnswer, RequestException.
        """
        del stream
        limits, timeout_ms = timeouts.resolve(timeout)
        challenge = self._random(CHALLENGE_BYTES)
        call = calls.encode(request, challenge=challenge, timeout_ms=timeout_ms, mode=self._mode)
        way = {"timeout": limits, "verify": verify, "cert": cert, "proxies": self._proxies(proxies or {})}

        def exchange(prepared: PreparedRequest) -> tuple[int, bytes]:
            return self._exchange(prepared, request, way)

        if self._sealed is None:
            return self._verified(request, call, self._in_clear(call, exchange, request))
        reply, identity = self._sealed.fetch(call, exchange, patience_seconds=timeout_ms / 1000, request=request)
        return self._verified(request, call, reply, identity)

    def _in_clear(
        self, call: Call, exchange: Callable[[PreparedRequest], tuple[int, bytes]], request: PreparedRequest
    ) -> bytes:
        credentials.demand_none(call.asked, self._policy, request)
        status, reply = exchange(self._parent.fetch(call.data))
        if status != 200:
            raise hearsay.of_parent(status, reply, request)
        return reply

    def _exchange(self, prepared: PreparedRequest, request: PreparedRequest, way: dict[str, Any]) -> tuple[int, bytes]:
        """Send `prepared` to the parent and return the answer's status and body. Raises: RequestException."""
        try:
            with super().send(prepared, stream=True, **way) as answer:
                return answer.status_code, incoming.read(answer)
        except RequestException as error:
            error.request, error.response = request, None  # not the call to the parent, whose headers hold its token
            raise

    def _verified(
        self, request: PreparedRequest, call: Call, reply: bytes, identity: VerifiedIdentity | None = None
    ) -> Response:
        """Return the answer in `reply` once every step has held. Raises: NoAnswer."""
        try:
            verified = verify_reply(
                reply,
                policy=self._policy,
                time=self._clock(),
                root=self._root,
                request=call.asked,
                cache=self._cache,
            )
            if identity is not None:
                check_boot(verified, identity)
        except NotAttested as error:
            raise hearsay.of_enclave(reply, error, request) from error
        except VerifierError as error:
            raise NotVerified(error, request=request) from error
        attestation = Attestation(verified=verified, reply=reply, call=call.data)
        try:
            response = self.build_response(request, raw(verified, method=request.method))
        except AttestedFailure as error:
            raise _failure(attestation, request) from error
        response.attestation = attestation  # type: ignore[attr-defined]  # `attestation_of` is the typed way to it
        return response

    def _proxies(self, proxies: Mapping[str, str]) -> Mapping[str, str]:
        """Return the proxies for the parent. The session looked NO_PROXY up for the upstream's host, not for it."""
        bypassed = "no" in proxies and should_bypass_proxies(self._parent.url, no_proxy=None)
        return {} if bypassed else proxies


def _in_mode(policy: Policy, mode: str) -> Policy:
    """Return the policy that accepts this mode alone. Raises: PolicyError for one that it does not accept."""
    if mode not in (policy.modes or KNOWN_MODES):
        raise PolicyError(f"mode {shown(mode)}: expected one of {', '.join(sorted(policy.modes or KNOWN_MODES))}")
    return replace(policy, modes=frozenset({mode}))


def _failure(attestation: Attestation, request: PreparedRequest) -> FailureAttested:
    outcome = attestation.verified.outcome
    kind, detail = (outcome.kind, outcome.detail) if isinstance(outcome, Failure) else ("", "")
    made = FAILURES.get(kind, ConnectionFailureAttested)
    return made(f"attested failure: {shown(kind)}: {shown(detail)}", attestation, request=request)
