"""What a verification compared and, as important, what it did not (VERIFICATION.md, "The library").

A report is made of short printable lines for people and logs; programs use the typed values instead.
"""

from __future__ import annotations

from dataclasses import dataclass

TITLES = (
    "inputs and size limits",
    "COSE_Sign1, ES384",
    "document fields and limits",
    "certificate chain to the pinned root",
    "signature by the leaf",
    "time",
    "measurements",
    "statement is in the signed tree",
    "statement against policy and caller",
    "legacy fields",
)
IDENTITY_TITLES = (*TITLES[:7], "identity is what the document signs", "identity against policy and caller")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step that was passed: its number 0-9, and one line per comparison made and per thing left unchecked.

    `identity` tells the steps 7 and 8 of an identity from those of a statement.
    """

    number: int
    compared: tuple[str, ...]
    not_checked: tuple[str, ...] = ()
    identity: bool = False

    @property
    def title(self) -> str:
        """The step's name, as in VERIFICATION.md."""
        return (IDENTITY_TITLES if self.identity else TITLES)[self.number]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The steps passed, in order. Complete only when the function that made it returned."""

    steps: tuple[Step, ...]

    @property
    def not_checked(self) -> tuple[str, ...]:
        """Everything that no step looked at, in the order of the steps."""
        return tuple(line for step in self.steps for line in step.not_checked)


class Notebook:
    """Collects steps while a verification runs. The only mutable value here, and it never leaves `verify`."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def passed(self, number: int, *compared: str, not_checked: tuple[str, ...] = ()) -> None:
        """Record that step `number` was passed; a second note on the same step is joined to the first."""
        if self._steps and self._steps[-1].number == number:
            before = self._steps.pop()
            compared, not_checked = before.compared + compared, before.not_checked + not_checked
        self._steps.append(Step(number=number, compared=compared, not_checked=not_checked))

    def report(self) -> Report:
        """Return what was recorded so far."""
        return Report(steps=tuple(self._steps))
