"""The pictures of the benchmarks, and the tables: well-formed, the same each time, and with everything in them."""

import itertools
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import plots
from bench.report import Figure, Report, Table, as_json, as_text
from bench.rounds import Settings, Spread
from bench.service_times import CELLS, Cell
from bench.svg import Chart, Line, Point, draw

SVG = "{http://www.w3.org/2000/svg}"


def chart(**changes: object) -> Chart:
    given = {
        "title": "Bytes & <time>",
        "subtitle": "none",
        "x_label": "x",
        "y_label": "y",
        "ticks": [(1, "1"), (10, "10")],
        "lines": [Line(name="a line", colour=0, points=[Point(1, 5.0, 4.0, 6.0), Point(10, 900.0, 800.0, 1000.0)])],
    }
    return Chart(**{**given, **changes})


def spread(value: float) -> dict[str, float]:
    return {"median": value, "least": value / 2, "most": value * 2}


def results() -> dict[str, object]:
    grid = [
        {
            "service_ms": cell.service_ms,
            "clients": cell.clients,
            "mode": cell.mode,
            **{name: spread(cell.clients + cell.service_ms + 1) for name in ("answers_per_second", "p50_ms", "p99_ms")},
        }
        for cell in CELLS
    ]
    bodies = [{"way": way, "bytes": 1024, "cpu_ms": spread(2)} for way in ("answer", "request")]
    bodies += [{"way": way, "bytes": 1024**2, "cpu_ms": spread(9)} for way in ("answer", "request")]
    fields = ("p50_ms", "p90_ms", "p99_ms", "p999_ms")
    latencies = [{"name": "attested fetch, session, 9/s", **{field: spread(3) for field in fields}}]
    return {"measurements": {"d": {"points": grid}, "f": {"points": bodies}, "i": {"points": latencies}, "a": {}}}


def names(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314  our own


def test_a_picture_is_the_same_each_time():
    assert draw(chart()) == draw(chart())


def test_a_picture_holds_its_title_axes_ticks_and_lines_as_text():
    said = names(draw(chart()))
    for expected in ("Bytes & <time>", "x", "y", "1", "10", "a line", "1,000"):
        assert expected in said


def test_names_of_lines_that_end_at_the_same_place_do_not_cover_each_other():
    points = [Point(1, 5.0, 5.0, 5.0), Point(10, 5.0, 5.0, 5.0)]
    lines = [Line(name=f"line {index}", colour=index, points=points) for index in range(5)]
    texts = ET.fromstring(draw(chart(lines=lines))).iter(f"{SVG}text")  # noqa: S314
    places = sorted(float(text.get("y", "")) for text in texts if (text.text or "").startswith("line "))
    assert all(below - above >= 16.9 for above, below in itertools.pairwise(places))


@pytest.mark.parametrize(("least", "most"), [(1, 1), (0.3, 0.4), (9.5, 10.5), (1, 1e6), (19, 1900)])
def test_every_value_lies_inside_the_axes(least: float, most: float):
    line = Line(name="one", colour=0, points=[Point(1, least, least, least), Point(10, most, most, most)])
    circles = list(ET.fromstring(draw(chart(lines=[line]))).iter(f"{SVG}circle"))  # noqa: S314
    assert len(circles) == 2
    assert all(75.9 <= float(circle.get("cy", "")) <= 400.1 for circle in circles)


def test_results_give_one_picture_for_each_plot_and_none_without_points(tmp_path: Path):
    whole, partial = tmp_path / "latest.json", tmp_path / "latest-a.json"
    whole.write_text(json.dumps(results()))
    partial.write_text(json.dumps({"measurements": {"a": {"points": []}}}))
    written = plots.write(whole)
    assert [path.name for path in written] == [f"latest-{name}.svg" for name in plots.PLOTS]
    assert all(ET.fromstring(path.read_text()).tag == f"{SVG}svg" for path in written)  # noqa: S314
    assert plots.write(partial) == []


def test_the_grid_has_every_mode_service_time_and_number_of_callers_once():
    assert len(set(CELLS)) == len(CELLS) == 3 * 4 * 5


def test_in_mode_document_the_warm_up_is_longer_than_the_queue_of_all_callers():
    assert all(cell.warm_up > cell.clients * cell.service_ms / 1000 for cell in CELLS if cell.mode == "document")
    assert Cell(50, 128, "batch").warm_up < 1


def test_a_report_prints_every_table_and_figure_and_keeps_them_as_json():
    report = Report(
        letter="x",
        title="A title",
        settings=Settings(rounds=2),
        notes=("measured  something",),
        figures=(
            Figure("memory", "MiB", ".1f", Spread.of([1.0, 3.0])),
            Figure("size", "bytes", ",.0f", Spread.of([9])),
        ),
        tables=(Table(title="A table:", head=("", "one"), rows=(("row", "1"), ("longer row", "1,000"))),),
    )
    text = as_text(report)
    for expected in ("(x) A title", "A table:", "longer row  1,000", "2.0 (1.0 - 3.0) MiB", "size    9 bytes"):
        assert expected in text
    assert as_json(report)["figures"]["memory, MiB"] == {"median": 2.0, "least": 1.0, "most": 3.0}
