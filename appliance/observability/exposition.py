"""Everything that is measured, in Prometheus' text format; the library is loaded when first asked.

The `vllm:*` families repeat ours under the names that ready-made boards ask for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from appliance.observability import gauges
from appliance.observability.aliases import aliases
from appliance.observability.families import counter, histogram
from appliance.observability.gpu import Gpus
from appliance.observability.metrics import Metrics
from appliance.observability.readings import Readings

if TYPE_CHECKING:
    from prometheus_client import Metric


class Exposition:
    """Writes `metrics`, the parts' readings, and the cards'."""

    def __init__(self, metrics: Metrics, gpus: Gpus | None = None) -> None:
        self._metrics = metrics
        self._gpus = gpus or Gpus()

    def write(self, readings: Readings, accept: str = "") -> tuple[bytes, str]:
        """The text and its content type, as `accept` wishes. Blocks for milliseconds."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Once(list(self.families(readings))))
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    def families(self, readings: Readings) -> Iterator[Metric]:
        """All that is told now."""
        metrics = self._metrics
        latencies, phases, tokens = metrics.latencies, metrics.phases, metrics.tokens
        for each in (
            *(latencies.duration, latencies.first_token, latencies.per_token, tokens.used),
            *(phases.queue, phases.prefill, phases.decode, metrics.http),
        ):
            yield histogram(each)
        for tally in (metrics.finished, tokens.cached, metrics.refused, metrics.cache):
            yield counter(tally)
        yield from aliases(metrics, readings)
        yield from gauges.appliance(readings)
        yield from gauges.process()
        yield from gauges.cards(self._gpus.read())


class _Once:
    """A collector of what was collected already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
