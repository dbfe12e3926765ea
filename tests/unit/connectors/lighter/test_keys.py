"""Which key signs what comes next: turns, doubt, refusals; and whatever happens, no nonce twice and none left out."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.lighter.keys import Key, KeyRing
from connectors.lighter.tokens import Tokens
from connectors.lighter.transactions import Signed, Transaction, key_of

SKIPPED = 1024


def ring_of(*indexes: int) -> KeyRing:
    """Keys that may sign; nothing is to be reported."""
    ring = KeyRing(7, indexes, lambda _kind, text: pytest.fail(text))
    for key in ring.every:
        key.nonces.start(0)
    return ring


def key(ring: KeyRing, index: int) -> Key:
    found = ring.get(index)
    assert found is not None
    return found


def test_idle_keys_take_turns() -> None:
    """Two for quotes and cancels; what may take has the last one."""
    ring = ring_of(4, 5, 6)
    assert [ring.choose().index for _ in range(4)] == [4, 5, 4, 5]
    assert [ring.choose(takes=True).index for _ in range(2)] == [6, 6]
    only = ring_of(4)
    assert only.choose() is only.choose(takes=True)


def test_key_that_waits_for_an_answer_is_passed_over() -> None:
    """However long it waits."""
    ring = ring_of(4, 5, 6)
    key(ring, 4).under_way = 1
    assert [ring.choose().index for _ in range(3)] == [5, 5, 5]
    assert ring.spare()
    key(ring, 5).under_way = 1
    assert not ring.spare() and ring.spare(takes=True)


def test_key_in_doubt_makes_way_for_the_others() -> None:
    """First those of its kind, then any; and it is itself again when the venue was asked."""
    ring = ring_of(4, 5, 6)
    key(ring, 4).nonces.doubt()
    assert {ring.choose().index for _ in range(3)} == {5}
    key(ring, 5).nonces.doubt()
    assert ring.choose().index == 6 and not ring.spare()
    key(ring, 4).nonces.start(3)
    assert ring.choose().index == 4 and ring.doubtful == [key(ring, 5)]
    key(ring, 6).nonces.doubt()
    assert ring.choose(takes=True).index == 4
    key(ring, 4).nonces.doubt()
    assert ring.choose(takes=True).index == 6, "all in doubt: the one of its kind is asked for"


def test_what_follows_stays_with_its_key() -> None:
    """Unless that is in doubt, out, or none of ours."""
    ring = KeyRing(7, (4, 5), lambda _kind, _text: None)
    key(ring, 5).nonces.start(0)
    assert ring.following(5) is key(ring, 5)
    assert ring.following(4) is ring.following(9) is ring.following(None) is None
    ring.refuse({5: "why"})
    assert ring.following(5) is None


def test_refused_key_is_out_and_the_others_go_on() -> None:
    """It is said once, with the reason and what to do; kinds are dealt out anew; at last nothing is left."""
    told: list[tuple[str, str]] = []
    ring = KeyRing(7, (4, 5, 6), lambda kind, text: told.append((kind, text)))
    for _ in range(2):
        ring.refuse({6: "21109 api key not found"})
    ((kind, text),) = told
    assert kind == "api_key_6", "of a kind of its own: the log holds it not back behind that of another key"
    assert text.startswith("the venue refuses API key 6 of account 7 (21109 api key not found)")
    assert "go on: 4, 5. `mm-daemon doctor`" in text
    assert [each.index for each in ring.in_turn] == [4, 5] and ring.doubtful == [key(ring, 4), key(ring, 5)]
    assert ring.choose(takes=True).index == 5 and ring.choose().index == 4 and not ring.exhausted
    ring.refuse({4: "invalid auth", 5: "21109 api key not found"})
    assert ring.exhausted and ring.doubtful == [] and len(told) == 1, "that none is left is told by the end of the run"
    words = str(ring.nothing_left())
    assert "key 6: 21109 api key not found; key 4: invalid auth; key 5" in words
    assert "register the keys at the venue" in words and "api_keys and their secrets" in words
    assert ring.choose().index in (4, 5, 6), "nothing is left to lose: the venue may be asked again"


@pytest.mark.parametrize(
    ("wire_ref", "index"), [("41:ab12:5", 5), ("41:ab12", None), ("41", None), ("", None), ("41:ab:x", None)]
)
def test_key_is_read_from_what_the_journal_holds(wire_ref: str, index: int | None) -> None:
    """Journals of versions that wrote no key are read as well."""
    assert key_of(wire_ref) == index
    assert key_of(Signed(14, "{}", "ab12", 41, 200).wire_ref) == 200


async def test_token_that_is_refused_is_followed_by_one_of_the_next_key() -> None:
    """One token is enough: it opens the whole account."""

    class Signer:
        """Structurally `SignsTransactions`: a token is its key."""

        async def sign(self, transactions: list[tuple[Transaction, int]], key_index: int) -> list[Signed]:
            raise AssertionError("nothing is signed here")

        async def auth_token(self, deadline_s: int, key_index: int) -> str:
            return f"{key_index} until {deadline_s}"

    ring = KeyRing(7, (4, 5, 6), lambda _kind, _text: None)
    tokens = Tokens(Signer(), ring, 600, lambda: 0)
    assert [await tokens.current() for _ in range(2)] == ["4 until 600"] * 2
    for expected in ("5 until 600", "6 until 600", "4 until 600"):
        tokens.forget()
        assert await tokens.current() == expected
    ring.refuse({4: "why"})
    assert await tokens.current() in ("5 until 600", "6 until 600"), "its channels may have ended with the key"


class Venue:
    """Counts by itself, as the venue does: exactly the next nonce, or any later one that may skip."""

    def __init__(self, indexes: Sequence[int]) -> None:
        self.next = dict.fromkeys(indexes, 0)

    def admits(self, index: int, nonces: Sequence[int], *, skips: bool = False) -> bool:
        expected = self.next[index]
        if nonces[0] < expected or (nonces[0] > expected and not skips):
            return False
        self.next[index] = nonces[-1] + 1
        return True


class Sent:
    """A batch between us and the venue. told: we know its outcome, or have stopped waiting for it."""

    def __init__(self, key: Key, nonces: list[int], *, skips: bool) -> None:
        self.key, self.nonces, self.skips = key, nonces, skips
        self.told = False


class World:
    """Three keys, a venue, and a network that loses and delays; each step is what `Trading` does then."""

    def __init__(self) -> None:
        self.ring = ring_of(4, 5, 6)
        self.venue = Venue((4, 5, 6))
        self.network: dict[int, list[Sent]] = {4: [], 5: [], 6: []}
        self.unsettled: dict[int, set[int]] = {4: set(), 5: set(), 6: set()}
        """Nonces given out since the venue's last word, and not given back."""

    def ask(self, key: Key) -> None:
        key.nonces.start(self.venue.next[key.index])
        self.unsettled[key.index].clear()

    def send(self, key: Key, count: int, skipped: int = 0) -> Sent:
        if key.nonces.doubtful or skipped:
            self.ask(key)
        nonces = key.nonces.take(count, skipped=skipped)
        assert self.unsettled[key.index].isdisjoint(nonces), "a nonce is out twice"
        self.unsettled[key.index].update(nonces)
        sent = Sent(key, nonces, skips=skipped > 0)
        self.network[key.index].append(sent)
        return sent

    def deliver(self, index: int, fate: str) -> None:
        """The oldest batch under a key reaches the venue, or not."""
        if not self.network[index]:
            return
        sent = self.network[index].pop(0)
        if fate == "lost":
            self.give_up(sent)
        elif fate == "bad price":
            self.refused(sent)
        elif self.venue.admits(index, sent.nonces, skips=sent.skips):
            if fate == "reply lost":
                self.give_up(sent)
            elif not sent.told:
                sent.told = True
                sent.key.nonces.admitted(sent.nonces)
        else:
            self.refused(sent, doubt=True)

    def refused(self, sent: Sent, *, doubt: bool = False) -> None:
        if sent.told:
            return
        sent.told = True
        sent.key.nonces.refused(sent.nonces)
        if doubt:
            sent.key.nonces.doubt()
        if not sent.key.nonces.doubtful:
            self.unsettled[sent.key.index].difference_update(sent.nonces)

    def give_up(self, sent: Sent) -> None:
        """No answer in time: it may be lost, or late."""
        if not sent.told:
            sent.told = True
            sent.key.nonces.doubt()


INDEX = st.sampled_from([4, 5, 6])
STEP = st.one_of(
    st.tuples(st.just("send"), st.booleans(), st.integers(1, 3)),
    st.tuples(st.just("pipeline"), INDEX, st.integers(1, 3)),
    st.tuples(st.just("deliver"), INDEX, st.sampled_from(["arrives", "lost", "reply lost", "bad price"])),
    st.tuples(st.just("give up"), INDEX, st.just(0)),
    st.tuples(st.just("mend"), INDEX, st.just(0)),
    st.tuples(st.just("shut out"), INDEX, st.just(0)),
    st.tuples(st.just("somebody else"), INDEX, st.integers(1, 9)),
)


@settings(max_examples=400)
@example([("pipeline", 4, 2), ("deliver", 4, "bad price"), ("pipeline", 4, 2)])
@example([("pipeline", 4, 2), ("give up", 4, 0), ("mend", 4, 0), ("pipeline", 4, 3), ("shut out", 4, 0)])
@given(st.lists(STEP, min_size=1, max_size=6).flatmap(lambda few: st.lists(st.sampled_from(few), max_size=60)))
def test_whatever_happens_no_nonce_is_out_twice_and_no_gap_stays(steps: list[tuple[str, int, int | str]]) -> None:
    """Losses, late arrivals, refusals, shut-outs and another process, in any order under three keys: a key that is in
    doubt is never chosen while another is not, and each key passes at the second attempt at most, in the end."""
    world = World()
    for what, which, how in steps:
        if what == "send":
            chosen = world.ring.choose(takes=bool(which))
            assert not chosen.nonces.doubtful or all(each.nonces.doubtful for each in world.ring.every)
            world.send(chosen, int(how))
        elif what == "pipeline":
            for _ in range(int(how)):
                leader = world.ring.following(which)
                if leader is not None:
                    world.send(leader, 1)
        elif what == "deliver":
            world.deliver(which, str(how))
        elif what == "give up":
            for sent in world.network[which][:1]:
                world.give_up(sent)
        elif what == "mend" and key(world.ring, which).nonces.doubtful:
            world.ask(key(world.ring, which))
        elif what == "shut out":
            old = list(world.network[which])
            shut = world.send(key(world.ring, which), 1, SKIPPED)
            world.network[which].remove(shut)
            assert world.venue.admits(which, shut.nonces, skips=True)
            shut.key.nonces.admitted(shut.nonces)
            assert all(sent.nonces[-1] < world.venue.next[which] for sent in old if not sent.skips), "shut out"
        elif what == "somebody else":
            world.venue.next[which] += int(how)
    for index, waiting in world.network.items():
        while waiting:
            world.deliver(index, "arrives")
        for attempt in range(2):
            sent = world.send(key(world.ring, index), 1)
            before = world.venue.next[index]
            world.deliver(index, "arrives")
            if world.venue.next[index] == before + 1:
                assert sent.nonces == [before]
                break
            assert attempt == 0, "a gap that stays"
