"""A service with operations for tests of the framework: one that is well-behaved, and some that are not."""

import contextlib
import json
from collections.abc import Callable

from devstack.upstream import Request, Response
from enclave_worker.handlers.errors import OperationFailed, ParamsRefused
from enclave_worker.handlers.operation import Ask, Fetch, Operation, Params, Values
from tests.enclave_kit import HOST, MANIFEST, VAULT

SCHEMA = "tytle/test-item/v1"
FIELDS = """\
fields = [
  { name = "id", encoding = "shortString" },
  { name = "itemName", encoding = "sha256", optional = true },
  { name = "cents", encoding = "uint" },
  { name = "sold", encoding = "boolean" },
]
"""


def declared(name: str, *, hosts: str = HOST, max_calls: int = 2, record: str = "") -> str:
    line = f'record = "{record}"\n' if record else ""
    return (
        f'\n[[operations]]\nname = "{name}"\nhosts = ["{hosts}"]\nmax_calls = {max_calls}\n{line}'
        f'schema = "{SCHEMA}"\n{FIELDS}'
    )


NAMES = ("test.item", "test.twice", "test.careless", "test.silent", "test.stubborn", "test.quiet_failure", "test.other")
TOML = (
    MANIFEST
    + "".join(
        [
            *(declared(name) for name in NAMES if name != "test.item"),
            declared("test.item", record="SICAE"),
            declared("test.vault", hosts=VAULT),
        ]
    ).encode()
)


def ask(name: object, host: str = HOST) -> Ask:
    return Ask(method="GET", url=f"https://{host}/{name}")


def find(params: Params, fetch: Fetch) -> Values:
    """Fetch one item and compare its id with the one asked for."""
    wanted = params.get("id")
    if not isinstance(wanted, str) or not wanted.isalnum():
        raise ParamsRefused("id", "must be letters and digits")
    got = fetch(ask(wanted))
    if got.status == 503:
        raise OperationFailed("upstream-unavailable", "the upstream answered 503")
    item = json.loads(got.body)
    if item["id"] != wanted:
        raise OperationFailed("upstream-mismatch", "another item came")
    return {"id": item["id"], "itemName": item["name"], "cents": item["cents"], "sold": item["sold"]}


def twice(params: Params, fetch: Fetch) -> Values:
    """Fetch what the first answer names, without looking at it."""
    first = json.loads(fetch(ask(params["id"])).body)
    return find({"id": "b2"}, fetch) if first["id"] == "b2" else find({"id": first["name"]}, lambda _: fetch(ask("?")))


def careless(params: Params, fetch: Fetch) -> Values:
    """Make more calls than declared."""
    for _ in range(3):
        fetch(ask(params["id"]))
    return {}


def stubborn(params: Params, fetch: Fetch) -> Values:
    """Go on after a call that failed."""
    for _ in range(2):
        with contextlib.suppress(Exception):  # what a handler must not do
            return find(params, fetch)
    return {"id": "a1", "itemName": None, "cents": 0, "sold": False}


def quiet_failure(params: Params, fetch: Fetch) -> Values:
    raise OperationFailed("upstream-fault", "nothing was asked")


def record(values: Values) -> Values:
    return {
        "nif": values["id"],
        "name": values["itemName"],
        "cae1Code": None,
        "cae1Desc": "",
        "cae2Code": "62010",
        "cae2Desc": None,
    }


def operation(name: str, run: Callable[[Params, Fetch], Values], make: Callable[[Values], Values] | None) -> Operation:
    return Operation(name=name, parameters=frozenset({"id"}), run=run, record=make)


OPERATIONS = (
    operation("test.item", find, record),
    operation("test.twice", twice, None),
    operation("test.careless", careless, None),
    operation("test.silent", lambda *_: {"id": "a", "itemName": None, "cents": 0, "sold": False}, None),
    operation("test.stubborn", stubborn, None),
    operation("test.quiet_failure", quiet_failure, None),
    operation("test.other", lambda _, fetch: {"status": fetch(ask("a1")).status}, None),
    operation("test.vault", lambda params, fetch: find(params, lambda each: fetch(ask(each.url[-2:], VAULT))), None),
    operation("test.undeclared", find, None),
)


def item(wanted: str = "a1", **changed: object) -> Response:
    said = {"id": wanted, "name": "Lamp", "cents": 1999, "sold": False, **changed}
    return Response(status=200, headers=(("X-Seen", "1"), ("X-Seen", "2")), body=json.dumps(said).encode())


def shop(request: Request) -> Response:
    return item(request.path[1:])
