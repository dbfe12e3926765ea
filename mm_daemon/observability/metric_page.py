"""One answer to `/metrics` in the making: families by name, filled sample by sample."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from mm_daemon.observability.histogram import Histogram
from mm_daemon.observability.metric_names import DEFINITIONS, Definition

Family = GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily


class Page:
    """Samples by name. A name that is not in `DEFINITIONS` is a KeyError: a bug."""

    def __init__(self) -> None:
        self._families = {definition.name: _family(definition) for definition in DEFINITIONS}

    def add(self, name: str, value: float, *labels: str) -> None:
        family = self._families[name]
        assert not isinstance(family, HistogramMetricFamily)
        family.add_metric(labels, float(value))

    def add_histogram(self, name: str, histogram: Histogram, *labels: str) -> None:
        family = self._families[name]
        assert isinstance(family, HistogramMetricFamily)
        family.add_metric(labels, histogram.cumulative(), histogram.total)

    def families(self) -> Iterator[Metric]:
        return (family for family in self._families.values() if family.samples)


def _family(definition: Definition) -> Family:
    if definition.kind == "gauge":
        return GaugeMetricFamily(definition.name, definition.help, labels=definition.labels)
    if definition.kind == "counter":
        return CounterMetricFamily(definition.name, definition.help, labels=definition.labels)
    return HistogramMetricFamily(definition.name, definition.help, labels=definition.labels)
