"""Whether a later recognizer that is trained on latents alone reads them as well as the one that ships: a small
network, from scratch, on decoded latents of labelled stills. And the speed and size of what makes and reads latents.

The stills are sent at `SCALES` and at `LEVELS` of quality, each by itself. One network serves all; it is trained on the
split train, chosen on valid and scored on test.
"""

import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lowbeam.cli.show import figure, print_table
from lowbeam.codec.compact.feature_networks import FOLDER, TABLES, latents_of
from lowbeam.codec.compact.prior import DEAD, REACH, LatentTables, load_tables
from lowbeam.corpora.choose import corpus_name, load_faces
from lowbeam.corpora.labelled import Affect
from lowbeam.face import Latents
from lowbeam.latent_reader import LatentReader
from lowbeam.metrics import AFFECT_NAMES, ccc
from lowbeam.progress import Progress
from lowbeam.recognize import MAX_BATCH, Estimates, Recognizer, model_path
from lowbeam.scale import FACE_SIDE, Faces, resample, shrink

SCALES, LEVELS = (1, 4, 8), (0, 5, 10, 15)
HIDDEN, DROPOUT = 256, 0.1
STEPS, BATCH, RATE, DECAY = 6000, 512, 2e-3, 1e-2
CHECK_EVERY = 250  # steps, between two scores on valid
BATCHES, ROUNDS, TIMED_FACES = (1, 32), 15, 128
DIGITS = 4
Numbers = NDArray[np.float32]


def measure_reread(corpus: str, model: str, *, seed: int = 0, progress: Progress | None = None) -> dict[str, Any]:
    """Train on latents of `corpus` (``KIND:PATH``), and compare with the shipped readout on the same latents and with
    `model` on the pixels.

    Returns results ready for JSON: ``rows``, by scale, with the CCC of `model`, and by level those of both readers of
    latents; ``encoder``, the speed in faces per second on one core beside that of `model`, by size of batch; ``bytes``
    of the files. Raises `UsageError`, `CorpusError` or `ModelError`.
    """
    torch.manual_seed(seed)
    tables = load_tables(TABLES)
    train, valid, test = (_sent(corpus, split) for split in ("train", "valid", "test"))
    begun = time.perf_counter()
    network, step = _trained(train, valid, tables, seed, progress)
    about = {
        "stills": corpus_name(corpus), "networks": tables.name, "model": model, "seed": seed,
        "faces": {"train": len(train.affect), "valid": len(valid.affect), "test": len(test.affect)},
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "steps": STEPS, "chosen_step": step, "training_s": round(time.perf_counter() - begun),
    }  # fmt: skip
    reader, recognizer = LatentReader(), Recognizer(model)
    rows = [
        {
            "scale": scale, "pixels": _ccc(_affect_of(recognizer(shrink(test.faces, scale))), test.affect),
            "levels": [
                {
                    "level": level,
                    "readout": _ccc(_affect_of(reader.each(_as_sent(test.latents[scale], tables, level))), test.affect),
                    "reread": _ccc(_read(network, _decoded(test.latents[scale], tables, level), level), test.affect),
                }
                for level in LEVELS
            ],
        }
        for scale in SCALES
    ]  # fmt: skip
    files = [*sorted(FOLDER.glob("*.onnx")), TABLES, model_path(model)]
    return about | {
        "rows": rows,
        "encoder": _speed(recognizer, model),
        "bytes": {f.name: f.stat().st_size for f in files},
    }


class _Sent:
    """The HR `faces` of a split, uint8 (n, 96, 96), their labels `affect`, and before quantisation their `latents` by
    scale, float32 (n, k)."""

    def __init__(self, faces: Faces, affect: Affect) -> None:
        self.faces, self.affect = faces, affect
        self.latents = {scale: _latents(faces, scale) for scale in SCALES}


def _sent(corpus: str, split: str) -> _Sent:
    found = load_faces(corpus, split)
    return _Sent(resample(np.asarray(found.pixels), FACE_SIDE), found.affect)


def _latents(faces: Faces, scale: int) -> Numbers:
    parts = [faces[start : start + MAX_BATCH] for start in range(0, len(faces), MAX_BATCH)]
    return np.concatenate([latents_of(shrink(part, scale)) for part in parts])


def _decoded(latents: Numbers, tables: LatentTables, level: int) -> Numbers:
    """What the far side gets of `latents` (n, k), each sent by itself at `level`."""
    base, _ = tables.expected(level, 0, None)
    wanted = latents * tables.gains[level]
    steps = np.where(np.abs(wanted - base) < DEAD, base, np.rint(wanted)).clip(base - REACH, base + REACH)
    decoded: Numbers = (steps / tables.gains[level]).astype(np.float32)
    return decoded


def _as_sent(latents: Numbers, tables: LatentTables, level: int) -> list[Latents]:
    return [Latents(one, level) for one in _decoded(latents, tables, level)]


def _network(latents: int) -> nn.Sequential:
    """Latents (n, k) and the share of the level, one column more, to valence and arousal (n, 2)."""
    return nn.Sequential(
        nn.Linear(latents + 1, HIDDEN), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, HIDDEN), nn.GELU(),
        nn.Dropout(DROPOUT), nn.Linear(HIDDEN, 2), nn.Tanh(),
    )  # fmt: skip


def _given(decoded: Numbers, level: int) -> Tensor:
    share = np.full((len(decoded), 1), level / max(LEVELS), np.float32)
    return torch.from_numpy(np.concatenate([decoded, share], 1))


def _read(network: nn.Module, decoded: Numbers, level: int) -> Affect:
    network.eval()
    with torch.inference_mode():
        found: Affect = network(_given(decoded, level)).numpy()
    return found


def _loss(found: Tensor, truth: Tensor) -> Tensor:
    """The squared error and 1 - CCC, of valence and arousal."""
    squared = (found - truth).square().mean(0)
    shift = (found.mean(0) - truth.mean(0)).square()
    spread = found.var(0, unbiased=False) + truth.var(0, unbiased=False)
    return (squared + squared / (spread + shift)).sum()


def _trained(
    train: _Sent, valid: _Sent, tables: LatentTables, seed: int, progress: Progress | None
) -> tuple[nn.Module, int]:
    """The network at the step at which it reads valid best, and that step."""
    rng = np.random.default_rng(seed)
    conditions = [(scale, level) for scale in SCALES for level in LEVELS]
    given = torch.stack([_given(_decoded(train.latents[s], tables, level), level) for s, level in conditions])
    checks = [(_decoded(valid.latents[s], tables, level), level) for s, level in conditions]
    truth = torch.from_numpy(train.affect)
    network = _network(tables.count)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    best, best_step, best_state = -np.inf, 0, network.state_dict()
    for step in range(1, STEPS + 1):
        network.train()
        rows = torch.from_numpy(rng.integers(0, len(truth), BATCH))
        loss = _loss(network(given[torch.from_numpy(rng.integers(0, len(given), BATCH)), rows]), truth[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % CHECK_EVERY == 0 or step == STEPS:
            scores = [_ccc(_read(network, decoded, level), valid.affect).values() for decoded, level in checks]
            score = float(np.mean([list(one) for one in scores]))
            if score > best:
                best, best_step, best_state = score, step, deepcopy(network.state_dict())
            if progress is not None:
                progress(step, STEPS)
    network.load_state_dict(best_state)
    return network, best_step


def _affect_of(found: Estimates) -> Affect:
    return np.stack([found.valence, found.arousal], 1)


def _ccc(found: Affect, truth: Affect) -> dict[str, float]:
    return {name: round(ccc(found[:, i], truth[:, i]), DIGITS) for i, name in enumerate(AFFECT_NAMES)}


def _speed(recognizer: Recognizer, model: str) -> dict[str, dict[str, float]]:
    """Faces per second on one core, by size of batch: the median of `ROUNDS` runs, which take turns."""
    faces = np.random.default_rng(0).integers(0, 256, (TIMED_FACES, FACE_SIDE, FACE_SIDE), np.uint8)
    rates = {}
    for size in BATCHES:
        batches = [faces[start : start + size] for start in range(0, len(faces), size)]
        works: dict[str, Callable[[Faces], object]] = {"encoder": latents_of, model: recognizer}
        times: dict[str, list[float]] = {name: [] for name in works}
        for number in range(ROUNDS + 1):
            for name, work in works.items():
                seconds = _seconds(partial(_all, work, batches))
                times[name] += [seconds] if number else []  # the first run warms up
        rates[f"batches of {size}"] = {
            name: round(len(faces) / statistics.median(found), 1) for name, found in times.items()
        }
    return rates


def _all(work: Callable[[Faces], object], batches: list[Faces]) -> None:
    for batch in batches:
        work(batch)


def _seconds(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def print_reread(results: dict[str, Any]) -> None:
    """Print results of `measure_reread`: CCC of valence and arousal by scale and level, then speed and sizes."""
    names = (results["model"], "readout", "reread")
    rows = []
    for row in results["rows"]:
        for level in row["levels"]:
            found = (row["pixels"], level["readout"], level["reread"])
            cells = [figure(one[name]) for name in AFFECT_NAMES for one in found]
            rows.append((f"{FACE_SIDE // row['scale']}", f"{level['level']}", *cells))
    print(f"{results['stills']}, {results['faces']['test']} faces: CCC; latents by the networks {results['networks']}")
    print_table(("px", "level", *(f"{a[0].upper()} {n}" for a in AFFECT_NAMES for n in names)), rows)
    speeds = [(size, *(f"{rate:.0f}" for rate in found.values())) for size, found in results["encoder"].items()]
    print_table(("faces/s on one core", "encoder", results["model"]), speeds)
    print_table(("file", "bytes"), [(name, f"{size}") for name, size in results["bytes"].items()])
