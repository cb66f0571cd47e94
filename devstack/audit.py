"""What pip-audit said, as a verdict: `python -m devstack.audit [--required] IGNORED_TOML REPORT...`.

Reports are named for the requirements file that they are on: `enclave.pypi.json` and `enclave.osv.json`.

A report is the output of `pip-audit --format json`; one that is empty or no JSON is that of a service that could not be
asked. pip-audit passes what it could not look up in silence. Here nothing passes in silence: what nobody looked up is
named, loudly, and with `--required` it is an error.
"""

import argparse
import json
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KNOWN, NOT_AUDITED, UNUSABLE = 1, 2, 3
BANNER = "!" * 100


class Unusable(ValueError):
    """The list of ignored vulnerabilities cannot be used as it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One known vulnerability of one pinned package."""

    package: str
    version: str
    id: str
    aliases: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """How many packages were `looked_up`, which were not (`silent`), and the `findings`."""

    looked_up: int
    silent: frozenset[str]
    findings: frozenset[Finding]


def read(reports: Mapping[str, Iterable[str]]) -> Audit:
    """Join the reports on each requirements file: a package is looked up if one of them knows it.

    A file on which nobody reported counts as one that is silent, under its own name.
    """
    looked_up: set[tuple[str, str]] = set()
    silent: set[str] = set()
    findings: set[Finding] = set()
    for file, texts in reports.items():
        found = [each for text in texts for each in _dependencies(text)]
        known = {(str(each["name"]), str(each.get("version"))) for each in found if "vulns" in each}
        looked_up |= known
        silent |= {str(each["name"]) for each in found} - {name for name, _ in known} if found else {file}
        findings |= {_finding(each, vulnerability) for each in found for vulnerability in each.get("vulns", ())}
    return Audit(looked_up=len(looked_up), silent=frozenset(silent), findings=frozenset(findings))


def ignored(toml: str) -> Mapping[str, str]:
    """Return the ignored ids with their packages. Raises: Unusable."""
    try:
        value = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise Unusable(f"not TOML: {error}") from error
    entries = value.pop("ignored", [])
    if value or not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise Unusable("only [[ignored]] with id, package and reason, all of them texts that are not empty")
    return {each["id"]: each["package"] for each in entries}


def judge(audit: Audit, passed: Mapping[str, str], *, required: bool) -> tuple[int, list[str]]:
    """Return the exit status and what to print."""
    let = {each for each in audit.findings if any(passed.get(one) == each.package for one in _names(each))}
    lines = [
        f"KNOWN VULNERABILITY: {each.package} {each.version}: {each.id}"
        for each in sorted(audit.findings - let, key=_place)
    ]
    if lines:
        return KNOWN, [*lines, "Update the package, or say in requirements/ignored.toml why it does not concern us."]
    used = {one for each in let for one in _names(each)}
    stale = [] if audit.silent else sorted(passed.keys() - used)
    if stale:
        return UNUSABLE, [f"requirements/ignored.toml: {', '.join(stale)} matches nothing: take it out"]
    looked = f"{audit.looked_up} packages looked up, {len(let)} known vulnerabilities ignored with a reason"
    if not audit.silent:
        return 0, [f"audited: {looked}, no other known"]
    said = f"NOT AUDITED: no vulnerability service could be asked about {', '.join(sorted(audit.silent))}"
    advice = (
        "This machine cannot tell whether they have known vulnerabilities. Run `make audit` where pypi.org answers."
    )
    return NOT_AUDITED if required else 0, [BANNER, said, advice, looked, BANNER]


def _dependencies(report: str) -> list[dict[str, Any]]:
    try:
        value = json.loads(report)
    except ValueError:
        return []
    found = value.get("dependencies") if isinstance(value, dict) else None
    return [each for each in found if isinstance(each, dict) and "name" in each] if isinstance(found, list) else []


def _finding(dependency: Mapping[str, Any], known: Mapping[str, Any]) -> Finding:
    return Finding(
        package=str(dependency["name"]),
        version=str(dependency.get("version")),
        id=str(known.get("id")),
        aliases=frozenset(map(str, known.get("aliases", ()))),
    )


def _place(finding: Finding) -> tuple[str, str, str]:
    return finding.package, finding.version, finding.id


def _names(finding: Finding) -> frozenset[str]:
    return finding.aliases | {finding.id}


def _is_entry(entry: object) -> bool:
    keys = {"id", "package", "reason"}
    return isinstance(entry, dict) and entry.keys() == keys and all(isinstance(v, str) and v for v in entry.values())


def main(arguments: list[str]) -> int:
    """Print the verdict; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m devstack.audit")
    parser.add_argument("--required", action="store_true", help="fail where something could not be looked up")
    parser.add_argument("ignored", type=Path)
    parser.add_argument("report", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    files = sorted({path.name.partition(".")[0] for path in options.report})
    texts = {path: path.read_text(encoding="utf-8") for path in options.report}
    audit = read({f: [text for path, text in texts.items() if path.name.partition(".")[0] == f] for f in files})
    try:
        status, lines = judge(audit, ignored(options.ignored.read_text(encoding="utf-8")), required=options.required)
    except Unusable as error:
        status, lines = UNUSABLE, [f"requirements/ignored.toml: {error}"]
    print(*lines, sep="\n", file=sys.stderr if status or audit.silent else sys.stdout)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
