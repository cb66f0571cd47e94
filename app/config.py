"""What an operator may set. Read from the environment once, at the edge; inward it is one frozen value."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.admission import DEFAULT_BODY_MIB, Admission
from app.archive.settings import ArchiveSettings
from app.callers import registry
from app.callers.proof import Proxies, parse_proxies
from app.callers.registry import Callers, CallersError
from app.limits.values import Limits
from app.status import releases
from app.status.releases import Releases
from app.tls import TlsFiles
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
    processes share with `app.drain`; without one, no enclave can be drained. `admission` says who may ask.
    Without `archive` no answer is stored. `build` is shown among the metrics; with `tracing` spans are sent, as
    OpenTelemetry's own variables say. `releases` by service, and `source`, the URL of this software's source, are shown
    on the page.
    """

    manifests: tuple[Manifest, ...]
    addresses: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)
    state: Path | None = None
    connections: int = 64
    timeout_ms: int = 30_000  # the predecessor's limit for a call to an enclave
    admission: Admission = field(default_factory=Admission)
    archive: ArchiveSettings | None = None
    build: str = "unknown"
    tracing: bool = False
    releases: Mapping[str, Releases] = field(default_factory=dict)
    source: str | None = None

    def __post_init__(self) -> None:
        if not self.manifests:
            raise ValueError("no services: every request would be refused")
        hosts = [host for service in self.manifests for host in service.hosts]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How gunicorn serves: its address, its processes, and TLS where it ends it."""

    bind: str
    processes: int
    tls: TlsFiles | None


def from_environment(
    environ: Mapping[str, str], *, services: Path = SERVICES, callers: Callers | None = None
) -> Config:
    """Return the settings of a deployed parent: `SERVICES`, `NAME_CIDS`, `ENCLAVE_CONNECTIONS`, `ENCLAVE_TIMEOUT_MS`,
    `STATE_DIR` (an absolute path), `ARCHIVE_URL`, `ARCHIVE_DAYS`, `ARCHIVE_REQUIRED`, `BUILD`, `SOURCE_URL`,
    those of `admission`, and whether OpenTelemetry's variables ask for traces.

    `SERVICES` names the services that have an enclave on this host, with commas between: all of `services`, if unset.
    `NAME` is the service's name in capitals with `-` written `_`: VIES_CIDS=16,20, STRIPE_PAYMENT_CIDS=18. `NAME_CID`
    is the same for one enclave. `callers` are used instead of those in TOKENS_FILE.

    Raises:
        ConfigError: a value is no number in its range, or names no service.
        ManifestError: a file in services/ is wrong.
    """
    known = sorted((manifest.load(path.read_bytes()) for path in _paths(services)), key=lambda service: service.cid)
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
        admission=admission(
            environ,
            [service.name for service in manifests],
            callers=callers or read_callers(environ, services=services),
        ),
        archive=_archive(environ),
        build=_build(environ.get("BUILD") or "unknown"),
        tracing=_wants_traces(environ),
        releases={each.name: releases.load(services / f"{each.name}.pcrs.toml", each.name) for each in manifests},
        source=_source(environ),
    )


def admission(environ: Mapping[str, str], services: Iterable[str], *, callers: Callers | None) -> Admission:
    """Return the settings of the gate: `TRUSTED_PROXIES`, `NAME_RATE`, `NAME_BURST`, `NAME_CONCURRENT`, `BODIES_MIB`.

    Raises:
        ConfigError: a value is not in its range.
    """
    limits = {name: _limits(environ, _prefix(name)) for name in services}
    return Admission(
        callers=callers,
        proxies=_proxies(environ),
        limits={name: each for name, each in limits.items() if each != Limits()},
        body_bytes=1024 * 1024 * _number(environ, "BODIES_MIB", default=DEFAULT_BODY_MIB, least=32, most=65536),
    )


def read_callers(environ: Mapping[str, str], *, services: Path = SERVICES) -> Callers | None:
    """Return the callers in TOKENS_FILE; None where it is not set, so that everybody may ask.

    Raises:
        ConfigError: it cannot be used, or another setting has no meaning without it.
    """
    name = environ.get("TOKENS_FILE", "")
    if not name:
        for other in ("TLS_CLIENT_ROOTS", "TRUSTED_PROXIES"):
            if environ.get(other):
                raise ConfigError(f"{other}: set TOKENS_FILE too, which says whose a client certificate is")
        return None
    try:
        return registry.load(Path(name).read_bytes(), services=known_services(services))
    except OSError as exc:
        raise ConfigError(f"TOKENS_FILE: {exc.strerror}") from exc
    except CallersError as exc:
        raise ConfigError(f"TOKENS_FILE: {exc}") from exc


def serving(environ: Mapping[str, str]) -> Serving:
    """Return what gunicorn is told: `BIND`, `WEB_WORKERS`, `TLS_CERTIFICATE`, `TLS_KEY`, `TLS_CLIENT_ROOTS`.

    Raises:
        ConfigError: a value is not in its range, or one of them is missing beside another.
    """
    certificate, key = environ.get("TLS_CERTIFICATE", ""), environ.get("TLS_KEY", "")
    roots = environ.get("TLS_CLIENT_ROOTS", "")
    if bool(certificate) != bool(key) or (roots and not certificate):
        raise ConfigError("TLS_CERTIFICATE: set it together with TLS_KEY, and both where TLS_CLIENT_ROOTS is set")
    return Serving(
        bind=environ.get("BIND", "") or "127.0.0.1:5001",
        processes=_number(environ, "WEB_WORKERS", default=2, least=1, most=64),
        tls=TlsFiles(certificate=certificate, key=key, client_roots=roots or None) if certificate else None,
    )


def known_services(services: Path = SERVICES) -> frozenset[str]:
    """Return the names of all services in a folder, whether they have an enclave on this host or not."""
    return frozenset(path.stem for path in _paths(services))


def _paths(services: Path) -> list[Path]:
    return [path for path in sorted(services.glob("*.toml")) if not path.name.endswith(".pcrs.toml")]


def _prefix(name: str) -> str:
    return name.upper().replace("-", "_")


def _proxies(environ: Mapping[str, str]) -> Proxies:
    try:
        return parse_proxies(environ.get("TRUSTED_PROXIES", ""))
    except ValueError as exc:
        raise ConfigError("TRUSTED_PROXIES: expected addresses or networks with commas between, or unix") from exc


def _limits(environ: Mapping[str, str], prefix: str) -> Limits:
    """Read a service's limits on this host; without any, its places in each process are the only ones."""
    rate = _number(environ, f"{prefix}_RATE", default=0, least=1, most=1_000_000)
    return Limits(
        rate=rate or None,
        burst=_number(environ, f"{prefix}_BURST", default=rate or 1, least=1, most=1_000_000),
        concurrent=_number(environ, f"{prefix}_CONCURRENT", default=0, least=1, most=1_000_000) or None,
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


def _source(environ: Mapping[str, str]) -> str | None:
    url = environ.get("SOURCE_URL", "")
    if url and not re.fullmatch(r"https://[!-~]{1,200}", url):
        raise ConfigError("SOURCE_URL: expected an https URL")
    return url or None


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
    one = _prefix(service.name) + "_CID"
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
