"""Everything that a host installs, as one .tar.gz: the rendered files, the parent's code, supervisor and images.

The same inputs give the same bytes: entries are sorted and have owner 0, time 0 and mode 0755 or 0644; gzip has no
time. The stack names its SHA-256, and an instance installs nothing else.
"""

import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from deploy.errors import BadPlan

CODE = ("app", "policy", "services", "wire")  # the folders of Dockerfile
FILES = {"requirements/parent.txt": "requirements/parent.txt", "deploy/supervise.py": "supervise.py"}


def write(rendered: Path, *, root: Path, images: Path, services: tuple[str, ...], output: Path) -> None:
    """Write the bundle of what was rendered, the code in the checkout `root`, and the images of these services.

    Raises:
        BadPlan: an image is missing.
        OSError: a file cannot be read or written.
    """
    entries = {**dict(_rendered(rendered)), **dict(_code(root)), **dict(_images(images, services))}
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        output.open("wb") as file,
        gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, path in sorted(entries.items()):
            data = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755 if path.stat().st_mode & 0o100 else 0o644
            archive.addfile(entry, io.BytesIO(data))


def _rendered(rendered: Path) -> Iterator[tuple[str, Path]]:
    for path in (rendered / "host").rglob("*"):
        if path.is_file():
            yield path.relative_to(rendered / "host").as_posix(), path
    yield "kubernetes/Dockerfile", rendered / "kubernetes" / "Dockerfile"


def _code(root: Path) -> Iterator[tuple[str, Path]]:
    for folder in CODE:
        for path in (root / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"opt/tytle/{path.relative_to(root).as_posix()}", path
    for source, target in FILES.items():
        yield f"opt/tytle/{target}", root / source


def _images(images: Path, services: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    for service in services:
        path = images / service / "enclave.eif"
        if not path.is_file():
            raise BadPlan(f"there is no {path}")
        yield f"opt/tytle/enclaves/{service}.eif", path
