"""The result of a calibration: one object, a page for people, a block for the configuration file."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from mm_daemon.backtest.calibration.advice import GlftAdvice, Suggestion
from mm_daemon.backtest.calibration.intensity import IntensityFit
from mm_daemon.backtest.calibration.volatility import VolatilityFit


class CoursePoint(msgspec.Struct, frozen=True):
    """The short volatility at an instant: bps per square root of a second, seconds since the first event."""

    at_s: float
    sigma_bps: float


class ShortVolatility(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon's short-horizon volatility against the plain one of the whole sample: at the end, and in between."""

    half_life_s: float
    ratio: float
    lowest_ratio: float
    highest_ratio: float
    course: tuple[CoursePoint, ...]


class TouchSpread(msgspec.Struct, frozen=True, kw_only=True):
    """Mean over time."""

    ticks: float
    bps: float


class Trades(msgspec.Struct, frozen=True, kw_only=True):
    """Prints of one venue time and side are one taker order. Sizes in base units."""

    prints: int
    orders: int
    orders_per_minute: float | None
    orders_per_minute_error: float | None
    """Standard error; None where the data are too short to tell."""
    mean_size: float | None
    as_large_as_ours: int


class LiveEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon's own estimator of A and k came to at the end of the data, from nothing."""

    half_life_s: float
    A: float | None
    k: float | None
    n_eff: float
    r2: float
    confidence: float
    refused: int
    """Fits that were not good enough."""


class FeeBreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """What the maker fee alone asks for (MODELS 5.3), bps."""

    half_spread_bps: float
    spread_bps: float


class MarketCalibration(msgspec.Struct, frozen=True, kw_only=True):
    """One market. None where the data say nothing."""

    market: str
    venue: str
    symbol: str
    base: str
    """What sizes count."""
    order_size: Decimal
    max_position: Decimal
    min_position: Decimal
    seconds: float
    """From the first event to the last."""
    until_ns: int
    """When the last event came; 0: none did."""
    observed_s: float
    """With a book that could be trusted."""
    mid: float | None
    """Mean over time, quote currency."""
    volatility: VolatilityFit | None
    annual_volatility: float | None
    """A fraction: 0.5 = 50 %."""
    plain_volatility: VolatilityFit | None
    """Of single steps of the clock, as the daemon's own estimator has it: more than the other where the mid flickers,
    less where it comes behind.
    """
    short_volatility: ShortVolatility | None
    touch_spread: TouchSpread | None
    trades: Trades
    fit: IntensityFit
    """Both sides together; A is that of a side."""
    buys: IntensityFit
    """Aggressors that buy: they lift asks."""
    sells: IntensityFit
    live: LiveEstimate
    break_even: FeeBreakEven
    glft: GlftAdvice | None
    """What GLFT quotes with the suggested values."""
    suggestion: Suggestion
    dropped: Mapping[str, int]
    warnings: tuple[str, ...]


class CalibrationReport(msgspec.Struct, frozen=True, kw_only=True):
    """All markets of a configuration."""

    markets: tuple[MarketCalibration, ...]
    problems: Mapping[str, int]
    """Frames that could not be used, by kind."""
    notes: tuple[str, ...]
    """What a person should know about the input."""
    yaml: str
    """The suggested block."""

    def to_json(self) -> bytes:
        return _encoder.encode(self)


_encoder = msgspec.json.Encoder(decimal_format="number")
