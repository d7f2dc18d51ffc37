"""A person's emotions: random valence and arousal over time, with bursts and phases of rest."""

import numpy as np
from numpy.typing import NDArray

Affect = NDArray[np.float64]  # (n, 2): valence, arousal

# The mood is the sum of two mean-reverting processes (Uhlenbeck and Ornstein 1930): time constant in seconds, standard
# deviation.
MOODS = ((14.0, 0.42), (3.5, 0.24))
BURST_EVERY_S = 11.0
BURST_S = {"attack": (0.4, 1.2), "hold": (0.6, 3.5), "decay": (0.8, 3.0)}
REST_EVERY_S = 25.0
REST_S = (3.0, 8.0)
REST_EDGE_S = 1.5


def wandering(count: int, step_s: float, revert_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A mean-reverting process with unit standard deviation, sampled every `step_s` seconds: (count,)."""
    keep = np.exp(-step_s / revert_s)
    noise = rng.normal(0, 1, count)
    out = np.empty(count)
    out[0] = noise[0]
    for i in range(1, count):
        out[i] = keep * out[i - 1] + np.sqrt(1 - keep**2) * noise[i]
    return out


def events(duration_s: float, every_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Times of random events (a Poisson process), on average one every `every_s` seconds."""
    return np.cumsum(rng.exponential(every_s, max(4, int(4 * duration_s / every_s))))


def hump(
    time_s: NDArray[np.float64], start_s: float, attack_s: float, hold_s: float, decay_s: float
) -> NDArray[np.float64]:
    """0, with a rise to 1 from `start_s` on and a fall back to 0, both along a cosine; same shape as `time_s`."""
    up = np.clip((time_s - start_s) / attack_s, 0, 1)
    down = np.clip((time_s - start_s - attack_s - hold_s) / decay_s, 0, 1)
    return (1 - np.cos(np.pi * up)) / 2 - (1 - np.cos(np.pi * down)) / 2


def feel(count: int, fps: float, rng: np.random.Generator) -> Affect:
    """Valence and arousal of `count` frames, float64 (count, 2), within the unit circle."""
    time_s = np.arange(count) / fps
    affect = np.zeros((count, 2))
    for revert_s, deviation in MOODS:
        affect += deviation * np.stack([wandering(count, 1 / fps, revert_s, rng) for _ in range(2)], 1)
    for start_s in events(time_s[-1], BURST_EVERY_S, rng):
        angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.0)
        target = radius * np.array([np.cos(angle), np.sin(angle)])
        share = hump(time_s, start_s, *(rng.uniform(*BURST_S[part]) for part in ("attack", "hold", "decay")))[:, None]
        affect += share * (target - affect)
    for start_s in events(time_s[-1], REST_EVERY_S, rng):
        affect *= 1 - 0.9 * hump(time_s, start_s, REST_EDGE_S, rng.uniform(*REST_S), REST_EDGE_S)[:, None]
    radius = np.linalg.norm(affect, axis=1, keepdims=True)
    bounded = np.minimum(1.08 * np.tanh(radius), 1.0)
    within: Affect = affect * np.minimum(bounded / np.maximum(radius, 1e-9), 1.0)
    return within
