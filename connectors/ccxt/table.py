"""What each exchange can do through this connector: the table of deploy/docs/ccxt.md, made by code, so that it is true.

python -m connectors.ccxt.table deploy/docs/ccxt.md
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from connectors.ccxt.abilities import capabilities, two_way
from connectors.ccxt.client import Factory
from connectors.ccxt.dialects import Dialect, dialect
from connectors.ccxt.settings import CcxtSettings
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.errors import ConfigError

EXCHANGES = ("binanceusdm", "okx", "bybit", "kucoinfutures", "krakenfutures", "gate", "bitget")
BEGIN, END = "<!-- table: made by connectors/ccxt/table.py -->", "<!-- end of table -->"


def table() -> str:
    """Markdown, a column for each exchange."""
    made = [_column(name) for name in EXCHANGES]
    names = list(made[0])
    lines = ["| | " + " | ".join(EXCHANGES) + " |", "|---|" + "---|" * len(EXCHANGES)]
    lines += [f"| {name} | " + " | ".join(column[name] for column in made) + " |" for name in names]
    return "\n".join(lines)


def renewed(page: str) -> str:
    """A page with today's table in place of the one it has. Raises ValueError when it has none."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


def _column(exchange: str) -> dict[str, str]:
    settings, known = CcxtSettings(exchange=exchange), dialect(exchange)
    factory = _factory(settings, known)
    made = capabilities(settings, known, factory.has)
    return {
        "proven": known.proven,
        "native data": _yes(known.translator is not None),
        "two-way mode": _two_way(known, factory),
        "amend": "by stream" if made.amend and known.acks_only else _yes(made.amend),
        "orders in a batch": f"{known.places_max}, {known.amends_max}, {known.cancels_max}",
        "cancel all": "yes" if factory.has.get("cancelAllOrders") else "one by one",
        "dead man": _switch(made),
        "time to effect": f"{made.d_max_ms / 1000:g} s",
        "orders": _orders(made),
        "fills on stream": _yes(bool(factory.has.get("watchMyTrades"))),
        "passphrase": _yes(factory.needs_passphrase),
        "test system": _yes(_has_testnet(exchange, known)),
    }


def _factory(settings: CcxtSettings, known: Dialect) -> Factory:
    return Factory(settings, known, {}, venue=settings.exchange, now_ms=lambda: 0, on_response=lambda *_: None)


def _has_testnet(exchange: str, known: Dialect) -> bool:
    try:
        _factory(CcxtSettings(exchange=exchange, testnet=True), known)
    except ConfigError:
        return False
    return True


def _two_way(known: Dialect, factory: Factory) -> str:
    if not two_way(known, factory.features):
        return "no"
    return "unproven" if known.proven == "nothing" else known.proven


def _switch(made: Capabilities) -> str:
    return "none" if made.dead_man_floor_ms is None else f"from {made.dead_man_floor_ms / 1000:g} s"


def _orders(made: Capabilities) -> str:
    bucket = next(each for each in made.buckets if each.name == "orders")
    return f"{bucket.capacity} in {bucket.period_ms / 1000:g} s"


def _yes(whether: bool) -> str:
    return "yes" if whether else "no"


def main(arguments: Sequence[str]) -> None:
    """Renew the pages that are named."""
    for name in arguments:
        path = Path(name)
        path.write_text(renewed(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
