"""Metrics for Prometheus, in a registry of the server's own."""

import time
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from lowbeam.server.hub import Hub, LiveStream

WINDOW_S = 60.0  # of delays
MAX_DELAYS = 20_000
QUANTILES = (0.5, 0.95, 0.99)


class Metrics(Collector):
    """What the server measures. `clock` gives seconds."""

    def __init__(self, hub: Hub, clock: Callable[[], float] = time.monotonic) -> None:
        self._hub, self._clock = hub, clock
        self._delays: deque[tuple[float, float]] = deque(maxlen=MAX_DELAYS)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._refused = Counter(
            "lowbeam_refused_requests", "HTTP requests refused.", ["status"], registry=self._registry
        )
        self._dropped = Counter(
            "lowbeam_dropped", "Frames or faces dropped, by reason.", ["reason"], registry=self._registry
        )

    def refused(self, status: int) -> None:
        """Count a request that was refused with this HTTP status."""
        self._refused.labels(str(status)).inc()

    def dropped(self, reason: str, count: int = 1) -> None:
        """Count frames or faces that were dropped. `reason` is one of few words, since each is kept for good."""
        self._dropped.labels(reason).inc(count)

    def seen(self, stream: LiveStream) -> None:
        """Note the delay of a stream that changed."""
        if stream.link.delay_s is not None:
            self._delays.append((self._clock(), stream.link.delay_s))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metrics that are computed when they are read."""
        streams = list(self._hub.streams.values())
        yield GaugeMetricFamily("lowbeam_streams", "Streams that are on.", value=len(streams))
        yield GaugeMetricFamily(
            "lowbeam_faces_per_second", "Faces received per second, all streams.",
            value=sum(stream.link.faces_per_s for stream in streams),
        )  # fmt: skip
        delay = GaugeMetricFamily(
            "lowbeam_delay_seconds", f"Delay from camera to server over the last {WINDOW_S:.0f} s.", labels=["quantile"]
        )
        since = self._clock() - WINDOW_S
        if values := [value for time_s, value in self._delays if time_s >= since]:
            for quantile, value in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True):
                delay.add_metric([str(quantile)], float(value))
        yield delay
        rate = GaugeMetricFamily("lowbeam_rate_bps", "Bit rate on the wire in bits per second.", labels=["stream"])
        loss = GaugeMetricFamily("lowbeam_loss_ratio", "Share of packets lost.", labels=["stream"])
        behind = GaugeMetricFamily("lowbeam_behind_faces", "Faces coded and not yet stored.", labels=["stream"])
        for stream in streams:
            label = [str(stream.id)]
            rate.add_metric(label, stream.link.rate_bps)
            loss.add_metric(label, stream.link.loss)
            behind.add_metric(label, stream.link.behind)
        yield from (rate, loss, behind)

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
