"""OPERATIONS.md against the code: its settings are those that the parent reads, its metrics those that it shows."""

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from app import config, drain, log, tokens
from app.callers import registry
from app.metrics import outcomes
from app.metrics.meters import PHASES
from tests.test_documents import fenced

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "OPERATIONS.md").read_text(encoding="utf-8")
BESIDE_CONFIG = (
    "app/drain.py",
    "app/gunicorn_conf.py",
    "app/metrics/files.py",
    "app/tokens.py",
)  # read some themselves
NO_SETTINGS = {"GUNICORN_PID"}  # gunicorn's word to a master that it starts beside itself
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
METRIC = re.compile(r"tytle_[a-z_]+")


class Watched(dict[str, str]):
    """An environment that notes which variables it is asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]  # dict's has overloads
        self.asked.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return super().__getitem__(name)


def rows(heading: str) -> dict[str, str]:
    """Return the tables of a section: each name in the first column, in backticks, with the second column's text."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {name: each[1] for each in cells for name in re.findall(r"`([^`]*)`", each[0])}


def constants(file: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def general(name: str) -> str:
    """Return VIES_CIDS as NAME_CIDS."""
    for service in config.known_services():
        name = re.sub(rf"^{service.upper().replace('-', '_')}_", "NAME_", name)
    return name


def variables_that_are_read() -> set[str]:
    environ = Watched({})
    config.from_environment(environ)
    config.serving(environ)
    others = {text for file in BESIDE_CONFIG for text in constants(file) if VARIABLE.fullmatch(text)}
    return {general(name) for name in (environ.asked | others) - NO_SETTINGS}


def test_the_table_of_settings_has_every_variable_that_is_read_and_no_other() -> None:
    assert rows("Settings").keys() == variables_that_are_read()


def test_no_other_file_of_the_parent_reads_the_environment() -> None:
    reads = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "app").rglob("*.py")
        if re.search(r"os\.environ\b|\benviron: Mapping\[str, str\]", path.read_text(encoding="utf-8"))
    }
    hand_it_on = {"app/config.py", "app/doctor.py", "app/factory.py", "app/nitro_cli.py"}
    assert reads == {*BESIDE_CONFIG, *hand_it_on}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENCLAVE_CONNECTIONS", config.from_environment({}).connections),
        ("ENCLAVE_TIMEOUT_MS", config.from_environment({}).timeout_ms),
        ("BODIES_MIB", config.from_environment({}).admission.body_bytes // 1024**2),
        ("BUILD", config.from_environment({}).build),
        ("BIND", config.serving({}).bind),
        ("WEB_WORKERS", config.serving({}).processes),
        (
            "ARCHIVE_DAYS",
            getattr(config.from_environment({"ARCHIVE_URL": "sqlite:////tmp/a.db"}).archive, "days", None),
        ),
        (
            "ARCHIVE_REQUIRED",
            int(getattr(config.from_environment({"ARCHIVE_URL": "sqlite:////tmp/a.db"}).archive, "required", 2)),
        ),
    ],
)
def test_a_default_is_the_one_that_is_written_down(name: str, value: object) -> None:
    assert rows("Settings")[name] == str(value)


def test_the_table_of_metrics_has_every_metric_and_no_other() -> None:
    files = ["app/watch.py", *(path.relative_to(ROOT).as_posix() for path in (ROOT / "app/metrics").glob("*.py"))]
    shown = {text for file in files for text in constants(file) if METRIC.fullmatch(text)}
    assert {name for name in rows("Metrics") if name.startswith("tytle_")} == shown


def test_the_section_on_metrics_names_every_outcome_and_phase() -> None:
    assert set(outcomes.OUTCOMES) <= rows("Metrics").keys()
    (phases,) = (line for line in TEXT.splitlines() if line.startswith("| `tytle_phase_seconds`"))
    assert set(re.findall(r"`([^`]*)`", phases)) == {"tytle_phase_seconds", *PHASES.values()}


def events() -> Iterator[str]:
    """Yield the name of every event that the parent writes into its log, as the code spells it."""
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield from _named(node)


def _named(call: ast.Call) -> Iterator[str]:
    if isinstance(call.func, ast.Attribute) and call.func.attr == log.Log.event.__name__ and call.args:
        spoken = [call.args[0]]
    else:
        spoken = [keyword.value for keyword in call.keywords if keyword.arg == "event"]
    for value in spoken:
        yield from (str(node.value) for node in ast.walk(value) if isinstance(node, ast.Constant))


def test_the_table_of_the_log_has_every_event_and_no_other() -> None:
    assert rows("Log").keys() == set(events())


def test_the_file_of_callers_that_is_shown_can_be_used() -> None:
    (shown,) = fenced("OPERATIONS.md", "toml")
    services = config.known_services()
    callers = registry.load(shown.replace("<64 hexadecimal digits>", "0" * 64).encode(), services=services)
    (caller,) = callers.all
    assert (caller.name, caller.limits.rate, caller.limits.burst, caller.limits.concurrent) == ("agent-a", 20, 40, 16)


def test_the_commands_that_are_shown_are_read_by_their_programs() -> None:
    lines = [shlex.split(line, comments=True) for block in fenced("OPERATIONS.md", "sh") for line in block.splitlines()]
    ours = [words[2:] for words in lines if words[:2] == ["python", "-m"]]
    read = {"app.tokens": tokens._parser().parse_args, "app.drain": drain._parser().parse_args}
    assert {words[0] for words in ours} == read.keys()
    for words in ours:
        read[words[0]](words[1:])
