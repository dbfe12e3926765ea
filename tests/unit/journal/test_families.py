"""Which records are kept for long."""

from typing import get_args

from mm_daemon.domain.checkpoint import Checkpoint, PositionBooked
from mm_daemon.domain.codec import Decided, Record
from mm_daemon.domain.decisions import ApprovedCommand
from mm_daemon.domain.events import InstrumentUpdated, MarketEvent, OrderFilled, RunStarted
from mm_daemon.journal.families import MARKET_RECORDS


def test_what_a_restart_needs_is_kept() -> None:
    """Orders, positions, checkpoints, contracts and how the run began are never deleted with the market data."""
    for kind in (RunStarted, OrderFilled, ApprovedCommand, PositionBooked, Checkpoint, InstrumentUpdated):
        assert kind not in MARKET_RECORDS


def test_the_market_family_is_market_data_and_markers() -> None:
    """Every entry of the table is a record, and none of them carries an order."""
    assert set(get_args(Record)) >= MARKET_RECORDS
    assert MARKET_RECORDS - set(get_args(MarketEvent)) == {
        Decided,
        *(k for k in MARKET_RECORDS if "Deadline" in str(k)),
    }
