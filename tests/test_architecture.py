"""ARCHITECTURE.md's room table, checked against every import and every COPY line."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    ours: frozenset[str] = frozenset()
    third_party: frozenset[str] = frozenset()
    by_file: frozenset[tuple[str, str]] = frozenset()  # (file below the room, module that only it may import)


def room(ours: str = "", third_party: str = "", by_file: dict[str, str] | None = None) -> Room:
    pairs = {(file, module) for file, modules in (by_file or {}).items() for module in modules.split()}
    return Room(ours=frozenset(ours.split()), third_party=frozenset(third_party.split()), by_file=frozenset(pairs))


ROOMS = {
    "nsm": room(third_party="cbor2", by_file={"device.py": "ctypes fcntl"}),
    "wire": room(by_file={"sockets.py": "socket select"}),
    "policy": room(),
    "enclave_worker": room(
        ours="wire policy nsm",
        third_party="cbor2 certifi cryptography",
        by_file={
            "__main__.py": "socket",
            "server.py": "socket socketserver",
            "system.py": "fcntl",
            "worker.py": "ssl",
            "upstream/client.py": "ssl",
            "upstream/connection.py": "socket ssl",
            "upstream/tls.py": "socket ssl",
        },
    ),
    "app": room(
        ours="wire policy",
        third_party="flask werkzeug gunicorn prometheus_client",
        by_file={
            "archive/engine.py": "sqlalchemy",
            "archive/storage.py": "sqlalchemy",
            "archive/tables.py": "sqlalchemy",
            "confinement.py": "ctypes",
            "gunicorn_arrival.py": "socket",
            "gunicorn_worker.py": "selectors ssl",
            "heap.py": "ctypes",
            "limits/table.py": "fcntl mmap",
            "nitro_cli.py": "subprocess",
            "patience.py": "socket",
            "pool.py": "socket",  # for the type of what wire.sockets returns
            "state.py": "fcntl mmap",
            "tls.py": "ssl",
            "tracing/spans.py": "opentelemetry",
        },
    ),
    "tytle_verifier": room(
        third_party="cbor2 cryptography",
        by_file={
            "adapter/call.py": "requests urllib3",
            "adapter/credentials.py": "requests",
            "adapter/errors.py": "requests",
            "adapter/hearsay.py": "requests",
            "adapter/incoming.py": "requests urllib3",
            "adapter/parent.py": "requests urllib3",
            "adapter/response.py": "http requests urllib3",
            "adapter/sealing.py": "requests urllib3",
            "adapter/session.py": "requests",
            "adapter/timeouts.py": "urllib3",
            "adapter/transport.py": "requests urllib3",
        },
    ),
    "eif": room(by_file={"init.py": "ctypes socket"}),  # init.py runs in the image, the rest makes it
    "deploy": room(
        ours="policy",
        by_file={"publish.py": "boto3", "supervise.py": "fcntl subprocess"},  # supervise.py runs on hosts
    ),
}
FREE_ROOMS = {"devstack", "bench", "tests"}  # never in an image; may import everything
SURROUNDINGS = {"os.environ", "os.environb", "os.getenv", "sys.argv"}  # not the `environ` of one request
DANGEROUS = {
    "asyncio", "ctypes", "fcntl", "ftplib", "http", "mmap", "multiprocessing", "pickle", "select", "selectors",
    "shelve", "socket", "socketserver", "ssl", "subprocess", "urllib", "xmlrpc",
}  # fmt: skip
IMAGES = {
    "Dockerfile": {"app", "wire", "policy", "services", "requirements/${REQUIREMENTS}.txt"},
    "Dockerfile.enclave": {
        "nsm", "wire", "policy", "enclave_worker", "services/${SERVICE}.toml", "requirements/enclave.txt",
        "/rootfs",  # from the stage that gathers Debian's files and the wheels
    },
}  # fmt: skip


def modules_of(name: str) -> list[Path]:
    return sorted((ROOT / name).rglob("*.py"))


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide which room they cross into"
            yield node.module or ""


def forbidden_imports(name: str, allowed: Room) -> list[str]:
    found = []
    for path in modules_of(name):
        file = path.relative_to(ROOT / name).as_posix()
        for module in imports_of(path):
            top = module.partition(".")[0]
            fine = (
                top == name
                or top in allowed.ours | allowed.third_party
                or (file, top) in allowed.by_file
                or (top in sys.stdlib_module_names and top not in DANGEROUS)
            )
            if not fine:
                found.append(f"{name}/{file} imports {module}")
    return found


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_only_what_its_row_allows(name: str) -> None:
    assert forbidden_imports(name, ROOMS[name]) == []


@pytest.mark.parametrize("name", ROOMS)
def test_every_permission_in_the_table_is_used(name: str) -> None:
    used = {
        (path.relative_to(ROOT / name).as_posix(), module.partition(".")[0])
        for path in modules_of(name)
        for module in imports_of(path)
    }
    assert ROOMS[name].by_file - used == frozenset()


def test_every_folder_with_code_is_a_room() -> None:
    folders = {path.parent.relative_to(ROOT).parts[0] for path in ROOT.glob("*/*.py")}
    assert folders - {".venv"} == set(ROOMS) | FREE_ROOMS


def test_the_check_sees_a_wrong_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "bad.py").write_text("import socket\nfrom app import pool\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert forbidden_imports("policy", ROOMS["policy"]) == [
        "policy/bad.py imports socket",
        "policy/bad.py imports app",
    ]


@pytest.mark.parametrize("program", ["eif/init.py", "deploy/supervise.py"])
def test_a_program_that_is_copied_alone_imports_nothing_of_ours(program: str) -> None:
    assert {name.partition(".")[0] for name in imports_of(ROOT / program)} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("file", IMAGES)
def test_an_image_gets_its_folders_and_no_other(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    copied = set(re.findall(r"^COPY (?:--\S+ )*(\S+) \S+$", text, re.MULTILINE))
    assert copied == IMAGES[file]
    assert not re.search(r"^ADD ", text, re.MULTILINE)


@pytest.mark.parametrize("name", [*ROOMS, "devstack"])
def test_there_are_no_import_cycles(name: str) -> None:
    arrows: dict[str, set[str]] = {}
    for path in modules_of(name):
        module = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        arrows[module] = {target for target in _targets(path) if target.partition(".")[0] == name and target != module}
    while arrows:
        free = [module for module, targets in arrows.items() if not targets & arrows.keys()]
        assert free, f"a cycle among {sorted(arrows)}"
        for module in free:
            del arrows[module]


def _targets(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            known = {name for name in submodules if (ROOT / name.replace(".", "/")).with_suffix(".py").exists()}
            found |= known or {node.module}
    return found


@pytest.mark.parametrize("name", ROOMS)
def test_nothing_measured_or_served_asserts_or_reads_the_environment_or_arguments(name: str) -> None:
    clears = "enclave_worker/system.py"  # removes the environment, reads nothing of it
    parents = tuple(f"app/{each}.py" for each in ("doctor", "drain", "factory", "gunicorn_conf", "nitro_cli", "tokens"))
    edges = (*parents, "tytle_verifier/cli.py", "eif/__main__.py", clears)
    allowed = {ROOT / edge for edge in (*edges, "deploy/__main__.py", "deploy/supervise.py")}
    for path in modules_of(name):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.Assert), f"{path}: asserts vanish under -O"
            if isinstance(node, ast.Attribute) and ast.unparse(node) in SURROUNDINGS:
                assert path in allowed, f"{path} reads its surroundings"
            if isinstance(node, ast.ImportFrom) and node.module in ("os", "sys"):
                named = {f"{node.module}.{alias.name}" for alias in node.names}
                assert not named & SURROUNDINGS, f"{path}: say which module it is"
