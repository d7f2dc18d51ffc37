"""Traces: their columns, files and plots."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lowbeam
from lowbeam import OutputError, SourceError, Trace, UsageError
from lowbeam.demo import demo
from lowbeam.face import Expressions
from lowbeam.trace import COLUMNS, EXPRESSION_COLUMNS, Estimate, How, load_csv

unit = st.floats(-1, 1, width=32)
place = st.floats(-1e4, 1e4, width=32)
rows = st.lists(st.tuples(st.floats(0, 1e5), st.integers(0, 99), unit, unit, unit, unit, place, place, place))


def some_trace(n: int = 50) -> Trace:
    return Trace.from_estimates(
        [(i / 25, i % 2, 0.5, -0.5, 0.1, 0.2, 10, 20, 100 - i % 2) for i in range(n)], source="a.mp4"
    )


@given(rows)
def test_csv_keeps_four_decimals(rows: list[Estimate]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        Trace.from_estimates(rows).save(path)
        back = load_csv(path)
    assert [tuple(row) for row in back] == [tuple(round(v, 4) for v in row) for row in rows]


def test_csv_is_as_the_manual_says(tmp_path: Path) -> None:
    some_trace(1).save(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == (
        "time_s,face,valence,arousal,valence_std,arousal_std,x,y,side\n"
        "0.0000,0,0.5000,-0.5000,0.1000,0.2000,10.0000,20.0000,100.0000\n"
    )


@pytest.fixture
def with_expressions() -> Trace:
    """Of a face whose expressions are known, and one of which no pixels came."""
    first, second, *_ = some_trace()
    smiling = Expressions(0.1, 0.8, 0.04, 0.02, 0.01, 0.01, 0.01, 0.01)
    return Trace.from_estimates([first.with_expressions(smiling), second], source="a.mp4")


def test_expressions_have_columns_of_their_own_and_empty_cells_where_they_are_unknown(
    with_expressions: Trace, tmp_path: Path
) -> None:
    assert list(with_expressions.columns) == [*COLUMNS, *EXPRESSION_COLUMNS]
    assert with_expressions.happiness[0] == 0.8
    assert np.isnan(with_expressions.happiness[1])
    for name in ("t.csv", "t.jsonl", "t.json"):
        with_expressions.save(tmp_path / name)
    heading, first, second = (tmp_path / "t.csv").read_text().splitlines()
    assert heading.endswith(",side,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt")
    assert first.endswith(",100.0000,0.1000,0.8000,0.0400,0.0200,0.0100,0.0100,0.0100,0.0100")
    assert second.endswith(",99.0000,,,,,,,,")
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [line["happiness"] for line in lines] == [0.8, None]
    assert json.loads((tmp_path / "t.json").read_text())["columns"]["fear"] == [0.01, None]
    assert load_csv(tmp_path / "t.csv") == with_expressions
    assert [one.expressions for one in with_expressions][1] is None
    assert with_expressions != some_trace(2)


def test_a_line_with_half_of_its_expressions_is_refused(with_expressions: Trace, tmp_path: Path) -> None:
    with_expressions.save(tmp_path / "t.csv")
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(text.replace(",0.8000,", ",,"))
    with pytest.raises(SourceError, match="cannot be read as a trace"):
        load_csv(tmp_path / "t.csv")


def test_parquet_holds_expressions(with_expressions: Trace, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow comes with the tables extra")
    with_expressions.save(tmp_path / "t.parquet")
    table = parquet.read_table(tmp_path / "t.parquet")
    assert table.column_names == [*COLUMNS, *EXPRESSION_COLUMNS]
    assert table["happiness"].to_numpy()[0] == 0.8


def test_resampled_expressions_lie_between_those_of_the_faces_and_add_up_to_one() -> None:
    resting, smiling = Expressions(0.9, 0.1, *[0.0] * 6), Expressions(0.0, 1.0, *[0.0] * 6)
    (first,) = some_trace(1)
    trace = Trace.from_estimates(
        first._replace(time_s=time_s).with_expressions(told) for time_s, told in ((0.0, resting), (0.4, smiling))
    )
    found = trace.resample(10)
    assert np.allclose(found.happiness, np.linspace(0.1, 1, 5))
    assert np.allclose(sum(found[name] for name in EXPRESSION_COLUMNS), 1)
    assert trace.resample(10, "hold").happiness.tolist() == [0.1, 0.1, 0.1, 0.1, 1.0]


@pytest.mark.parametrize("how", ["smooth", "linear", "hold"])
def test_unknown_expressions_are_filled_in_from_the_known_ones(how: How) -> None:
    told = Expressions(0.2, 0.8, *[0.0] * 6)
    (first,) = some_trace(1)
    known_at = {0.0: None, 0.2: told, 0.4: None}
    trace = Trace.from_estimates(first._replace(time_s=t).with_expressions(one) for t, one in known_at.items())
    found = trace.resample(10, how).happiness
    first_known = 2 if how == "hold" else 0
    assert np.isnan(found[:first_known]).all()
    assert found[first_known:].tolist() == [0.8] * (5 - first_known)
    assert np.isnan(trace[:0.1].resample(10, how).happiness).all()


def test_an_estimate_keeps_its_expressions_where_a_value_is_replaced() -> None:
    told = Expressions(0.2, 0.8, *[0.0] * 6)
    (first,) = some_trace(1)
    changed = first.with_expressions(told)._replace(valence=0.25)
    assert (changed.valence, changed.expressions) == (0.25, told)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_heading_with_expressions_is_kept_where_none_is_known(rows: int, tmp_path: Path) -> None:
    (first,) = some_trace(1)
    told = Trace.from_estimates([first.with_expressions(Expressions(1.0, *[0.0] * 7))])
    told.columns |= {name: np.full(1, np.nan) for name in EXPRESSION_COLUMNS}
    trace = told[: 1.0 * rows]
    trace.save(tmp_path / "t.csv")
    back = load_csv(tmp_path / "t.csv")
    assert (len(back), back.has_expressions) == (rows, True)


@pytest.mark.parametrize("shape", [(3,), (3, 8), (3, 10), (3, 18), (0,)])
def test_a_table_of_another_width_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="is not"):
        Trace.from_table(np.zeros(shape))


def test_json_says_where_a_cut_source_ends(tmp_path: Path) -> None:
    trace = some_trace()
    trace.cut_at_s = 1.96
    trace.save(tmp_path / "t.json")
    stored = json.loads((tmp_path / "t.json").read_text())
    assert (stored["cut_at_s"], stored["source"]) == (1.96, "a.mp4")
    assert list(stored["columns"]) == list(COLUMNS)


def test_parquet_and_pandas_hold_every_column(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow comes with the tables extra")
    trace = some_trace()
    trace.save(tmp_path / "t.parquet")
    table = parquet.read_table(tmp_path / "t.parquet")
    assert json.loads(table.schema.metadata[b"lowbeam"])["source"] == "a.mp4"
    frame = trace.to_pandas()
    assert list(frame.columns) == list(COLUMNS)
    assert frame.equals(table.to_pandas())


def test_the_most_present_face_comes_first() -> None:
    assert some_trace().faces() == [0, 1]
    assert set(some_trace().of_face(1).face) == {1}


def test_a_plot_has_a_row_a_face_and_breaks_where_there_is_no_face(tmp_path: Path) -> None:
    times = [*np.arange(0, 1, 0.04), *np.arange(3, 4, 0.04)]
    trace = Trace.from_estimates([(t, 0, 0.3, 0.1, 0.1, 0.1, 0, 0, 50) for t in times])
    figure = trace.plot(tmp_path / "t.png")
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    assert len(figure.axes) == 1
    assert np.isnan(figure.axes[0].lines[0].get_ydata()).sum() == 1
    assert len(some_trace().plot().axes) == 2


def test_a_trace_of_one_frame_a_second_is_drawn_as_a_line() -> None:
    slow = Trace.from_estimates([(float(t), 0, 0.3, 0.1, 0.1, 0.1, 0, 0, 50) for t in (0, 1, 2, 3, 9, 10)])
    line = slow.plot().axes[0].lines[0].get_ydata()
    assert np.isnan(line).sum() == 1
    single = Trace.from_estimates([(0.0, 0, 0.3, 0.1, 0.1, 0.1, 0, 0, 50)]).plot().axes[0]
    assert any(line.get_marker() == "." for line in single.lines)


def test_an_empty_trace_plots_and_saves(tmp_path: Path) -> None:
    Trace.from_estimates([]).plot(tmp_path / "t.svg")
    Trace.from_estimates([]).save(tmp_path / "t.csv")
    assert len(load_csv(tmp_path / "t.csv")) == 0


def test_what_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"written as one of \.csv, \.jsonl, \.json, \.parquet"):
        some_trace().save(tmp_path / "t.xlsx")
    with pytest.raises(UsageError, match=r"written as one of \.png, \.svg, \.pdf"):
        some_trace().plot(tmp_path / "t.bmp")
    with pytest.raises(OutputError, match="cannot be written: no such file"):
        some_trace().save(tmp_path / "none" / "t.csv")
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        some_trace().save(tmp_path / "d.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["d.csv"]


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "bad.csv").write_text(",".join(COLUMNS) + "\n1,2,x\n")
    for name in ("other.csv", "bad.csv", "none.csv"):
        with pytest.raises(SourceError):
            load_csv(tmp_path / name)


def test_a_column_is_an_attribute() -> None:
    assert some_trace(3).valence.tolist() == [0.5, 0.5, 0.5]
    with pytest.raises(AttributeError, match="a trace has no dominance"):
        _ = some_trace(1).dominance


def example() -> Trace:
    """Two faces over ten seconds."""
    rows = [Estimate(t / 5, face, 0.1 * face, -0.2, 0.1, 0.2, 10.0, 20.0, 100.0 - 50 * face)
            for t in range(50) for face in (0, 1)]  # fmt: skip
    return Trace.from_estimates(rows, source="a.mp4", model="accurate")


def test_a_trace_is_cut_by_time_and_read_by_column() -> None:
    trace = example()
    part = trace[2.0:4.0]
    assert (part.time_s.min(), part.time_s.max(), len(part)) == (2.0, 3.8, 20)
    assert len(trace[:5]) == len(trace[5:]) == 50
    assert (trace["valence"] == trace.valence).all()
    first = next(iter(trace))
    assert (first.time_s, first.face, first.side) == (0.0, 0, 100.0)
    for wrong in (0, slice(0, 1, 2)):
        with pytest.raises(TypeError, match="by time"):
            trace[wrong]  # type: ignore[call-overload]


def test_traces_compare_by_value_and_are_not_hashed() -> None:
    assert example() == example()
    other = example()
    other.columns["valence"][0] += 0.5
    assert example() != other
    assert example() != Trace(example().columns, source="b.mp4", model="accurate")
    assert example() != "a trace"
    with pytest.raises(TypeError, match="unhashable"):
        hash(example())


def test_a_notebook_shows_a_trace_and_its_plot_without_a_backend() -> None:
    program = (
        "import pickle, sys; trace = pickle.load(sys.stdin.buffer)\n"
        "figure = trace.plot()\n"
        "assert figure._repr_png_()[:4] == trace._repr_png_()[:4] == b'\\x89PNG'\n"
        "assert '<img src=\"data:image/png;base64,' in trace._repr_html_()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], input=pickle.dumps(example()), check=True, timeout=60)
    assert repr(example()) == "<Trace of a.mp4: 100 estimates of 2 faces, 0.00 to 9.80 s>"


def test_a_trace_is_drawn_on_axes_of_ones_own() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    figure = example().plot(ax=axes)
    assert figure is axes.figure
    assert [line.get_label() for line in axes.get_lines()][:2] == ["valence", "arousal"]


def test_provenance_stands_beside_text_and_is_read_back(tmp_path: Path) -> None:
    for name in ("t.csv", "t.jsonl"):
        example().save(tmp_path / name)
        about = json.loads((tmp_path / f"{name}-metadata.json").read_text())
        assert about == {"source": "a.mp4", "model": "accurate", "cut_at_s": None, "lowbeam": lowbeam.__version__}
    assert load_csv(tmp_path / "t.csv") == example()
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert len(rows) == 100
    assert list(rows[0]) == list(COLUMNS)
    (tmp_path / "t.csv-metadata.json").write_text("{")
    assert load_csv(tmp_path / "t.csv").source == str(tmp_path / "t.csv")


def test_an_output_keeps_the_mode_of_what_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.touch(mode=0o600)
    example().save(path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file sizes are a Unix matter")
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_plot_on_a_full_disk_is_one_error(suffix: str, tmp_path: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            example().plot(tmp_path / f"p{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_plots_are_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, face_stream: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr("lowbeam.trace.plot.find_spec", lambda name: None)
    for attempt in (
        lambda: example().plot(),
        lambda: lowbeam.read(face_stream, out=tmp_path / "t.csv", plot=tmp_path / "p.png"),
        lambda: demo(out=tmp_path / "demo"),
    ):
        with pytest.raises(UsageError, match=r"pip install 'lowbeam\[plot\]'"):
            attempt()
    assert example()._repr_png_() is None
    assert "100 estimates" in example()._repr_html_()
    assert not list(tmp_path.iterdir())
