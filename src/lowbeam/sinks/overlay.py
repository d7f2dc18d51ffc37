"""The overlay, an MP4 that shows each face with its estimate: on the source's frames, or, for a face stream, on a dark
background with the received faces at their positions."""

import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lowbeam.errors import UsageError
from lowbeam.face import Face, Grey
from lowbeam.faces import FrameFaces
from lowbeam.media import VideoSink
from lowbeam.restore import Restorer
from lowbeam.sinks.sink import WholeFileSink
from lowbeam.trace import AFFECT_COLOURS, Estimate, Provenance

MAX_WIDTH = 960  # pixels: larger sources are downsampled
MIN_WIDTH = 480
STRIP = 96  # pixels: height of the chart below the picture
HISTORY_S = 10.0
PRESET = "superfast"  # of libx264: slower presets take longer than all other work together
GAP = 8  # pixels between a face and its restored face
DARK = (24, 24, 27)
LIGHT = (228, 228, 231)
RESTORED = (250, 204, 21)


def check_overlay_format(path: str | os.PathLike[str]) -> None:
    """Raise `UsageError` if `path` is not an .mp4 file."""
    if Path(path).suffix.lower() != ".mp4":
        raise UsageError(f"{path}: an overlay is written as .mp4")


class OverlaySink(WholeFileSink):
    """Draws and writes the overlay of one source. `size` is its (width, height) in pixels, `fps` its frame rate.

    With a `restorer` each face has its restored face beside it; with `inset` the received pixels of the first face are
    shown in the corner. Raises `UsageError` if `path` is not an .mp4 file, `OutputError` if it cannot be written.
    """

    def __init__(
        self, path: str | os.PathLike[str], size: tuple[int, int], fps: float, *, restorer: Restorer | None = None,
        inset: bool = False,
    ) -> None:  # fmt: skip
        check_overlay_format(path)
        self._restorer, self._inset = restorer, inset
        self._factor = min(MAX_WIDTH, max(MIN_WIDTH, *size)) / max(1, *size)
        self._size = self._scaled(size)
        self._history: deque[Estimate] = deque()
        self._gap_s = max(2.5, 2.5 / fps)  # a face that is absent for longer leaves a gap in its line
        self._has_pixels = False
        self._font = ImageFont.load_default(14)
        super().__init__(path)
        self._video = VideoSink(self._beside, fps, preset=PRESET)

    def _scaled(self, size: tuple[int, int]) -> tuple[int, int]:
        width, height = (max(2, round(n * self._factor)) for n in size)
        return width, height

    def write(self, seen: FrameFaces, estimates: Sequence[Estimate]) -> None:
        """Add the picture of a frame with its faces and estimates."""
        if seen.frame is not None:
            self._size = self._scaled(seen.frame.size)
            picture = Image.fromarray(seen.frame.rgb).resize(self._size, Image.Resampling.BILINEAR)
        else:
            picture = Image.new("RGB", self._size, DARK)
        canvas = Image.new("RGB", (self._size[0], self._size[1] + STRIP), DARK)
        canvas.paste(picture, (0, 0))
        draw = ImageDraw.Draw(canvas)
        for face, estimate in zip(seen.faces, estimates, strict=True):
            self._draw_face(canvas, draw, face, estimate, show_pixels=seen.frame is None)
        if self._restorer is not None:
            for face in seen.faces:
                if not face.pixels.size:
                    continue
                self._has_pixels = True
                self._draw_restored(canvas, draw, face, self._restorer(face.pixels[None])[0])
        if self._inset and seen.faces:
            self._draw_inset(canvas, draw, seen.faces[0])
        self._history.extend(estimates)
        while self._history and self._history[0].time_s < seen.time_s - HISTORY_S:
            self._history.popleft()
        self._draw_chart(draw, seen.time_s, estimates[0] if estimates else None)
        self._video.write(np.asarray(canvas), seen.time_s)

    def close(self, provenance: Provenance) -> None:
        """Finish the video. Raises `UsageError` if faces were to be restored, and none had pixels."""
        if self._restorer is not None and not self._has_pixels:
            raise UsageError("--restore needs pixels, and the stream has none")
        self._video.__exit__(None, None, None)
        self._publish()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._is_open:
            self._video.__exit__(GeneratorExit, None, None)
        super().__exit__(kind, error, trace)

    def _draw_inset(self, canvas: Image.Image, draw: ImageDraw.ImageDraw, face: Face) -> None:
        side = self._size[1] // 3
        place = (self._size[0] - side - 8, 8)
        canvas.paste(_enlarged(face, side), place)
        draw.rectangle((*place, place[0] + side, place[1] + side), outline=LIGHT, width=2)

    def _draw_face(
        self, canvas: Image.Image, draw: ImageDraw.ImageDraw, face: Face, row: Estimate, show_pixels: bool
    ) -> None:
        box = face.box.scaled(self._factor)
        side = max(1, min(round(box.side), 2 * max(self._size)))
        left, top = round(box.x), round(box.y)
        if show_pixels and face.pixels.size:
            canvas.paste(_enlarged(face, side), (left, top))
        draw.rectangle((left, top, left + side, top + side), outline=LIGHT, width=2)
        label = f"#{face.id}  V {row.valence:+.2f} ±{row.valence_std:.2f}  A {row.arousal:+.2f} ±{row.arousal_std:.2f}"
        _, _, width, height = draw.textbbox((0, 0), label, font=self._font)
        x = max(0, min(left, self._size[0] - width - 8))
        y = top - height - 8 if top > height + 8 else min(top + side + 2, self._size[1] - height - 8)
        draw.rectangle((x, y, x + width + 8, y + height + 6), fill=DARK)
        draw.text((x + 4, y + 2), label, font=self._font, fill=LIGHT)

    def _draw_restored(self, canvas: Image.Image, draw: ImageDraw.ImageDraw, face: Face, restored: Grey) -> None:
        """Draw to the right of the face if there is room, else to its left, else in the corner."""
        box = face.box.scaled(self._factor)
        side = max(1, round(box.side))
        left, top = round(box.x) + side + GAP, round(box.y)
        if left + side > self._size[0]:
            left = round(box.x) - side - GAP
        if left < 0 or not 0 <= top <= self._size[1] - side:
            side = min(side, self._size[1] // 3)
            left, top = self._size[0] - side - GAP, self._size[1] - side - GAP
        canvas.paste(
            Image.fromarray(restored).resize((side, side), Image.Resampling.BICUBIC).convert("RGB"), (left, top)
        )
        draw.rectangle((left, top, left + side, top + side), outline=RESTORED, width=2)
        draw.text(
            (left + 6, top + side - 20), "restored", font=self._font, fill=RESTORED, stroke_width=2, stroke_fill=DARK
        )

    def _draw_chart(self, draw: ImageDraw.ImageDraw, time_s: float, primary: Estimate | None) -> None:
        top, width = self._size[1], self._size[0]
        middle = top + STRIP / 2
        draw.rectangle((0, top, width, top + STRIP), fill=DARK)
        draw.line((0, middle, width, middle), fill=(82, 82, 91))
        shown = primary.face if primary is not None else self._history[-1].face if self._history else None
        for index, (name, colour) in enumerate(AFFECT_COLOURS.items()):
            points: list[tuple[float, float]] = []
            for row in self._history:
                if row.face != shown:
                    continue
                x = width - (time_s - row.time_s) / HISTORY_S * width
                if points and x - points[-1][0] > self._gap_s * width / HISTORY_S:
                    draw.line(points, fill=colour, width=2)
                    points = []
                points.append((x, middle - getattr(row, name) * (STRIP / 2 - 4)))
            if len(points) > 1:
                draw.line(points, fill=colour, width=2)
            draw.text((6 + 70 * index, top + 2), name, font=self._font, fill=colour)


def _enlarged(face: Face, side: int) -> Image.Image:
    """The face, enlarged without interpolation."""
    return Image.fromarray(face.pixels).resize((side, side), Image.Resampling.NEAREST).convert("RGB")
