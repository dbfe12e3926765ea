"""Law: a checkpoint and the records behind it give the state of the core that lived through them."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.backtest.runner import run_backtest
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain import codec
from mm_daemon.domain.capabilities import Bucket, BucketKind, CommandClass
from mm_daemon.domain.checkpoint import Checkpoint
from mm_daemon.domain.codec import Decided, Record
from mm_daemon.domain.events import Event, RunStarted
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import Phase
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.journal.families import MARKET_RECORDS
from mm_daemon.journal.log import JournalReader
from mm_daemon.journal.recovery import left_by
from mm_daemon.simulation.embedded import EmbeddedMarket, EmbeddedSettings
from mm_daemon.simulation.symbols import SymbolSettings, build_symbol
from mm_daemon.testkit import builders

SIM = Venue("sim")
_ANSWERS = codec.Answer.__args__
_SLOW = Bucket(
    name="orders",
    kind=BucketKind.WINDOW,
    capacity=8,
    period_ms=2000,
    costs={CommandClass.PLACE: 1, CommandClass.AMEND: 1, CommandClass.CANCEL: 1},
)


@lru_cache(maxsize=2)
def story(*, paced: bool) -> tuple[Record, ...]:
    """A minute of two busy markets: fills, amends, rejects; `paced` so that commands wait in the outbox."""
    symbols = [build_symbol(SIM, name, SymbolSettings()) for name in ("BTC-USDT", "ETH-USDT")]
    market = EmbeddedMarket(SIM, symbols, EmbeddedSettings(seed=5, response_latency_ms=40.0))
    quoting = QuoteParameters(k=2.0, fill_lockout_ms=150, order_lockout_ms=50)
    markets = [
        builders.market(symbol.instrument, order_lots=lots, max_position_lots=lots * 5, quoting=quoting)
        for symbol, lots in zip(symbols, (100, 1000), strict=True)
    ]
    capabilities = market.capabilities()
    if paced:
        capabilities = msgspec.structs.replace(capabilities, buckets=(_SLOW,))
    parameters = builders.core_parameters(*markets, capabilities=capabilities)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        run_backtest(parameters, {SIM: market}, journal=path, duration_s=60)
        with JournalReader(path) as reader:
            return tuple(record for frame in reader for record in frame.records)


def turns(records: Sequence[Record]) -> list[int]:
    """Where the turns end."""
    last_of_turn = [
        n + 1
        for n, record in enumerate(records)
        if isinstance(record, (Decided, *_ANSWERS))
        and (n + 1 == len(records) or not isinstance(records[n + 1], _ANSWERS))
    ]
    return last_of_turn


def live(records: Sequence[Record]) -> TradingCore:
    """The core that lives through all of it."""
    started = records[0]
    assert isinstance(started, RunStarted)
    core = TradingCore(CoreParameters.from_json(started.parameters), started.resumed)
    for record in records:
        if isinstance(record, Decided):
            core.decide(record.now_ns)
        elif not isinstance(record, (*_ANSWERS, Checkpoint)):
            core.apply(cast("Event", record))
    return core


def comparable(checkpoint: Checkpoint, lived: TradingCore) -> object:
    """What must be equal. Marks and estimators rest on market data, which a tail does not have: positions are brought
    to the same mid. What never left is not remembered.
    """
    markets = []
    for state in checkpoint.markets:
        position = type(lived.markets[state.instrument].position)(lived.markets[state.instrument].instrument)
        position.restore(state.position)
        now = lived.markets[state.instrument].position.half_ticks
        if now is not None:
            position.mark(now)
        markets.append((state.instrument, state.grid, position.state(), state.lockouts, state.paused))
    orders = [
        msgspec.structs.replace(order, final_ns=None if order.final_ns is None else 0)
        for order in checkpoint.ledger.orders
        if order.phase is not Phase.ABSENT
    ]
    return markets, orders, checkpoint.ledger.fills, checkpoint.payments, checkpoint.cursors, checkpoint.gate.latched


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("paced", [False, True])
def test_checkpoint_and_tail_are_the_core_that_lived(paced: bool, data: st.DataObject) -> None:
    """Wherever the checkpoint stands and wherever death comes: orders, positions, lockouts, fills and ids are equal."""
    records = story(paced=paced)
    ends = turns(records)
    death = data.draw(st.sampled_from(ends))
    at = data.draw(st.sampled_from([0, *(end for end in ends if end <= death)]))
    lived = live(records[:death])
    base = [] if at == 0 else [records[0], live(records[:at]).checkpoint()]
    left = left_by([*base, *records[at:death]])
    assert left is not None
    recovered, relived, ended = left
    assert comparable(recovered, lived) == comparable(lived.checkpoint(), lived)
    assert recovered.next_client_id <= lived.checkpoint().next_client_id
    assert all(order.client_id < recovered.next_client_id for order in recovered.ledger.orders)
    assert ended == (death == len(records))
    assert relived <= death


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_the_trade_family_is_enough(data: st.DataObject) -> None:
    """Without market data, deadlines and decide markers the same comes out."""
    records = story(paced=False)
    ends = turns(records)
    death = data.draw(st.sampled_from(ends))
    lived = live(records[:death])
    left = left_by(record for record in records[:death] if type(record) not in MARKET_RECORDS)
    assert left is not None
    assert comparable(left[0], lived) == comparable(lived.checkpoint(), lived)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_core_taken_up_has_the_state_it_was_left_with(data: st.DataObject) -> None:
    """Resuming loses nothing: the checkpoint of a core that has just begun is the one it was given, byte for byte."""
    records = story(paced=True)
    death = data.draw(st.sampled_from(turns(records)))
    lived = live(records[:death])
    left = lived.checkpoint()
    resumed = TradingCore(lived.parameters, left)
    assert codec.encode(0, [resumed.checkpoint()]) == codec.encode(0, [left])
    for instrument, market in lived.markets.items():
        taken_up = resumed.markets[instrument]
        assert taken_up.position.total_atto == market.position.total_atto
        for side in (1, -1):
            assert resumed.ledger.exposure(instrument, side) <= lived.ledger.exposure(instrument, side)  # type: ignore[arg-type]


def test_the_story_has_something_to_remember() -> None:
    """Fills on both markets, orders alive at most moments: the laws above are not about nothing."""
    core = live(story(paced=False)[: len(story(paced=False)) // 2])
    state = core.checkpoint()
    assert len(state.ledger.fills) > 10
    assert any(order.final_ns is None for order in state.ledger.orders)
    assert all(market.position.cash != (0, 0) for market in state.markets)
