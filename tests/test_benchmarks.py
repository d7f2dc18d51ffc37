"""What `make bench` is made of: the way to peers in other processes, and the tables."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from numpy.typing import NDArray

from benchmarks.figures import fill
from benchmarks.recognizer_figures import coverage_worst, load_table, peers_table, rates_table, tries_table
from lowbeam import ModelError, UsageError
from lowbeam.corpora.ferplus import CIRCUMPLEX, EMOTIONS
from lowbeam.evaluate.processor import processor
from lowbeam.scale import SCALES, Faces
from research.peers.npm import NpmPeer
from research.recognizer.domain_systems import domain_systems

# A peer that is sure of happiness where a face is bright, of sadness where it is dark, and takes a second for each.
SERVER = """
import struct, sys
while head := sys.stdin.buffer.read(8):
    n, side = struct.unpack("<2I", head)
    answer = struct.pack("<d", float(n))
    for _ in range(n):
        face = sys.stdin.buffer.read(side * side)
        bright = sum(face) / len(face) > 127
        answer += struct.pack("<7f", 0, 0, 0, bright, not bright, 0, 0)
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
"""


def test_a_peer_in_another_process_reads_faces_by_their_emotions() -> None:
    faces = np.stack([np.full((12, 12), level, np.uint8) for level in (255, 0, 200)])
    with NpmPeer("fake", [sys.executable, "-c", SERVER]) as peer:
        happy, sad = (CIRCUMPLEX[EMOTIONS.index(name)] for name in ("happiness", "sadness"))
        assert np.allclose(peer(faces), [happy, sad, happy])
        assert peer.seconds(faces) == 3
        process = peer._process
    assert process.returncode == 0


def test_a_package_is_measured_by_its_expressions_each_face_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Counted(NpmPeer):
        def __init__(self, name: str) -> None:
            super().__init__(name, [sys.executable, "-c", SERVER])

        def expressions(self, faces: Faces) -> NDArray[np.float32]:
            asked.append(len(faces))
            return super().expressions(faces)

    monkeypatch.setattr("research.recognizer.domain_systems.NpmPeer", Counted)
    bright, dark = (np.full((count, 12, 12), level, np.uint8) for count, level in ((2, 255), (3, 0)))
    with domain_systems("fast,human") as systems:
        assert list(systems) == ["fast", "human"]
        asked.clear()
        for faces, name in ((bright, "happiness"), (dark, "sadness")):
            affect, std = systems["human"].read(faces, 8)
            tell = systems["human"].tell
            assert tell is not None
            assert tell(faces).argmax(1).tolist() == [EMOTIONS.index(name)] * len(faces)
            assert np.allclose(affect, CIRCUMPLEX[EMOTIONS.index(name)])
            assert std is None
    assert asked == [2, 3]
    with pytest.raises(UsageError, match="names human twice"), domain_systems("human,human"):
        pass


@pytest.mark.parametrize("server", ["", "raise SystemExit(3)", "import sys; sys.stdin.buffer.read(8)"])
def test_a_peer_that_does_not_run_is_named(server: str) -> None:
    with pytest.raises(ModelError, match="fake"):
        NpmPeer("fake", [sys.executable, "-c", server])


def scored(ccc: float) -> dict:
    one = {"ccc": ccc, "within_1_std": 0.70, "within_2_std": 0.94, "mean_std": 0.2}
    return {"valence": one, "arousal": one}


def speeds() -> dict:
    return {
        "machine": "a machine", "faces_per_s": {"lowbeam fast": 3000.0, "fer": 1000.0},
        "peak_multiply_adds_per_s": {"int8": 4e11, "float32": 1e11}, "multiply_adds_a_face": {"fast": 10_000_000},
    }  # fmt: skip


def test_peers_stand_beside_each_other_with_their_speed() -> None:
    systems = {name: {str(s): scored(0.5) for s in SCALES} for name in ("fast", "fer")}
    table = peers_table(speeds(), {"corpora": {"FER+": {"systems": systems}}})
    assert "| lowbeam fast, valence | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 3,000 | 3.00 |" in table
    assert "| fer, valence |" in table
    assert "| lowbeam fast | 3,000 | 8% | 30% |" in rates_table(speeds())


def test_what_was_not_measured_is_left_as_it_was(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: a -->\nold\n<!-- end -->\n<!-- figures: b -->\nold\n<!-- end -->\n")
    fill(page, {"a": None, "b": "new", "c": "elsewhere"})
    assert page.read_text() == "<!-- figures: a -->\nold\n<!-- end -->\n<!-- figures: b -->\nnew\n<!-- end -->\n"


def test_the_worst_share_is_found_among_all() -> None:
    rows = [
        {"codec": codec, "scale": 8, "qp": qp, "scores": {"fast": scored(0.5), "fer": {"valence": {}, "arousal": {}}}}
        for codec, qp in ((None, None), ("hevc", 27), ("avc", 37))
    ]
    bad = {"ccc": 0.5, "within_1_std": 0.50, "within_2_std": 0.95, "mean_std": 0.2}
    rows[2]["scores"] = {"fast": {"valence": bad, "arousal": bad}, "fer": {"valence": {}, "arousal": {}}}
    table = coverage_worst({"systems": {"fast": "fast", "fer": "fer"}, "rows": rows})
    assert "| fast | 12 | 83% | 18.3 points | valence, 12 px avc QP 37: 50.0% within 1 |" in table
    assert "fer" not in table


def test_waits_and_tries_are_told_by_name() -> None:
    waits = {"p50": 0.5, "p95": 1.0, "p99": 2.0}
    found = {"stream": "a stream", "1 core": {"streams": 90, "half_load_ms": waits, "full_load_ms": waits}}
    assert "| 1 core | 90 | 0.50 | 1.00 | 2.00 | 0.50 | 1.00 | 2.00 |" in load_table(found)
    tries = {"labels": {"systems": {"lowbeam fast": {str(s): scored(0.25) for s in SCALES}, "fer": {}}}}
    assert "| labels alone | 0.2500 | 0.250 | 0.250 | 0.250 | 0.250 |" in tries_table(tries, {"labels": "labels alone"})


def test_every_benchmark_of_the_link_can_be_imported() -> None:
    pytest.importorskip("aioquic", reason="aioquic comes with the extra link")
    names = [path.stem for path in (ROOT / "benchmarks" / "link").glob("*.py") if path.stem != "__init__"]
    assert len(names) > 5
    for name in names:
        importlib.import_module(f"benchmarks.link.{name}")


def test_the_processor_is_told_with_family_and_instruction_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    core = (
        "processor\t: 0\nmodel name\t: AMD EPYC\ncpu family\t: 25\nmodel\t\t: {}\nflags\t\t: fpu {}\n\nprocessor\t: 1\n"
    )
    old.write_text(core.format(1, "avx2"))
    new.write_text(core.format(17, "avx2 avx512f avx512_vnni"))
    told = []
    for place in (old, new, tmp_path / "missing"):
        monkeypatch.setattr("lowbeam.evaluate.processor.CPUINFO", place)
        told.append(processor())
    assert told[:2] == ["AMD EPYC, family 25 model 1, AVX2", "AMD EPYC, family 25 model 17, AVX-512 VNNI"]
    assert told[2]  # another system
