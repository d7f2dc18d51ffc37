"""A file as a tree of named elements, whichever format it is of, and mutations of such a tree."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

MANY = 2000  # copies of one element
LONG = 1_000_000  # bytes of an element that is much longer than it should be


@dataclass
class Node:
    """An element: its `name` as it is written, and either bytes or further elements. `declared` is the size that it
    states where that is not its own."""

    name: bytes
    body: "bytes | list[Node]"
    declared: int | None = None

    def copy(self) -> "Node":
        """This element and all within, anew."""
        body = self.body if isinstance(self.body, bytes) else [node.copy() for node in self.body]
        return Node(self.name, body, self.declared)


def walk(nodes: list[Node]) -> Iterator[tuple[list[Node], int]]:
    """Every element of a tree, as the list that it stands in and its place there."""
    for index, node in enumerate(nodes):
        yield nodes, index
        if isinstance(node.body, list):
            yield from walk(node.body)


def chosen(nodes: list[Node], rng: Random) -> tuple[list[Node], int]:
    """Any element. Of several of one name, such as a file's thousand blocks, each is less likely."""
    places = list(walk(nodes))
    name = rng.choice(sorted({siblings[index].name for siblings, index in places}))
    return rng.choice([place for place in places if place[0][place[1]].name == name])


def move(nodes: list[Node], rng: Random) -> None:
    """An element goes to any other place, within another element or beside it."""
    siblings, index = chosen(nodes, rng)
    node = siblings.pop(index)
    lists = [nodes, *(s[i].body for s, i in walk(nodes) if isinstance(s[i].body, list))]
    target = rng.choice(lists)
    assert isinstance(target, list)
    target.insert(rng.randint(0, len(target)), node)


def double(nodes: list[Node], rng: Random) -> None:
    """An element comes twice, or, where it is small, very often."""
    siblings, index = chosen(nodes, rng)
    node = siblings[index]
    is_small = isinstance(node.body, bytes) and len(node.body) < 200
    count = rng.choice([1, 1, 3, MANY if is_small else 10])
    siblings[index:index] = [node.copy() for _ in range(count)]


def delete(nodes: list[Node], rng: Random) -> None:
    """An element goes."""
    siblings, index = chosen(nodes, rng)
    del siblings[index]


def swap(nodes: list[Node], rng: Random) -> None:
    """Two elements change their bodies."""
    (first, i), (second, j) = chosen(nodes, rng), chosen(nodes, rng)
    a, b = first[i].copy(), second[j].copy()
    first[i], second[j] = Node(first[i].name, b.body, b.declared), Node(second[j].name, a.body, a.declared)


def cut(nodes: list[Node], rng: Random) -> None:
    """An element loses its end, and says so."""
    siblings, index = chosen(nodes, rng)
    node = siblings[index]
    node.body = node.body[: rng.randint(0, max(0, len(node.body) - 1))]


def rename(nodes: list[Node], rng: Random) -> None:
    """An element takes another's name."""
    (first, i), (second, j) = chosen(nodes, rng), chosen(nodes, rng)
    first[i].name = second[j].name


def change(nodes: list[Node], rng: Random) -> None:
    """An element that holds bytes holds others."""
    leaves = [node for siblings, index in walk(nodes) if isinstance((node := siblings[index]).body, bytes)]
    name = rng.choice(sorted({node.name for node in leaves}))
    node = rng.choice([node for node in leaves if node.name == name])
    assert isinstance(node.body, bytes)
    size = len(node.body)
    node.body = rng.choice([
        b"", bytes(size), b"\xff" * size, b"\x7f" + b"\xff" * max(0, size - 1), b"\x80" + bytes(max(0, size - 1)),
        rng.randbytes(size), rng.randbytes(rng.randint(1, 64)), b"\xff" * 8, bytes(9), rng.randbytes(LONG),
    ])  # fmt: skip


def resize(sizes: tuple[int, ...]) -> Callable[[list[Node], Random], None]:
    """An element states another size than its own: one of `sizes`, or one that is nearly right."""

    def resized(nodes: list[Node], rng: Random) -> None:
        siblings, index = chosen(nodes, rng)
        near = max(0, len(siblings[index].body) + rng.randint(-3, 3))
        siblings[index].declared = rng.choice([near, near * 2, rng.choice(sizes), rng.choice(sizes)])

    return resized


TreeMutation = Callable[[list[Node], Random], None]
TREE_MUTATIONS: tuple[TreeMutation, ...] = (move, double, delete, swap, cut, rename, change)
