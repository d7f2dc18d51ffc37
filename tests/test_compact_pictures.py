"""What a viewer sees at a budget, and whether a later recognizer reads latents."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lowbeam.codec.budget import parse_budget
from lowbeam.codec.compact.feature_networks import TABLES
from lowbeam.codec.compact.latents import read_latents, write_latents
from lowbeam.codec.compact.prior import load_tables
from lowbeam.codec.compact.range_coding import PacketReader, PacketWriter
from lowbeam.corpora.labelled import Track
from lowbeam.errors import CorpusError
from lowbeam.media import VideoSource
from lowbeam.scale import Faces, shrink

pytest.importorskip("torch", reason="SSIM is measured, and readers are trained, with the train extra")

from research.compact import reread
from research.compact.pictures import FEATURES, STILL, Sent, measure_pictures, quality, to_and_fro

RunResearch = Callable[..., subprocess.CompletedProcess[str]]
TICK_MS = 40


def track_of(times_s: list[float]) -> Track:
    """A recording whose faces are as bright as their number."""
    count = len(times_s)
    pixels = np.arange(count, dtype=np.uint8)[:, None, None].repeat(96, 1).repeat(96, 2)
    return Track(0, np.array(times_s), pixels, np.zeros((count, 2), np.float32), np.ones((count, 3), np.float32))


# ---- pictures


def test_a_short_recording_is_played_to_and_fro_with_its_own_gaps() -> None:
    played = to_and_fro(track_of([1.0, 1.1, 1.3]), 1.0)
    assert played.pixels[:, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2]
    assert played.time_s == pytest.approx([1.0, 1.1, 1.3, 1.5, 1.6, 1.7, 1.9])
    assert to_and_fro(played, 0.9) is played
    assert to_and_fro(played, None) is played


def test_a_picture_is_held_until_the_next() -> None:
    pictures = track_of([0.0, 0.0]).pixels[:, :48, :48]
    sent = Sent(np.array([0.2, 1.0]), pictures, 0.0, {})
    assert sent.at(np.array([0.2, 0.9, 0.9996, 3.0]))[:, 0, 0].tolist() == [0, 0, 1, 1]


def test_the_quality_falls_with_the_error(hr_faces: Faces) -> None:
    true = shrink(hr_faces[:4], 2)
    rng = np.random.default_rng(0)
    found = [
        quality(np.clip(true + rng.normal(0, noise, true.shape), 0, 255).astype(np.uint8), true) for noise in (0, 5, 25)
    ]
    assert found[0] == {"psnr_db": 100.0, "ssim": 1.0}
    for name in ("psnr_db", "ssim"):
        assert found[0][name] > found[1][name] > found[2][name]
    off_by_10 = quality((true // 2 + 10).astype(np.uint8), (true // 2).astype(np.uint8))
    assert off_by_10["psnr_db"] == pytest.approx(20 * np.log10(255 / 10), abs=0.01)


def test_every_way_is_within_the_budget_and_compared_at_the_same_frames(short_clip: Path) -> None:
    results, (seen,) = measure_pictures([f"videos:{short_clip}"], parse_budget("3kbps"), least_s=8.0, model="fast")
    (row,) = results["corpora"][0]["recordings"]
    assert row["seconds"] == pytest.approx(8.0, abs=0.1)
    ways = row["ways"]
    assert set(ways) >= {FEATURES, STILL, "hevc"}
    assert all(way["most_bps"] <= 3000 for way in ways.values())
    assert row["compared_from_s"] >= max(way["first_picture_s"] for way in ways.values())
    assert (ways[FEATURES]["latency_s"], ways["hevc"]["latency_s"]) == (1.0, 0.0)
    assert ways[STILL]["pictures"] == 1
    assert 0 < ways["hevc"]["ssim"] < 1
    (viewed,) = seen
    assert all(shown.shape == viewed.true.shape == (row["frames"], 48, 48) for shown in viewed.shown.values())
    assert len(np.unique(viewed.shown[STILL], axis=0)) == 1
    means = results["corpora"][0]["ways"]
    assert means["hevc"]["ssim"] == ways["hevc"]["ssim"]
    assert means["hevc"]["ahead_of_hevc"] == {"psnr_db": 0, "ssim": 0}


def test_a_recording_that_ends_before_its_key_face_is_complete_is_an_error(short_clip: Path) -> None:
    with pytest.raises(CorpusError, match="no recording is long enough for every way to show a picture"):
        measure_pictures([f"videos:{short_clip}"], parse_budget("1kbps"), model="fast")


def test_pictures_are_printed_and_drawn(short_clip: Path, tmp_path: Path, run_research: RunResearch) -> None:
    sheet, video, out = tmp_path / "s.png", tmp_path / "v.mp4", tmp_path / "p.json"
    options = ("--budget", "4kbps", "--least", "6", "--sheet", sheet, "--video", video, "-o", out, "--model", "fast")
    done = run_research("pictures", "--corpus", f"videos:{short_clip}", *options)
    assert done.returncode == 0, done.stderr
    about, heading, first, *_ = done.stdout.splitlines()
    assert about == "short, 1 recordings, at 4000 bit/s"
    assert "first picture, s" in heading
    assert first.startswith(FEATURES)
    results = json.loads(out.read_text())
    frames, ways = results["corpora"][0]["frames"], results["corpora"][0]["ways"]
    columns = len(ways) - len({STILL}) + len({"true"})
    with Image.open(sheet) as drawn:
        assert drawn.size[0] > 3 * columns * 144
        assert drawn.size[1] > 144
    with VideoSource(video) as source:
        assert sum(1 for _ in source) == frames


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pictures", "--corpus", "videos:gone", "--sheet", "s.png", "-o", "p.json"), "gone is missing"),
        (
            ("pictures", "--corpus", "videos:a", "--corpus", "videos:b", "--sheet", "s.png", "-o", "p.json"),
            "2 corpora need as many --sheet, not 1",
        ),
        (("reread", "--stills", "ferplus:gone", "-o", "r.json"), "gone is missing"),
    ],
)
def test_mistakes_are_one_line(
    arguments: tuple[str, ...], message: str, run_research: RunResearch, tmp_path: Path
) -> None:
    done = run_research(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


# ---- a later recognizer


@given(seed=st.integers(0, 99), level=st.sampled_from(reread.LEVELS), size=st.sampled_from([0.1, 1.0, 30.0]))
def test_latents_are_read_as_a_packet_carries_them(seed: int, level: int, size: float) -> None:
    tables = load_tables(TABLES)
    latents = np.random.default_rng(seed).normal(0, size, (1, tables.count)).astype(np.float32)
    writer = PacketWriter()
    write_latents(writer, tables, level, TICK_MS, [latents[0]])
    (carried,) = read_latents(PacketReader(writer.data()), tables, level, TICK_MS, 1)
    assert np.array_equal(reread._decoded(latents, tables, level)[0], carried.values)


def test_the_loss_of_training_holds_one_minus_the_ccc() -> None:
    import torch

    rng = np.random.default_rng(0)
    truth = rng.uniform(-1, 1, (50, 2)).astype(np.float32)
    found = (0.6 * truth + rng.normal(0, 0.2, (50, 2)) + 0.1).astype(np.float32)
    expected = np.square(found - truth).mean(0).sum() + 2 - sum(reread._ccc(found, truth).values())
    assert float(reread._loss(torch.from_numpy(found), torch.from_numpy(truth))) == pytest.approx(expected, abs=1e-3)


def test_a_reader_is_trained_on_latents_alone(hr_faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The latents tell of how bright a face is, and so do the labels: bright is happy, dark is sad."""
    monkeypatch.setattr(reread, "STEPS", 60)
    monkeypatch.setattr(reread, "CHECK_EVERY", 20)
    monkeypatch.setattr(reread, "ROUNDS", 1)
    monkeypatch.setattr(reread, "TIMED_FACES", 4)
    rng = np.random.default_rng(0)
    for split, count in (("train", 300), ("valid", 60), ("test", 60)):
        is_happy = rng.integers(0, 2, count).astype(bool)
        pixels = shrink(hr_faces[rng.integers(0, len(hr_faces), count)], 2) // 4 + 100 * is_happy[:, None, None]
        votes = np.zeros((count, 10), np.uint8)
        votes[np.arange(count), np.where(is_happy, 1, 3)] = 10
        np.savez(tmp_path / f"{split}.npz", pixels=pixels.astype(np.uint8), votes=votes)
    count = load_tables(TABLES).count

    def brightness(faces: Faces) -> NDArray[np.float32]:
        return np.repeat((faces.mean((1, 2))[:, None] - 80) / 25, count, 1).astype(np.float32)

    monkeypatch.setattr(reread, "latents_of", brightness)
    results = reread.measure_reread(f"ferplus:{tmp_path}", "fast")
    assert results["faces"] == {"train": 300, "valid": 60, "test": 60}
    assert 0 < results["chosen_step"] <= 60
    for row in results["rows"]:
        for level in row["levels"]:
            assert level["reread"]["valence"] > 0.9 > abs(level["readout"]["valence"])
    assert set(results["encoder"]["batches of 32"]) == {"encoder", "fast"}
    assert {"encoder.onnx", "readout.onnx", "tables.json", "fast.onnx"} <= set(results["bytes"])
