"""The good files that mutants are made of: small face streams of every codec, and small videos in six containers."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import lowbeam
from lowbeam.demo import ASSETS
from lowbeam.media import VideoSource

FRAMES, EVERY = 12, 8  # frames of the clip, and how many to the next
CODECS = ("hevc", "avc", "av1", "vp9")
VIDEOS = {  # kind, encoder and pixel format by suffix
    "mp4": ("mp4", "libx264", "yuv420p"), "mkv": ("matroska", "libx264", "yuv420p"),
    "webm": ("matroska", "libvpx-vp9", "yuv420p"), "avi": ("avi", "mpeg4", "yuv420p"),
    "ts": ("ts", "libx264", "yuv420p"), "gif": ("gif", "gif", "gray"),
}  # fmt: skip
Pictures = list[NDArray[np.uint8]]


@dataclass(frozen=True)
class Original:
    """A good file: its `name`, its `kind` (of `mutants.STRUCTURES`, or another), its `suffix` and its bytes."""

    name: str
    kind: str
    suffix: str
    data: bytes

    @property
    def group(self) -> str:
        """What it is counted with."""
        return self.kind if self.kind == "face stream" else self.suffix


def originals(folder: Path) -> list[Original]:
    """Make all, in `folder`."""
    pictures = clip_pictures()
    one = write(folder / "one.mp4", pictures, "libx264", "yuv420p")
    two = write(folder / "two.mp4", [_beside(picture) for picture in pictures], "libx264", "yuv420p")
    made = []
    for codec in CODECS:
        made.append(_packed(one, folder / f"{codec}.mkv", codec=codec, fps=25))
        made.append(_packed(two, folder / f"{codec}-two.mkv", codec=codec, fps=25, faces="all"))
    made.append(_packed(one, folder / "budget.mkv", budget="20kbps"))
    made.append(_packed(one, folder / "live.mkv", fps=25, latency_s=0.0))
    for suffix, (kind, encoder, pix_fmt) in VIDEOS.items():
        path = write(folder / f"video.{suffix}", pictures, encoder, pix_fmt)
        made.append(Original(suffix, kind, suffix, path.read_bytes()))
    return made


def _packed(video: Path, out: Path, **options: Any) -> Original:
    lowbeam.pack(video, out, **options)
    return Original(out.stem, "face stream", "mkv", out.read_bytes())


def clip_pictures() -> Pictures:
    """The face of the clip that ships, RGB, a dozen frames a third of a second apart."""
    with VideoSource(ASSETS / "clip.mp4") as video:
        frames = [frame.rgb for frame in islice(video, 0, EVERY * FRAMES, EVERY)]
    return [np.asarray(Image.fromarray(frame).crop((150, 0, 470, 320)).resize((160, 160))) for frame in frames]


def _beside(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two people: a face, and beside it the same face smaller."""
    wide = np.full((160, 320, 3), 110, np.uint8)
    wide[:, :160] = picture
    wide[20:148, 180:308] = np.asarray(Image.fromarray(picture).resize((128, 128)))
    return wide


def write(path: Path, pictures: Pictures, encoder: str, pix_fmt: str) -> Path:
    """Write RGB `pictures` as a video of 25 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=25)
        stream.pix_fmt = pix_fmt
        stream.height, stream.width = pictures[0].shape[:2]
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
