"""Opens a video, with limits on formats, protocols and picture sizes."""

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
PIPE_PROBE_US = 200_000  # µs of a pipe that are read to detect its streams; this delays the first frame
TEXT_ART_FORMATS = {"tty", "bin", "adf", "idf", "xbin"}  # FFmpeg reads text files as videos of a terminal
PLAYLIST_FORMATS = {"concat", "dash", "hls", "imf", "image2", "lavfi", "sdp"}  # they name other files to open
NETWORK_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,rtp,rtsp,rtmp,rtmps,srt,crypto,data"  # none opens local files

av.logging.set_level(av.logging.PANIC)  # FFmpeg prints nothing; lowbeam reports its errors


def open_container(source: Source) -> av.container.InputContainer:
    """Open a video for reading. Files and pipes that name other files, and URLs that name local files, are refused.
    Raises `SourceError` or `UsageError`."""
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
            raise UsageError("the source has no name; give a path, camera:N or a URL")
        if path.is_dir():
            raise SourceError(f"{name} is a folder, not a video")
        if path.is_file() and path.stat().st_size == 0:
            raise SourceError(f"{name} is empty")
        return av.open(f"file:{name}", "r", options=options | allowed)
    except LowbeamError:
        raise
    except av.error.ArgumentError as error:  # FFmpeg's error if the only matching format is not allowed
        raise SourceError(f"{name} is a text file or a list that names other files, not a video") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{name} cannot be opened as a video: {reason(error)}") from error


def _camera(number: str) -> tuple[str, str]:
    if not number.isdigit():
        raise UsageError(f"camera:{number} is not a camera; try camera:0")
    if sys.platform == "darwin":
        return number, "avfoundation"
    if sys.platform.startswith("linux"):
        return f"/dev/video{number}", "v4l2"
    raise SourceError(f"cameras are supported on Linux and macOS; on {sys.platform} give a file or a URL")


def video_stream(container: av.container.InputContainer, name: str) -> VideoStream:
    """The first video stream of `container`. Raises `SourceError` if there is none, or it exceeds the limits."""
    if container.format.name in TEXT_ART_FORMATS:
        raise SourceError(f"{name} is a text file, not a video")
    videos = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not videos:
        raise SourceError(f"{name} has sound but no video" if container.streams.audio else f"{name} has no video")
    stream = videos[0]
    if len(videos) > 1 and stream.disposition & stream.disposition.dependent:
        raise SourceError(f"{name} is a picture of {len(videos)} tiles, which is not supported; convert it to JPEG")
    if stream.codec_context is None:
        raise SourceError(f"{name} is coded in a format that this FFmpeg cannot decode")
    problem = size_problem(stream.width, stream.height)
    if problem is not None:
        raise SourceError(f"{name} {problem}")
    references = reference_frames(stream.codec_context) or 1
    if references * stream.width * stream.height > MAX_BUFFERED_AREA:
        raise SourceError(f"{name} needs {references} reference frames of {stream.width}×{stream.height}: too many")
    stream.codec_context.options = {"max_pixels": str(MAX_AREA)}
    stream.thread_type = "NONE"
    return stream
