"""What a configuration file may say, and the typed result of reading one.

The bounds and units of quoting stand in `engine/parameters.py`, those of order life and reconciliation in
`core/parameters.py`, those of paper execution in `simulation`, those of a venue in its connector's `Settings`; here is
the rest. `load.py` makes a `Config`; `build.py` turns it into what the
core is built from.
"""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mm_daemon.config.problems import Place
from mm_daemon.config.secrets import Secret, Secrets
from mm_daemon.core.parameters import OrderRules, ReconcileRules
from mm_daemon.domain.instrument import InstrumentId, Venue, instrument_id
from mm_daemon.engine.parameters import QuoteParameters, WarmStart
from mm_daemon.simulation.policy import VenuePolicy

Mode = Literal["paper", "live"]
LogFormat = Literal["auto", "console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    format: Annotated[LogFormat, Meta(description="auto: for people on a terminal, else JSON lines")] = "auto"
    level: Annotated[LogLevel, Meta(description="least important line that is written")] = "info"


class RiskSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits over all markets, in the quote currency; null: no limit."""

    max_drawdown: Annotated[Decimal, Meta(gt=0, description="fall of P&L from its peak, quote currency")] | None = None
    max_loss: Annotated[Decimal, Meta(gt=0, description="loss of the day, quote currency")] | None = None
    capital: (
        Annotated[
            Decimal,
            Meta(
                gt=0,
                description="what order_capital_share and max_leverage are parts of, quote currency; as written here, "
                "whatever the venues report",
            ),
        ]
        | None
    ) = None
    flatten_on_kill: Annotated[
        bool,
        Meta(description="work positions off, taking what the market offers, once a limit here or `kill` has latched"),
    ] = False
    max_notional: (
        Annotated[
            Decimal,
            Meta(
                gt=0,
                description="value of one underlying over all its markets, netted, every order of a side filled, "
                "quote currency; quotes that would pass it are pulled",
            ),
        ]
        | None
    ) = None
    min_margin_headroom: (
        Annotated[
            float,
            Meta(
                gt=0,
                lt=1,
                description="share of a venue's reported balance that must stay free of margin, every order filled; "
                "quotes that would take it are pulled",
            ),
        ]
        | None
    ) = None
    max_orders_per_second: (
        Annotated[int, Meta(gt=0, le=100000, description="places and amends a second at one venue; cancels never wait")]
        | None
    ) = None
    reject_storm: (
        Annotated[int, Meta(gt=0, le=100000, description="venue rejects a minute beyond which all stops; null = never")]
        | None
    ) = 20
    max_contradictions: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=100000,
                description="reports an hour that contradict our picture, beyond which all stops; null = never",
            ),
        ]
        | None
    ) = 3
    max_clock_skew_ms: (
        Annotated[
            int,
            Meta(
                ge=10,
                le=3600000,
                description="distance of a venue's clock from ours at which its quotes are pulled, ms; null = never",
            ),
        ]
        | None
    ) = 1000
    clock_skew_samples: Annotated[
        int, Meta(ge=1, le=1000, description="how often running a venue's time must say so to pull, or to go on")
    ] = 3


class RuntimeSettings(msgspec.Struct, frozen=True, kw_only=True):
    uvloop: Annotated[bool, Meta(description="use uvloop; false for debugging on plain asyncio")] = True
    stop_timeout_s: Annotated[
        float, Meta(gt=0, le=300, description="how long a stop may take to cancel and confirm, seconds")
    ] = 10.0
    start_timeout_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="how long the venues' accounts may disagree with ours at the start, seconds"),
    ] = 60.0
    loop_stall_ms: Annotated[
        float, Meta(ge=50, le=60000, description="lateness of this process at which all quotes are pulled, ms")
    ] = 1000.0
    queue_ttl_ms: Annotated[
        int,
        Meta(ge=10, le=60000, description="longest wait of a place or amend for a rate limit, then dropped, ms"),
    ] = 250
    summary_interval_s: Annotated[float, Meta(ge=1, le=86400, description="time between summary lines, seconds")] = 60.0
    snapshot_interval_s: (
        Annotated[
            float,
            Meta(ge=1, le=86400, description="time between two writings of metrics.json, seconds; null = none"),
        ]
        | None
    ) = 60.0


class JournalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the journals of runs are cut and kept. Backtests write one file and keep it."""

    segment_mb: Annotated[
        int, Meta(ge=1, le=4096, description="size at which a segment is closed and compressed, MiB")
    ] = 64
    market_keep_hours: Annotated[
        float,
        Meta(
            gt=0, le=87600, description="how long market data are kept, hours; a run replays while all of its are there"
        ),
    ] = 6.0
    trade_keep_days: Annotated[
        float, Meta(ge=0.01, le=36500, description="how long orders, fills and decisions are kept, days")
    ] = 90.0
    """At least some minutes: a restart needs the last checkpoint, which is at most one old, and all that follows it."""
    disk_keep_free_mb: Annotated[
        int, Meta(ge=0, le=1 << 30, description="space left free on the disk; below it market data go sooner, MiB")
    ] = 1024


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    host: Annotated[
        str,
        Meta(min_length=1, description="address to listen at; any but loopback shows the figures to the network"),
    ] = "127.0.0.1"
    port: (
        Annotated[int, Meta(ge=0, le=65535, description="port; 0 = any that is free, null = neither metrics nor page")]
        | None
    ) = 9464
    page: Annotated[bool, Meta(description="show the status page beside /metrics")] = True
    token: (
        Annotated[
            Secret,
            Meta(
                min_length=16,
                description="lets whoever has it pause, resume and flatten on the page; null = the page only shows",
            ),
        ]
        | None
    ) = None
    names: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            description="host names that page and /metrics answer to, beside localhost and addresses",
        ),
    ] = ()


class TopLevel(msgspec.Struct, frozen=True, kw_only=True):
    """The plain keys at the top of the file; sections are read apart."""

    version: Annotated[Literal[1], Meta(description="version of this format")]
    mode: Annotated[Mode, Meta(description="paper: orders never leave this process")] = "paper"
    state_dir: Annotated[Path, Meta(description="folder of journal, client order ids and paper account")] = Path("var")
    control: Annotated[
        bool, Meta(description="let `status`, `watch`, `pause`, `kill` and the like in by a socket in state_dir")
    ] = True
    seed: Annotated[
        int,
        Meta(
            ge=0, description="start of all chance: latency draws, and a connector's seed where it has none of its own"
        ),
    ] = 1


class MarketKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of one market beside those of `QuoteParameters`. One of three says the size of a quote, one of three
    the largest position, both in base units or both in money (`rules.py`).
    """

    venue: Annotated[str, Meta(min_length=1, description="name of an entry under venues")]
    symbol: Annotated[str, Meta(min_length=1, description="the venue's name of the market")]
    order_size: Annotated[Decimal, Meta(gt=0, description="size of one quote, base units")] | None = None
    order_notional: (
        Annotated[
            Decimal,
            Meta(gt=0, description="instead of order_size: in settlement currency, lots follow the price"),
        ]
        | None
    ) = None
    order_capital_share: (
        Annotated[Decimal, Meta(gt=0, le=1, description="instead of order_size: as a share of risk.capital")] | None
    ) = None
    max_position: Annotated[Decimal, Meta(ge=0, description="largest long position, base units")] | None = None
    max_position_notional: (
        Annotated[
            Decimal,
            Meta(gt=0, description="instead of max_position: in settlement currency, lots follow the price"),
        ]
        | None
    ) = None
    max_leverage: (
        Annotated[Decimal, Meta(gt=0, le=1000, description="instead of max_position: in multiples of risk.capital")]
        | None
    ) = None
    min_position: (
        Annotated[
            Decimal,
            Meta(le=0, description="most negative position, base units; null = as far as the largest long one"),
        ]
        | None
    ) = None
    max_order_size: (
        Annotated[Decimal, Meta(gt=0, description="largest single order, base units; null = twice the largest level")]
        | None
    ) = None
    calibration_file: (
        Annotated[
            Path,
            Meta(
                description="file of `mm-daemon calibrate --save`: its volatility, intensity and k hold until this "
                "market has been measured again; null = those written here"
            ),
        ]
        | None
    ) = None
    collar_bps: Annotated[float, Meta(gt=0, le=10000, description="largest distance of an order from the mid, bps")] = (
        500.0
    )
    flatten_slippage_bps: Annotated[
        float,
        Meta(ge=0, le=1000, description="how far beyond the market's best price an order of `flatten` may trade, bps"),
    ] = 20.0
    max_order_notional: (
        Annotated[Decimal, Meta(gt=0, description="largest value of one order, quote currency; null = no limit")] | None
    ) = None
    initial_margin: Annotated[
        float, Meta(gt=0, le=1, description="share of an order's value that the venue asks as margin; 1 = all of it")
    ] = 1.0
    actions_per_minute: (
        Annotated[int, Meta(gt=0, le=1000000, description="places and amends a minute; null = no budget")] | None
    ) = None
    max_order_to_trade: (
        Annotated[
            float,
            Meta(ge=1, le=1e9, description="messages (places, amends, cancels) per fill in an hour; null = no limit"),
        ]
        | None
    ) = None


class VenueConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One venue: which connector, and the keys of that connector's own `Settings`."""

    name: Venue
    connector: str
    settings: msgspec.Struct
    secrets: Secrets
    place: Place


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in settlement currency, and the keys that said them; `min_position` is zero or negative."""

    order: Decimal
    max_position: Decimal
    min_position: Decimal
    order_key: str
    position_key: str

    @property
    def of_capital(self) -> bool:
        return self.order_key == "order_capital_share" or self.position_key == "max_leverage"


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """One market, defaults merged and rules checked. Sizes in base units; where they are money, None."""

    venue: Venue
    symbol: str
    order_size: Decimal | None
    max_position: Decimal | None
    min_position: Decimal | None
    max_order_size: Decimal | None
    money: Money | None = None
    collar_bps: float
    flatten_slippage_bps: float
    max_order_notional: Decimal | None
    initial_margin: float
    actions_per_minute: int | None
    max_order_to_trade: float | None
    quoting: QuoteParameters
    warm: WarmStart | None
    """What `calibration_file` says; its volatility, intensity and k stand in `quoting`."""
    path: str
    place: Place
    places: dict[str, Place]
    """Where each key of it stands: in the market itself or in `defaults`."""

    @property
    def id(self) -> InstrumentId:
        return instrument_id(self.venue, self.symbol)

    def place_of(self, key: str) -> Place:
        return self.places.get(key, self.place)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    file: str
    mode: Mode
    state_dir: Path
    control: bool
    seed: int
    log: LogSettings
    paper: VenuePolicy
    risk: RiskSettings
    orders: OrderRules
    reconcile: ReconcileRules
    runtime: RuntimeSettings
    journal: JournalSettings
    http: HttpSettings
    venues: dict[Venue, VenueConfig]
    markets: tuple[Market, ...]

    def symbols_of(self, venue: Venue) -> tuple[str, ...]:
        """The symbols quoted on a venue, in the order of the file."""
        return tuple(market.symbol for market in self.markets if market.venue == venue)
