"""Estimators and overlays in whole runs: journals verify, a restart goes on with what was learned, models change."""

from functools import lru_cache
from pathlib import Path

import msgspec
import pytest

from mm_daemon.backtest.replay import verify
from mm_daemon.backtest.runner import BacktestRunner
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.checkpoint import Checkpoint
from mm_daemon.domain.instrument import Venue
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.pricing import Pricing
from mm_daemon.simulation.embedded import EmbeddedMarket, EmbeddedSettings
from mm_daemon.simulation.symbols import SymbolSettings, build_symbol
from mm_daemon.testkit import builders

SIM = Venue("sim")
EVERYTHING = QuoteParameters(
    k=2.0,
    calibration="market",
    calibration_half_life_s=60.0,
    momentum_beta=0.5,
    flow_beta_bps=0.05,
    regime_power=0.5,
    toxic_cool_down_ms=500,
    toxic_trade_z=2.0,
    toxic_flow_times=3.0,
    volatility_stop=20.0,
    volatility_estimator="two_scale",
    size_impact_bps=5.0,
    session_s=40.0,
    inventory_skip_at=0.9,
    blackouts=("00:01-00:02",),
    fill_lockout_ms=100,
    order_lockout_ms=50,
)
_ENDS = ("cartea_jaimungal", "avellaneda_stoikov_symmetric")
every_model = pytest.mark.parametrize("model", sorted(MODELS))


def parameters(model: str, quoting: QuoteParameters = EVERYTHING) -> tuple[CoreParameters, EmbeddedMarket]:
    """One busy embedded market with everything switched on."""
    symbol = build_symbol(SIM, "BTC-USDT", SymbolSettings())
    market = EmbeddedMarket(SIM, [symbol], EmbeddedSettings(seed=3))
    chosen = builders.market(
        symbol.instrument,
        order_lots=100,
        max_position_lots=500,
        quoting=msgspec.structs.replace(quoting, model=model, tau="session" if model in _ENDS else "auto"),
    )
    return builders.core_parameters(chosen, capabilities=market.capabilities()), market


@every_model
def test_a_journal_with_everything_switched_on_verifies(model: str, tmp_path: Path) -> None:
    """Every decision is met again, and the overlays took part in them."""
    given, market = parameters(model)
    report = BacktestRunner(given, {SIM: market}, journal=tmp_path / "j", duration_s=150).run()
    compared = verify(tmp_path / "j")
    assert compared.ok, compared.to_text()
    assert compared.compared.commands > 20
    assert report.fills > 0
    assert any("toxic_flow" in reason for reason in report.reasons)
    assert any("session_closed" in reason for reason in report.reasons)


@lru_cache(maxsize=8)
def lived(model: str) -> BacktestRunner:
    """A run of three minutes, and its core to look at."""
    given, market = parameters(model)
    runner = BacktestRunner(given, {SIM: market}, duration_s=180)
    runner.run()
    return runner


def kept(core: TradingCore) -> Checkpoint:
    """Its checkpoint, through bytes."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(core.checkpoint()), type=Checkpoint)


@every_model
def test_a_restart_goes_on_with_what_was_learned(model: str) -> None:
    """The estimators' state is the same, and so are the quotes at every position; a model that has to be solved may
    have kept a curve of numbers within two percent.
    """
    before = lived(model).core
    after = TradingCore(before.parameters, kept(before))
    (old,), (new,) = before.markets.values(), after.markets.values()
    old_state, new_state = old.engine.conditions.state(), new.engine.conditions.state()
    assert old_state is not None
    assert new_state is not None
    for name in ("regime", "momentum", "intensity", "kyle", "size_outlier", "signed_volume", "vpin"):
        assert getattr(new_state, name) == getattr(old_state, name), name
    assert old_state.intensity.k is not None
    assert new.engine.volatility.state() == old.engine.volatility.state()
    slack = 0.05 if model in ("glft_exact", "cartea_jaimungal") else 1e-9
    now_ns = before.now_ns + 10**9
    for lots in range(-400, 401, 100):
        was, now = (each.engine.price(old.book, lots, now_ns) for each in (old, new))
        assert isinstance(was, Pricing)
        assert isinstance(now, Pricing)
        assert now.inputs == was.inputs
        bp = 1e-4 * was.mid_ticks
        for side in ("bid", "ask"):
            far = abs(getattr(was, side).raw_ticks - was.mid_ticks)
            moved = abs(getattr(now, side).raw_ticks - getattr(was, side).raw_ticks)
            assert moved <= slack * (far + bp)


def test_another_model_goes_on_with_the_same_position() -> None:
    """Position, money and estimates are the market's, not the model's; the quotes lean against what is held."""
    before = lived("glft").core
    (old,) = before.markets.values()
    lots = old.position.lots or 100
    for model in MODELS:
        other = parameters(model)[0]
        after = TradingCore(other, kept(before))
        (new,) = after.markets.values()
        assert new.position.lots == old.position.lots
        assert new.position.total_atto == old.position.total_atto
        assert new.engine.volatility.state() == old.engine.volatility.state()
        held, flat = (new.engine.price(old.book, each, before.now_ns) for each in (lots, 0))
        assert isinstance(held, Pricing)
        assert isinstance(flat, Pricing)
        leans = (held.ask.raw_ticks - flat.ask.raw_ticks) * lots
        assert leans == 0 if model == "avellaneda_stoikov_symmetric" else leans < 0


def test_estimates_of_an_earlier_life_are_left_where_nobody_asks_for_them() -> None:
    """A run with everything off starts from the checkpoint of one with everything on."""
    before = lived("glft").core
    plain = parameters("glft", QuoteParameters(k=2.0))[0]
    (new,) = TradingCore(plain, kept(before)).markets.values()
    assert new.engine.conditions.signals is None
    assert new.engine.inputs(1.0, 0).k == 2.0
