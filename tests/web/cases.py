"""One case for two verifiers: what Python decides, and the same input as the page's `verify` takes it."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from verifier_cases import NOW, REQUEST, ROOT, policy

from tytle_verifier import (
    AWS_ROOT,
    At,
    Live,
    Policy,
    PolicyError,
    Query,
    Request,
    Root,
    Time,
    VerificationError,
    verify_document,
    verify_reply,
)
from tytle_verifier.policy import refuse_debug
from tytle_verifier.schemas import SCHEMAS, Schema

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
Decision = int | str | None


@dataclass(frozen=True)
class Case:
    """Evidence, what the caller chose, and a name."""

    data: bytes
    kind: str = "reply"
    time: Time = NOW
    root: Root = ROOT
    policy: Policy | None = None
    request: Request | Query | None = None
    body: bytes | None = None
    name: str = ""

    def by_python(self) -> Decision:
        """The step that refuses it, "policy" for the caller's own mistake, None where it verifies.

        As on the command line, debug mode is refused where there is no policy to do it.
        """
        try:
            if self.kind == "reply":
                assert self.policy is not None
                more: dict[str, Any] = {"request": self.request, "body": self.body}
                verify_reply(self.data, policy=self.policy, time=self.time, root=self.root, **more)
            else:
                checked = verify_document(self.data, policy=self.policy, time=self.time, root=self.root)
                refuse_debug(checked.document.pcrs)
        except VerificationError as error:
            return error.step
        except PolicyError:
            return "policy"
        return None

    def for_page(self) -> dict[str, Any]:
        """The same as JSON; a policy travels as its file, so that the page's reader of such files is used."""
        return {
            "data": b64(self.data),
            "kind": self.kind,
            "time": time_for_page(self.time),
            "root": None if self.root is AWS_ROOT else b64(self.root.der),
            "policy": self.policy and toml(self.policy),
            "challenge": self.policy and self.policy.challenge and b64(self.policy.challenge),
            "request": self.request and request_for_page(self.request),
            "body": None if self.body is None else b64(self.body),
        }


def reply(data: bytes, **changes: Any) -> Case:
    """A reply of the kit with the policy and request that fit it."""
    return Case(data, **{"policy": policy(), "request": REQUEST, **changes})


def document(data: bytes, **changes: Any) -> Case:
    return Case(data, kind="document", **changes)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def time_for_page(time: Time) -> dict[str, Any]:
    match time:
        case Live():
            return {"live": (time.now - EPOCH) // MS, "maxAge": time.max_age // MS, "skew": time.skew // MS}
        case At():
            return {"at": (time.instant - EPOCH) // MS}
    return {"archive": True}


def request_for_page(asked: Request | Query) -> str:
    if isinstance(asked, Query):
        given = {"service": asked.service, "operation": asked.operation, "schema": asked.schema, "id": asked.id}
        given["challenge"] = None if asked.challenge is None else b64(asked.challenge)
        return json.dumps(
            {"params": dict(asked.params), **{name: value for name, value in given.items() if value is not None}}
        )
    made = {"method": asked.method, "url": asked.url, "headers": dict(asked.headers)}
    made |= {"body": b64(asked.body), "bodyEncoding": "base64"}
    made |= {"id": asked.id} if asked.id is not None else {}
    return json.dumps(made | ({"challenge": b64(asked.challenge)} if asked.challenge is not None else {}))


def listed(schema: Schema) -> list[str]:
    return schema.definition.splitlines()[1:]


def toml(given: Policy) -> str:
    """A policy as its file. JSON's strings and lists of strings are TOML's."""

    def hexes(values: Any) -> str:
        return json.dumps(sorted(value.hex() for value in values))

    lines = [f"service = {json.dumps(given.service)}"]
    lines += [f"urls = {json.dumps(given.urls)}"] if given.urls else []
    lines += [f"methods = {json.dumps(sorted(given.methods))}"] if given.methods else []
    lines += [f"modes = {json.dumps(sorted(given.modes))}"] if given.modes else []
    lines += ["require_challenge = true"] if given.require_challenge else []
    lines += [f"max_age_seconds = {given.max_age // timedelta(seconds=1)}"] if given.max_age else []
    lines += [f"sealed = {json.dumps(given.sealed)}"]
    lines += ["[tls]", f"versions = {json.dumps(sorted(given.tls.versions))}"]
    lines += [f"spki = {hexes(given.tls.spki)}"] if given.tls.spki else []
    hosts = sorted(given.tls.plain_http_hosts)
    lines += [f"plain_http_hosts = {json.dumps(hosts)}"] if hosts else []
    ours = {name: schema for name, schema in given.schemas.items() if name not in SCHEMAS}
    lines += ["[schemas]", *(f"{json.dumps(name)} = {json.dumps(listed(schema))}" for name, schema in ours.items())]
    lines += ["[pcrs]", *(f"pcr{index} = {hexes(values)}" for index, values in given.pcrs.items())]
    for release in given.releases:
        lines += ["[[releases]]", f'commit = "{release.commit}"', f"revoked = {json.dumps(release.revoked)}"]
        lines += [f'pcr{index} = "{value.hex()}"' for index, value in release.pcrs.items()]
        lines += [f'manifest = "{release.manifest.hex()}"'] if release.manifest else []
        lines += [f"not_before = {release.not_before.isoformat(timespec='milliseconds')}"] if release.not_before else []
        lines += [f"not_after = {release.not_after.isoformat(timespec='milliseconds')}"] if release.not_after else []
    return "\n".join(lines) + "\n"
