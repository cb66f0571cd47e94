"""What comes out: tables for a person, one JSON file for a program. A figure without its spread is not printed."""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.rounds import Sample, Series, Settings, Spread

WIDTH = 120
INDENT = " " * 14


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
class Table:
    """Cells of text under a head, for what a list of series would hide."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One finished measurement. `notes` say what was measured, against whom, and what was left out.

    Where there are `tables`, they are printed in the place of a row for each series. `points` are what plots are made
    from.
    """

    letter: str
    title: str
    settings: Settings
    notes: tuple[str, ...]
    series: tuple[Series, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    points: tuple[Mapping[str, Any], ...] = ()

    @property
    def errors(self) -> int:
        """Bad and missing answers: a figure of a run with errors is worth nothing."""
        return sum(series.errors for series in self.series)


def as_text(report: Report) -> str:
    """Return the tables."""
    title = f"({report.letter}) {report.title}"
    lines = [title, "=" * len(title)]
    for note in report.notes:
        lines += textwrap.wrap(note, WIDTH, initial_indent="    ", subsequent_indent=INDENT)
    if report.tables:
        lines += [line for table in report.tables for line in table_lines(table)]
    elif report.series:
        lines += _load_tables(report)
    if report.ratios:
        lines += ["", "    Ratio of answers/s, median (least - most) of the rounds' ratios; above 1 we are faster:", ""]
        lines += _named((ratio.name, in_full(ratio.spread, ".2f")) for ratio in report.ratios)
    if report.figures:
        rounds = report.settings.rounds
        lines += ["", f"    Median (least - most) of {rounds} rounds, or the one value that it has:", ""]
        lines += _named((figure.name, _value(figure)) for figure in report.figures)
    return "\n".join([*lines, *_noise(report)]) + "\n"


def as_json(report: Report) -> dict[str, Any]:
    """Return everything that was measured, the single rounds included."""
    return {
        "title": report.title,
        "notes": [" ".join(note.split()) for note in report.notes],
        "settings": asdict(report.settings),
        "errors": report.errors,
        "ratios": {ratio.name: asdict(ratio.spread) for ratio in report.ratios},
        "figures": {f"{figure.name}, {figure.unit}": asdict(figure.spread) for figure in report.figures},
        "points": [dict(point) for point in report.points],
        "rounds": {series.subject.name: [_sample(sample) for sample in series.samples] for series in report.series},
    }


def table_lines(table: Table) -> list[str]:
    """Return a table as lines, its columns as wide as their widest cell, the first one to the left."""
    lines = [table.head, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.head))]
    return [
        "",
        f"    {table.title}",
        "",
        *(
            f"    {line[0]:<{widths[0]}}"
            + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
            for line in lines
        ),
    ]


def in_full(spread: Spread, form: str) -> str:
    """Return median, least and most, each in the format `form`."""
    return f"{spread.median:{form}} ({spread.least:{form}} - {spread.most:{form}})"


def _load_tables(report: Report) -> list[str]:
    settings = report.settings
    title = f"Median (least - most) of {settings.rounds} interleaved rounds of {settings.seconds:g} s each:"
    rows = [_row(series) for series in report.series]
    return [
        *table_lines(Table(title=title, head=("", "answers/s", "p50 ms", "p99 ms", "errors"), rows=rows)),
        "",
        "    CPU milliseconds per answer, median:",
        "",
        *_named(_cpu_row(series) for series in report.series),
    ]


def _row(series: Series) -> tuple[str, ...]:
    return (
        series.subject.name,
        in_full(series.spread(lambda sample: sample.rate), ",.0f"),
        in_full(series.spread(lambda sample: sample.figures.p50_ms), ".1f"),
        in_full(series.spread(lambda sample: sample.figures.p99_ms), ".1f"),
        str(series.errors),
    )


def _noise(report: Report) -> list[str]:
    if not report.series:
        return []
    others = Spread.of(sample.others for series in report.series for sample in series.samples)
    return [
        "",
        f"    Noise: other work took {others.median:.0%} of the CPU time of a round (at most {others.most:.0%}). "
        f"Bad or missing answers: {report.errors}.",
    ]


def _named(values: Iterable[tuple[str, str]]) -> list[str]:
    listed = list(values)
    width = max(len(name) for name, _ in listed)
    return [f"    {name:<{width}}  {value}" for name, value in listed]


def _value(figure: Figure) -> str:
    spread = figure.spread
    constant = spread.least == spread.most
    value = f"{spread.median:{figure.form}}" if constant else in_full(spread, figure.form)
    return f"{value} {figure.unit}"


def _cpu_row(series: Series) -> tuple[str, str]:
    names = series.samples[0].cpu_ms
    spent = {name: series.spread(_cpu(name)).median for name in names}
    return series.subject.name, "  ".join(f"{name} {milliseconds:.3f}" for name, milliseconds in spent.items())


def _cpu(name: str) -> Callable[[Sample], float]:
    return lambda sample: sample.cpu_ms[name]


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "answers_per_second": sample.rate,
        **asdict(sample.figures),
        "cpu_ms": sample.cpu_ms,
        "others": sample.others,
    }
