"""Several keys at the simulated venue: turns, one in trouble while others go on, what an earlier process sent."""

import asyncio
from typing import Any

import msgspec
import pytest

from connectors.lighter.connector import LighterConnector
from connectors.lighter.settings import Deployment, LighterSettings
from connectors.simulators.faults import FaultKind
from connectors.simulators.lighter.server import private_key
from mm_daemon.domain.decisions import AmendOrder, CancelOrder, Reason
from mm_daemon.domain.errors import ConfigError, CredentialsRefused
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    CommandSent,
    FenceAnswered,
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderNotFound,
    OrderRejected,
)
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId, Operation
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.testkit.conformance import ConnectorUnderTest, Heard
from tests.conformance.test_lighter import LighterHand
from tests.lighter import ACCOUNT, lighter_connector, lighter_venue
from tests.unit.connectors.lighter.test_connector import refused, trading

_WHY = (Reason.NEW_QUOTE,)
_OUTCOME: Any = OrderAccepted | OrderRejected | CommandOutcomeUnknown
THREE = (4, 5, 6)


def keys_of(live: ConnectorUnderTest, since: int = 0, operation: Operation | None = None) -> list[int]:
    """Under which keys was sent, as the journal will have it."""
    sent = live.heard.of(CommandSent, since)
    return [int(each.wire_ref.split(":")[2]) for each in sent if operation in (None, each.operation)]


async def test_quotes_take_turns_and_what_may_take_has_a_key_of_its_own() -> None:
    """Each order's cancel follows it, in a message for each key."""
    async with trading(keys=THREE) as (live, _, _connector):
        orders = [live.order() for _ in range(4)]
        for order in orders:
            await live.placed(order)
        assert keys_of(live) == [4, 5, 4, 5]
        await live.send(msgspec.structs.replace(live.order(), post_only=False))
        since = live.here
        await live.send(*(CancelOrder(order.instrument, order.client_id, _WHY) for order in orders))
        for order in orders:
            await live.heard.until(OrderCanceled, refused(order))
        assert keys_of(live, since, Operation.CANCEL) == [4, 4, 5, 5]


async def test_amend_and_its_cancel_do_not_overtake_the_order() -> None:
    """All three leave before anything is answered: under one key the venue takes them in their order."""
    async with trading({"maker_delay_ms": 150}, keys=THREE) as (live, _, _connector):
        order = live.order()
        await live.send(order)
        await live.send(AmendOrder(order.instrument, order.client_id, order.ticks - 3, order.lots, _WHY))
        await live.send(CancelOrder(order.instrument, order.client_id, _WHY))
        await live.heard.until(OrderCanceled, refused(order))
        assert keys_of(live) == [4, 4, 4]
        assert [type(each) for each in live.heard.events if isinstance(each, OrderAccepted | OrderAmended)] == [
            OrderAccepted,
            OrderAmended,
        ]


async def test_cancel_does_not_overtake_an_order_that_waits_for_its_turn() -> None:
    """All keys are in doubt, so that the order waits for the venue's word on a nonce: its cancel waits behind it."""
    async with trading(keys=THREE) as (live, _, connector):
        for each in connector._commander()._ring.every:
            each.nonces.doubt()
        order = live.order()
        placing = asyncio.create_task(live.send(order))
        await asyncio.sleep(0)
        assert not live.heard.of(CommandSent)
        await live.send(CancelOrder(order.instrument, order.client_id, _WHY))
        await placing
        await live.heard.until(OrderCanceled, refused(order))
        assert keys_of(live) == [4, 4]


async def test_nonce_conflict_on_one_key_holds_up_no_other() -> None:
    """21104: that order is refused, the next one passes at once under another key, and the first key is soon back with
    the nonce that the venue names."""
    async with trading(keys=THREE) as (live, control, _):
        await control.set_nonce(4, 77)
        order = live.order()
        await live.send(order)
        assert "nonce" in (await live.heard.until(OrderRejected, refused(order))).text
        since, loop = live.here, asyncio.get_running_loop()
        began_s = loop.time()
        while 4 not in keys_of(live, since):
            await live.placed(live.order())
            assert loop.time() < began_s + 5
        assert keys_of(live, since)[0] == 5 and control.venue.admission.nonces[4] == 78
        assert len(live.heard.of(OrderRejected)) == 1


async def test_answer_that_does_not_come_holds_up_no_other_key() -> None:
    """With three keys the next order is sent and accepted meanwhile; with one it waits for its turn."""
    for keys, waits in ((THREE, False), ((4,), True)):
        async with trading(keys=keys) as (live, control, _):
            await control.fault(FaultKind.DELAY, on="sendTx", ms=800)
            slow, loop = live.order(), asyncio.get_running_loop()
            began_s = loop.time()
            await live.send(slow)
            await live.placed(live.order())
            assert (loop.time() > began_s + 0.8) is waits


async def test_lost_order_is_shut_out_under_its_own_key_alone() -> None:
    """Asked about, its key is made safe; the nonces of the others stay where they were."""
    async with trading(keys=THREE) as (live, control, connector):
        lost = live.order()
        await control.fault(FaultKind.SERVER_ERROR, on="sendTx")
        await live.send(lost)
        await live.heard.until(CommandOutcomeUnknown, refused(lost))
        await connector.query_order(lost.client_id)
        assert (await live.heard.until(FenceAnswered, refused(lost))).accepted
        assert keys_of(live) == [4]
        nonces = control.venue.admission.nonces
        assert nonces[4] > 1000 and (nonces[5], nonces[6]) == (0, 0)
        since = live.here
        await connector.query_order(lost.client_id)
        told = await live.heard.until(OrderNotFound, refused(lost), since=since)
        assert told.next_nonce == nonces[4]


@pytest.mark.parametrize(("ref", "moved"), [("3:ab12:5", {5}), ("3:ab12", {4, 5, 6})])
async def test_fence_is_signed_by_the_key_that_the_journal_names(ref: str, moved: set[int]) -> None:
    """What an earlier process sent is shut out under its key; where a journal of an older version names none, under
    every one."""
    async with trading(keys=THREE) as (live, control, connector):
        order = CancelOrder(live.instrument.id, live.next_id(), _WHY, fence=True)
        connector.recall({order.client_id: ref, live.next_id(): ""})
        await live.send(order)
        assert (await live.heard.until(FenceAnswered)).client_id == order.client_id
        assert {index for index, nonce in control.venue.admission.nonces.items() if nonce > 1000} == moved
        await live.placed(live.order())
        await connector.query_order(order.client_id)
        told = await live.heard.until(OrderNotFound)
        assert told.next_nonce == (control.venue.admission.nonces[5] if moved == {5} else None)


async def test_fence_of_a_key_that_is_not_ours_any_more_is_no_proof() -> None:
    """Nobody can sign under it: it stays unknown, and the text says what would help. Its next nonce can be read."""
    async with trading(keys=(4, 5)) as (live, control, connector):
        order = CancelOrder(live.instrument.id, live.next_id(), _WHY, fence=True)
        connector.recall({order.client_id: "0:ab12:6"})
        await live.send(order)
        told = await live.heard.until(CommandOutcomeUnknown)
        assert "API key 6" in told.text and "not among api_keys any more" in told.text
        assert control.venue.admission.nonces[4] == control.venue.admission.nonces[5] == 0
        await control.set_nonce(6, 1)
        await connector.query_order(order.client_id)
        assert (await live.heard.until(OrderNotFound)).next_nonce == 1


async def test_key_that_is_taken_away_is_out_and_the_others_go_on() -> None:
    """One order is refused, a person is told, and what was sent under the key can never land; with the last key the
    run ends, and says what to do."""
    reports: list[str] = []
    heard = Heard()
    async with lighter_venue() as control:
        connector = lighter_connector(control, heard.put, keys=THREE, report=lambda _kind, text: reports.append(text))
        live = ConnectorUnderTest(connector, heard, LighterHand(control), control.clock.now_ns)
        (live.instrument,) = await connector.load_instruments()
        running = asyncio.create_task(connector.run())
        await live.two_sided()
        await live.placed(live.order())
        await control.remove_key(5)
        order = live.order()
        await live.send(order)
        await heard.until(OrderRejected, refused(order))
        (text,) = reports
        assert text.startswith(f"the venue refuses API key 5 of account {ACCOUNT} (21109 api key not found)")
        assert "the others go on: 4, 6" in text
        since = live.here
        for _ in range(3):
            await live.placed(live.order())
        assert keys_of(live, since) == [4, 4, 4]
        connector.recall({ClientOrderId(9): "0:ab12:5"})
        await live.send(CancelOrder(live.instrument.id, ClientOrderId(9), _WHY, fence=True))
        assert (await heard.until(FenceAnswered)).accepted
        assert not running.done()
        for index in (4, 6):
            await control.remove_key(index)
        while not running.done():
            await live.send(live.order())
        with pytest.raises(CredentialsRefused, match=r"key 5: 21109 .*key [46]: 21109 .*register the keys"):
            await running
        await connector.close()
        shown = "".join(reports)
        assert not any(private_key(secret)[2:20] in shown for secret in control.venue.secrets.values())


async def test_start_goes_on_with_the_keys_that_the_venue_takes() -> None:
    """One has another public key, one is not registered: each is told once, and the third one quotes."""
    reports: list[str] = []
    async with lighter_venue() as control:
        secrets = {**control.venue.secrets, 4: control.venue.secrets[4] + 1, 9: 77}
        connector = lighter_connector(
            control,
            lambda _event: None,
            keys=(4, 5, 9),
            secrets=secrets,
            report=lambda _kind, text: reports.append(text),
        )
        await connector.load_instruments()
        wrong, unknown = reports
        assert "refuses API key 4" in wrong and "invalid auth" in wrong
        assert "refuses API key 9" in unknown and "not registered: api key not found" in unknown
        await connector.close()


async def test_cancel_all_comes_behind_what_is_on_its_way_under_every_key() -> None:
    """An order that may take is delayed and would stand after a cancel-all under an idle key: there is one behind it
    too."""
    async with trading({"taker_delay_ms": 300}, keys=THREE) as (live, control, connector):
        quote = live.order()
        await live.placed(quote)
        late = msgspec.structs.replace(live.order(), post_only=False)
        await live.send(late)
        await connector.cancel_all()
        await live.heard.until(OrderCanceled, refused(late))
        assert await live.open_ids() == []
        assert control.venue.admission.nonces[6] == 2


@pytest.mark.parametrize("taken_away", [4, 5, 6])
async def test_cancel_all_is_not_held_up_by_a_key_that_was_taken_away(taken_away: int) -> None:
    """Nobody has noticed yet, whether it is this key's turn or something was just sent under it: the others cancel."""
    async with trading(keys=THREE, report=lambda _kind, _text: None) as (live, control, connector):
        quotes = [live.order() for _ in range(3)]
        for quote in quotes:
            await live.placed(quote)
        await control.remove_key(taken_away)
        await connector.cancel_all()
        for quote in quotes:
            await live.heard.until(OrderCanceled, refused(quote))
        assert await live.open_ids() == []


async def test_whatever_happens_each_key_signs_in_the_end() -> None:
    """Lost requests, lost replies, failures and another process, under three keys at once; what was placed is what the
    venue shows."""
    async with trading(keys=THREE) as (live, control, _):
        loop = asyncio.get_running_loop()
        troubles = [FaultKind.SERVER_ERROR, FaultKind.LOSE_REPLY, FaultKind.LOSE_REQUEST, FaultKind.SERVER_ERROR]
        for number, trouble in enumerate(troubles):
            await control.fault(trouble, on="sendTx")
            if number == 2:
                await control.set_nonce(5, control.venue.admission.nonces[5] + 7)
            orders = [live.order() for _ in range(4)]
            for order in orders:
                await live.send(order)
            for order in orders:
                await live.heard.until(_OUTCOME, refused(order))
        since, until_s = live.here, loop.time() + 10
        while not {4, 5} <= set(keys_of(live, since)):
            await live.placed(live.order())
            assert loop.time() < until_s
        shown = await live.open_ids()
        accepted = {event.client_id for event in live.heard.of(OrderAccepted)}
        assert accepted <= set(shown)


def test_key_that_is_named_twice_is_refused() -> None:
    """Each would count its nonces, and take the other's."""
    context = ConnectorContext(
        venue=Venue("lighter"),
        symbols=("ETH",),
        emit=lambda _event: None,
        now_ns=lambda: 0,
        delay_s=lambda _at_ns: 0.0,
        secrets={"api_key_4": "0x00"},
    )
    settings: Any = LighterSettings(network=Deployment.TESTNET, account=ACCOUNT, api_keys=(4, 4))
    with pytest.raises(ConfigError, match=r"api_keys names a key twice: \[4, 4\]"):
        LighterConnector(context, settings)
