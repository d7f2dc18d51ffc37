"""The trace, estimates over time: its columns, files and plot."""

from lowbeam.trace.estimate import COLUMNS, EXPRESSION_COLUMNS, Estimate, columns_of, row_of
from lowbeam.trace.median import check_window, running_median
from lowbeam.trace.plot import AFFECT_COLOURS, check_figure_format
from lowbeam.trace.resample import How, at_times, check_resampling
from lowbeam.trace.revision import Revision
from lowbeam.trace.store import Provenance, check_format
from lowbeam.trace.trace import Trace, load_csv

__all__ = [
    "AFFECT_COLOURS",
    "COLUMNS",
    "EXPRESSION_COLUMNS",
    "Estimate",
    "How",
    "Provenance",
    "Revision",
    "Trace",
    "at_times",
    "check_figure_format",
    "check_format",
    "check_resampling",
    "check_window",
    "columns_of",
    "load_csv",
    "row_of",
    "running_median",
]
