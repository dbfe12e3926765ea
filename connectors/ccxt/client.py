"""ccxt's exchanges, built: imported only here and only when one is asked for.

Numbers stay the text that the venue sent; ccxt's rate limiter is off, because the outbox keeps the venue's limits; the
order of replies to batches is kept; the clock is ours, set right by the venue's; a request is never sent a second time
by the transport below (aiohttp repeats a PUT or a DELETE on a connection that was closed under it).
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from connectors.ccxt.dialects import Dialect
from connectors.ccxt.settings import CcxtSettings
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.spelling import did_you_mean

OnResponse = Callable[[int, Mapping[str, str], str], None]


class Factory:
    """Builds instances of one exchange with one key."""

    def __init__(
        self,
        settings: CcxtSettings,
        dialect: Dialect,
        secrets: Mapping[str, str],
        *,
        venue: str,
        now_ms: Callable[[], int],
        on_response: OnResponse,
    ) -> None:
        """`now_ms` is the venue's time. Raises ConfigError for an exchange or a test system that ccxt does not have."""
        pro = importlib.import_module("ccxt.pro")
        if settings.exchange not in pro.exchanges:
            hint = did_you_mean(settings.exchange, pro.exchanges) or "; `exchange` is ccxt's name of it"
            raise ConfigError(f"venue {venue}: ccxt has no streams of {settings.exchange!r}{hint}")
        self._class = getattr(pro, settings.exchange)
        self._settings = settings
        self._dialect = dialect
        self._secrets = secrets
        self._venue = venue
        self._now_ms = now_ms
        self._on_response = on_response
        self._tls: Any = None
        """Trusted certificates, read once: that takes 13 ms, and instances are made anew while others trade."""
        probe = self.build()
        self.has: Mapping[str, Any] = probe.has
        self.features: Mapping[str, Any] = probe.features
        self.needs_passphrase: bool = bool(probe.requiredCredentials.get("password"))

    def build(self) -> Any:
        """A fresh instance; nothing is sent yet."""
        settings, dialect = self._settings, self._dialect
        exchange = self._class(
            {
                "apiKey": self._secrets.get("api_key", ""),
                "secret": self._secrets.get("api_secret", ""),
                "password": self._secrets.get("passphrase", ""),
                "enableRateLimit": False,
                "timeout": round(settings.ack_timeout_ms * 0.9),
                "number": str,
                "timeout_on_exit": 0,
                "streaming": {"keepAlive": dialect.ping_ms, "maxPingPongMisses": 2},
                "options": dict(dialect.options),
            }
        )
        if settings.testnet:
            self._to_testnet(exchange)
        if settings.url is not None:
            _redirect(exchange, settings.url.rstrip("/"))
        if exchange.options.get("defaultType") in (None, "spot"):
            exchange.options["defaultType"] = "swap"
        exchange.nonce = self._now_ms
        exchange.on_rest_response = self._heard
        exchange.parse_orders = lambda orders, *args, **keys: [exchange.parse_order(order) for order in orders]
        return exchange

    def open(self, exchange: Any) -> None:
        """Its HTTP session, inside a running loop."""
        exchange.ssl_context = self._tls
        exchange.open()
        self._tls = exchange.ssl_context
        exchange.session._retry_connection = False

    def _to_testnet(self, exchange: Any) -> None:
        try:
            if self._dialect.demo:
                exchange.enable_demo_trading(True)
            else:
                exchange.set_sandbox_mode(True)
        except Exception as error:  # ccxt's own classes, which are not imported here
            raise ConfigError(
                f"venue {self._venue}: ccxt has no test system of {self._settings.exchange}; remove testnet: true and "
                "use mode: paper to try it without money"
            ) from error

    def _heard(
        self,
        code: int,
        reason: str,
        url: str,
        method: str,
        headers: Mapping[str, str],
        body: str,
        request_headers: Mapping[str, str],
        request_body: object,
    ) -> str:
        """Every answer, before ccxt judges it."""
        self._on_response(code, headers, body)
        return body.strip()


def _redirect(exchange: Any, url: str) -> None:
    """All addresses of the exchange at one host, its paths as they are."""

    def moved(address: Any) -> Any:
        if isinstance(address, dict):
            return {name: moved(each) for name, each in address.items()}
        if not isinstance(address, str) or "://" not in address:
            return address
        scheme, _, rest = address.partition("://")
        path = rest.partition("/")[2]
        host = f"ws{url.removeprefix('http')}" if scheme.startswith("ws") else url
        return f"{host}/{path}" if path else host

    exchange.urls["api"] = moved(exchange.urls["api"])
