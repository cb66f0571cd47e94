"""The initrd of the parent VM: the parent's image, as `eif/parent` wrote it, and a development overlay over it.

From the image: every layer, in order, without what no program here opens: documentation, settings, package database,
device files. The overlay is never in the image: /init, drivers, this room, the stand-ins' certificates and keys (the
CA's key stays here).
"""

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devstack.tls_pki import Authority
from eif import cpio, tree
from policy.manifest import Manifest

ROOT = Path(__file__).parent.parent
OVERLAY = "opt/devstack"
MOUNT_POINTS = ("dev", "proc", "sys", "tmp", "run")
KEPT = ("bin/", "lib/", "lib64/", "opt/", "sbin/", "usr/")
LEFT_OUT_OF_USR = ("usr/share/", "usr/games/", "usr/include/", "usr/lib/python3/", "usr/lib/apt/", "usr/lib/dpkg/")
LEFT_OUT_OF_LIBRARIES = ("usr/lib/x86_64-linux-gnu/gconv/", "usr/lib/x86_64-linux-gnu/perl")


def initrd(archive: Path, kernel: Path, service: Manifest, authority: Authority) -> bytes:
    """Return the initrd for the OCI archive of the parent, with `kernel`'s drivers and certificates for the upstreams.

    Raises:
        ValueError: the archive is not of the one form that buildah writes.
    """
    with tarfile.open(archive) as image:
        manifest = _manifest(image)
        config: dict[str, Any] = json.loads(_blob(image, manifest["config"]))["config"]
        files: dict[str, cpio.Entry] = {path: cpio.Entry(path=path, mode=tree.DIRECTORY) for path in MOUNT_POINTS}
        for layer in manifest["layers"]:
            _apply(_blob(image, layer), files)
    added = dict(_overlay(kernel, config, service, authority))
    entries = {**files, **{entry.path: entry for entry in tree.files(added)}}
    return cpio.archive(entries.values())


def _manifest(image: tarfile.TarFile) -> dict[str, Any]:
    (one,) = json.loads(_read(image, "index.json"))["manifests"]
    manifest: dict[str, Any] = json.loads(_blob(image, one))
    return manifest


def _blob(image: tarfile.TarFile, descriptor: dict[str, Any]) -> bytes:
    data = _read(image, "blobs/" + descriptor["digest"].replace(":", "/"))
    return gzip.decompress(data) if descriptor["mediaType"].endswith("+gzip") else data


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is no file")
    return file.read()


def _apply(layer: bytes, files: dict[str, cpio.Entry]) -> None:
    """Put a layer's files over those of the layers below."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        for member in archive:
            path = member.name.removeprefix("./").strip("/")
            if "/.wh." in f"/{path}":
                raise ValueError(f"{path}: this layer deletes, which the parent's Dockerfile has no cause for")
            if path and path != "." and not _is_left_out(f"{path}/"):
                files[path] = _entry(archive, member, path)


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> cpio.Entry:
    if member.isdir():
        return cpio.Entry(path=path, mode=tree.DIRECTORY)
    if member.issym():
        return cpio.Entry(path=path, mode=tree.LINK, data=member.linkname.encode())
    mode = tree.EXECUTABLE if member.mode & 0o111 else tree.FILE
    return cpio.Entry(path=path, mode=mode, data=_read(archive, member.name))  # a hard link's target, too


def _is_left_out(path: str) -> bool:
    return not path.startswith(KEPT) or path.startswith((*LEFT_OUT_OF_USR, *LEFT_OUT_OF_LIBRARIES))


def _overlay(
    kernel: Path, config: dict[str, Any], service: Manifest, authority: Authority
) -> Iterator[tuple[str, tuple[bytes, bool]]]:
    yield "init", ((ROOT / "devstack" / "parent_init.py").read_bytes(), True)
    for driver in kernel.glob("*.ko"):
        yield f"drivers/{driver.name}", (driver.read_bytes(), False)
    for source in (*(ROOT / "devstack").glob("*.py"), ROOT / "eif" / "__init__.py", ROOT / "eif" / "init.py"):
        yield f"{OVERLAY}/{source.relative_to(ROOT).as_posix()}", (source.read_bytes(), False)
    yield f"{OVERLAY}/image.json", (json.dumps(config).encode(), False)
    for host in (each.host for each in service.upstreams):
        identity = authority.issue(host)
        yield f"{OVERLAY}/identities/{host}.chain.pem", (identity.chain_pem, False)
        yield f"{OVERLAY}/identities/{host}.key.pem", (identity.key_pem, False)
