"""Traces: their columns, files and plots."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbeam import OutputError, SourceError, Trace, UsageError
from lowbeam.trace import COLUMNS, Estimate, load_csv

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
