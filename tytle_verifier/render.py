"""A verdict as text for people, or as JSON for programs. Pure: colour is asked for, never detected here."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tytle_verifier.derive import Derived
from tytle_verifier.errors import DerivationError
from tytle_verifier.report import Step
from tytle_verifier.verdict import Verdict

_COLOURS = {"ok": "32", "NO": "31;1", "--": "2", "not checked": "33"}
_LABELS = {
    "refused": "REFUSED",
    "partly": "PARTLY VERIFIED",
    "failure": "VERIFIED, AND THE FETCH FAILED",
    "contradicted": "CONTRADICTED",
}
_DERIVATION = "derivation from raw bodies"


def text(verdict: Verdict, *, colour: bool = False) -> str:
    """Return every step, what each compared and did not check, and the verdict, one line each."""
    lines = [line for number in range(len(verdict.titles)) for line in _step(verdict, number, colour)]
    lines += _derivation(verdict, colour)
    return "\n".join([*lines, "", _headline(verdict, colour), ""])


def line(verdict: Verdict) -> str:
    """Return the verdict alone as one line."""
    return f"{_label(verdict)}: {verdict.headline}"


def as_json(verdict: Verdict, **more: str) -> str:
    """Return the verdict as one line of JSON; `more` names what it is about, for example `file`."""
    error = verdict.error
    value: dict[str, object] = {
        **more,
        "verdict": verdict.word,
        "exitCode": int(verdict.code),
        "headline": verdict.headline,
        "steps": [_plain(step) for step in verdict.report.steps],
        "refused": None
        if error is None
        else {
            "step": error.step,
            "problem": error.problem,
            "got": error.got,
            "expected": error.expected,
            "advice": error.advice,
        },
    }
    if verdict.derivation is not None:
        value["derivation"] = _plain_derivation(verdict.derivation)
    return json.dumps(value)


def _plain_derivation(derivation: Derived | DerivationError) -> dict[str, object]:
    if isinstance(derivation, DerivationError):
        return {"problem": derivation.problem, "got": derivation.got, "expected": derivation.expected}
    return {
        "operation": derivation.operation,
        "schema": derivation.schema,
        "values": None if derivation.values is None else dict(derivation.values),
        "error": derivation.error,
        "problem": derivation.problem,
        "compared": list(derivation.compared),
        "notChecked": list(derivation.not_compared),
    }


def _plain(step: Step) -> dict[str, object]:
    return {
        "step": step.number,
        "title": step.title,
        "compared": list(step.compared),
        "notChecked": list(step.not_checked),
    }


def _step(verdict: Verdict, number: int, colour: bool) -> Iterator[str]:
    error = verdict.error
    passed = next((step for step in verdict.report.steps if step.number == number), None)
    if error is not None and error.step == number:
        yield f"{number} {_paint('NO', 'NO', colour)}  {verdict.titles[number]}"
        yield f"      {error.detail}"
        yield f"      {error.advice}"
    elif passed is not None:
        yield f"{number} {_paint('ok', 'ok', colour)}  {passed.title}"
        yield from (f"      {compared}" for compared in passed.compared)
        yield from (f"      {_paint('not checked', 'not checked', colour)}: {rest}" for rest in passed.not_checked)
    else:
        why = "not reached" if number <= verdict.last_step and error is not None else "not applied"
        yield f"{number} {_paint('--', '--', colour)}  {verdict.titles[number]}: {why}"


def _derivation(verdict: Verdict, colour: bool) -> Iterator[str]:
    derivation = verdict.derivation
    if isinstance(derivation, DerivationError):
        yield f"D {_paint('NO', 'NO', colour)}  {_DERIVATION}"
        yield f"      {derivation}"
        yield f"      {derivation.advice}"
    elif derivation is not None:
        yield f"D {_paint('ok', 'ok', colour)}  {_DERIVATION}"
        yield from (f"      {line}" for line in derivation.compared)
        yield from (f"      {_paint('not checked', 'not checked', colour)}: {rest}" for rest in derivation.not_compared)


def _label(verdict: Verdict) -> str:
    return _LABELS.get(verdict.word, "TEST PKI ONLY" if verdict.word.startswith("test-") else "VERIFIED")


def _headline(verdict: Verdict, colour: bool) -> str:
    return _paint(line(verdict), "ok" if verdict.code == 0 and _label(verdict) == "VERIFIED" else "NO", colour)


def _paint(words: str, kind: str, colour: bool) -> str:
    return f"\x1b[{_COLOURS[kind]}m{words}\x1b[0m" if colour else words


def unjudged(word: str, problem: str, file: str) -> str:
    """Return one line of JSON for a file that could not be judged at all."""
    return json.dumps({"file": file, "verdict": word, "headline": problem})
