"""The parent VM's initrd: the image's files as its layers leave them, and the overlay over them."""

import hashlib
import io
import json
import ssl
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from devstack import parent_vm
from devstack.tls_identity import IssuedBefore
from devstack.tls_pki import Authority
from policy import manifest
from tests.eif_kit import Member, members

SERVICE = manifest.load((Path(__file__).parent.parent / "services" / "vies.toml").read_bytes())
CONFIG = {"config": {"Entrypoint": ["/usr/bin/python3"], "User": "1000", "WorkingDir": "/opt/tytle"}}


def tar(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            folder = tarfile.TarInfo(str(Path(name).parent))
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def oci(path: Path, *layers: bytes) -> Path:
    """Write an OCI archive (image-layout specification: index.json, blobs/sha256/DIGEST)."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes) -> dict[str, str]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"digest": f"sha256:{digest}", "mediaType": "application/vnd.oci.image.layer.v1.tar"}

    described = {"config": blob(json.dumps(CONFIG).encode()), "layers": [blob(layer) for layer in layers]}
    index = {"manifests": [blob(json.dumps(described).encode())]}
    path.write_bytes(tar({**blobs, "index.json": json.dumps(index).encode()}))
    return path


def made(folder: Path, *layers: bytes) -> dict[str, Member]:
    (folder / "kernel").mkdir()
    (folder / "kernel" / "vsock.ko").write_bytes(b"driver")
    initrd = parent_vm.initrd(oci(folder / "parent.tar", *layers), folder / "kernel", SERVICE, Authority())
    return {member.name: member for member in members(initrd)}


def test_a_later_layer_wins_and_what_no_program_opens_is_left_out(tmp_path: Path) -> None:
    below = tar({"usr/a": b"old", "usr/share/doc": b"text", "etc/hosts": b"names"})
    found = made(tmp_path, below, tar({"usr/a": b"new", "opt/tytle/app": b"code"}))
    assert (found["usr/a"].data, found["opt/tytle/app"].data) == (b"new", b"code")
    assert not {"usr/share", "etc", "etc/hosts"} & found.keys()


def test_the_overlay_brings_init_drivers_and_the_images_own_configuration(tmp_path: Path) -> None:
    found = made(tmp_path, tar({"opt/a": b""}))
    assert (found["init"].mode & 0o777, found["drivers/vsock.ko"].data) == (0o755, b"driver")
    assert json.loads(found["opt/devstack/image.json"].data) == CONFIG["config"]


def test_a_layer_that_deletes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="this layer deletes"):
        made(tmp_path, tar({"opt/a": b""}), tar({"opt/.wh.a": b""}))


def test_the_identities_work_without_the_authority_and_its_key_stays_behind(tmp_path: Path) -> None:
    found = made(tmp_path, tar({"opt/a": b""}))
    folder = "opt/devstack/identities/"
    for name in (name for name in found if name.startswith(folder)):
        (tmp_path / name.removeprefix(folder)).write_bytes(found[name].data)
    identity = IssuedBefore(tmp_path).issue("ec.europa.eu")
    assert isinstance(identity.context(), ssl.SSLContext)
    assert identity.certificate == ssl.PEM_cert_to_DER_cert(identity.chain_pem.decode())
    hosts = {upstream.host for upstream in SERVICE.upstreams}
    keys = {name.removeprefix(folder) for name, member in found.items() if b"PRIVATE KEY" in member.data[:64]}
    assert keys == {f"{host}.key.pem" for host in hosts}
