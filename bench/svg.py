"""Draws a line chart as SVG, by hand: the same input gives the same bytes, and nothing is needed to read it.

The y axis is logarithmic. Colours follow the reader's light or dark scheme, and no line is told by its colour alone:
its name stands at its end.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 900, 460
LEFT, RIGHT, TOP, BOTTOM = 80, 660, 76, 400  # the plot's own borders; names stand right of it
LINE_HEIGHT = 17
LIGHT = ("#0072b2", "#c44e00", "#007a5a", "#a8498a", "#6b5b00")  # after Okabe and Ito, for every kind of colour vision
DARK = ("#56b4e9", "#f0a35e", "#3ecf9f", "#e29ac4", "#d9c94a")


@dataclass(frozen=True, slots=True)
class Point:
    """One place on a line: the median, and the least and most of the rounds as a bar."""

    x: float
    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A named line. `colour` is an index into the palette."""

    name: str
    colour: int
    points: Sequence[Point]
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """`ticks` are the places on the x axis with their names. `evenly`: they stand at equal distances, else by log."""

    title: str
    subtitle: str
    x_label: str
    y_label: str
    ticks: Sequence[tuple[float, str]]
    lines: Sequence[Line]
    evenly: bool = False


def draw(chart: Chart) -> str:
    """Return the SVG."""
    levels = _levels([value for line in chart.lines for point in line.points for value in (point.least, point.most)])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(chart.title)}</title>",
        f"<style>{_style()}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        _text(LEFT, 28, chart.title, extra=' font-size="17" font-weight="600"'),
        _text(LEFT, 49, chart.subtitle, kind="soft"),
        *_x_axis(chart),
        *_y_axis(chart, levels),
        *(part for line in chart.lines for part in _line(chart, line, levels)),
        *_names(chart, levels),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _style() -> str:
    def scheme(paper: str, ink: str, soft: str, grid: str, colours: Sequence[str]) -> str:
        lines = "".join(f".c{i}{{stroke:{c}}}.n{i}{{fill:{c}}}" for i, c in enumerate(colours))
        return f".paper{{fill:{paper}}}.ink{{fill:{ink}}}.soft{{fill:{soft}}}.grid{{stroke:{grid}}}{lines}"

    light = scheme("#ffffff", "#1f2328", "#59636e", "#d8dee4", LIGHT)
    dark = scheme("#0d1117", "#e6edf3", "#9198a1", "#30363d", DARK)
    return f"{light}@media (prefers-color-scheme:dark){{{dark}}}"


def _levels(values: Sequence[float]) -> list[float]:
    """Return 1, 2 and 5 times powers of ten around all values; only the powers where there are many."""
    least, most = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = (1,) if most - least > 3 else (1, 2, 5)
    levels = [step * 10.0**power for power in range(least, most + 1) for step in steps]
    below = max(level for level in levels if level <= min(values) * 1.0001)
    above = min(level for level in levels if level >= max(values) * 0.9999)
    return [level for level in levels if below <= level <= above] if above > below else [below / 10, below, below * 10]


def _x(chart: Chart, value: float) -> float:
    places = [place for place, _ in chart.ticks]
    if chart.evenly:
        share = places.index(value) / (len(places) - 1)
    else:
        share = math.log(value / places[0]) / math.log(places[-1] / places[0])
    return LEFT + 24 + share * (RIGHT - LEFT - 48)


def _y(levels: Sequence[float], value: float) -> float:
    return BOTTOM - math.log(value / levels[0]) / math.log(levels[-1] / levels[0]) * (BOTTOM - TOP)


def _x_axis(chart: Chart) -> Iterable[str]:
    for place, name in chart.ticks:
        x = _x(chart, place)
        yield f'<path class="grid" d="M{x:.1f} {TOP}V{BOTTOM + 5}"/>'
        yield _text(x, BOTTOM + 22, name, anchor="middle")
    yield _text((LEFT + RIGHT) / 2, BOTTOM + 46, chart.x_label, kind="soft", anchor="middle")


def _y_axis(chart: Chart, levels: Sequence[float]) -> Iterable[str]:
    for level in levels:
        y = _y(levels, level)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>'
        yield _text(LEFT - 8, y + 4, f"{level:,g}" if level < 1e6 else f"{level:,.0f}", anchor="end")
    middle = (TOP + BOTTOM) / 2
    turned = f' transform="rotate(-90 20 {middle:.0f})"'
    yield _text(20, middle, chart.y_label, kind="soft", anchor="middle", extra=turned)


def _line(chart: Chart, line: Line, levels: Sequence[float]) -> Iterable[str]:
    places = [(_x(chart, point.x), _y(levels, point.median)) for point in line.points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dashes = ' stroke-dasharray="6 4"' if line.dashed else ""
    yield f'<path class="c{line.colour}" d="{path}" fill="none" stroke-width="2"{dashes}/>'
    for point, (x, y) in zip(line.points, places, strict=True):
        top, bottom = _y(levels, point.most), _y(levels, point.least)
        yield f'<path class="c{line.colour}" d="M{x:.1f} {top:.1f}V{bottom:.1f}" stroke-width="1.5" opacity="0.6"/>'
        yield f'<circle class="n{line.colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'


def _names(chart: Chart, levels: Sequence[float]) -> Iterable[str]:
    """Yield each line's name at its end; names that would cover each other are moved apart."""
    ends = sorted(((_y(levels, line.points[-1].median), line) for line in chart.lines), key=lambda end: end[0])
    ys = [y for y, _ in ends]
    for index in range(1, len(ys)):
        ys[index] = max(ys[index], ys[index - 1] + LINE_HEIGHT)
    surplus = max(0.0, ys[-1] - BOTTOM)
    for y, (_, line) in zip(ys, ends, strict=True):
        yield _text(RIGHT + 8, y - surplus + 4, line.name, kind=f"n{line.colour}")


def _text(x: float, y: float, text: str, *, kind: str = "ink", anchor: str = "start", extra: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'
