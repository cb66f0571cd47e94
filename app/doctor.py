"""`python -m app.doctor [--eif NAME=FILE ...]`: what keeps this host from serving attested fetches, and what to do.

One line per check: `ok`, `NO` with advice, or `--` for what cannot be told here. Exit status 1 when any check says NO.
It reads and asks, and changes nothing. Sources: AWS Nitro Enclaves user guide (commands, memory), vsock-proxy main.rs.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app import nitro_cli, pong
from app.config import ConfigError, from_environment
from app.enclave import Enclave
from app.fleet import Fleet
from app.nitro_cli import Running
from app.pong import NotAPong
from app.router import Router
from policy.errors import PolicyError
from policy.manifest import Manifest, Upstream
from policy.paths import Literal
from wire import messages
from wire.errors import WireError
from wire.messages import Call

COMMAND_SECONDS = 10
ASK_SECONDS = 15.0
MEMORY_PER_EIF = 4  # AWS user guide: an enclave needs at least four times the size of its image file
DEFAULT_PROXY_WORKERS = 4  # vsock-proxy --num_workers
NEEDED_PROXY_WORKERS = 128  # the worker's fetches under way at once (64) and the idle connections that it keeps (64)
PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One check: `passed` is None for what cannot be told here."""

    subject: str
    passed: bool | None
    said: str

    def __str__(self) -> str:
        mark = {True: "ok", False: "NO", None: "--"}[self.passed]
        return f"{mark}  {self.subject:<28} {self.said}"


def main(arguments: Sequence[str]) -> int:
    """Run every check and print the results. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m app.doctor")
    parser.add_argument("--eif", action="append", default=[], metavar="NAME=FILE", help="the image of a service")
    options = parser.parse_args(arguments)
    images = {name: Path(file) for name, _, file in (given.partition("=") for given in options.eif)}
    try:
        router = Router(from_environment(os.environ))
    except (ConfigError, PolicyError, ValueError) as exc:
        print(Result(subject="settings", passed=False, said=str(exc)))  # noqa: T201  this is a command
        return 1
    failed = False
    for result in checks(router, images):
        print(result, flush=True)  # noqa: T201
        failed = failed or result.passed is False
    router.close()
    return 1 if failed else 0


def checks(router: Router, images: dict[str, Path]) -> Iterator[Result]:
    """Yield the result of every check, the host's first."""
    version = nitro_cli.version(seconds=COMMAND_SECONDS)
    said = version.strip() if version else "not found: install aws-nitro-enclaves-cli"
    yield Result(subject="nitro-cli", passed=version is not None, said=said)
    running = nitro_cli.describe(seconds=COMMAND_SECONDS) if version else None
    proxies = list(proxy_commands(PROC))
    for fleet in router.fleets:
        for upstream in fleet.service.upstreams:
            yield check_proxy(upstream, proxies)
        yield from _fleet(fleet, running, images.get(fleet.service.name))


def check_memory(running: Running, eif: Path) -> Result:
    """Compare an enclave's memory with what its image needs."""
    size = eif.stat().st_size
    enough = running.memory * 1024 * 1024 >= MEMORY_PER_EIF * size
    said = f"{running.memory} MiB for an image of {size / 1024 / 1024:.1f} MiB, at least {MEMORY_PER_EIF} times as much"
    return Result(subject=f"cid {running.cid} memory", passed=enough, said=said)


def check_proxy(upstream: Upstream, proxies: Iterable[Sequence[str]]) -> Result:
    """Look for the vsock-proxy of one upstream among the running ones, and at how many connections it takes."""
    subject = f"vsock-proxy {upstream.proxy_port}"
    target = [str(upstream.proxy_port), upstream.host]
    for command in proxies:
        if any(list(command[index : index + 2]) == target for index in range(len(command))):
            workers = _workers(command)
            said = f"{workers} workers, at least {NEEDED_PROXY_WORKERS} needed (--num_workers)"
            return Result(subject=subject, passed=workers >= NEEDED_PROXY_WORKERS, said=said)
    return Result(subject=subject, passed=False, said=f"not running: vsock-proxy {' '.join(target)} 443")


def proxy_commands(proc: Path) -> Iterator[list[str]]:
    """Yield the command line of every vsock-proxy that runs."""
    for path in proc.glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode("utf-8", "replace").split("\0")[:-1]
        except OSError:
            continue  # it has ended meanwhile
        if command and Path(command[0]).name == "vsock-proxy":
            yield command


def open_request(service: Manifest) -> Call | None:
    """Return a call that the policy allows as it stands: a GET rule without variables, or None."""
    for upstream in service.upstreams:
        for rule in upstream.rules:
            plain = all(isinstance(segment, Literal) for segment in rule.path.segments)
            if rule.method == "GET" and plain and not any(key.endswith("=") for key in rule.query):
                query = "?" + "&".join(sorted(rule.query)) if rule.query else ""
                scheme = "https" if upstream.tls else "http"
                return Call(id="doctor", url=f"{scheme}://{upstream.host}{rule.path.text}{query}", method="GET")
    return None


def _fleet(fleet: Fleet, running: list[Running] | None, eif: Path | None) -> Iterator[Result]:
    """Check the enclaves of a service. A free CID is no failure while another one runs: it is kept for an update."""
    cids = {one.cid for one in running or ()}
    some_run = any(enclave.cid in cids for enclave in fleet.enclaves)
    for enclave in fleet.enclaves:
        if some_run and enclave.cid not in cids:
            subject = f"{enclave.service.name} (cid {enclave.cid})"
            yield Result(subject=subject, passed=None, said="not running; the CID is free, another one runs")
            continue
        yield from _enclave(enclave, running, eif)
        yield from _reach(enclave, enclave.name if len(fleet.enclaves) > 1 else fleet.service.name)


def _enclave(enclave: Enclave, running: list[Running] | None, eif: Path | None) -> Iterator[Result]:
    subject = f"{enclave.service.name} (cid {enclave.cid})"
    if running is None:
        yield Result(subject=subject, passed=None, said="nitro-cli does not tell which enclaves run")
        return
    found = next((one for one in running if one.cid == enclave.cid), None)
    if found is None:
        yield Result(subject=subject, passed=False, said="not running; the CID is free")
        return
    yield Result(subject=subject, passed=found.state == "RUNNING", said=f"{found.state}, {found.memory} MiB")
    if found.debug:
        yield Result(subject=subject, passed=False, said="in debug mode: no verifier accepts its documents")
    if eif is not None:
        yield check_memory(found, eif)


def _reach(enclave: Enclave, name: str) -> Iterator[Result]:
    try:
        service = pong.read(enclave.pool.ping(deadline=time.monotonic() + ASK_SECONDS)).service
    except WireError as exc:
        yield Result(subject=f"{name} ping", passed=False, said=f"{exc}. {exc.advice}")
        return
    except NotAPong as exc:
        yield Result(subject=f"{name} ping", passed=False, said=f"{enclave.pool.address} answers something else: {exc}")
        return
    if service not in (None, enclave.service.name):
        yield Result(subject=f"{name} ping", passed=False, said=f"{enclave.pool.address} is an enclave of {service}")
        return
    yield Result(subject=f"{name} ping", passed=True, said=f"{enclave.pool.address}")
    call = open_request(enclave.service)
    if call is None:
        yield Result(subject=f"{name} end to end", passed=None, said="no rule that can be asked without parameters")
        return
    try:
        reply = json.loads(enclave.pool.call(messages.encode_call(call), deadline=time.monotonic() + ASK_SECONDS))
    except WireError as exc:
        yield Result(subject=f"{name} end to end", passed=False, said=f"{exc}. {exc.advice}")
        return
    attested = reply.get("success") is True and "attestation" in reply
    said = f"{call.url}: {reply.get('status')} {reply.get('error', 'attested')}"
    yield Result(subject=f"{name} end to end", passed=attested, said=said)


def _workers(command: Sequence[str]) -> int:
    for index, word in enumerate(command):
        name, _, value = word.partition("=")
        if name in ("-w", "--num_workers"):
            value = value or (command[index + 1] if index + 1 < len(command) else "")
            return int(value) if value.isdigit() else 0
    return DEFAULT_PROXY_WORKERS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
