"""Mutants of good files are read, or refused in one clear line: no crash, no hang, no traceback, no half output."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile import boxes, ebml
from tests.hostile.campaign import Tally, mutants, run
from tests.hostile.child import WAYS
from tests.hostile.mutants import mutant
from tests.hostile.seeds import Original, originals
from tests.hostile.watch import Child, Limits

SEED, COUNT = 20261124, 300
LIMITS = Limits(time_s=20, peak_bytes=512 * 2**20)


@pytest.fixture(scope="module")
def made_of(tmp_path_factory: pytest.TempPathFactory) -> list[Original]:
    return originals(tmp_path_factory.mktemp("originals"))


def test_whatever_the_file_it_is_read_or_refused_in_one_line(made_of: list[Original], tmp_path: Path) -> None:
    tally = Tally()
    run(mutants(made_of, SEED, range(COUNT)), tmp_path, tally, LIMITS)
    assert [(one.name, one.mutation, outcome) for one, outcome in tally.offenders] == []
    assert sum(tally.counts.values()) == COUNT
    assert {row.rpartition(" by ")[2] for row, _ in tally.counts} == set(WAYS)
    assert {row.partition(" by ")[0] for row, _ in tally.counts} == {original.group for original in made_of}
    assert min(sum(n for (_, kind), n in tally.counts.items() if kind == good) for good in ("read", "refused")) > 50


def test_a_mutant_is_made_again_from_its_seed_and_index(made_of: list[Original]) -> None:
    some = list(mutants(made_of, 1, range(40)))
    assert [one.data for one in mutants(made_of, 1, range(30, 40))] == [one.data for one in some[30:]]
    assert [one.data for one in mutants(made_of, 2, range(40))] != [one.data for one in some]
    assert all(one.data for one in some)
    changed = sum(one.data != one.original.data for one in some)
    assert changed > 30


def test_structures_are_written_as_they_were_parsed(made_of: list[Original]) -> None:
    for original in made_of:
        if original.kind in ("face stream", "matroska"):
            nodes = ebml.parse(original.data)
            assert ebml.written(ebml.parse(ebml.written(nodes))) == ebml.written(nodes)
            assert len(ebml.written(nodes)) > 0.95 * len(original.data)  # sizes are written as short as can be
        if original.kind == "mp4":
            assert boxes.written(boxes.parse(original.data)) == original.data


def test_the_hostile_are_among_the_mutants(made_of: list[Original]) -> None:
    stream = next(original for original in made_of if original.kind == "face stream")
    found = [mutant(stream.data, stream.kind, random.Random(seed))[1] for seed in range(1500)]
    largest = b"\x01" + b"\xff" * 6 + b"\xfe"  # of the sizes that are stated
    for wanted in (b"at 5 0", b"999999999", ebml.ESCAPES, b":" * 400, b"a" * 1_000_000, largest):
        assert any(wanted in data for data in found), wanted


@pytest.fixture
def misbehaving(tmp_path: Path) -> Iterator[Child]:
    with Child(tmp_path, Limits(2.0, 300 * 2**20), "tests.hostile.misbehaving:make_reader") as child:
        yield child


def test_what_goes_wrong_is_noticed(misbehaving: Child, tmp_path: Path) -> None:
    expected = {
        "well": "read", "refused": "refused", "crash": "crash", "exit": "crash", "traceback": "traceback",
        "escapes": "unclear", "long": "unclear", "noise": "unclear", "print": "unclear", "memory": "memory",
        "wrong": "wrong", "hang": "hang",
    }  # fmt: skip
    for deed, kind in expected.items():
        (tmp_path / "file").write_text(deed)
        outcome = misbehaving.read({"path": str(tmp_path / "file")})
        assert (deed, outcome.kind) == (deed, kind), outcome
        (tmp_path / "file").write_text("well")
        assert misbehaving.read({"path": str(tmp_path / "file")}).is_good, f"after {deed}"


def test_a_hang_ends_in_time(misbehaving: Child, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("well")
    misbehaving.read({"path": str(tmp_path / "file")})
    (tmp_path / "file").write_text("hang")
    began_s = time.monotonic()
    assert misbehaving.read({"path": str(tmp_path / "file")}).kind == "hang"
    assert 2 <= time.monotonic() - began_s < 10
