"""The distribution of quantized latents, in whole numbers: the same on every machine.

A latent is expected where an autoregression from the same latent before puts it, and is told as the difference, of
which a logistic distribution gives the frequencies. All is computed in integers from tables that belong to the networks
(`lowbeam.models.feature_codec.LatentPrior` in training), so that no decoder depends on floating point.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.codec.compact.head import TICKS_MS
from lowbeam.codec.compact.range_coding import TOTAL, Frequencies
from lowbeam.errors import ModelError

REACH = 40  # differences from -REACH to REACH
POSITION_BITS = 8  # of a position, in fractions of a step
CORRELATION_BITS = 15
SCALE_BITS = 12  # of the inverse of a distribution's scale
TABLE_BITS = 6  # entries of the logistic table in its scale
TABLE_REACH = 16  # scales from its middle that the table reaches
DEAD = 0.6  # steps: a latent that is nearer to what is expected is told as expected

Steps = NDArray[np.int64]


def logistic_table() -> Steps:
    """The logistic distribution function in units of a frequency, from `TABLE_REACH` scales below its middle to as many
    above."""
    most = TOTAL - (2 * REACH + 1)
    at = np.arange(-(TABLE_REACH << TABLE_BITS), (TABLE_REACH << TABLE_BITS) + 1) / (1 << TABLE_BITS)
    found = np.rint(most / (1 + np.exp(-at))).astype(np.int64)
    found[0], found[-1] = 0, most
    return found


@dataclass(frozen=True)
class LatentTables:
    """The tables of one pair of networks, called `name`: for each level the `gains` (levels, k) of the quantizer,
    float32, and in whole numbers its `centres` (levels, k), the `correlations` (ticks, k) with the sample one of
    `TICKS_MS` before, and the inverse `scales` (levels, ticks + 1, k), the last without a sample before; the
    `logistic` table."""

    name: str
    gains: NDArray[np.float32]
    centres: Steps
    correlations: Steps
    scales: Steps
    logistic: Steps

    @property
    def levels(self) -> int:
        """The number of levels, from the finest 0 on."""
        return len(self.gains)

    @property
    def count(self) -> int:
        """The number of latents."""
        return int(self.gains.shape[1])

    def expected(self, level: int, tick: int, before: Steps | None) -> tuple[Steps, Frequencies]:
        """Where the latents are expected, in steps (k,), one tick (an index of `TICKS_MS`) after those `before` (k,),
        or with none before; and the frequencies of the differences (k, 2 * REACH + 1)."""
        position, scales = self.centres[level], self.scales[level, len(TICKS_MS)]
        if before is not None:
            away = (before << POSITION_BITS) - position
            position = position + ((self.correlations[tick] * away) >> CORRELATION_BITS)
            scales = self.scales[level, tick]
        half = 1 << (POSITION_BITS - 1)
        base = (position + half) >> POSITION_BITS
        bounds = (
            (np.arange(-REACH, REACH)[None, :] << POSITION_BITS) + half - (position - (base << POSITION_BITS))[:, None]
        )
        middle = TABLE_REACH << TABLE_BITS
        places = (bounds * scales[:, None]) >> (POSITION_BITS + SCALE_BITS - TABLE_BITS)
        below = self.logistic[places.clip(-middle, middle) + middle]
        edges = np.concatenate(
            [np.zeros((len(base), 1), np.int64), below, np.full((len(base), 1), self.logistic[-1])], 1
        )
        return base, np.diff(edges, axis=1) + 1


def as_json(tables: LatentTables) -> str:
    """`tables` as the text of their file; the logistic table is part of it, since `exp` differs between machines."""
    content = {name: value if isinstance(value, str) else value.tolist() for name, value in vars(tables).items()}
    return json.dumps(content)


@cache
def load_tables(path: Path) -> LatentTables:
    """The tables in a file. Raises `ModelError`."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        gains = np.array(found.pop("gains"), np.float32)
        name = found.pop("name")
        return LatentTables(name, gains, **{key: np.array(value, np.int64) for key, value in found.items()})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path} has no tables of a features codec") from error
