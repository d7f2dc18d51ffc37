"""A low-pass filter that suppresses jitter at rest and follows fast movements with little delay."""

import math


class OneEuroFilter:
    """The 1 € filter (Casiez, Roussel & Vogel 2012, CHI): a first-order low-pass whose cutoff rises with the speed.

    `rest_hz` is the cutoff at rest in hertz; it rises by `speed_gain` hertz for each unit per second. Samples may be
    irregular in time.
    """

    SPEED_HZ = 2.0  # cutoff of the filter for the speed

    def __init__(self, rest_hz: float, speed_gain: float) -> None:
        self._rest_hz, self._speed_gain = rest_hz, speed_gain
        self._time_s: float | None = None
        self._value = self._speed = self._sample = 0.0

    def __call__(self, value: float, time_s: float, unit: float = 1.0) -> float:
        """The smoothed value at `time_s` (seconds, not decreasing). Speed is measured in `unit` per second."""
        if self._time_s is None:
            self._time_s, self._value, self._sample = time_s, value, value
            return value
        step_s = time_s - self._time_s
        if step_s <= 0:
            return self._value
        speed = (value - self._sample) / step_s
        self._speed += _weight(self.SPEED_HZ, step_s) * (speed - self._speed)
        cutoff_hz = self._rest_hz + self._speed_gain * abs(self._speed) / unit
        self._value += _weight(cutoff_hz, step_s) * (value - self._value)
        self._time_s, self._sample = time_s, value
        return self._value


def _weight(cutoff_hz: float, step_s: float) -> float:
    """The weight of a new sample in an exponential filter with the given cutoff."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * step_s))
