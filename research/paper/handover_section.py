"""The section on the transfer of SR-FCN's convolutions, from the results of `handover_study`."""

from typing import Any

from lowbeam.evaluate.table import markdown_table
from lowbeam.metrics import AFFECT_NAMES
from research.result_files import shown_command

EARLIER_NAMES = {
    "as SR-FCN leaves them": "transferred unchanged",
    "scaled as fresh ones": "rescaled",
    "as SR-FCN leaves them, a tenth of the rate": "transferred unchanged, a tenth of the learning rate",
    "scaled, SR-FCN of one epoch": "rescaled, SR-FCN trained for one epoch",
    "scaled, SR-FCN learns the face itself": "rescaled, SR-FCN predicts the face itself",
    "SR-FCN's": "SR-FCN",
    "Xavier's": "Xavier initialisation",
}  # in result files measured before 2026-11-24


def handover_section(result: dict[str, Any]) -> str:
    """In Markdown."""
    rows = [
        [
            EARLIER_NAMES.get(run["way"], run["way"]), str(run["scale"]), str(run["seed"]), f"{run['valid_loss']:.4f}",
            *(f"{run['ccc'][affect]:.3f}" for affect in AFFECT_NAMES),
        ]
        for run in result["runs"]
    ]  # fmt: skip
    deviations = [
        [EARLIER_NAMES.get(name, name), *(f"{value:.2f}" for value in found)]
        for name, found in result["deviations"].items()
    ]
    return "\n\n".join([
        "## Comparison: how SR-FCN's convolutions are transferred",
        f"Recognizers trained for {result['epochs']} epochs on {result['train_faces']:,} faces and evaluated on "
        f"{result['valid_faces']:,} validation faces; the test faces are not used. *Rescaled*: the features of each "
        "layer are multiplied by one factor, so that their standard deviation equals that of a layer with Xavier "
        "initialisation.",
        f"- **Data**: {result['corpus']}.\n- **Command**: `{shown_command(result['command'])}`",
        markdown_table(["convolutions", "S", "seed", "loss", "CCC of valence", "CCC of arousal"], rows),
        "Standard deviation of the features of each layer:",
        markdown_table(["weights", "first", "second", "third"], deviations),
    ])  # fmt: skip
