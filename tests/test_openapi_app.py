"""The description against the application: gunicorn, a real worker and an archive, asked by schemathesis.

What follows the description is answered as it says; what breaks it is refused as it says. Refused, too, is whoever
shows no token or a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from schemathesis import APIOperation, Case, CheckContext, GenerationMode, Response

from devstack.stack import Stack
from devstack.worker import socket_path
from tests.gate_kit import TOKEN, token_toml
from tests.openapi_kit import schema
from tests.parent import Gunicorn

BOUNDED = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
HASTY_MS = 2_000  # who waits no longer than that may hear 504 on a busy machine


def is_asked_something(operation: APIOperation) -> bool:
    """Whether an operation has parameters or a body: others cannot be asked wrongly."""
    return bool({"parameters", "requestBody"} & set(operation.definition.raw))


conforming = schema(GenerationMode.POSITIVE)
hostile = schema(GenerationMode.NEGATIVE).include(func=lambda context: is_asked_something(context.operation))


@pytest.fixture(scope="module")
def url(running_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a parent answers that has all that is described."""
    folder = tmp_path_factory.mktemp("described")
    (folder / "tokens.toml").write_text(token_toml("all", TOKEN, 'scopes = ["fetch", "metrics", "archive"]'))
    socket = socket_path(running_stack.folder, "vies")
    application = f"tests.openapi_kit:create('{socket}', 'sqlite:///{folder / 'archive.db'}')"
    environ = {"TOKENS_FILE": str(folder / "tokens.toml")}
    with Gunicorn(socket, folder / "log", application=application, environ=environ) as gunicorn:
        yield f"http://127.0.0.1:{gunicorn.port}"


def only_the_hasty_are_late(ctx: CheckContext, response: Response, case: Case) -> None:
    if response.status_code == 504:
        assert isinstance(case.body, dict)
        assert case.body["timeoutMs"] < HASTY_MS


@conforming.parametrize()
@BOUNDED
def test_what_follows_the_description_is_answered_as_it_says(case: Case, url: str) -> None:
    case.call_and_validate(base_url=url, additional_checks=[only_the_hasty_are_late])


@hostile.parametrize()
@BOUNDED
def test_what_breaks_the_description_is_refused_as_it_says(case: Case, url: str) -> None:
    case.call_and_validate(base_url=url, additional_checks=[only_the_hasty_are_late])
