"""Archives: many recordings read into one Parquet dataset, by all cores, each of them once."""

from lowbeam.archive.driver import batch
from lowbeam.archive.outcome import Outcome
from lowbeam.archive.report import report

__all__ = ["Outcome", "batch", "report"]
