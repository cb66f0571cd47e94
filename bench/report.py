"""What comes out: tables for a person, one JSON file for a program. A figure without its spread is not printed."""

import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bench.rounds import Sample, Series, Settings, Spread

WIDTH = 120
INDENT = " " * 14
NAME_WIDTH = 26


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours divided by the peer's answers per second: the figure that a measurement is for. Above 1 we are faster."""

    name: str
    spread: Spread


@dataclass(frozen=True, slots=True)
class Figure:
    """A quantity that has no peer, such as the size of an image. `form` is the format of its values as text."""

    name: str
    unit: str
    form: str
    spread: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One finished measurement. `notes` say what was measured, against whom, and what was left out."""

    letter: str
    title: str
    notes: tuple[str, ...]
    series: tuple[Series, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    figures: tuple[Figure, ...] = ()

    @property
    def errors(self) -> int:
        """Bad and missing answers: a figure of a run with errors is worth nothing."""
        return sum(series.errors for series in self.series)


def as_text(report: Report, settings: Settings) -> str:
    """Return the tables."""
    title = f"({report.letter}) {report.title}"
    lines = [title, "=" * len(title)]
    for note in report.notes:
        lines += textwrap.wrap(note, WIDTH, initial_indent="    ", subsequent_indent=INDENT)
    if report.series:
        lines += _load_tables(report, settings)
    if report.figures:
        lines += ["", f"    Median (least - most) of {settings.rounds} rounds, or the one value that it has:", ""]
        lines += [_figure(figure) for figure in report.figures]
    return "\n".join(lines) + "\n"


def as_json(report: Report, settings: Settings) -> dict[str, Any]:
    """Return everything that was measured, the single rounds included."""
    return {
        "title": report.title,
        "notes": [" ".join(note.split()) for note in report.notes],
        "settings": asdict(settings),
        "errors": report.errors,
        "ratios": {ratio.name: asdict(ratio.spread) for ratio in report.ratios},
        "figures": {f"{figure.name}, {figure.unit}": asdict(figure.spread) for figure in report.figures},
        "rounds": {series.subject.name: [_sample(sample) for sample in series.samples] for series in report.series},
    }


def _load_tables(report: Report, settings: Settings) -> list[str]:
    lines = [
        "",
        f"    Median (least - most) of {settings.rounds} interleaved rounds of {settings.seconds:g} s each:",
        "",
    ]
    lines.append(f"    {'':<{NAME_WIDTH}} {'answers/s':<23} {'p50 ms':<18} {'p99 ms':<18} errors")
    lines += [_row(series) for series in report.series]
    lines += ["", "    CPU milliseconds per answer, median:", ""]
    lines += [_cpu_row(series) for series in report.series]
    lines += ["", "    Ratio of answers/s, median (least - most) of the rounds' ratios; above 1 we are faster:", ""]
    lines += [f"    {ratio.name:<48} {_spread(ratio.spread, '.2f')}" for ratio in report.ratios]
    others = Spread.of(sample.others for series in report.series for sample in series.samples)
    lines += [
        "",
        f"    Noise: other work took {others.median:.0%} of the CPU time of a round (at most {others.most:.0%}).",
    ]
    return lines


def _row(series: Series) -> str:
    rate = _spread(series.spread(lambda sample: sample.rate), ",.0f")
    p50 = _spread(series.spread(lambda sample: sample.figures.p50_ms), ".1f")
    p99 = _spread(series.spread(lambda sample: sample.figures.p99_ms), ".1f")
    return f"    {series.subject.name:<{NAME_WIDTH}} {rate:<23} {p50:<18} {p99:<18} {series.errors}"


def _figure(figure: Figure) -> str:
    spread = figure.spread
    constant = spread.least == spread.most
    value = f"{spread.median:{figure.form}}" if constant else _spread(spread, figure.form)
    return f"    {figure.name:<48} {value} {figure.unit}"


def _cpu_row(series: Series) -> str:
    names = series.samples[0].cpu_ms
    spent = {name: series.spread(_cpu(name)).median for name in names}
    parts = "  ".join(f"{name} {milliseconds:.3f}" for name, milliseconds in spent.items())
    return f"    {series.subject.name:<{NAME_WIDTH}} {parts}"


def _cpu(name: str) -> Callable[[Sample], float]:
    return lambda sample: sample.cpu_ms[name]


def _spread(spread: Spread, form: str) -> str:
    return f"{spread.median:{form}} ({spread.least:{form}} - {spread.most:{form}})"


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "answers_per_second": sample.rate,
        **asdict(sample.figures),
        "cpu_ms": sample.cpu_ms,
        "others": sample.others,
    }
