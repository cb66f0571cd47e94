"""Steps 6 and 8: what the relying party accepts. A policy that accepts anything cannot be built.

Measurements are pinned jointly, release by release: PCR0, PCR1 and PCR2 of one build belong together. What a policy
leaves open is reported as not checked, never passed over in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from tytle_verifier.document import MAX_PCRS, PCR_BYTES, Document
from tytle_verifier.errors import DebugModeError, MeasurementError, PolicyError
from tytle_verifier.request import check_challenge
from tytle_verifier.schemas import SCHEMAS, Schema

REQUIRED_PCRS: Final = (0, 1, 2)  # the image; its kernel and boot ramdisk; the application
KNOWN_MODES: Final = frozenset({"document", "batch", "session"})
SEALING: Final = frozenset({"optional", "required"})
KNOWN_TLS: Final = frozenset({"TLSv1.2", "TLSv1.3"})  # the enclave offers no other
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_URL_RULE = re.compile(r"https?://[^/*?]+/[^*]*\*?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One build: its commit, PCR0, PCR1 and PCR2 (and others), and when documents of it may have been signed.

    `pcrs` maps an index 0..31 to 48 bytes; PCR0-2 may not be zero. `manifest` is the SHA-256 of the TOML in the image,
    None if not pinned (PCR0 covers it). `not_before` and `not_after` (aware, inclusive) bound the document's signed
    time. A revoked release is refused whenever it was signed. Raises: PolicyError.
    """

    commit: str
    pcrs: Mapping[int, bytes]
    manifest: bytes | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    revoked: bool = False

    def __post_init__(self) -> None:
        if not _COMMIT.fullmatch(self.commit):
            raise PolicyError(f"a commit is 40 or 64 lower-case hex digits, not {self.commit!r}")
        missing = [index for index in REQUIRED_PCRS if index not in self.pcrs]
        if missing:
            raise PolicyError(f"release {self.commit[:12]} pins no PCR{missing[0]}")
        for index, value in self.pcrs.items():
            _check_pcr(index, value)
            if index in REQUIRED_PCRS and not any(value):
                raise PolicyError(f"release {self.commit[:12]}: PCR{index} is zero, which is debug mode")
        if self.manifest is not None and len(self.manifest) != 32:
            raise PolicyError("a manifest digest has 32 bytes")
        if any(t is not None and t.tzinfo is None for t in (self.not_before, self.not_after)):
            raise PolicyError("not_before and not_after must carry their time zone")
        object.__setattr__(self, "pcrs", MappingProxyType(dict(self.pcrs)))

    def covers(self, signed_at: datetime) -> bool:
        """Tell whether a document of this release may have been signed at `signed_at`."""
        early = self.not_before is not None and signed_at < self.not_before
        late = self.not_after is not None and signed_at > self.not_after
        return not early and not late


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsDemands:
    """What the enclave's connection to the upstream must have been.

    `versions` is a non-empty part of KNOWN_TLS. `spki` is the allow-set of SHA-256 digests of the upstream's public key
    (SPKI, DER); empty leaves the choice to the enclave's root store. `plain_http_hosts` names each host for which an
    answer without TLS is acceptable, although whoever carried it could have forged it. Raises: PolicyError.
    """

    versions: frozenset[str] = KNOWN_TLS
    spki: frozenset[bytes] = frozenset()
    plain_http_hosts: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.versions or not self.versions <= KNOWN_TLS:
            raise PolicyError(f"TLS versions must be among {', '.join(sorted(KNOWN_TLS))}")
        if any(len(digest) != 32 for digest in self.spki):
            raise PolicyError("an SPKI digest has 32 bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the relying party accepts.

    `service`: the statement's service name. `releases`: at least one. `pcrs`: allow-sets for PCRs that do not depend
    on the release (3: role, 4: instance, 8: signer). `urls`: exact URLs, or prefixes ending in `*` that reach beyond
    the host; empty is not checked. `methods`: upper case; empty is not checked. `challenge`: the 16..64 bytes this
    caller sent; `require_challenge` refuses an answer without a compared challenge. `max_age`: tightens `Live`.
    `schemas`: by id, those of queries that this verifier does not know by itself; afterwards all that are known.
    `modes`: how statements may be signed, of KNOWN_MODES; empty is not checked.
    `sealed`: "required" keeps an adapter from sending a credential that is not sealed; of an answer it says nothing.
    Raises: PolicyError (a ValueError) for whatever is empty, zero or malformed.
    """

    service: str
    releases: tuple[Release, ...]
    pcrs: Mapping[int, frozenset[bytes]] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    challenge: bytes | None = None
    require_challenge: bool = False
    max_age: timedelta | None = None
    tls: TlsDemands = field(default_factory=TlsDemands)
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    modes: frozenset[str] = frozenset()
    sealed: str = "optional"

    def __post_init__(self) -> None:
        if not self.service or not self.releases:
            raise PolicyError("a policy needs a service and at least one release")
        for index, values in self.pcrs.items():
            if not values:
                raise PolicyError(f"the allow-set of PCR{index} is empty")
            _check_pcrs(index, values)
        given: tuple[object, ...] = (self.methods, self.urls, self.modes)
        if any(isinstance(each, str) for each in given):
            raise PolicyError("methods, urls and modes are collections of texts, not one text")
        if not KNOWN_MODES.issuperset(self.modes):
            raise PolicyError(f"modes must be among {', '.join(sorted(KNOWN_MODES))}")
        _check_releases(self.releases)
        _check_urls(self.urls)
        check_challenge(self.challenge)
        if self.max_age is not None and self.max_age <= timedelta(0):
            raise PolicyError("max_age must be above zero")
        object.__setattr__(self, "schemas", _with_known(self.schemas))
        if self.sealed not in SEALING:
            raise PolicyError(f"sealed is one of {', '.join(sorted(SEALING))}")
        object.__setattr__(self, "pcrs", MappingProxyType({i: frozenset(v) for i, v in self.pcrs.items()}))
        object.__setattr__(self, "releases", tuple(self.releases))
        object.__setattr__(self, "methods", frozenset(self.methods))
        object.__setattr__(self, "urls", tuple(self.urls))
        object.__setattr__(self, "modes", frozenset(self.modes))

    def allows_url(self, url: str) -> bool:
        """Tell whether `url` equals one of `urls` or begins as one of them that ends in `*`; true if there are none."""
        return not self.urls or any(
            url.startswith(rule[:-1]) if rule.endswith("*") else url == rule for rule in self.urls
        )


def measure(document: Document, policy: Policy) -> Release:
    """Step 6: return the release that the document's PCRs belong to.

    Zero PCR0-2 are refused before anything else. Raises: DebugModeError, MeasurementError.
    """
    refuse_debug(document.pcrs)
    same = [r for r in policy.releases if all(document.pcrs.get(i) == v for i, v in r.pcrs.items())]
    if not same:
        raise MeasurementError("PCR0, PCR1, PCR2: not a listed release", got=_listed(document.pcrs))
    revoked = [r for r in same if r.revoked]
    if revoked:
        raise MeasurementError(f"release {revoked[0].commit} is revoked")
    valid = [r for r in same if r.covers(document.signed_at)]
    if not valid:
        raise MeasurementError(f"release {same[0].commit} does not cover the signed time", got=document.signed_at)
    for index, allowed in policy.pcrs.items():
        if document.pcrs.get(index) not in allowed:
            raise MeasurementError(f"PCR{index} is not in its allow-set", got=document.pcrs.get(index, "absent"))
    return valid[0]


def refuse_debug(pcrs: Mapping[int, bytes]) -> None:
    """Refuse an enclave in debug mode (PCR0-2 all zero), and a zero PCR0, which names no image.

    Raises: DebugModeError, MeasurementError.
    """
    if not any(any(pcrs.get(index, b"")) for index in REQUIRED_PCRS):
        raise DebugModeError("PCR0, PCR1 and PCR2 are zero: the enclave ran in debug mode")
    if not any(pcrs.get(0, b"")):
        raise MeasurementError("PCR0 is zero: no image is identified")


def _listed(pcrs: Mapping[int, bytes]) -> str:
    return " ".join(f"{i}={pcrs[i].hex()}" if i in pcrs else f"{i}=absent" for i in REQUIRED_PCRS)


def _check_releases(releases: Iterable[Release]) -> None:
    """Demand that equal measurements pin equal manifests: which release is meant must not depend on the order."""
    manifests: dict[tuple[tuple[int, bytes], ...], bytes | None] = {}
    for release in releases:
        key = tuple(sorted(release.pcrs.items()))
        if manifests.setdefault(key, release.manifest) != release.manifest:
            raise PolicyError(f"release {release.commit[:12]}: the same PCRs as another, and another manifest")


def _check_pcrs(index: int, values: Iterable[bytes]) -> None:
    for value in values:
        _check_pcr(index, value)


def _check_pcr(index: int, value: bytes) -> None:
    if not 0 <= index < MAX_PCRS or len(value) != PCR_BYTES:
        raise PolicyError(f"PCR{index}: an index is 0..{MAX_PCRS - 1} and a value {PCR_BYTES} bytes")


def _with_known(schemas: Mapping[str, Schema]) -> Mapping[str, Schema]:
    """Return these schemas and the known ones; one id is one list of fields, everywhere and for ever."""
    for name, schema in schemas.items():
        if name != schema.id or SCHEMAS.get(name, schema) != schema:
            raise PolicyError(f"schema {name}: another one has this id")
    return MappingProxyType({**SCHEMAS, **schemas})


def _check_urls(urls: Iterable[str]) -> None:
    for rule in urls:
        if not _URL_RULE.fullmatch(rule):
            raise PolicyError(f"URL rule {rule!r}: give a whole URL, or a prefix past the host's slash ending in *")
