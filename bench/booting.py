"""(j) Size of the enclave image, and how long it takes to boot in the emulated Nitro host.

There is no peer: no other image of this kind is at hand. The figures are for comparing with themselves, release by
release, on one kind of machine.
"""

import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bench.processes import ROOT, BenchError
from bench.report import Figure, Report
from bench.rounds import Settings, Spread
from devstack import nitro
from devstack.enclave import Enclave
from eif import layout
from eif.layout import Eif, Kind
from eif.measure import measure as registers

IMAGE = ROOT / "build" / "images" / "vies" / "enclave.eif"
_INIT = re.compile(r"^\[ *([0-9.]+)\] Run /init as init process", re.MULTILINE)  # Linux init/main.c; the guest's clock
_LISTENING = re.compile(r'^\{"time": ([0-9.]+), .*"event": "listening"\}', re.MULTILINE)  # enclave_worker/log.py
_BOOTED = re.compile(r'^\{"time": ([0-9.]+), .*"check": "entropy"', re.MULTILINE)


def measure(settings: Settings) -> Report:
    """Run the measurement.

    Raises:
        BenchError: there is no emulated host, no image, or it does not come up. Nothing is reported then.
    """
    if nitro.emulator() is None:
        raise BenchError("(j) NOT MEASURED: the emulated Nitro host is not here; set $NITRO_QEMU to its folder")
    if not IMAGE.is_file():
        raise BenchError(f"(j) NOT MEASURED: {IMAGE.relative_to(ROOT)} is missing; run `make image` first")
    image = layout.read(IMAGE.read_bytes())
    return Report(
        letter="j",
        title="The enclave image: size and boot",
        settings=settings,
        notes=(
            f"measured  build/images/vies/enclave.eif, PCR0 {registers(image).pcr0.hex()[:16]}..., booted in QEMU's "
            "nitro-enclave machine without KVM: everything is emulated, so that a boot on AWS takes another time.",
            "peer      none.",
            "boot      from the start of the emulated host's program to an accepted connection on vsock port 5000. The "
            "host looks every 0.2 s. The rest of it: the emulator's start, /init, and Python compiling the worker's "
            "code, since the image holds no bytecode.",
        ),
        figures=(*sizes(image), *boots(settings.rounds)),
    )


def sizes(image: Eif) -> Iterable[Figure]:
    """Return the sizes of the file and of its parts."""
    boot, application = image.of(Kind.RAMDISK)
    parts = {"kernel": image.of(Kind.KERNEL)[0], "boot ramdisk": boot, "application ramdisk": application}
    yield _figure("image", "bytes", ",.0f", [IMAGE.stat().st_size])
    for name, data in parts.items():
        yield _figure(f"of it the {name}", "bytes", ",.0f", [len(data)])


def boots(rounds: int) -> Iterable[Figure]:
    """Boot the image again and again; return what it took."""
    seconds, kernel, worker = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="bench-boot-") as folder:
            try:
                with Enclave(IMAGE, Path(folder), ports={}) as enclave:
                    seconds.append(enclave.boot_seconds)
                    console = enclave.console
            except RuntimeError as error:
                raise BenchError(f"(j) the image did not come up: {error}") from error
        kernel.append(_number(_INIT, console))
        worker.append(_number(_LISTENING, console) - _number(_BOOTED, console))
    yield _figure("boot to an accepted connection", "s", ".1f", seconds)
    yield _figure("of it the kernel, until it starts /init", "s", ".1f", kernel)
    yield _figure("of it the worker, first check to listening", "s", ".1f", worker)


def _number(pattern: re.Pattern[str], console: str) -> float:
    found = pattern.search(console)
    if not found:
        raise BenchError(f"(j) the console does not say {pattern.pattern}: {json.dumps(console[-500:])}")
    return float(found[1])


def _figure(name: str, unit: str, form: str, values: Iterable[float]) -> Figure:
    return Figure(name, unit, form, Spread.of(values))
