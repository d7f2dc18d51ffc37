"""Mutants of good files. All is a function of the bytes and of the numbers drawn."""

from collections.abc import Callable
from random import Random

from tests.hostile import boxes, ebml
from tests.hostile.tree import Node, TreeMutation

Parse, Write = Callable[[bytes], list[Node]], Callable[[list[Node]], bytes]
# What a file is a tree of, by kind, and how often it is damaged as one rather than as bytes.
STRUCTURES: dict[str, tuple[Parse, Write, tuple[TreeMutation, ...]]] = {
    "face stream": (ebml.parse, ebml.written, ebml.STREAM_MUTATIONS),
    "matroska": (ebml.parse, ebml.written, ebml.MATROSKA_MUTATIONS),
    "mp4": (boxes.parse, boxes.written, boxes.MP4_MUTATIONS),
}
STRUCTURED_SHARE = 0.75


def flip(data: bytes, rng: Random) -> bytes:
    """Bits flipped, here and there or within the head."""
    changed = bytearray(data)
    end = len(data) if rng.random() < 0.7 else min(len(data), 600)
    for _ in range(rng.choice([1, 2, 8, 40])):
        changed[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, rng: Random) -> bytes:
    """A range replaced."""
    at, size = rng.randrange(len(data)), rng.choice([1, 2, 4, 16, 200])
    fresh = rng.choice([bytes(size), b"\xff" * size, rng.randbytes(size)])
    return data[:at] + fresh + data[at + size :]


def truncate(data: bytes, rng: Random) -> bytes:
    """The end lost; the last bytes, or most."""
    return data[: -rng.randint(1, 20)] if rng.random() < 0.2 else data[: rng.randrange(1, len(data))]


def splice(data: bytes, rng: Random) -> bytes:
    """A range lost, doubled, or put elsewhere; or the file twice, or with the head of itself after it."""
    at, size, to = rng.randrange(len(data)), rng.choice([1, 7, 100, 1000]), rng.randrange(len(data))
    part, rest = data[at : at + size], data[:at] + data[at + size :]
    return rng.choice([rest, data[:to] + part + data[to:], rest[:to] + part + rest[to:], data + data, data + data[:to]])


BYTE_MUTATIONS = (flip, flip, overwrite, truncate, splice)


def mutant(data: bytes, kind: str, rng: Random) -> tuple[str, bytes]:
    """A mutant of a file of `kind`, one to three times damaged, and what was done to it. It is never empty."""
    done = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        name, changed = _mutated(data, kind, rng)
        if changed:
            data = changed
            done.append(name)
    return " + ".join(done), data


def _mutated(data: bytes, kind: str, rng: Random) -> tuple[str, bytes]:
    if kind in STRUCTURES and rng.random() < STRUCTURED_SHARE:
        parse, write, mutations = STRUCTURES[kind]
        nodes = parse(data)
        if nodes:
            mutate = rng.choice(mutations)
            mutate(nodes, rng)
            return mutate.__name__, write(nodes)
    damage = rng.choice(BYTE_MUTATIONS)
    return damage.__name__, damage(data, rng)
