"""What an operator may set. Read from the environment once, at the edge; inward it is one frozen value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from policy import manifest
from policy.manifest import Manifest
from wire.addresses import Address, VsockAddress

TRACE_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SERVICES = Path(__file__).parent.parent / "services"
MAX_REQUEST_BYTES = 10 * 1024 * 1024  # the predecessor's limit for a request's JSON, inclusive


class ConfigError(Exception):
    """A setting cannot be used. The message names it."""

    advice = "Correct the named environment variable and start again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The parent's settings.

    `manifests` are the services that have an enclave here; `addresses` overrides where one listens, by service name
    (otherwise AF_VSOCK with the manifest's CID and port). `connections` bounds the open connections to one enclave from
    one process; `timeout_ms` is used when a caller names none. `build` is shown among the metrics; with `tracing` spans
    are sent, as OpenTelemetry's own variables say.
    """

    manifests: tuple[Manifest, ...]
    addresses: Mapping[str, Address] = field(default_factory=dict)
    connections: int = 64
    timeout_ms: int = 30_000  # the predecessor's limit for a call to an enclave
    build: str = "unknown"
    tracing: bool = False

    def __post_init__(self) -> None:
        if not self.manifests:
            raise ValueError("no services: every request would be refused")
        hosts = [upstream.host for service in self.manifests for upstream in service.upstreams]
        if len(set(hosts)) != len(hosts):
            raise ValueError("two services claim the same host")

    def address(self, service: Manifest) -> Address:
        """Return where the enclave of this service listens."""
        return self.addresses.get(service.name, VsockAddress(cid=service.cid, port=service.port))


def from_environment(environ: Mapping[str, str], *, services: Path = SERVICES) -> Config:
    """Return the settings of a deployed parent: `SERVICES`, `NAME_CID`, `ENCLAVE_CONNECTIONS`, `ENCLAVE_TIMEOUT_MS`,
    `BUILD`; and whether OpenTelemetry's variables ask for traces.

    `SERVICES` names the services that have an enclave on this host, with commas between: all of `services`, if unset.
    `NAME` is the service's name in capitals with `-` written `_`: VIES_CID, STRIPE_PAYMENT_CID.

    Raises:
        ConfigError: a value is no number in its range, or names no service.
        ManifestError: a file in services/ is wrong.
    """
    paths = [path for path in sorted(services.glob("*.toml")) if not path.name.endswith(".pcrs.toml")]
    known = sorted((manifest.load(path.read_bytes()) for path in paths), key=lambda service: service.cid)
    manifests = _chosen(environ.get("SERVICES", ""), known)
    addresses: dict[str, Address] = {}
    for service in manifests:
        variable = service.name.upper().replace("-", "_") + "_CID"
        cid = _number(environ, variable, default=service.cid, least=4, most=2**32 - 2)  # vsock(7): 0..3 are reserved
        addresses[service.name] = VsockAddress(cid=cid, port=service.port)
    return Config(
        manifests=manifests,
        addresses=addresses,
        connections=_number(environ, "ENCLAVE_CONNECTIONS", default=64, least=1, most=4096),
        timeout_ms=_number(environ, "ENCLAVE_TIMEOUT_MS", default=30_000, least=100, most=120_000),
        build=_build(environ.get("BUILD") or "unknown"),
        tracing=_wants_traces(environ),
    )


def _chosen(names: str, known: list[Manifest]) -> tuple[Manifest, ...]:
    wanted = {name.strip() for name in names.split(",")} - {""}
    missing = wanted - {service.name for service in known}
    if missing:
        raise ConfigError(f"SERVICES: there is no service {sorted(missing)[0]!r}")
    return tuple(service for service in known if not wanted or service.name in wanted)


def _build(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._+-]{1,64}", text):
        raise ConfigError("BUILD: expected 1 to 64 letters, digits and . _ + -")
    return text


def _wants_traces(environ: Mapping[str, str]) -> bool:
    """OpenTelemetry environment variable specification: an endpoint is named, and nothing switches traces off."""
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    off = off or environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return not off and any(environ.get(name) for name in TRACE_ENDPOINTS)


def _number(environ: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
        raise ConfigError(f"{name}: expected a whole number from {least} to {most}")
    return int(text)
