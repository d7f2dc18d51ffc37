"""Contact sheets and a video of faces as a viewer sees them, beside the true faces."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lowbeam.codec.compact.feature_networks import GRID
from lowbeam.face import Grey
from lowbeam.files import whole_file
from lowbeam.media.write import VideoSink
from lowbeam.scale import Faces
from research.compact.pictures import STILL, Viewed

ENLARGED = 3  # times: a pixel becomes a square of so many
MOMENTS = 3  # of each recording, in the sheet
CAPTION, GAP = 12, 3  # pixels: height of a line of text, and space around the faces
SIDE = ENLARGED * GRID
VIDEO_FPS = 25.0


def draw_sheet(viewed: Sequence[Viewed], path: Path) -> None:
    """Draw a sheet (PNG) with a row for each recording: at `MOMENTS` evenly spaced, the true face and those shown."""
    heads = _heads(viewed[0])
    block = len(heads) * (SIDE + GAP) + 3 * GAP  # of a moment
    height = CAPTION + SIDE + GAP  # of a recording
    sheet = Image.new("L", (MOMENTS * block, CAPTION + len(viewed) * height), 255)
    for row, one in enumerate(viewed):
        for moment, index in enumerate(_moments(len(one.time_s))):
            x, y = moment * block + GAP, CAPTION + row * height
            _write(sheet, x, y, f"{one.name}, {one.time_s[index]:.1f} s")
            for column, (head, faces) in enumerate(_columns(one).items()):
                if row == 0:
                    _write(sheet, x + column * (SIDE + GAP), 0, head)
                sheet.paste(_enlarged(faces[index]), (x + column * (SIDE + GAP), y + CAPTION))
    with whole_file(path) as beside:
        sheet.save(beside, format="PNG")


def write_video(viewed: Sequence[Viewed], path: Path) -> None:
    """Write a video (MP4) of one recording after another, the true face and those shown side by side."""
    with whole_file(path) as beside, VideoSink(beside, VIDEO_FPS) as sink:
        begin_s = 0.0
        for one in viewed:
            for index, time_s in enumerate((one.time_s - one.time_s[0]).tolist()):
                frame = Image.new("L", (len(_heads(one)) * (SIDE + GAP) + GAP, CAPTION + SIDE + 2 * GAP), 255)
                for column, (head, faces) in enumerate(_columns(one).items()):
                    x = GAP + column * (SIDE + GAP)
                    _write(frame, x, 0, head if column else f"{head}, {one.name}")
                    frame.paste(_enlarged(faces[index]), (x, CAPTION + GAP))
                sink.write(np.asarray(frame.convert("RGB")), begin_s + time_s)
            begin_s += float(one.time_s[-1] - one.time_s[0]) + 1 / VIDEO_FPS


def _columns(viewed: Viewed) -> dict[str, Faces]:
    """The faces that are drawn by their captions."""
    return {"true": viewed.true} | {way: faces for way, faces in viewed.shown.items() if way != STILL}


def _heads(viewed: Viewed) -> list[str]:
    return list(_columns(viewed))


def _moments(count: int) -> list[int]:
    return [int(count * (2 * number + 1) / (2 * MOMENTS)) for number in range(MOMENTS)]


def _enlarged(face: Grey) -> Image.Image:
    return Image.fromarray(face).resize((SIDE, SIDE), Image.Resampling.NEAREST)


def _write(picture: Image.Image, x: int, y: int, text: str) -> None:
    ImageDraw.Draw(picture).text((x, y), text, fill=0, font=ImageFont.load_default(size=10))
