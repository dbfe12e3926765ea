"""The whole daemon on a venue that loses, delays, doubles and forgets, in virtual time: it finds everything out."""

import re
from pathlib import Path

import pytest

from connectors.shared.account_file import account_path, read_account
from mm_daemon.backtest.replay import verify
from mm_daemon.domain.money import from_pair
from mm_daemon.journal.recovery import recover
from mm_daemon.journal.segments import runs_in
from tests.unit.runtime.parts import VENUE
from tests.unit.runtime.test_app import TEXT, Day

FAULTS = (
    "lose_command: 0.08, late_command: 0.08, lose_reply: 0.08, late_reply: 0.08, repeat_reply: 0.08, "
    "unknown_reply: 0.08, late_ms: 2500"
)


def faulty(folder: Path, seed: int) -> Day:
    sim = f"sim: {{{{connector: sim, seed: {seed}, faults: {{{{{FAULTS}}}}}}}}}"
    text = TEXT.replace("sim: {{connector: sim}}", sim).replace("stop_timeout_s: 4", "stop_timeout_s: 120")
    return Day(folder, text)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_faulty_day_ends_with_both_accounts_equal(tmp_path: Path, seed: int) -> None:
    """Unknown outcomes arise and are found out, lost fills are booked, every order is gone at the end, and the journal
    replays to the byte.
    """
    day = faulty(tmp_path, seed)
    assert day.run(150.0) == 0, day.log.getvalue()
    log = day.log.getvalue()
    assert re.search(r"outcome of (place|amend|cancel) \d+ is unknown", log)
    assert re.search(r"found out: order proven dead", log)
    assert re.search(r"a fill we had not heard of", log)
    left = recover(day.state_dir / "journal")
    assert left is not None
    truth = read_account(account_path(day.state_dir, VENUE))
    ours = {market.instrument: market.position for market in left.checkpoint.markets}
    assert {instrument: holding.lots for instrument, holding in truth.holdings.items()} == {
        instrument: ours[instrument].lots for instrument in truth.holdings
    }
    for instrument, holding in truth.holdings.items():
        assert from_pair(ours[instrument].cash) == holding.cash_atto, instrument
    report = verify(runs_in(day.state_dir / "journal")[0])
    assert report.ok, report.to_text()
    assert report.compared.queries > 0
