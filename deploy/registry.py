"""`services/NAME.pcrs.toml`: the releases of a service, in the verifier's format (VERIFICATION.md, "Policy files").

A release is added at the end; what stands there already, comments too, stays byte for byte.
"""

import re
import tomllib

from deploy.errors import NotPublishable
from deploy.measurements import Measurements

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def check_publishable(measured: Measurements, service: str, *, local_base: bool) -> None:
    """Check that relying parties can find out what these measurements are of.

    `local_base` accepts an image whose base was made from the Debian packages of its day: whoever builds it again later
    gets other measurements.

    Raises:
        NotPublishable: they are of another service, not of a clean commit, or of an unpinned base.
    """
    if measured.service != service:
        raise NotPublishable(f"the measurements are of {measured.service!r}, not of {service!r}")
    if not _COMMIT.fullmatch(measured.commit):
        raise NotPublishable(f"the image was not built from a clean commit but from: {measured.commit}")
    if measured.base.startswith("local") and not local_base:
        raise NotPublishable("the image has a local base (images.lock): nobody can build it again later")


def with_release(existing: str, measured: Measurements) -> str:
    """Return the file's text with this release; unchanged where it is there already.

    Raises:
        NotPublishable: the file is of another service, has other measurements for this commit, or is not such a file.
    """
    releases = _releases(existing, measured.service) if existing else []
    same = [release for release in releases if release.get("commit") == measured.commit]
    if not same:
        head = existing.rstrip("\n") if existing else f'service = "{measured.service}"'
        return f"{head}\n\n{_release(measured)}"
    if [same[0].get(f"pcr{index}") for index in range(3)] != list(measured.pcrs):
        raise NotPublishable(f"commit {measured.commit} is there already, with other measurements")
    return existing


def _releases(existing: str, service: str) -> list[dict[str, object]]:
    try:
        table = tomllib.loads(existing)
    except tomllib.TOMLDecodeError as error:
        raise NotPublishable(f"the file of releases is not TOML: {error}") from error
    releases = table.get("releases", [])
    if table.get("service") != service or not isinstance(releases, list):
        raise NotPublishable(f"the file of releases is of {table.get('service')!r}, not of {service!r}")
    return [release for release in releases if isinstance(release, dict)]


def _release(measured: Measurements) -> str:
    pcrs = "".join(f'pcr{index} = "{value}"\n' for index, value in enumerate(measured.pcrs))
    return f'[[releases]]\ncommit = "{measured.commit}"\n{pcrs}'
