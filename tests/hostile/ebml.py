"""Matroska as a tree (RFC 8794, RFC 9559), and what is written into one that no writer would write."""

from random import Random

from tests.hostile.tree import TREE_MUTATIONS, Node, TreeMutation, resize, walk

MASTERS = {bytes.fromhex(name) for name in (
    "1A45DFA3", "18538067", "114D9B74", "4DBB", "1549A966", "1654AE6B", "AE", "E0", "55B0", "1F43B675", "A0",
    "1254C367", "7373", "63C0", "67C8", "1C53BB6B", "BB", "B7",
)}  # fmt: skip
TAG, SIMPLE_TAG, TAG_NAME, TAG_STRING = (bytes.fromhex(name) for name in ("7373", "67C8", "45A3", "4487"))
BLOCK, SIMPLE_BLOCK, CLUSTER_TIME = b"\xa1", b"\xa3", b"\xe7"
BLOCK_HEADER = 4  # bytes: track number, time within the cluster, flags
UNKNOWN = -1  # a size that is not stated
SIZES = (UNKNOWN, 0, 1, 127, 2**14, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**55, 2**56 - 2)

ESCAPES = b"\x1b[2J\x1b]0;owned\x07\x1b[31m"
TEXTS = (
    b"", b" ", b"0", b"-1", b"1e999", b"nan", b"x", b"9" * 400, b":" * 400, b"1:" * 200, ESCAPES, ESCAPES + b"a" * 300,
    b"\xff\xfe\x80", "٣".encode(), b"lines\nof\r\nmany", b"\0", b"a" * 1_000_000, b"9999999999:59:59.999999999",
    b"nan:nan:nan", b"inf:0:0", b"-1:-1:-1",
)  # fmt: skip
TAGS = {
    b"LOWBEAM": (b"1", b"2", b"3", b"1.0", b"01"),
    b"LOWBEAM_FRAMING": (b"1", b"2"),
    b"LOWBEAM_SOURCE": (b"0x0", b"16384x16384", b"1x1", b"16385x1", b"640x", b"x360", b"640x360x2", b"1x16384"),
    b"LOWBEAM_SCALE": (b"1", b"2", b"5", b"16", b"0", b"4294967296"),
    b"LOWBEAM_PADDING": (b"0", b"128", b"129", b"12", b"4294967296"),
    b"LOWBEAM_POINT": (b"hevc s=8 QP 99 12.5 fps",),
    b"DURATION": (b"00:00:00.000000000", b"99:99:99.9", b"1e308:0:0"),
    b"ENCODER": (b"Lavf",),
}
CUES = (
    b".", b"at 5 0", b"at 1 0", b"at 8 12", b"at 16 128", b"at 8 129", b"at -8 0", b"end 0", b"end 999999999",
    b"end 10000000000", b"end -1", b"end", b"0 0 0 0", b"0 0 0 -1", b"0 1e9 1e9 1e9", b"0 65535 65535 65535",
    b"0 -65535 -10 65535", b"0 0 0 0.0001", b"0 nan nan nan", b"0 inf 0 1", b"0 1 2 inf", b"2147483647 1 2 100",
    b"2147483648 1 2 100", b"-1 1 2 100", b"7 1 2 100", b"0 1_0 2 100", b"0 0x10 2 100", b"0 1 2 100 5", b"", b" " * 64,
    b"0" * 65, b"0 1 2 " + b"9" * 58, ESCAPES, b"\0\0\0\0", b"\xff\xff", b"0 1 2 100\n0 5 5 100",
    "٠ ١ ٢ ١٠٠".encode(), b"a" * 100_000,
)  # fmt: skip


def parse(data: bytes) -> list[Node]:
    """The elements of a Matroska file; what cannot be told apart is left out."""
    nodes, at = [], 0
    while at < len(data):
        name, body_at = _vint_width(data[at]), at
        size_at = at + name
        if not name or size_at >= len(data) or not (width := _vint_width(data[size_at])):
            break
        body_at = size_at + width
        size = int.from_bytes(data[size_at:body_at]) & ((1 << 7 * width) - 1)
        is_unknown = size == (1 << 7 * width) - 1
        end = len(data) if is_unknown else body_at + size
        element, body = data[at:size_at], data[body_at:end]
        nodes.append(Node(element, parse(body) if element in MASTERS else body, UNKNOWN if is_unknown else None))
        at = end
    return nodes


def _vint_width(first: int) -> int:
    """Bytes of a number that begins with `first`; 0 where none does."""
    return 9 - first.bit_length() if first else 0


def written(nodes: list[Node]) -> bytes:
    """A file of these elements."""
    return b"".join(_written(node) for node in nodes)


def _written(node: Node) -> bytes:
    body = node.body if isinstance(node.body, bytes) else written(node.body)
    return node.name + _size(len(body) if node.declared is None else node.declared) + body


def _size(size: int) -> bytes:
    """A size as EBML writes it, in as few bytes as hold it; `UNKNOWN` in eight."""
    if size == UNKNOWN:
        return b"\x01" + b"\xff" * 7
    width = next(width for width in range(1, 9) if size < (1 << 7 * width) - 1)
    return (size | 1 << 7 * width).to_bytes(width)


def change_cue(nodes: list[Node], rng: Random) -> None:
    """A cue, or any other block, holds another text."""
    blocks = [node for siblings, index in walk(nodes) if (node := siblings[index]).name in (BLOCK, SIMPLE_BLOCK)]
    if not blocks:
        return
    cues = [b for b in blocks if isinstance(b.body, bytes) and b.body[BLOCK_HEADER:].isascii()] or blocks
    block = rng.choice(rng.choice([cues, cues, cues, blocks]))
    assert isinstance(block.body, bytes)
    block.body = block.body[:BLOCK_HEADER] + rng.choice(CUES)


def change_time(nodes: list[Node], rng: Random) -> None:
    """A block, or a whole cluster, comes at another time."""
    timed = [
        node for siblings, index in walk(nodes)
        if (node := siblings[index]).name in (BLOCK, SIMPLE_BLOCK, CLUSTER_TIME) and isinstance(node.body, bytes)
    ]  # fmt: skip
    for node in rng.sample(timed, min(len(timed), rng.choice([1, 1, 3]))):
        assert isinstance(node.body, bytes)
        if node.name == CLUSTER_TIME:
            time = rng.choice([0, 1, 999, 2**31, 2**40, 2**53, 2**62, 2**63, 2**64 - 1])
            node.body = time.to_bytes(8)
        else:
            time = rng.choice([-32768, -1, 0, 1, 40, 1000, 32767])
            node.body = node.body[:1] + time.to_bytes(2, signed=True) + node.body[3:]


def change_tag(nodes: list[Node], rng: Random) -> None:
    """A tag has another value, or a tag that was not there is."""
    tags = [
        node for siblings, index in walk(nodes)
        if (node := siblings[index]).name == SIMPLE_TAG and isinstance(node.body, list)
    ]  # fmt: skip
    if not tags:
        return
    tag = rng.choice(tags)
    assert isinstance(tag.body, list)
    name = next((part.body for part in tag.body if part.name == TAG_NAME), b"")
    if not isinstance(name, bytes) or name not in TAGS or rng.random() < 0.15:
        name = rng.choice(sorted(TAGS))
    tag.body = [Node(TAG_NAME, name), Node(TAG_STRING, rng.choice(TEXTS + 2 * TAGS[name]))]


MATROSKA_MUTATIONS: tuple[TreeMutation, ...] = (*TREE_MUTATIONS, resize(SIZES), resize(SIZES), change_time, change_tag)
STREAM_MUTATIONS: tuple[TreeMutation, ...] = (
    *MATROSKA_MUTATIONS, change_tag, change_tag, change_cue, change_cue, change_cue,
)  # fmt: skip
