"""What an operator may set. Read from the environment once, at the edge; inward it is one frozen value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.archive.settings import ArchiveSettings
from policy import manifest
from policy.manifest import Manifest
from wire.addresses import Address, VsockAddress

TRACE_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SERVICES = Path(__file__).parent.parent / "services"
MAX_ENCLAVES = 16  # ours, for one service; a host has four at most (AWS Nitro Enclaves user guide), without emulation
MAX_REQUEST_BYTES = 10 * 1024 * 1024  # the predecessor's limit for a request's JSON, inclusive


class ConfigError(Exception):
    """A setting cannot be used. The message names it."""

    advice = "Correct the named environment variable and start again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The parent's settings.

    `manifests` are the services that have an enclave here; `addresses` overrides where theirs listen, by service name
    (otherwise one at AF_VSOCK with the manifest's CID and port). `connections` bounds the open connections to one
    enclave from one process; `timeout_ms` is used when a caller names none. `state` is the folder that the parent's
    processes share with `app.drain`; without one, no enclave can be drained. Without `archive` no answer is stored.
    `build` is shown among the metrics; with `tracing` spans are sent, as OpenTelemetry's own variables say.
    """

    manifests: tuple[Manifest, ...]
    addresses: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)
    state: Path | None = None
    connections: int = 64
    timeout_ms: int = 30_000  # the predecessor's limit for a call to an enclave
    archive: ArchiveSettings | None = None
    build: str = "unknown"
    tracing: bool = False

    def __post_init__(self) -> None:
        if not self.manifests:
            raise ValueError("no services: every request would be refused")
        hosts = [upstream.host for service in self.manifests for upstream in service.upstreams]
        if len(set(hosts)) != len(hosts):
            raise ValueError("two services claim the same host")
        taken = [address for service in self.manifests for address in self.places(service)]
        if len(set(taken)) != len(taken):
            raise ValueError("two enclaves at the same address")
        if not all(self.places(service) for service in self.manifests):
            raise ValueError("a service without an enclave")

    def places(self, service: Manifest) -> tuple[Address, ...]:
        """Return where the enclaves of this service listen."""
        return self.addresses.get(service.name, (VsockAddress(cid=service.cid, port=service.port),))


def from_environment(environ: Mapping[str, str], *, services: Path = SERVICES) -> Config:
    """Return the settings of a deployed parent: `SERVICES`, `NAME_CIDS`, `ENCLAVE_CONNECTIONS`, `ENCLAVE_TIMEOUT_MS`,
    `STATE_DIR`, an absolute path, `ARCHIVE_URL`, `ARCHIVE_DAYS`, `ARCHIVE_REQUIRED` and `BUILD`; and whether
    OpenTelemetry's variables ask for traces.

    `SERVICES` names the services that have an enclave on this host, with commas between: all of `services`, if unset.
    `NAME` is the service's name in capitals with `-` written `_`: VIES_CIDS=16,20, STRIPE_PAYMENT_CIDS=18. `NAME_CID`
    is the same for one enclave.

    Raises:
        ConfigError: a value is no number in its range, or names no service.
        ManifestError: a file in services/ is wrong.
    """
    paths = [path for path in sorted(services.glob("*.toml")) if not path.name.endswith(".pcrs.toml")]
    known = sorted((manifest.load(path.read_bytes()) for path in paths), key=lambda service: service.cid)
    manifests = _chosen(environ.get("SERVICES", ""), known)
    addresses: dict[str, tuple[Address, ...]] = {}
    owners: dict[int, str] = {}
    for service in manifests:
        cids = _cids(environ, service)
        for cid in cids:
            if owners.setdefault(cid, service.name) != service.name:
                raise ConfigError(f"CID {cid} is given to {owners[cid]} and to {service.name}")
        addresses[service.name] = tuple(VsockAddress(cid=cid, port=service.port) for cid in cids)
    return Config(
        manifests=manifests,
        addresses=addresses,
        state=_folder(environ, "STATE_DIR"),
        connections=_number(environ, "ENCLAVE_CONNECTIONS", default=64, least=1, most=4096),
        timeout_ms=_number(environ, "ENCLAVE_TIMEOUT_MS", default=30_000, least=100, most=120_000),
        archive=_archive(environ),
        build=_build(environ.get("BUILD") or "unknown"),
        tracing=_wants_traces(environ),
    )


def _archive(environ: Mapping[str, str]) -> ArchiveSettings | None:
    days = _number(environ, "ARCHIVE_DAYS", default=30, least=1, most=36_500)
    required = _number(environ, "ARCHIVE_REQUIRED", default=0, least=0, most=1)
    url = environ.get("ARCHIVE_URL", "")
    if url:
        return ArchiveSettings(url=url, days=days, required=bool(required))
    if required:
        raise ConfigError("ARCHIVE_REQUIRED: there is no ARCHIVE_URL")
    return None


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


def _cids(environ: Mapping[str, str], service: Manifest) -> list[int]:
    """Return the CIDs of a service's enclaves: those of NAME_CIDS, the one of NAME_CID, or the manifest's."""
    one = service.name.upper().replace("-", "_") + "_CID"
    many = one + "S"
    if environ.get(one) and environ.get(many):
        raise ConfigError(f"{one} and {many} are both set")
    name, given = (many, environ[many].split(",")) if environ.get(many) else (one, [environ.get(one, "")])
    if given == [""]:
        return [service.cid]
    cids = [_whole(text.strip(" ") if name == many else text, name, least=4, most=2**32 - 2) for text in given]
    if len(set(cids)) != len(cids) or len(cids) > MAX_ENCLAVES:
        raise ConfigError(f"{name}: expected at most {MAX_ENCLAVES} CIDs, each once")
    return cids


def _folder(environ: Mapping[str, str], name: str) -> Path | None:
    text = environ.get(name, "")
    if text and not text.startswith("/"):
        raise ConfigError(f"{name}: expected an absolute path")
    return Path(text) if text else None


def _number(environ: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    text = environ.get(name, "")
    return _whole(text, name, least=least, most=most) if text else default


def _whole(text: str, name: str, *, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
        raise ConfigError(f"{name}: expected a whole number from {least} to {most}")
    return int(text)
