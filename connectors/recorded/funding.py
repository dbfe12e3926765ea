"""A series of funding rates, joined to market data: (time, rate) of a CSV or Parquet file as `FundingUpdate`s.

A row's time is when its rate was settled, and its rate that of the period that ended then, as venues list their
history. What a daemon sees live is the prediction of the next one: here it sees, from the end of one period, the rate
that the next one came to, which is known exactly only later. The report says so.
"""

from collections.abc import Iterator
from pathlib import Path

from connectors.recorded.reader import Damaged
from connectors.recorded.tables import Times, find_columns, number, open_table
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import FundingUpdate
from mm_daemon.domain.instrument import Instrument, InstrumentId

_RATE_ONE = 10**12


def rate_e12(rate: float) -> int:
    """A fraction per period in units of 1e-12."""
    return round(rate * _RATE_ONE)


class FundingRates:
    """One instrument's series."""

    def __init__(self, path: Path, instrument: Instrument, *, period_ns: int, damaged: Damaged) -> None:
        """Raises ConfigError when the file cannot be read or has no column of times or rates."""
        self.table = open_table(path, damaged)
        self._instrument = instrument
        self._period_ns = period_ns
        self._places = find_columns(self.table.columns, {}, ("time", "funding"))
        for name, said in (("time", "timestamp"), ("funding", "rate")):
            if name not in self._places:
                raise ConfigError(f"funding {path}:1: has no column {said}; it has {', '.join(self.table.columns)}")

    @property
    def notes(self) -> list[str]:
        text = f"{self.table.name}: the rate of each funding period is known from its beginning, better than live"
        return [*self.table.notes, text]

    @property
    def damaged(self) -> int:
        return self.table.damaged

    @staticmethod
    def update(instrument: InstrumentId, at_ns: int, rate: int, period_ns: int) -> FundingUpdate:
        """What is known at `at_ns`: the rate, due at the next full period of the clock."""
        return FundingUpdate(instrument, at_ns, at_ns, rate, (at_ns // period_ns + 1) * period_ns, period_ns)

    def events(self) -> Iterator[FundingUpdate]:
        """Each rate from the settlement before its own, or a period before it, on."""
        times, before_ns = Times(), 0
        time_at, rate_at = self._places["time"], self._places["funding"]
        for row in self.table.rows():
            try:
                at_ns, rate = times.ns(row[time_at]), number(row[rate_at])
            except ValueError as error:
                self.table.spoil(str(error))
                continue
            if at_ns <= before_ns:
                self.table.spoil("time does not go on; sort the series by time (the row is left out)")
                continue
            if rate is None:
                continue
            period_ns = at_ns - before_ns if before_ns else self._period_ns
            known_ns = at_ns - min(period_ns, self._period_ns)
            yield FundingUpdate(self._instrument.id, known_ns, known_ns, rate_e12(rate), at_ns, self._period_ns)
            before_ns = at_ns
