"""The section that puts the paper's design beside that of the models that ship."""

from pathlib import Path

from lowbeam.evaluate.table import markdown_table
from lowbeam.models.one_for_all import SIZES, OneForAll, Trunk
from lowbeam.models.paper import HIDDEN, KERNEL, OUTPUTS, PAPER_CHANNELS, CnnD, parameter_count
from lowbeam.scale import FACE_SIDE

SHOWN = ("accurate", "fast", "best")

SECTION = Path(__file__).with_name("replication_page_design.md")


def design_section() -> str:
    """In Markdown, with the sizes of the networks."""
    sizes = {"CNN+D, as published": (parameter_count(CnnD()), _multiply_adds())}
    for name in SHOWN:
        sizes[f"`{name}`"] = parameter_count(OneForAll(Trunk(SIZES[name]))), SIZES[name].multiply_adds
    rows = [[name, f"{count / 1e6:.2f} M", f"{adds / 1e6:.0f} M"] for name, (count, adds) in sizes.items()]
    table = markdown_table(["network", "parameters", "multiply-adds a face"], rows)
    return SECTION.read_text(encoding="utf-8").format(table=table).rstrip()


def _multiply_adds() -> int:
    """Of the published CNN+D, for one face."""
    side, channels_in, total = FACE_SIDE, 1, 0
    for channels in PAPER_CHANNELS:
        side -= KERNEL - 1
        total += side**2 * KERNEL**2 * channels_in * channels
        side, channels_in = side // 2, channels
    return total + HIDDEN * (4 * channels_in + OUTPUTS)
