"""The terminal screen of `watch`: a running daemon at a glance, from nothing but its `Status`.

`screen` lays a status out on so many columns and lines: every line is cut to the width, none wraps, and the same things
stand at the same places from one second to the next. Markets that do not fit as blocks become one line each. Colours
are the terminal's own sixteen, without the ones that vanish on a light background. `show` keeps it on the terminal.
"""

import signal
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from mm_daemon.observability.recent import Line
from mm_daemon.observability.status import MarketStatus, SideStatus, Status, VenueStatus

_UNKNOWN_NAMED = 3
"""Orders of unknown outcome that are named, for `resolve`."""
_PERIOD_S = 0.5
_WIDE = 120
_BAR_CELLS = 20
_STATES = {"quoting": "bold reverse green", "killed": "bold reverse red"}
_OTHER_STATE = "bold reverse blue"
_LEVELS = {"warning": "magenta", "error": "red", "critical": "bold red"}
_SIDES = {"bid": "green", "ask": "red"}


def show(ask: Callable[[], Status], *, of_run: bool) -> bool:
    """Show what `ask` answers until Ctrl-C, or until the daemon has gone (`ask` raises EOFError): then True.

    `of_run`: Ctrl-C belongs to the daemon, which sits at the same terminal; the screen stays until it has stopped.
    """
    signal.signal(signal.SIGTERM, _leave)
    if of_run:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    console = Console(highlight=False, markup=False, emoji=False)
    hint = "Ctrl-C stops the daemon" if of_run else "Ctrl-C leaves; the daemon goes on"
    try:
        with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                live.update(screen(ask(), console.width, console.height, hint), refresh=True)
                time.sleep(_PERIOD_S)
    except EOFError:
        return True
    except KeyboardInterrupt:
        return False


def _leave(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def screen(status: Status, width: int, height: int, hint: str = "") -> Group:
    """The status on exactly `height` lines of at most `width` columns."""
    head = [*_head(status, width), *(_venue(venue) for venue in status.venues), Text()]
    room = height - len(head) - 1
    lines = head + _markets(status, width, room)
    rest = height - len(lines) - 1
    if rest >= 2:
        lines += [Text(), *_recent(status.recent, rest - 1)]
    lines = lines[: height - 1]
    lines += [Text()] * (height - 1 - len(lines))
    lines.append(_line(Text(hint, "dim"), Text(_where(status), "dim"), width))
    return _cut(lines, width)


def whole(status: Status, width: int) -> Group:
    """The status at whatever length it needs, without the log's last lines: for `status`."""
    lines = [*_head(status, width), *(_venue(venue) for venue in status.venues)]
    for block in _blocks(status, width):
        lines += [Text(), *block]
    lines += [Text(), Text(_where(status), "dim")]
    return _cut(lines, width)


def _cut(lines: Iterable[Text], width: int) -> Group:
    cut = []
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
        cut.append(line)
    return Group(*cut)


def _where(status: Status) -> str:
    return "" if status.http is None else f"http://{status.http}/metrics"


# Head


def _head(status: Status, width: int) -> list[Text]:
    left = Text.assemble(
        (f" {status.state.upper()} ", _STATES.get(status.state, _OTHER_STATE)),
        (f"  mm-daemon {status.version}", "bold"),
        f" {status.mode}",
        *(part for currency, total in status.pnl.items() for part in ("   P&L ", _signed(total), f" {currency}")),
    )
    up_s = max(0, status.now_ns - status.started_ns) // 1_000_000_000
    clock = datetime.fromtimestamp(status.now_ns // 1_000_000_000, UTC)
    right = Text(f"up {up_s // 3600:02d}:{up_s // 60 % 60:02d}:{up_s % 60:02d}   {clock:%H:%M:%S} UTC")
    lines = [_line(left, right, width)]
    if status.kill is not None:
        lines.append(Text(f"killed ({status.kill}): nothing is quoted until `mm-daemon clear-kill`", "bold red"))
    elif not status.ready:
        lines.append(Text(f"not ready: {', '.join(status.unready)}", "magenta"))
    if status.max_drawdown is not None and status.drawdown is not None:
        used = _share(status.drawdown, status.max_drawdown)
        said = f"drawdown {_rounded(status.drawdown)} of {_rounded(status.max_drawdown)} allowed"
        lines.append(Text(said, "bold red" if used > 0.8 else ""))
    return lines


def _venue(venue: VenueStatus) -> Text:
    said = Text.assemble(
        (venue.name, "bold"),
        " ",
        ("connected", "green") if venue.connected else ("not connected", "bold red"),
        f"   data {_age(venue.data_age_ms)}   {venue.open_orders} orders",
    )
    if venue.unknown_orders:
        named = ", ".join(str(order.client_id) for order in venue.unknown[:_UNKNOWN_NAMED])
        said.append(f"   {venue.unknown_orders} unknown ({named})", "bold red")
    if venue.waiting_commands:
        said.append(f"   {venue.waiting_commands} waiting")
    if venue.restarts:
        said.append(f"   {venue.restarts} restarts", "magenta")
    if bad := sum(venue.bad_messages.values()):
        said.append(f"   {bad} bad messages", "magenta")
    for bucket, share in venue.headroom.items():
        said.append(f"   {bucket} {share:.0%} left", "bold red" if share < 0.2 else "")
    return said


# Markets


def _markets(status: Status, width: int, room: int) -> list[Text]:
    """As blocks if they fit, else a line each; what does not fit at all is counted."""
    blocks = _blocks(status, width)
    if sum(map(len, blocks)) + len(blocks) - 1 <= room:
        spaced = [line for block in blocks for line in (Text(), *block)]
        return spaced[1:]
    lines = _table(status, width)
    if len(lines) <= room:
        return lines
    shown = max(1, room - 1)
    return [*lines[:shown], Text(f"… and {len(lines) - shown} more markets: make the window taller", "dim")]


class _Columns:
    """Widths that all markets share, so that their figures stand below each other."""

    def __init__(self, markets: Iterable[MarketStatus]) -> None:
        markets = tuple(markets)
        sides = [side for market in markets for side in (market.bid, market.ask)]
        bests = [best for market in markets for best in (market.book.bid, market.book.ask)]
        self.price = max([5, *(len(text or "") for text in (*bests, *(side.price for side in sides)))])
        self.size = max([4, *(len(market.max_position) for market in markets)])
        self.queue = max([7, *(len(side.queue or "") for side in sides)])
        self.mid = max([5, *(len(f"{side.mid_bps:.2f}") for side in sides if side.mid_bps is not None)])


def _blocks(status: Status, width: int) -> list[list[Text]]:
    columns = _Columns(status.markets)
    return [_block(market, columns, width) for market in status.markets]


def _block(market: MarketStatus, columns: _Columns, width: int) -> list[Text]:
    lines = [
        _title(market, width),
        _side_header(columns),
        _side(market.ask, columns),
        _side(market.bid, columns),
        _position(market, width),
        _pnl(market),
    ]
    if width >= _WIDE:
        lines += [_model(market), _trades(market)]
    return lines


def _title(market: MarketStatus, width: int) -> Text:
    book = market.book
    left = Text.assemble((market.symbol, "bold"), "  ")
    if book.trusted:
        left.append(f"{book.bid} / {book.ask}")
        left.append(f"   spread {book.spread_bps:.2f} bps", "dim")
    else:
        left.append(f"no trusted book: {book.trouble}", "bold red")
    for reason, source in market.held:
        left.append(f"   {reason} ({source})", "bold red")
    return _line(left, Text(f"{market.venue}   book {_age(book.age_ms)}", "dim"), width)


def _side_header(columns: _Columns) -> Text:
    return Text(
        f"  {'':3} {'price':>{columns.price}} {'size':>{columns.size}} {'bps':>{columns.mid}} {'ticks':>6}"
        f" {'queue':>{columns.queue}}  why",
        "dim",
    )


def _side(side: SideStatus, columns: _Columns) -> Text:
    """Price, size, bps from the mid, ticks behind the best price, size before us, and why it is so."""
    mid = "" if side.mid_bps is None else f"{side.mid_bps:.2f}"
    ticks = "" if side.touch_ticks is None else f"{side.touch_ticks}"
    quiet = side.action != "WITHDRAW"
    return Text.assemble(
        "  ",
        (side.side, _SIDES[side.side]),
        f" {side.price or '-':>{columns.price}} {side.size or '':>{columns.size}} {mid:>{columns.mid}} {ticks:>6}",
        f" {side.queue or '-' if side.price else '':>{columns.queue}}  ",
        (side.words, "" if quiet else "magenta"),
    )


def _position(market: MarketStatus, width: int) -> Text:
    held, most, least = (Decimal(text) for text in (market.position, market.max_position, market.min_position))
    said = Text.assemble("  position ", (f"{held:+f}" if held else f"{held:f}", "bold"), f" {market.base}  ")
    said.append(market.min_position, "dim")
    said.append_text(_bar(float(held), float(least), float(most)))
    said.append(market.max_position, "dim")
    said.append(f"   {market.fills} fill{'' if market.fills == 1 else 's'} since the start")
    if width >= _WIDE:
        said.append(f"   with all orders filled {market.worst_short} … {market.worst_long}", "dim")
        if market.average_price is not None:
            said.append(f"   held at {market.average_price:.8g} on average", "dim")
    return said


def _bar(held: float, least: float, most: float) -> Text:
    """Where the position is between its limits; `|` is flat."""
    span = most - least
    if span <= 0:
        return Text(" ")
    flat = round(-least / span * _BAR_CELLS)
    at = min(_BAR_CELLS, max(0, round((held - least) / span * _BAR_CELLS)))
    first, last = min(flat, at), max(flat, at)
    used = held / most if held > 0 else held / least if held < 0 and least < 0 else 0.0
    colour = "red" if used > 0.9 else "blue"
    cells = Text(" [")
    for cell in range(_BAR_CELLS + 1):
        if cell == flat:
            cells.append("|", "bold")
        elif first <= cell <= last:
            cells.append("=", colour)
        else:
            cells.append("-", "dim")
    cells.append("] ")
    return cells


def _pnl(market: MarketStatus) -> Text:
    pnl = market.pnl
    said = Text.assemble("  P&L ", _signed(pnl.total, "bold"), f" {market.currency}", ("  = ", "dim"))
    parts: list[Text] = []
    for part, amount in (
        ("spread", pnl.spread),
        ("inventory", pnl.inventory),
        ("fees", pnl.fees),
        ("funding", pnl.funding),
    ):
        parts.append(Text.assemble((f"{part} ", "dim"), _signed(amount, digits=2)))
    said.append_text(Text("  ").join(parts))
    return said


def _model(market: MarketStatus) -> Text:
    model = market.model
    if model.fair is None or model.reservation is None:
        return Text("  no price of the model", "dim")
    return Text(
        f"  fair {model.fair:.8g}   centre {model.reservation:.8g}   volatility {model.sigma_bps:.2f} bps/√s"
        f"   half-spread {model.half_spread_bps:.2f} bps   skew {model.skew_bps:.2f} bps per order"
        f"   both sides quoted {market.uptime:.1%}",
        "dim",
    )


def _trades(market: MarketStatus) -> Text:
    """Markouts of bid and ask fills at each horizon; `-` until there is one."""
    trades, inventory = market.trades, market.inventory
    said = Text("  markout bps bid/ask", "dim")
    for horizon_s in dict.fromkeys(figure.horizon_s for figure in trades.markouts):
        sides = (_bps(figure.markout_bps) for figure in trades.markouts if figure.horizon_s == horizon_s)
        said.append(f"  {horizon_s} s {'/'.join(sides)}", "dim")
    rate = "-" if trades.trades_per_hour is None else f"{trades.trades_per_hour:.0f}"
    said.append(f"   captured {_bps(trades.spread_captured_bps)} bps   {rate} fills an hour", "dim")
    if inventory is not None:
        said.append(f"   mean |position| {inventory.mean_abs:.3g}", "dim")
    return said


def _table(status: Status, width: int) -> list[Text]:
    """A line per market, below a header."""
    columns = _Columns(status.markets)
    name = max(6, *(len(market.symbol) for market in status.markets))
    held = max(8, *(len(market.position) + 1 for market in status.markets))
    price = columns.price
    lines = [
        Text(f"{'':{name}} {'bid':>{price}} {'ask':>{price}} {'position':>{held}} {'P&L':>11}  why (bid, ask)", "dim")
    ]
    for market in status.markets:
        bid, ask = market.bid, market.ask
        said = Text.assemble(
            (f"{market.symbol:{name}}", "bold"),
            (f" {bid.price or '-':>{price}}", "green"),
            (f" {ask.price or '-':>{price}}", "red"),
            f" {Decimal(market.position):>+{held}f} ",
            _signed(market.pnl.total, width=11),
            "  ",
        )
        if market.book.trusted:
            words = bid.words if bid.words == ask.words else f"{bid.words} | {ask.words}"
            said.append(words, "" if bid.price or ask.price else "magenta")
        else:
            said.append(f"no trusted book: {market.book.trouble}", "bold red")
        lines.append(said)
    return lines


# Log


def _recent(lines: tuple[Line, ...], room: int) -> list[Text]:
    """The newest lines, the newest last."""
    return [
        Text.assemble((line.ts[11:19], "dim"), f" {line.name:<10} ", (line.text, _LEVELS.get(line.level, "")))
        for line in lines[-room:]
    ]


# Leaves


def _line(left: Text, right: Text, width: int) -> Text:
    """Something on the left, something on the right; the left one gives way."""
    room = width - right.cell_len - 2
    if room < 10:
        return left
    left.truncate(room, overflow="ellipsis", pad=True)
    return Text.assemble(left, "  ", right)


def _signed(amount: str, style: str = "", *, digits: int = 4, width: int = 0) -> Text:
    text = f"{float(amount):+.{digits}f}"
    colour = "" if float(text) == 0 else "green" if text.startswith("+") else "red"
    return Text(f"{text:>{width}}", f"{style} {colour}".strip())


def _bps(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _rounded(amount: str) -> str:
    return f"{float(amount):.2f}"


def _share(part: str, of: str) -> float:
    return float(part) / float(of) if float(of) else 1.0


def _age(age_ms: int | None) -> str:
    if age_ms is None:
        return "never"
    return f"{age_ms} ms" if age_ms < 1000 else f"{age_ms / 1000:.1f} s"
