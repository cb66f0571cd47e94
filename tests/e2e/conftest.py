"""Boots the image that `make image` left in build/, once as it is and once with a test root."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devstack import nitro, parent_vm
from devstack.enclave import Enclave
from devstack.relay import Relay
from devstack.tls_pki import Authority
from devstack.two_machines import TwoMachines
from devstack.upstream import UpstreamServer
from devstack.vies import Vies
from eif import layout
from eif.build import join
from policy import manifest
from tests.e2e.figures import FIGURES
from tests.eif_kit import signature_section

ROOT = Path(__file__).parent.parent.parent
IMAGE = ROOT / "build" / "images" / "vies" / "enclave.eif"
PARENT = ROOT / "build" / "images" / "parent.tar"
MANIFEST = ROOT / "services" / "vies.toml"
ENTRY = "opt/tytle/enclave_worker/__main__.py"  # where a test's program takes the worker's place


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Files: what would be shipped; the same with one more root; and that signed (PCR8; the host does not verify)."""

    production: Path
    test_unsigned: Path
    test: Path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in FIGURES:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def figures() -> list[str]:
    """Lines for the end of the report. A fixture, since pytest loads this file under another name than an import."""
    return FIGURES


@pytest.fixture(scope="session", autouse=True)
def _needs_the_emulated_host() -> None:
    if nitro.emulator() is None:
        pytest.skip("NO ENCLAVE WAS BOOTED: the emulated Nitro host is not here; set $NITRO_QEMU to its folder")
    if not IMAGE.is_file() or not PARENT.is_file():
        pytest.fail("there are no images in build/: run `make image SERVICE=vies parent-image` first, or `make e2e`")


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def images(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Images:
    folder = tmp_path_factory.mktemp("image")
    unsigned, test = folder / "vies-with-test-root.eif", folder / "vies-with-test-root-signed.eif"
    unsigned.write_bytes(nitro.with_roots(IMAGE.read_bytes(), authority.roots_pem))
    image = layout.read(unsigned.read_bytes())
    signature = layout.Section(kind=layout.Kind.SIGNATURE, data=signature_section(authority.roots_pem.encode("ascii")))
    test.write_bytes(join([*image.sections, signature]))
    return Images(production=IMAGE, test_unsigned=unsigned, test=test)


@pytest.fixture(scope="module")
def machines(images: Images, parent_initrd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoMachines]:
    with TwoMachines(images.test, parent_initrd, tmp_path_factory.mktemp("machines")) as running:
        FIGURES.append(f"two machines, boot until the parent was healthy {running.boot_seconds:.1f} s")
        yield running


@pytest.fixture(scope="session")
def parent_initrd(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    initrd = tmp_path_factory.mktemp("parent") / "initrd.cpio"
    service = manifest.load(MANIFEST.read_bytes())
    emulator = nitro.emulator()
    assert emulator is not None
    initrd.write_bytes(parent_vm.initrd(PARENT, emulator / "kernel", service, authority))
    return initrd


@pytest.fixture(scope="session")
def ports(authority: Authority) -> Iterator[dict[int, tuple[str, int]]]:
    """Each vsock-proxy port of the manifest leads through a relay of its own to VIES's stand-in."""
    upstreams = manifest.load(MANIFEST.read_bytes()).upstreams
    with UpstreamServer({each.host: Vies() for each in upstreams}, authority=authority) as server:
        relays = {each.proxy_port: Relay(server.address).start() for each in upstreams}
        yield {port: relay.address for port, relay in relays.items() if isinstance(relay.address, tuple)}
        for relay in relays.values():
            relay.stop()


@pytest.fixture(scope="session")
def production(
    images: Images, ports: dict[int, tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Enclave]:
    with Enclave(images.production, tmp_path_factory.mktemp("production"), ports=ports) as enclave:
        yield enclave


@pytest.fixture(scope="session")
def enclave(
    images: Images, ports: dict[int, tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Enclave]:
    with Enclave(images.test, tmp_path_factory.mktemp("enclave"), ports=ports) as enclave:
        FIGURES.append(f"image {IMAGE.stat().st_size} bytes, boot to an open port {enclave.boot_seconds:.1f} s")
        yield enclave
