"""What tests of Lighter share: the simulated venue behind real loopback sockets, keys that are worth nothing, a signer
that needs no native library, and where that library is, if it is."""

import base64
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from connectors.lighter import library
from connectors.lighter import transactions as tx
from connectors.lighter.connector import LighterConnector
from connectors.lighter.settings import Deployment, LighterSettings, Tier
from connectors.simulators.faults import FaultKind
from connectors.simulators.lighter.server import LighterVenue, private_key
from connectors.simulators.lighter.settings import LighterVenueSettings
from connectors.simulators.lighter.signing import messages, schnorr
from connectors.simulators.lighter.signing.ecgfp5 import ORDER
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import Event
from mm_daemon.domain.instrument import Venue
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.ports.simulator import SimulatorContext
from mm_daemon.runtime.clock import Clock
from mm_daemon.simulation.symbols import SymbolSettings
from tests.serving import served
from tests.shared import ROOT

LIBRARY_FOLDER = ROOT / "build" / "lighter"
"""Where `python -m connectors.lighter.library build/lighter` puts it for tests; the usual place is looked at too."""
CHAIN_ID = 300
ACCOUNT = 700_001
KEY_INDEX = 5
SECRET = 0x1234_5678_9ABC_DEF0_0FED_CBA9_8765_4321
PRIVATE_KEY = private_key(SECRET)
QUIET = SymbolSettings(
    volatility=0.0,
    trades_per_second=0.0,
    impact_bps=0.0,
    join_chance=0.0,
    pull_chance=0.0,
    maker_fee_bps=0.4,
    taker_fee_bps=2.8,
)
"""A market in which makers come and go, and nobody takes."""
_DEADLINE_MS = 599_000


def native_library() -> Path:
    """The library, or the test is skipped."""
    for path in (str(LIBRARY_FOLDER), None):
        try:
            return library.find(path)
        except ConfigError:
            continue
    pytest.skip(f"Lighter's signer library is not here: {library.COMMAND} build/lighter")


class PythonSigner:
    """Structurally `SignsTransactions`, with the simulated venue's own curve: it takes milliseconds, and no library."""

    def __init__(
        self, secrets: Mapping[int, int], now_ns: Callable[[], int], *, account: int = ACCOUNT, chain_id: int = CHAIN_ID
    ) -> None:
        self._secrets = dict(secrets)
        self._now_ns = now_ns
        self._account = account
        self._chain_id = chain_id
        self._used = 1

    async def sign(self, transactions: list[tuple[tx.Transaction, int]], key_index: int) -> list[tx.Signed]:
        for transaction, nonce in transactions:
            tx.check(transaction, nonce)
        skip = {"4": 1}
        return [
            self.signed(each, nonce, key_index, skip if isinstance(each, tx.ShutOut) else None)
            for each, nonce in transactions
        ]

    async def auth_token(self, deadline_s: int, key_index: int) -> str:
        return self.token(deadline_s, key_index)

    def token(self, deadline_s: int, key_index: int) -> str:
        text = f"{deadline_s}:{self._account}:{key_index}"
        return f"{text}:{self._signature(messages.text_hash(text), key_index).hex()}"

    def signed(
        self, transaction: tx.Transaction, nonce: int, key_index: int, attributes: dict[str, int] | None = None
    ) -> tx.Signed:
        tx_type, body = _body(transaction)
        info: dict[str, Any] = {"AccountIndex": self._account, "ApiKeyIndex": key_index, **body}
        info |= {"ExpiredAt": self._now_ns() // 1_000_000 + _DEADLINE_MS, "Nonce": nonce}
        return self.signed_info(tx_type, info | {"Sig": "", "L2TxAttributes": attributes}, key_index)

    def signed_info(self, tx_type: int, info: dict[str, Any], key_index: int) -> tx.Signed:
        """Whatever stands in it, under a signature that fits."""
        digest = messages.transaction_hash(self._chain_id, tx_type, info)
        info["Sig"] = base64.b64encode(self._signature(digest, key_index)).decode()
        return tx.Signed(tx_type, msgspec.json.encode(info).decode(), digest.hex(), info["Nonce"], key_index)

    def _signature(self, digest: bytes, key_index: int) -> bytes:
        self._used += 1
        nonce = int.from_bytes(digest, "little") * self._used % ORDER
        return schnorr.sign(self._secrets[key_index], digest, nonce)


def _body(transaction: tx.Transaction) -> tuple[int, dict[str, int]]:
    if isinstance(transaction, tx.CreateOrder):
        each = transaction
        names = ("MarketIndex", "ClientOrderIndex", "BaseAmount", "Price", "IsAsk", "Type", "TimeInForce", "ReduceOnly")
        values = (each.market, each.client_index, each.base, each.price, int(each.ask), each.order_type)
        fields = dict(zip(names, (*values, each.time_in_force, int(each.reduce_only)), strict=True))
        return tx.CREATE, fields | {"TriggerPrice": 0, "OrderExpiry": each.expiry_ms}
    if isinstance(transaction, tx.CancelOrder):
        return tx.CANCEL, {"MarketIndex": transaction.market, "Index": transaction.index}
    if isinstance(transaction, tx.ModifyOrder):
        fields = {"MarketIndex": transaction.market, "Index": transaction.index, "BaseAmount": transaction.base}
        return tx.MODIFY, fields | {"Price": transaction.price, "TriggerPrice": 0}
    if isinstance(transaction, tx.ShutOut):
        return tx.CANCEL_ALL, {"TimeInForce": tx.ABORT, "Time": 0}
    if isinstance(transaction, tx.CancelAllOrders):
        return tx.CANCEL_ALL, {"TimeInForce": transaction.when, "Time": transaction.time_ms}
    margin = {"InitialMarginFraction": transaction.margin_fraction, "MarginMode": int(transaction.isolated)}
    return tx.UPDATE_LEVERAGE, {"MarketIndex": transaction.market, **margin}


class Control:
    """A running venue: where it is, its keys, its REST and its control page."""

    def __init__(self, venue: LighterVenue, address: str, session: aiohttp.ClientSession, clock: Clock) -> None:
        self.venue = venue
        self.url = f"http://{address}"
        self.ws_url = f"ws://{address}/stream"
        self.session = session
        self.clock = clock
        self.signer = PythonSigner(venue.secrets, clock.now_ns)

    def key(self, index: int = KEY_INDEX) -> str:
        return private_key(self.venue.secrets[index])

    def token(self, *, ahead_s: int = 600, key_index: int = KEY_INDEX) -> str:
        return self.signer.token(self.clock.now_ns() // 1_000_000_000 + ahead_s, key_index)

    async def fault(self, kind: FaultKind, **keys: Any) -> None:
        await self._control("fault", {"kind": kind.value, **keys})

    async def fill(self, index: int, lots: int) -> None:
        await self._control("fill", {"index": index, "lots": lots})

    async def set_nonce(self, key_index: int, nonce: int) -> None:
        await self._control("nonce", {"key_index": key_index, "nonce": nonce})

    async def read(self, name: str, *, token: str = "", **query: Any) -> dict[str, Any]:
        headers = {"authorization": token} if token else {}
        async with self.session.get(f"{self.url}/api/v1/{name}", params=query, headers=headers) as reply:
            found: dict[str, Any] = await reply.json()
            return found

    async def send(self, *signed: tx.Signed, batch: bool = False) -> dict[str, Any]:
        if batch:
            form = {
                "tx_types": msgspec.json.encode([each.tx_type for each in signed]).decode(),
                "tx_infos": msgspec.json.encode([each.tx_info for each in signed]).decode(),
            }
        else:
            form = {"tx_type": str(signed[0].tx_type), "tx_info": signed[0].tx_info}
        path = "sendTxBatch" if batch else "sendTx"
        async with self.session.post(f"{self.url}/api/v1/{path}", data=form) as reply:
            found: dict[str, Any] = await reply.json()
            return found

    async def remove_key(self, key_index: int) -> None:
        await self._control("remove_key", {"key_index": key_index})

    async def _control(self, name: str, body: dict[str, Any]) -> None:
        async with self.session.post(f"{self.url}/control/{name}", data=msgspec.json.encode(body)) as reply:
            assert reply.status == 200, await reply.text()


@asynccontextmanager
async def lighter_venue(
    *,
    symbols: tuple[str, ...] = ("ETH",),
    symbol_settings: SymbolSettings = QUIET,
    clock: Clock | None = None,
    **settings: Any,
) -> AsyncIterator[Control]:
    """A venue that serves until the end of the block."""
    clock = clock or Clock()
    quick: dict[str, Any] = {"symbols": dict.fromkeys(symbols, symbol_settings), "publish_interval_ms": 20.0}
    quick |= {"taker_delay_ms": 0, "weight_per_minute": 1_000_000, "stats_interval_ms": 100, "quota": 100_000}
    context = SimulatorContext(host="127.0.0.1", port=0, seed=1, symbols=symbols, now_ns=clock.now_ns)
    venue = LighterVenue(context, LighterVenueSettings(**(quick | settings)))
    async with served(venue) as (address, session):
        yield Control(venue, address, session, clock)


def lighter_connector(
    control: Control,
    emit: Callable[[Event], None],
    *,
    symbols: tuple[str, ...] = ("ETH",),
    keys: tuple[int, ...] = (4, KEY_INDEX),
    secrets: Mapping[int, int] | None = None,
    native: Path | None = None,
    report: Callable[[str, str], None] = lambda _kind, text: pytest.fail(text),
    **settings: Any,
) -> LighterConnector:
    """A connector of the control's venue, that signs in Python, or with the native library where it is given."""
    clock = control.clock
    known = control.venue.secrets if secrets is None else secrets
    context = ConnectorContext(
        venue=Venue("lighter"),
        symbols=symbols,
        emit=emit,
        now_ns=clock.now_ns,
        delay_s=clock.delay_s,
        secrets={f"api_key_{index}": private_key(secret) for index, secret in known.items()},
        report=report,
    )
    usual: dict[str, Any] = {"network": Deployment.TESTNET, "url": control.url, "account": ACCOUNT, "api_keys": keys}
    usual |= {"tier": Tier.PREMIUM, "signer_library": None if native is None else str(native)}
    made = LighterSettings(**(usual | settings))
    if native is not None:
        return LighterConnector(context, made)
    return LighterConnector(context, made, lambda _settings, _secrets: PythonSigner(known, clock.now_ns))
