"""What a training step of CNN+D takes on one core, and what bfloat16 and compiled pooling save of it."""

import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from lowbeam.evaluate.processor import processor
from lowbeam.evaluate.table import markdown_table
from lowbeam.models.pooled_relu import pooled_relu
from lowbeam.train.paper.networks import DeviceFaces, make_cnn_d
from lowbeam.train.paper.recipe import Experiment, load_experiment
from lowbeam.train.paper.tasks import RecognitionTask, make_optimizer
from research.result_files import shown_command

FACES, NATIVE_PX = 1024, 48  # noise: what is in the faces does not matter to the time
MIXTURE = (3, 4, 6)
STEPS, ROUNDS = 20, 7


def _pooled_by_pytorch(x: Tensor) -> Tensor:
    return F.relu(F.max_pool2d(x, 2))


WAYS = {
    "float32": ("float32", _pooled_by_pytorch),
    "bfloat16": ("bfloat16", _pooled_by_pytorch),
    "bfloat16, compiled pooling": ("bfloat16", pooled_relu),
}


def measure_step_time(command: str) -> dict[str, Any]:
    """Median milliseconds of a step in each of `WAYS`, in turn, in the settings of the experiment ``converged``; stored
    with the `command`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    experiment = load_experiment("converged")
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    try:
        steps = {way: _steps(experiment.model_copy(update={"precision": kind})) for way, (kind, _) in WAYS.items()}
        for _ in range(ROUNDS):
            for way, (_, pooled) in WAYS.items():
                with patch("lowbeam.models.paper.pooled_relu", pooled):
                    times[way].append(steps[way]())
    finally:
        torch.set_num_threads(threads)
    return {
        "command": command, "processor": processor(), "batch": experiment.recognize.batch,
        "ms": {way: round(1000 * statistics.median(found[1:]), 2) for way, found in times.items()},
    }  # fmt: skip


def _steps(experiment: Experiment) -> Callable[[], float]:
    """A function that trains a network for `STEPS` steps, and returns the seconds of one."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (FACES, NATIVE_PX, NATIVE_PX), generator=generator, dtype=torch.uint8)
    faces = DeviceFaces(pixels, torch.rand((FACES, 2), generator=generator))
    network = make_cnn_d(experiment)
    task = RecognitionTask(network, experiment, MIXTURE, faces, faces, generator, frozen=False)
    optimizer = make_optimizer(experiment.recognize, [(list(network.parameters()), 0.01)])
    batches = torch.randint(len(MIXTURE) * FACES, (STEPS, experiment.recognize.batch), generator=generator)

    def work() -> float:
        begun = time.perf_counter()
        for batch in batches:
            optimizer.zero_grad(set_to_none=True)
            task.losses(batch).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return (time.perf_counter() - begun) / STEPS

    return work


def step_time_section(result: dict[str, Any]) -> str:
    """In Markdown."""
    slowest = max(result["ms"].values())
    rows = [[way, f"{ms:.1f}", f"{ms / slowest:.0%}"] for way, ms in result["ms"].items()]
    mixture = ", ".join(map(str, MIXTURE))
    return "\n\n".join([
        "## What a training step takes",
        f"A step of CNN+D with {result['batch']} faces of the mixture {{{mixture}}}, in the settings of the networks "
        f"trained to convergence, on one core of {result['processor']}. *Compiled pooling*: max-pooling and ReLU in "
        "one compiled function with the same results as PyTorch's.",
        f"- **Command**: `{shown_command(result['command'])}`",
        markdown_table(["convolutions", "ms", "of float32"], rows),
    ])  # fmt: skip
