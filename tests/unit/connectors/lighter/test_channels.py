"""The channels of a link on virtual time, and the tokens of the private ones."""

import asyncio
import json
from collections import Counter
from typing import Any

from connectors.lighter import transactions as tx
from connectors.lighter.channels import UNANSWERED_MAX, Channels
from connectors.lighter.keys import KeyRing
from connectors.lighter.tokens import Tokens
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual


class Socket:
    def __init__(self) -> None:
        self.said: list[dict[str, str]] = []

    async def send(self, frame: bytes | str) -> None:
        self.said.append(json.loads(frame))


class Signer:
    """Structurally what `Tokens` needs: a token is its deadline."""

    async def sign(self, transactions: list[tuple[tx.Transaction, int]], key_index: int) -> list[tx.Signed]:
        raise AssertionError("nothing is signed here")

    async def auth_token(self, deadline_s: int, key_index: int) -> str:
        return f"{deadline_s}:{key_index}"


def _played(play: Any) -> tuple[list[dict[str, str]], Counter[str]]:
    """What was said and what was troublesome while `play(channels, loop)` went on."""
    socket, problems = Socket(), Counter[str]()

    async def main(loop: VirtualLoop) -> None:
        tokens = Tokens(Signer(), KeyRing(1, [4], print), 600, loop.now_ns)
        channels = Channels(tokens, lambda kind: problems.update([kind]))
        channels.begin(socket.send)
        tasks = [asyncio.ensure_future(channels.run()), asyncio.ensure_future(channels.keep_alive())]
        await play(channels, loop)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtual(main)
    return socket.said, problems


def test_few_are_asked_for_at_a_time() -> None:
    """The next one when one is answered, by whichever spelling."""

    async def play(channels: Channels, _loop: VirtualLoop) -> None:
        for number in range(UNANSWERED_MAX + 5):
            channels.subscribe(f"order_book/{number}")
        await asyncio.sleep(0.1)
        assert channels.unanswered == UNANSWERED_MAX
        channels.answered("order_book:0")
        channels.answered("order_book/1")
        channels.answered("nobody's")
        await asyncio.sleep(0.1)
        assert channels.unanswered == UNANSWERED_MAX

    said, problems = _played(play)
    assert len(said) == UNANSWERED_MAX + 2 and not problems
    assert not [message for message in said if "auth" in message]


def test_channel_without_an_answer_is_asked_for_again() -> None:
    """Unsubscribed first, in case it was heard after all; an answered one is left alone."""

    async def play(channels: Channels, _loop: VirtualLoop) -> None:
        channels.subscribe("order_book/0")
        channels.subscribe("trade/0")
        await asyncio.sleep(0.1)
        channels.answered("trade:0")
        await asyncio.sleep(7.0)

    said, problems = _played(play)
    words = [(message["type"], message["channel"]) for message in said]
    assert words[2:4] == [("unsubscribe", "order_book/0"), ("subscribe", "order_book/0")]
    assert problems == {"no_answer_to_subscription": 1}


def test_private_channels_bear_the_token_of_the_moment() -> None:
    """One that is asked for again after its token was refused or has aged has another."""

    async def play(channels: Channels, loop: VirtualLoop) -> None:
        channels.subscribe("account_tx/1", private=True)
        await asyncio.sleep(0.1)
        channels.answered("account_tx:1")
        await asyncio.sleep(401.0)
        channels.subscribe_again("account_tx/1", private=True)
        await asyncio.sleep(0.1)

    said, _ = _played(play)
    tokens = [message["auth"] for message in said if "auth" in message]
    assert tokens == ["1700000600:4", "1700001001:4"]


def test_silence_is_broken_and_pings_are_answered() -> None:
    """The venue would drop us after two minutes."""

    async def play(channels: Channels, _loop: VirtualLoop) -> None:
        await asyncio.sleep(65.0)
        channels.ping()
        await asyncio.sleep(1.0)

    said, _ = _played(play)
    assert [message["type"] for message in said] == ["ping", "ping", "pong"]


def test_refused_token_is_forgotten() -> None:
    """The next one is made at once."""

    async def main(loop: VirtualLoop) -> None:
        tokens = Tokens(Signer(), KeyRing(1, [4], print), 600, loop.now_ns)
        first = await tokens.current()
        await asyncio.sleep(10.0)
        assert await tokens.current() == first
        tokens.forget()
        assert await tokens.current() == "1700000610:4" != first

    run_virtual(main)
