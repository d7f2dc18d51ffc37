"""Titles and introductions of the page's sections, by experiment."""

from typing import Any

DESCRIPTIONS = {
    "full": (
        "Full size",
        "The networks and settings of the paper, on all faces. SR-FCN differs: it starts from Xavier initialisation, "
        "is trained with Adam, and predicts the detail that interpolation lacks.",
    ),
    "converged": (
        "Trained to convergence",
        "The networks have a quarter of the published channels, as in the appendix. Training uses all faces, each "
        "at every scale of a mixture, as published, and no fixed number of epochs: the learning rate is divided by ten "
        "when the validation loss stops improving, twice, and training ends when it stops improving again. Batches are "
        "smaller and the learning rate of CNN+D is higher than published, and SR-FCN is trained on random patches. The "
        "transferred convolutions are rescaled, by one factor per layer, so that the standard deviation of their "
        "features equals that of freshly initialised layers (see the comparison below), and are trained at the full "
        "learning rate.",
    ),
    "reduced": (
        "Appendix: networks that were stopped while they learned",
        "The experiment is reduced to what two CPU cores train in a few hours: a quarter of the channels, a third of "
        "the training faces, SR-FCN on random patches, and few epochs. In so few epochs, the published batch size and "
        "the published learning rate for transferred convolutions (a tenth of the learning rate) train too slowly, as "
        "two comparisons below show; smaller batches, a higher learning rate, and the full rate for transferred "
        "convolutions are used instead. In an epoch, a mixture gets as many faces as a single S, each at a randomly "
        "drawn scale; in the paper it gets each face at each of its scales (see the comparison below).",
    ),
    "reduced-every-scale": (
        "Appendix, comparison: every face at every scale of the mixture",
        "The mixture {3, …, 16} as in the appendix, but with each face at each of its scales in every epoch. This "
        "is as many faces as all the single-scale networks that it replaces get together.",
    ),
    "reduced-tenth": (
        "Appendix, comparison: transferred convolutions at a tenth of the learning rate",
        "As the table of the appendix, but transferred convolutions are trained at a tenth of the learning rate, as "
        "published.",
    ),
    "as-published": (
        "Appendix, comparison: the published training settings",
        "The networks and faces of the appendix with the published settings: SR-FCN starts from Gaussian "
        "initialisation, is trained with SGD, and predicts the face itself; CNN+D has the published batch size and "
        "learning rate, and a tenth of that rate for transferred convolutions.",
    ),
    "restoration": (
        "Restoration: SR-FCN on detailed faces",
        "SR-FCN with a quarter of the channels, one network per scale, on faces with detail up to 96 px.",
    ),
    "restorer": (
        "Restoration: the shipped restorer",
        "One network for all scales, on faces with detail up to 96 px.",
    ),
}  # fmt: skip


def describe(result: dict[str, Any]) -> tuple[str, str]:
    """The title and introduction for a result file; for experiments without a description here, those of its recipe."""
    experiment = result["experiment"]
    about = experiment["about"].strip()
    return DESCRIPTIONS.get(experiment["name"], (result["title"], f"{about[0].upper()}{about[1:]}."))
