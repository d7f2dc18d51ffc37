"""Reads frames with exact times from files, cameras, URLs and pipes, and writes MP4."""

from lowbeam.media.frame import Frame, Rgb
from lowbeam.media.inputs import VIDEO_SUFFIXES, PipeInput, Source, is_url, name_of, opened
from lowbeam.media.limits import MAX_AREA, MAX_SIDE, MAX_TIME_S
from lowbeam.media.stills import StillSource, open_video
from lowbeam.media.video import VideoSource
from lowbeam.media.write import VideoSink

__all__ = [
    "MAX_AREA",
    "MAX_SIDE",
    "MAX_TIME_S",
    "VIDEO_SUFFIXES",
    "Frame",
    "PipeInput",
    "Rgb",
    "Source",
    "StillSource",
    "VideoSink",
    "VideoSource",
    "is_url",
    "name_of",
    "open_video",
    "opened",
]
