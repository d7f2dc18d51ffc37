"""The page's section on how SR-FCN's convolutions are handed over, from what `handover_study` measured."""

from typing import Any

from lowbeam.evaluate.table import markdown_table
from lowbeam.metrics import AFFECT_NAMES


def handover_section(result: dict[str, Any]) -> str:
    """In Markdown."""
    rows = [
        [
            run["way"], str(run["scale"]), str(run["seed"]), f"{run['valid_loss']:.4f}",
            *(f"{run['ccc'][affect]:.3f}" for affect in AFFECT_NAMES),
        ]
        for run in result["runs"]
    ]  # fmt: skip
    strengths = [[name, *(f"{value:.2f}" for value in found)] for name, found in result["deviations"].items()]
    return "\n\n".join([
        f"## {result['title']}",
        f"Short runs, {result['epochs']} epochs on {result['train_faces']:,} faces, judged by "
        f"{result['valid_faces']:,} validation faces; the test faces were not read. What is compared is how far each "
        "way brings a recognizer in the same few steps. *Scaled*: each layer's features, by one number, to the "
        "strength that Xavier's weights give; what they see stays the same.",
        f"- **Data**: {result['corpus']}.\n- **Command**: `{result['command']}`",
        markdown_table(["convolutions", "S", "seed", "loss", "CCC of valence", "CCC of arousal"], rows),
        "Standard deviation of what each layer gives:",
        markdown_table(["weights", "first", "second", "third"], strengths),
    ])  # fmt: skip
