"""Opening a video: which formats, from where, and within what bounds."""

import os
import sys
from pathlib import Path

import av
import av.container
import av.logging
from av.video.stream import VideoStream

from lowbeam.errors import LowbeamError, SourceError, UsageError, reason
from lowbeam.media.inputs import PipeInput, Source, is_url, name_of
from lowbeam.media.limits import MAX_AREA, MAX_BUFFERED_AREA, size_problem
from lowbeam.media.sps import reference_frames

OPEN_TIMEOUT_S = 10.0  # for URLs, to connect and between packets
PIPE_PROBE_US = 200_000  # of a pipe, in µs, by which its streams are told: whoever waits for it waits for this
TEXT_ART_FORMATS = {"tty", "bin", "adf", "idf", "xbin"}  # FFmpeg draws texts in these as if on a terminal
PLAYLIST_FORMATS = {"concat", "dash", "hls", "imf", "image2", "lavfi", "sdp"}  # they name other files to be opened
NETWORK_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,rtp,rtsp,rtmp,rtmps,srt,crypto,data"  # no local file among them

av.logging.set_level(av.logging.PANIC)  # FFmpeg's own words never reach the terminal; ours do


def open_container(source: Source) -> av.container.InputContainer:
    """Open a video for reading. Files and pipes cannot name other files, URLs cannot name local ones. Raises
    `SourceError` or `UsageError`."""
    name = name_of(source)
    options = {"max_pixels": str(MAX_AREA)}
    allowed = {"format_whitelist": ",".join(sorted(av.formats_available - PLAYLIST_FORMATS - TEXT_ART_FORMATS))}
    try:
        if name.startswith("camera:"):
            device, format_name = _camera(name.removeprefix("camera:"))
            return av.open(device, "r", format=format_name, timeout=OPEN_TIMEOUT_S)
        if is_url(source) and not isinstance(source, PipeInput):
            options |= {"protocol_whitelist": NETWORK_PROTOCOLS}
            options |= {"rtsp_transport": "tcp"} if name.startswith("rtsp") else {}
            return av.open(os.fspath(source), "r", options=options, timeout=OPEN_TIMEOUT_S)
        if isinstance(source, PipeInput):
            if not source.head:
                raise SourceError(f"{name} is empty")
            options |= {"analyzeduration": str(PIPE_PROBE_US)}
            return av.open(source, "r", options=options | allowed)
        path = Path(name)
        if not name:
            raise UsageError("the source has no name")
        if path.is_dir():
            raise SourceError(f"{name} is a folder, not a video")
        if path.is_file() and path.stat().st_size == 0:
            raise SourceError(f"{name} is empty")
        return av.open(f"file:{name}", "r", options=options | allowed)
    except LowbeamError:
        raise
    except av.error.ArgumentError as error:  # FFmpeg's word where the only format that fits is not allowed
        raise SourceError(f"{name} is a text, or a list that names other files, not a video") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{name} cannot be opened as a video: {reason(error)}") from error


def _camera(number: str) -> tuple[str, str]:
    if not number.isdigit():
        raise UsageError(f"camera:{number} is not a camera; try camera:0")
    if sys.platform == "darwin":
        return number, "avfoundation"
    if sys.platform.startswith("linux"):
        return f"/dev/video{number}", "v4l2"
    raise SourceError(f"cameras are read on Linux and macOS; on {sys.platform} name a file or URL")


def video_stream(container: av.container.InputContainer, name: str) -> VideoStream:
    """The stream of `container` to read. Raises `SourceError` where there is none that can be read within bounds."""
    if container.format.name in TEXT_ART_FORMATS:
        raise SourceError(f"{name} is a text, not a video")
    videos = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not videos:
        raise SourceError(f"{name} has sound but no video" if container.streams.audio else f"{name} has no video")
    stream = videos[0]
    if len(videos) > 1 and stream.disposition & stream.disposition.dependent:
        raise SourceError(f"{name} is a picture in {len(videos)} tiles, which is not supported; convert it to JPEG")
    if stream.codec_context is None:
        raise SourceError(f"{name} is coded in a way that this FFmpeg cannot decode")
    problem = size_problem(stream.width, stream.height)
    if problem is not None:
        raise SourceError(f"{name} {problem}")
    references = reference_frames(stream.codec_context) or 1
    if references * stream.width * stream.height > MAX_BUFFERED_AREA:
        raise SourceError(f"{name} needs {references} reference frames of {stream.width}×{stream.height}: too many")
    stream.codec_context.options = {"max_pixels": str(MAX_AREA)}
    stream.thread_type = "NONE"
    return stream
