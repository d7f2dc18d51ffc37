"""`pack`: finds the face in a video, downsamples it, and encodes it to a face stream."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lowbeam.codec import OperatingPoint, usual_point
from lowbeam.codec.budget import BudgetReport, parse_budget
from lowbeam.codec.choice import budget_policy, fixed_policy, parse_kinds, parse_layers
from lowbeam.codec.layers import Layers, shares
from lowbeam.codec.policy import Fixed, Mirror, NoMirror
from lowbeam.codec.registry import Kind, codec_named
from lowbeam.codec.wire import PIPE_FACE
from lowbeam.container.writer import FILE_LATENCY_S
from lowbeam.errors import NoFaceError, UsageError
from lowbeam.faces import FaceTracker, YunetDetector
from lowbeam.files import Pipe, binary_output, check_outputs, is_device
from lowbeam.media import open_video, opened
from lowbeam.media.stopping import raise_stop
from lowbeam.mirror import ReceiverMirror
from lowbeam.pipeline.options import Counted, FacesChoice, check_faces
from lowbeam.pipeline.outputs import AllFacesOutput, PrimaryOutput
from lowbeam.pipeline.sources import find_faces
from lowbeam.progress import Progress
from lowbeam.recognize import DEFAULT_MODEL, Recognizer

NOT_MATROSKA = {".avi", ".flv", ".gif", ".m4v", ".mov", ".mp4", ".mpg", ".ts", ".webm"}
MAX_LATENCY_S = 60.0
DEFAULT_BUDGET = "4kbps"


@dataclass(frozen=True)
class Wanted:
    """A budget as it was asked for: what it counts (`of`), the kinds of codecs that are allowed, and the seconds in a
    packet of a compact codec, None for the defaults; and whether features go with a key face."""

    budget: str | None
    of: str
    kinds: tuple[Kind, ...] | None
    latency_s: float | None
    key_face: bool


@dataclass(frozen=True)
class Packed:
    """The result of `pack`: `coded` faces in `tracks` tracks, from `duration_s` seconds of video, with a file size of
    `size_bytes` including the container. `left_out` is the number of faces that were omitted because the number of
    tracks is limited. `point` is the first operating point; with a budget, `report` tells how it was kept."""

    point: OperatingPoint
    coded: int
    tracks: int
    duration_s: float
    size_bytes: int
    left_out: int = 0
    report: BudgetReport | None = None

    @property
    def rate_bps(self) -> float:
        """Bit rate over the duration of the video in bits per second, counting every byte of the file."""
        return 8 * self.size_bytes / self.duration_s


def pack(
    source: str | os.PathLike[str], out: str | os.PathLike[str], *, scale: int | None = None, codec: str | None = None,
    qp: int | None = None, fps: float | None = None, budget: str | None = None, budget_of: str = "wire",
    allow: str | None = None, layers: str | None = None, key_face: bool = False,
    latency_s: float | None = None, faces: FacesChoice = "primary", model: str | os.PathLike[str] = DEFAULT_MODEL,
    progress: Progress | None = None,
) -> Packed:  # fmt: skip
    """Find the face in a video, downsample and encode it, and write a face stream to `out` (``-``: standard output).

    `source` is a video or picture file, ``camera:N``, a URL, a named pipe or ``-``. With ``faces="all"`` every face
    gets a track of its own, and the file is written at the end. `progress` is called with the number of frames done and
    their total, or None.

    With a `budget`, by default ``"4kbps"``, scale and QP are those of the operating table for it, among all codecs or
    for the given one, and a face is sent when the receiver's estimate is off: the sender mirrors a receiver that reads
    with `model`. No ten seconds exceed the budget. It counts RTP packets (``budget_of="wire"``), the video alone
    (``"payload"``) or the bytes of the file (``"file"``). With ``faces="all"`` the faces share it. If not even one face
    in ten seconds fits, one is sent, and `Packed.report` says so.

    `allow` lists what may be sent: ``pixels``, ``features`` or ``estimates``, comma-separated; among the codecs of
    these kinds the budget's is the one that keeps most. By default it is pixels, which can be looked at and estimated
    again; a budget too small for them sends the others. Samples of features and estimates are gathered into packets
    for `latency_s` seconds, by default as long as the budget demands: for estimates 1 s from 500 bit/s on and 5 s at
    100 bit/s, for features 5 s at 300 bit/s. Features cannot be looked at, unless with `key_face` a coded still goes
    along every minute: then the far side shows the face as it moves.

    `layers` names two kinds, the lean one first, such as ``"estimates,pixels"``: the lean one is always sent, within a
    quarter of the budget, 150 bit/s at most for estimates and 500 for features, the other with the rest. `read` fuses
    what it receives of both.

    With `scale`, `qp` or `fps` there is no budget: faces are coded at a fixed operating point, whose other settings are
    the defaults of `lowbeam.codec.OperatingPoint`, and only frames that are coded are searched for faces.

    Faces of pixels are written every `latency_s` seconds. By default that is 2 s for a file; to a pipe each face is
    written when the next one arrives, at a cost of about 14 bytes per face. SIGINT, SIGTERM and SIGHUP, if the program
    handles them, end a live source, and the stream is finished.

    Raises `UsageError`, `SourceError`, `NoFaceError`, `CodecError` or `OutputError`; an existing file at `out` is then
    left unchanged.
    """
    check_faces(faces)
    is_piped = latency_s < 1 if latency_s is not None else os.fspath(out) == "-" or is_device(out)
    kinds = None if allow is None else parse_kinds(allow, "--allow")
    wanted = Wanted(budget, budget_of, kinds, latency_s, key_face)
    layered = _layers({"codec": codec, "scale": scale, "qp": qp, "fps": fps}, wanted, layers, is_piped)
    if key_face:
        layered.check_key_face()
    check_outputs(source, out)
    _check_out(out, latency_s)
    make_mirror = _mirror_maker(layered, model)
    tracker = FaceTracker(YunetDetector())
    with open_video(opened(source)) as video, binary_output(out) as target:
        if latency_s is None:
            latency_s = 0.0 if isinstance(target, Pipe) else FILE_LATENCY_S
        make_output = AllFacesOutput if faces == "all" else PrimaryOutput
        frames = Counted(video, progress, video.frame_count)
        with make_output(layered, target, latency_s, make_mirror) as output:
            for frame in frames:
                if layered.looks_at(frame.time_s):
                    output.add(find_faces(frame, tracker, faces))
            output.finish()
        if not output.coded and video.is_stopped:
            raise_stop()
        if not output.coded:
            raise NoFaceError(f"{video.name} shows no face")
        size = target.size if isinstance(target, Pipe) else target.stat().st_size
    report = layered.report
    point = report.chosen[0][1] if report is not None else layered.point
    return Packed(point, output.coded, output.tracks, frames.last_s + 1 / video.fps, size, output.left_out, report)


def _check_out(out: str | os.PathLike[str], latency_s: float | None) -> None:
    if Path(out).suffix.lower() in NOT_MATROSKA:
        raise UsageError(f"{out}: a face stream is Matroska; name it .mkv")
    if latency_s is not None and not 0 <= latency_s <= MAX_LATENCY_S:
        raise UsageError(f"latency {latency_s:g} is out of range: 0 to {MAX_LATENCY_S:g} seconds")


def _layers(given: dict[str, Any], wanted: Wanted, layers: str | None, is_piped: bool) -> Layers:
    """The policies of the layers; `is_piped` means that each face gets a cluster of its own. `given` are the settings
    of the operating point, None for those not given. Raises `UsageError`."""
    set_by_hand = {name: value for name, value in given.items() if value is not None}
    if wanted.budget is None and wanted.of == "wire" and layers is None and set_by_hand.keys() - {"codec"}:
        if wanted.kinds is not None:
            raise UsageError(
                "--allow chooses among the codecs for a budget; give either it or scale, QP and frame rate"
            )
        point = usual_point(**set_by_hand)
        return Layers([fixed_policy(point, wanted.latency_s, has_key_face=wanted.key_face)])
    if set_by_hand.keys() - {"codec"}:
        raise UsageError("a budget chooses scale, QP and frame rate; give either the budget or these")
    budget = parse_budget(DEFAULT_BUDGET if wanted.budget is None else wanted.budget, wanted.of)
    if is_piped:
        budget = replace(budget, face_overhead=PIPE_FACE)
    codec = set_by_hand.get("codec")
    if layers is None:
        return Layers([budget_policy(budget, codec, wanted.kinds, wanted.latency_s, has_key_face=wanted.key_face)])
    if wanted.kinds is not None:
        raise UsageError("--layers says what is sent; leave out --allow")
    lean, rich = parse_layers(layers)
    if codec is not None and codec_named(codec).kind != rich:
        raise UsageError(f"--codec {codec} does not send {rich}, which --layers names")
    lean_bps, rich_bps = shares(budget.bps, lean)
    return Layers([
        budget_policy(replace(budget, bps=lean_bps), None, (lean,), wanted.latency_s),
        budget_policy(
            replace(budget, bps=rich_bps), codec, (rich,), wanted.latency_s, has_key_face=wanted.key_face
        ),
    ])  # fmt: skip


def _mirror_maker(layers: Layers, model: str | os.PathLike[str]) -> Callable[[], Mirror]:
    """A function that makes the mirror of a track's receiver. Raises `ModelError`."""
    if all(isinstance(policy, Fixed) for policy in layers.policies):
        return NoMirror
    recognizer = Recognizer(model)
    return lambda: ReceiverMirror(recognizer)
