"""`read` and `stream`: valence and arousal from a face stream or any video."""

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property

from lowbeam.errors import NoFaceError, SourceError, StreamError, UsageError
from lowbeam.estimator import Estimator
from lowbeam.faces import Detector, FrameFaces, YunetDetector
from lowbeam.files import check_outputs, is_device
from lowbeam.media.stopping import raise_stop
from lowbeam.pipeline.estimate import BATCH, LIVE_BATCH, OVERLAY_BATCH, estimates_of
from lowbeam.pipeline.fuse import fused
from lowbeam.pipeline.options import FacesChoice, Section, check_faces
from lowbeam.pipeline.sources import FaceSource, open_faces
from lowbeam.progress import Progress
from lowbeam.recognize import DEFAULT_MODEL
from lowbeam.restore import Restorer
from lowbeam.sinks import OverlaySink, PlotSink, Sink, TraceSink, check_overlay_format, replay, trace_sink
from lowbeam.trace import Estimate, How, Provenance, Revision, Trace, check_figure_format, check_format

Path = str | os.PathLike[str]


class Reader:
    """Reads any number of sources with one model and one detector, which are loaded once.

    `model`, `threads` and `expressions` are those of `Recognizer`. Raises `UsageError` or `ModelError`.
    """

    def __init__(self, model: Path = DEFAULT_MODEL, *, threads: int = 1, expressions: bool = False) -> None:
        self._model, self._threads, self._expressions = model, threads, expressions
        self._estimator = Estimator(model, threads, expressions=expressions)

    @cached_property
    def _detector(self) -> Detector:
        return YunetDetector(self._threads)

    @cached_property
    def _restorer(self) -> Restorer:
        return Restorer(threads=self._threads)

    def stream(
        self, source: Path, *, faces: FacesChoice = "primary", start_s: float = 0.0, duration_s: float = math.inf,
        fps: float = math.inf, progress: Progress | None = None,
    ) -> Iterator[tuple[FrameFaces, list[Estimate]]]:  # fmt: skip
        """Yield the faces of each frame with their estimates, in the same order, while `source` runs. The options are
        those of `read`. Each face of a live source is estimated as it arrives. Raises the errors of `read` except
        `NoFaceError`."""
        check_faces(faces)
        section = Section(start_s, duration_s, fps)
        with open_faces(source, lambda: self._detector, faces, section, progress) as opened:
            batch = LIVE_BATCH if opened.is_live else BATCH
            yield from fused(estimates_of(opened, self._estimator, batch, keep_frames=True))

    def read(
        self, source: Path, *, out: Path | None = None, plot: Path | None = None, overlay: Path | None = None,
        restore: bool = False, faces: FacesChoice = "primary", start_s: float = 0.0, duration_s: float = math.inf,
        fps: float = math.inf, median_s: float | None = None, resample_fps: float | None = None,
        resample_how: How = "smooth", progress: Progress | None = None,
    ) -> Trace:  # fmt: skip
        """Read a source to its end. The options are those of `lowbeam.read`."""
        check_faces(faces)
        section = Section(start_s, duration_s, fps)
        _check_formats(out, plot, overlay, restore)
        revision = Revision(median_s, resample_fps, resample_how)
        check_outputs(source, out, plot, overlay)
        with ExitStack() as stack:
            opened = stack.enter_context(open_faces(source, lambda: self._detector, faces, section, progress))
            gathered = TraceSink(self._expressions)
            sinks: list[Sink] = [gathered]
            rows = [stack.enter_context(sink) for sink in self._trace_sinks(opened, out, plot, revision)]
            if not revision.needs_whole_trace:
                sinks += rows
            if overlay is not None:
                restorer = self._restorer if restore else None
                sinks.append(stack.enter_context(OverlaySink(overlay, opened.size, opened.fps, restorer=restorer)))
            batch = LIVE_BATCH if opened.is_live else BATCH if overlay is None else OVERLAY_BATCH
            count = 0
            estimated = estimates_of(opened, self._estimator, batch, keep_frames=overlay is not None)
            for frame, found in fused(estimated):
                count += len(found)
                for sink in sinks:
                    sink.write(frame, found)
            if not count and opened.is_stopped:
                raise_stop()
            if not count:
                raise _no_face(opened)
            provenance = Provenance(opened.name, os.fspath(self._model), opened.cut_at_s)
            trace = revision.of(gathered.trace(provenance))
            if revision.needs_whole_trace:
                replay(trace, rows)
                sinks += rows
            for sink in sinks:
                sink.close(trace.provenance)
        return trace

    def _trace_sinks(
        self, source: FaceSource, out: Path | None, plot: Path | None, revision: Revision
    ) -> Iterator[Sink]:
        if out is not None:
            yield trace_sink(out, live=source.is_live and not revision.needs_whole_trace, expressions=self._expressions)
        if plot is not None:
            yield PlotSink(plot)


def read(
    source: Path, *, out: Path | None = None, plot: Path | None = None, overlay: Path | None = None,
    restore: bool = False, faces: FacesChoice = "primary", model: Path = DEFAULT_MODEL, threads: int = 1,
    start_s: float = 0.0, duration_s: float = math.inf, fps: float = math.inf, median_s: float | None = None,
    resample_fps: float | None = None, resample_how: How = "smooth", expressions: bool = False,
    progress: Progress | None = None,
) -> Trace:  # fmt: skip
    """Estimate valence and arousal from a face stream, or from any video, whose faces are detected and used at scale 1.

    `source` is a face stream, a video or picture file, ``camera:N``, a URL, a named pipe or ``-``. `out` is the file of
    the trace (.csv, .jsonl, .json, .parquet; ``-``: CSV to standard output), `plot` that of its plot (.png, .svg,
    .pdf), and `overlay` that of an MP4 which shows each face with its estimate. With `restore` the overlay also shows a
    restored face, a plausible picture (`lowbeam.Restorer`); estimates use the received face only. `faces` is
    ``primary`` (the largest area, summed over time) or ``all``; `model` and `threads` are those of `Recognizer`.
    `start_s`, `duration_s` (seconds) and `fps` (most frames per second) select a section of the source; times remain
    those of the source. `progress` is called with the number of frames done and their total, or None.

    With `median_s` valence and arousal are medians over so many seconds (`Trace.median`), which removes blinks and
    single wrong frames. With `resample_fps` the trace and its files have rows at so many times a second, by
    `resample_how`: ``smooth``, ``linear`` or ``hold`` (`Trace.resample`). With either, they are written at the end,
    also for a live source; an overlay shows the estimates as they were.

    With `expressions` the trace has a column with the probability of each expression, of each face by itself; faces of
    which no pixels came (codecs ``features`` and ``estimates``) have none.

    Outputs for a file appear complete or not at all. For a live source (camera, URL or pipe) rows of text files are
    written as faces arrive, and SIGINT, SIGTERM and SIGHUP, if the program handles them, end the source.

    A face stream that was cut, or a live one that stalls, is read up to that point, which is the trace's `cut_at_s`. To
    read many sources use `Reader`. Raises `UsageError`, `SourceError`, `StreamError`, `NoFaceError`, `ModelError` or
    `OutputError`.
    """
    return Reader(model, threads=threads, expressions=expressions).read(
        source, out=out, plot=plot, overlay=overlay, restore=restore, faces=faces, start_s=start_s,
        duration_s=duration_s, fps=fps, median_s=median_s, resample_fps=resample_fps, resample_how=resample_how,
        progress=progress,
    )  # fmt: skip


def stream(
    source: Path, *, faces: FacesChoice = "primary", model: Path = DEFAULT_MODEL, threads: int = 1,
    start_s: float = 0.0, duration_s: float = math.inf, fps: float = math.inf, expressions: bool = False,
) -> Iterator[tuple[FrameFaces, list[Estimate]]]:  # fmt: skip
    """Yield the faces of each frame with their estimates, in the same order, while `source` runs. The options are those
    of `read`. Raises the errors of `read` except `NoFaceError`.

    ::

        for frame, estimates in lowbeam.stream("camera:0"):
            for estimate in estimates:
                print(estimate.time_s, estimate.valence)
    """
    reader = Reader(model, threads=threads, expressions=expressions)
    return reader.stream(source, faces=faces, start_s=start_s, duration_s=duration_s, fps=fps)


def _check_formats(out: Path | None, plot: Path | None, overlay: Path | None, restore: bool) -> None:
    """Raise `UsageError` for unsupported outputs, before the work begins."""
    if out is not None and os.fspath(out) != "-" and not is_device(out):
        check_format(out)
    if plot is not None:
        check_figure_format(plot)
    if overlay is not None:
        check_overlay_format(overlay)
    if restore and overlay is None:
        raise UsageError("--restore requires --overlay: restored faces are shown in the overlay")


def _no_face(source: FaceSource) -> SourceError:
    if source.cut_at_s is not None:
        return StreamError(f"{source.name} is cut before its first face")
    return NoFaceError(f"{source.name} shows no face")
