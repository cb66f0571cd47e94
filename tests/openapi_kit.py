"""The description for tests, schemathesis set up for it, and a parent that has everything it describes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from typing import Any

import schemathesis
from flask import Flask
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import APIOperation, BaseSchema

from app import create_app
from app.archive.settings import ArchiveSettings
from app.config import Config, admission
from app.description import FILE
from app.prefork import FAMILY
from tests.gate_kit import TOKEN
from tests.parent import VIES
from wire.addresses import UnixAddress

TEXT = FILE.read_text(encoding="utf-8")
DESCRIBED: dict[str, Any] = json.loads(TEXT)
METHODS = ("get", "post", "put", "patch", "delete")


def schema(mode: GenerationMode) -> BaseSchema:
    """Return the description for schemathesis: the same cases in every run, and nothing kept between runs."""
    settings = {
        "generation": {"mode": mode.value, "deterministic": True, "database": "none"},
        "auth": {"openapi": {"bearer": {"bearer": TOKEN}}},
        "checks": {
            # Which hosts, operations and leaves there are is no matter of form, nor is how long a caller waits.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "404", "504"]},
            "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "504"]},
        },
    }
    return schemathesis.openapi.from_dict(json.loads(TEXT), config=SchemathesisConfig.from_dict(settings))


def operation(path: str) -> APIOperation:
    """Return the one operation of a path, for `validate_response`."""
    (method,) = DESCRIBED["paths"][path]
    found: APIOperation = schema(GenerationMode.POSITIVE)[path][method.upper()]
    return found


def operations() -> Iterable[tuple[str, str, dict[str, Any]]]:
    """Return every path, method and operation of the description."""
    for path, item in DESCRIBED["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def routes(app: Flask) -> set[tuple[str, str]]:
    """Return path and method of all that an application answers, written as the description writes them."""
    names = {"attestation_id": "attestationId"}
    found = set()
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: f"{{{names.get(match[1], match[1])}}}", rule.rule)
        found |= {(path, method.lower()) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    return found


def create(enclave: str, archive: str) -> Flask:
    """Return the application for `Gunicorn`: a VIES enclave's socket, an archive, the callers of TOKENS_FILE."""
    return create_app(
        Config(
            manifests=(VIES,),
            addresses={VIES.name: (UnixAddress(path=enclave),)},
            archive=ArchiveSettings(url=archive),
            admission=admission(os.environ, [VIES.name], callers=FAMILY.callers),
        )
    )
