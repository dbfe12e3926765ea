"""Transactions over the socket: their shape, and whose an answer is."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from connectors.lighter import transactions as tx
from connectors.lighter import wire
from connectors.lighter.rest import NeverLeft, OutcomeUnknown, Pace, Refused, RestClient
from connectors.lighter.sending import Sending

ONE, TWO = tx.Signed(14, '{"Nonce":1}', "aa", 1, 4), tx.Signed(15, '{"Nonce":2}', "bb", 2, 4)


class Socket:
    """What was written."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    async def send(self, frame: bytes | str) -> None:
        assert isinstance(frame, str), "the venue's frames are text"
        self.written.append(json.loads(frame))


@pytest.fixture
async def link() -> AsyncIterator[tuple[Sending, Socket]]:
    rest = RestClient("http://127.0.0.1:9", timeout_s=0.2, reads_per_minute=60, weighed=False)
    sending, socket = Sending(rest, 0.2), Socket()
    sending.begin(socket.send)
    yield sending, socket
    await rest.close()


def answer(sending: Sending, **fields: Any) -> bool:
    return sending.heard(json.dumps({"type": "jsonapi/sendtx", **fields}).encode())


async def test_one_is_an_object_and_a_batch_is_text_in_text(link: tuple[Sending, Socket]) -> None:
    """As the venue wants them."""
    sending, socket = link
    await sending.start([ONE])
    await sending.start([ONE, TWO])
    first, second = socket.written
    assert first == {"type": "jsonapi/sendtx", "data": {"id": "1", "tx_type": 14, "tx_info": {"Nonce": 1}}}
    assert second["type"] == "jsonapi/sendtxbatch"
    assert json.loads(second["data"]["tx_types"]) == [14, 15]
    assert [json.loads(text) for text in json.loads(second["data"]["tx_infos"])] == [{"Nonce": 1}, {"Nonce": 2}]


async def test_answers_find_their_transaction_in_any_order(link: tuple[Sending, Socket]) -> None:
    """By our id; by the hash, where there is none; by the order of sending, where there is neither."""
    sending, _ = link
    waiting = [await sending.start([each]) for each in (ONE, TWO, ONE, TWO)]
    assert answer(sending, id="2", code=200, tx_hash="bb")
    assert answer(sending, code=200, tx_hash="bb")
    assert answer(sending, code=21727, message="invalid client order index")
    assert sending.complained(wire.Problem(21702, "invalid price"))
    assert (await sending.finish(waiting[1])).tx_hash == "bb"
    assert (await sending.finish(waiting[3])).tx_hash == "bb"
    with pytest.raises(Refused, match="21727"):
        await sending.finish(waiting[0])
    with pytest.raises(Refused, match="21702"):
        await sending.finish(waiting[2])
    assert not answer(sending, code=200, tx_hash="aa")
    assert not sending.complained(wire.Problem(21702, "invalid price"))


async def test_no_answer_is_an_unknown_outcome(link: tuple[Sending, Socket]) -> None:
    """A late one is nobody's then, and is not mistaken for another's."""
    sending, _ = link
    lost = await sending.start([ONE])
    with pytest.raises(OutcomeUnknown, match="no answer within"):
        await sending.finish(lost)
    other = await sending.start([TWO])
    assert answer(sending, id="1", code=200, tx_hash="aa")
    assert answer(sending, id="2", code=200, tx_hash="bb")
    assert (await sending.finish(other)).tx_hash == "bb"


async def test_link_that_ends_leaves_unknown_outcomes(link: tuple[Sending, Socket]) -> None:
    """What was sent on it may have arrived."""
    sending, _ = link
    lost = await sending.start([ONE])
    sending.end("gone")
    with pytest.raises(OutcomeUnknown, match="the link has ended: gone"):
        await sending.finish(lost)


async def test_venues_own_failure_is_an_unknown_outcome(link: tuple[Sending, Socket]) -> None:
    """29500 does not say whether anything was done."""
    sending, _ = link
    waiting = await sending.start([ONE])
    answer(sending, id="1", code=29500, message="internal server error")
    with pytest.raises(OutcomeUnknown, match="29500"):
        await sending.finish(waiting)


async def test_without_a_link_it_goes_over_http(link: tuple[Sending, Socket]) -> None:
    """Where nobody listens, it has never left."""
    sending, socket = link
    sending.end("gone")
    waiting = await sending.start([ONE])
    with pytest.raises(NeverLeft):
        await asyncio.wait_for(sending.finish(waiting), 5)
    assert not socket.written


def test_reads_keep_within_the_minute() -> None:
    """The first units are free, what is too much waits until as much is a minute old."""
    pace = Pace(10)
    for now_s in (0.0, 1.0):
        assert pace.wait_s(4, now_s) == 0.0
        pace.spend(4, now_s)
    assert pace.wait_s(4, 2.0) == pace.wait_s(4, 2.0) == 58.0  # asking costs nothing
    assert pace.wait_s(4, 60.0) == 0.0
