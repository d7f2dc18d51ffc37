"""Real parts that tests share: the clip that ships, faces cut from it, a face stream made of it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

import lowbeam
from lowbeam.demo import ASSETS
from lowbeam.evaluate.curve.grid import parse_grid
from lowbeam.faces import FaceTracker, YunetDetector
from lowbeam.media import VideoSource
from lowbeam.pipeline.sources import find_faces
from lowbeam.scale import Faces

# Examples are not timed: a busy machine is no defect.
settings.register_profile("lowbeam", deadline=None)
settings.load_profile("lowbeam")

# Each process of several uses one core: threads of OpenMP that wait for one another across processes take minutes.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
CHROMIUM = Path("/usr/bin/chromium")
Images = Iterable[NDArray[np.uint8]]
VideoWriter = Callable[..., Path]


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the shared data lies beside the project on its makers' machines only")
    return SHARED


@pytest.fixture(scope="session")
def clip() -> Path:
    return ASSETS / "clip.mp4"


def write_video(
    path: Path, images: Images, times_ms: Iterable[int] | None = None, codec: str = "libx264", pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None, color_range: int = 0,
) -> Path:  # fmt: skip
    """Write grey (h, w) or RGB (h, w, 3) uint8 images as a video, at 25 fps or at `times_ms`."""
    images = list(images)
    times = list(times_ms) if times_ms is not None else [40 * i for i in range(len(images))]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {"qp": "10"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000)
        if color_range:
            stream.codec_context.color_range = color_range
        for image, time_ms in zip(images, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="gray" if image.ndim == 2 else "rgb24")
            if color_range:
                frame = frame.reformat(format=pix_fmt, dst_color_range=color_range)
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def short_frames(clip: Path) -> list[NDArray[np.uint8]]:
    """RGB frames of the clip from 2 s to 4 s, in which a smile begins."""
    with VideoSource(clip) as video:
        return [f.rgb for f in video if 2 <= f.time_s < 4]


@pytest.fixture(scope="session")
def short_clip(short_frames: list[NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "short.mp4", short_frames, options={"crf": "20"})


@pytest.fixture(scope="session")
def hr_faces(short_clip: Path) -> Faces:
    """Fifty HR faces in order, 40 ms apart."""
    with VideoSource(short_clip) as video:
        tracker = FaceTracker(YunetDetector())
        return np.stack([find_faces(frame, tracker, "primary").faces[0].pixels for frame in video])


@pytest.fixture(scope="session")
def face_stream(short_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stream") / "face.mkv"
    lowbeam.pack(short_clip, path, codec="hevc", scale=8, qp=32, fps=25)
    return path


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the installed command, as a user would."""

    def run(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lowbeam.cli", *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)  # type: ignore[call-overload]

    return run


@pytest.fixture(scope="session")
def run_research() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``python -m research`` of this checkout."""

    def run(*args: object, **options: Any) -> subprocess.CompletedProcess[str]:
        env = options.pop("env", os.environ)
        paths = [str(ROOT), *filter(None, [env.get("PYTHONPATH")])]
        command = [sys.executable, "-m", "research", *map(str, args)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False,
            env=env | {"PYTHONPATH": os.pathsep.join(paths)}, **options,
        )  # fmt: skip

    return run


SWEEP_GRID = parse_grid("hevc,avc", "2,8", "22,32,42,47", "25,5")
SWEEP_SYSTEMS = "accurate,accurate/each,HR-trained=fast"
SWEEP_ROWS = [("a.mp4", "test"), ("b.mp4", "test"), ("a2.mp4", "valid"), ("b2.mp4", "valid")]


@pytest.fixture(scope="session")
def sweep_corpus(short_frames: list, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four recordings of two seconds with varying labels."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = ["recording,split,time_s,valence,arousal"]
    for number, (name, split) in enumerate(SWEEP_ROWS):
        write_video(folder / name, short_frames if number % 2 else short_frames[::-1], options={"crf": "20"})
        times = np.arange(0, 1.96, 0.04)
        values = np.stack([np.sin(times + number), np.cos(2 * times)], 1) / 2
        lines += [f"{name},{split},{t:.2f},{v:.3f},{a:.3f}" for t, (v, a) in zip(times, values, strict=True)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return f"manifest:{folder / 'labels.csv'}"


@pytest.fixture(scope="session")
def sweep_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def sweep_results(sweep_corpus: str, sweep_cache: Path) -> dict[str, Any]:
    """The sweep of `SWEEP_GRID` by `SWEEP_SYSTEMS` over the test recordings."""
    from lowbeam.evaluate.curve.sweep import sweep
    from lowbeam.evaluate.curve.systems import parse_systems

    return sweep(sweep_corpus, SWEEP_GRID, parse_systems(SWEEP_SYSTEMS), cache=sweep_cache, workers=2)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()
