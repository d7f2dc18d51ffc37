"""MP4 as a tree of boxes (ISO/IEC 14496-12)."""

from random import Random

from tests.hostile.tree import TREE_MUTATIONS, Node, TreeMutation, resize, walk

HOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"moof", b"traf", b"mvex"}
HEADER = 8  # bytes: size and type
SIZES = (0, 1, 7, 8, 9, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)
NUMBERS = (0, 1, 2, 255, 2**15, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)


def parse(data: bytes) -> list[Node]:
    """The boxes of an MP4 file; what cannot be told apart is left out."""
    nodes, at = [], 0
    while at + HEADER <= len(data):
        size, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + HEADER]
        if size < HEADER:
            break
        body = data[at + HEADER : at + size]
        nodes.append(Node(name, parse(body) if name in HOLDERS else body))
        at += size
    return nodes


def written(nodes: list[Node]) -> bytes:
    """A file of these boxes."""
    return b"".join(_written(node) for node in nodes)


def _written(node: Node) -> bytes:
    body = node.body if isinstance(node.body, bytes) else written(node.body)
    size = HEADER + len(body) if node.declared is None else node.declared
    if size >= 2**32:
        return (1).to_bytes(4) + node.name + size.to_bytes(8) + body
    return size.to_bytes(4) + node.name + body


def change_numbers(nodes: list[Node], rng: Random) -> None:
    """Numbers of a box, such as a count, a time or a side, are others."""
    leaves = [
        node for siblings, index in walk(nodes)
        if isinstance((node := siblings[index]).body, bytes) and node.name != b"mdat" and len(node.body) >= 4
    ]  # fmt: skip
    node = rng.choice(leaves) if leaves else None
    for _ in range(rng.choice([1, 1, 2, 4])):
        if node is not None and isinstance(node.body, bytes):
            at = rng.randrange(0, len(node.body) - 3, 2)
            node.body = node.body[:at] + rng.choice(NUMBERS).to_bytes(4) + node.body[at + 4 :]


MP4_MUTATIONS: tuple[TreeMutation, ...] = (*TREE_MUTATIONS, resize(SIZES), resize(SIZES), *3 * (change_numbers,))
