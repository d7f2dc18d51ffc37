"""Packing: a video's face, found, shrunk, and coded to a face stream."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowbeam.codec import OperatingPoint
from lowbeam.codec.budget import MARGIN, BudgetReport, parse_budget
from lowbeam.codec.operating_table import ladder
from lowbeam.codec.policy import Fixed, Policy
from lowbeam.codec.rate_control import RateControl
from lowbeam.container.writer import FILE_LATENCY_S
from lowbeam.errors import NoFaceError, UsageError
from lowbeam.faces import FaceTracker, make_detector
from lowbeam.files import Pipe, binary_output, check_outputs
from lowbeam.media import open_video, opened
from lowbeam.media.stopping import raise_stop
from lowbeam.pipeline.options import Counted, FacesChoice, check_faces
from lowbeam.pipeline.outputs import AllFacesOutput, PrimaryOutput
from lowbeam.pipeline.sources import find_faces
from lowbeam.progress import Progress

NOT_MATROSKA = {".avi", ".flv", ".gif", ".m4v", ".mov", ".mp4", ".mpg", ".ts", ".webm"}
MAX_LATENCY_S = 60.0


@dataclass(frozen=True)
class Packed:
    """What `pack` did. `coded` faces in `tracks` tracks over `duration_s` seconds of video made `size_bytes`, container
    and all; `left_out` faces found no place, since a face stream holds a limited number of tracks. `point` is the first
    that was used; with a budget `report` tells how it was kept."""

    point: OperatingPoint
    coded: int
    tracks: int
    duration_s: float
    size_bytes: int
    left_out: int = 0
    report: BudgetReport | None = None

    @property
    def rate_bps(self) -> float:
        """Bits per second over the video's length, counting every byte of the file."""
        return 8 * self.size_bytes / self.duration_s


def pack(
    source: str | os.PathLike, out: str | os.PathLike, *, scale: int | None = None, codec: str | None = None,
    qp: int | None = None, fps: float | None = None, budget: str | None = None, budget_of: str = "wire",
    latency_s: float | None = None, faces: FacesChoice = "primary", detector: str = "dlib",
    progress: Progress | None = None,
) -> Packed:  # fmt: skip
    """Find the face in a video, shrink it by `scale`, code it, and write a face stream to `out` (``-``: standard
    output).

    `source` is a video or picture file, ``camera:N``, a URL, a named pipe or ``-``; scale, codec, QP and frame rate are
    those of `OperatingPoint`, which has the values of what is not given; `detector` is that of `make_detector`. With
    ``faces="all"`` every face has a track of its own, and the file is written at the end. Faces are looked for only in
    frames that are coded.

    With a `budget` such as ``"3kbps"`` the operating table chooses instead, of all codecs or of the one given, and
    goes on choosing, so that no ten seconds hold more: of what goes on the wire as RTP, or with
    ``budget_of="payload"`` of the video alone. A budget below the leanest point is not kept: that point is used, and
    `Packed.report` says so.

    Faces are written every `latency_s` seconds: by default each when the next one comes to a pipe, which costs some 14
    bytes a face, and every 2 s to a file. Those of SIGINT, SIGTERM and SIGHUP that the program handles end a live
    source, and the stream is finished.

    Raises `UsageError`, `SourceError`, `NoFaceError`, `CodecError` or `OutputError`; then a file at
    `out` is not touched.
    """
    check_faces(faces)
    make_policy = _policy_maker({"codec": codec, "scale": scale, "qp": qp, "fps": fps}, budget, budget_of, faces)
    check_outputs(source, out)
    _check_out(out, latency_s)
    tracker = FaceTracker(make_detector(detector))
    with open_video(opened(source)) as video, binary_output(out) as target:
        if latency_s is None:
            latency_s = 0.0 if isinstance(target, Pipe) else FILE_LATENCY_S
        policy = make_policy()
        make_output = AllFacesOutput if faces == "all" else PrimaryOutput
        frames = Counted(video, progress, video.frame_count)
        with make_output(policy, target, latency_s) as output:
            for frame in frames:
                if policy.wants(frame.time_s):
                    output.add(find_faces(frame, tracker, faces))
            output.finish()
        if not output.coded and video.is_stopped:
            raise_stop()
        if not output.coded:
            raise NoFaceError(f"{video.name} shows no face")
        size = target.size if isinstance(target, Pipe) else target.stat().st_size
    report = policy.report if isinstance(policy, RateControl) else None
    point = report.chosen[0][1] if report is not None else policy.point
    return Packed(point, output.coded, output.tracks, frames.last_s + 1 / video.fps, size, output.left_out, report)


def _check_out(out: str | os.PathLike, latency_s: float | None) -> None:
    if Path(out).suffix.lower() in NOT_MATROSKA:
        raise UsageError(f"{out}: a face stream is Matroska; name it .mkv")
    if latency_s is not None and not 0 <= latency_s <= MAX_LATENCY_S:
        raise UsageError(f"latency {latency_s:g} is out of range: 0 to {MAX_LATENCY_S:g} seconds")


def _policy_maker(
    given: dict[str, Any], budget: str | None, budget_of: str, faces: FacesChoice
) -> Callable[[], Policy]:
    """What makes the policy. `given` are the settings of the operating point, None where one is not given. Raises
    `UsageError`."""
    set_by_hand = {name: value for name, value in given.items() if value is not None}
    if budget is None:
        if budget_of != "wire":
            raise UsageError("--budget-of requires --budget")
        point = OperatingPoint(**set_by_hand)
        return lambda: Fixed(point)
    wanted = parse_budget(budget, budget_of)
    if faces != "primary":
        raise UsageError("a budget is for the primary face alone")
    if set_by_hand.keys() - {"codec"}:
        raise UsageError("a budget chooses scale, QP and frame rate: give it, or them")
    if "codec" in set_by_hand:
        OperatingPoint(codec=set_by_hand["codec"])  # is it one?
    rungs = ladder(wanted.counts, MARGIN * wanted.bps, set_by_hand.get("codec"))
    if not rungs:
        raise UsageError(f"the operating table has nothing of {set_by_hand['codec']}")
    return lambda: RateControl(wanted, rungs)
