"""The daemon as a whole, in pieces: is it quoting, and if not, why; each market in a line; the venues."""

from collections.abc import Mapping
from html import escape

import msgspec

from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.observability.logs import utc_text
from mm_daemon.observability.page.figures import duration, money, share_bar, tone_of
from mm_daemon.observability.page.marks import (
    Fragments,
    Marks,
    amount,
    events,
    low,
    pair,
    position_bar,
    shape,
    signed_size,
    tone,
)
from mm_daemon.observability.page.sentences import Headline
from mm_daemon.observability.recent import Recent
from mm_daemon.observability.records import MarketRecords
from mm_daemon.observability.status import MarketStatus, SideStatus, Status, VenueStatus
from mm_daemon.ports.connector import Link

_NS_PER_S = 1_000_000_000
_NOTED = 6
"""Markets that are named in the headline of all."""
_STATES = {"quoting": "quoting", "idle": "off", "paused": "off", "killed": "off"}


class Switch(msgspec.Struct, frozen=True):
    """A venue's dead man's switch: in words, when it will act, how often it is armed again."""

    words: str
    deadline_ns: int | None
    refresh_s: float | None


def daemon_fragments(
    status: Status,
    headlines: Mapping[InstrumentId, Headline],
    links: Mapping[Venue, Mapping[str, Link]],
    switches: Mapping[Venue, Switch],
    recent: Recent,
    marks: Marks,
    end: int,
) -> Fragments:
    """Head, venues and last events. `headlines` by market id; `end`: number of the next record."""
    state = _STATES.get(status.state, "partly")
    up_s = (status.now_ns - status.started_ns) / _NS_PER_S
    pnl = "".join(
        f'<span class="figure"><span class="label">P&amp;L</span> <b class="{tone_of(total)}" title="{escape(total)}">'
        f"{money(total)}</b> {escape(currency)}</span>"
        for currency, total in status.pnl.items()
    )
    return {
        "state": f'<span class="badge {state}">{shape(state)} {escape(status.state)}</span>',
        "totals": pnl + _drawdown(status),
        "clock": f"up {duration(up_s)} · <time>{utc_text(status.now_ns)[11:19]} UTC</time> · record {marks.as_of(end)}",
        "all": _all_in_a_word(status, headlines),
        "spoken-all": escape(_spoken_of_all(status, headlines)),
        "venues": "".join(
            _venue(venue, links.get(Venue(venue.name), {}), switches.get(Venue(venue.name)), status.now_ns)
            for venue in status.venues
        ),
        "events": events(recent.notable, marks),
    }


def row_fragments(index: int, status: MarketStatus, said: Headline, own: MarketRecords, marks: Marks) -> Fragments:
    """The line of one market in the table of all."""
    decided = marks.mark(None if own.decided is None else own.decided.record)
    why = "" if said.tone == "quoting" else escape(said.text.partition(": ")[2] or said.text)
    row = f"r{index}-"
    age = status.book.age_ms
    return {
        f"{row}state": tone(said.tone),
        f"{row}why": f"{why} {decided}",
        f"{row}bid": _own_price(status.bid),
        f"{row}ask": _own_price(status.ask),
        f"{row}position": f"{marks.mark(own.booked)} {signed_size(status.position)}{position_bar(status)}",
        f"{row}pnl": amount(status.pnl.total),
        f"{row}age": "never" if age is None else duration(age / 1000),
        f"{row}uptime": f"{status.uptime:.0%}",
    }


def _all_in_a_word(status: Status, headlines: Mapping[InstrumentId, Headline]) -> str:
    """How many are quoted, and why the others are not: those first that are not at all."""
    tones = [said.tone for said in headlines.values()]
    quoted, partly = tones.count("quoting"), tones.count("partly")
    troubled = sorted((said for said in headlines.values() if said.tone != "quoting"), key=lambda said: said.tone)
    colour = "quoting" if not troubled else "partly" if quoted + partly else "off"
    if status.kill is not None:
        first = f"Killed: {status.kill}. Nothing is quoted until somebody runs mm-daemon clear-kill."
    elif len(headlines) == 1 and troubled:
        first, troubled = troubled[0].text, []
    elif not troubled:
        first = "Quoting the market on both sides." if len(headlines) == 1 else f"Quoting all {quoted} markets."
    else:
        one_side = f", {partly} on one side only" if partly else ""
        none = len(tones) - quoted - partly
        first = f"Quoting {quoted or 'none'} of {len(tones)} markets{one_side}{f', {none} not at all' if none else ''}."
    said = f'<p class="headline {colour}">{shape(colour)} {escape(first)}</p>'
    if not troubled:
        return said
    named = "".join(f'<li class="{each.tone}">{escape(each.text)}</li>' for each in troubled[:_NOTED])
    more = f"<li>and {len(troubled) - _NOTED} more, below</li>" if len(troubled) > _NOTED else ""
    return f'{said}<ul class="causes">{named}{more}</ul>'


def _spoken_of_all(status: Status, headlines: Mapping[InstrumentId, Headline]) -> str:
    off = [said.spoken for said in headlines.values() if said.tone != "quoting"]
    return f"{status.state}. {' '.join(off[:_NOTED]) or 'All markets are quoted on both sides.'}"


def _drawdown(status: Status) -> str:
    if status.drawdown is None or status.max_drawdown is None:
        return ""
    used = float(status.drawdown) / float(status.max_drawdown)
    tone = "loss" if used > 0.8 else "even"
    return (
        f'<span class="figure"><span class="label">drawdown</span> <b class="{tone}" title="{escape(status.drawdown)}">'
        f"{float(status.drawdown):.2f}</b> of {float(status.max_drawdown):.2f}</span>"
    )


def _venue(venue: VenueStatus, links: Mapping[str, Link], switch: Switch | None, now_ns: int) -> str:
    link_tone = "quoting" if venue.connected else "off"
    age = "no data yet" if venue.data_age_ms is None else f"data {duration(venue.data_age_ms / 1000)} old"
    rows = [
        pair("Orders", f"{venue.open_orders} open, {venue.waiting_commands} waiting to be sent"),
        *(_link(name, link) for name, link in links.items()),
        *(
            pair(
                f"Budget {escape(bucket)}",
                f"{share:.0%} left {share_bar(share, f'{share:.0%} left', low(share))}",
                low(share),
            )
            for bucket, share in venue.headroom.items()
        ),
    ]
    if switch is not None:
        rows.append(_switch(switch, now_ns))
    if venue.unknown_orders:
        named = ", ".join(
            f"{order.client_id} ({order.symbol} {order.side} {order.size} at {order.price})" for order in venue.unknown
        )
        said = f"{venue.unknown_orders}: {named}; mm-daemon resolve ORDER dead|filled once you have looked at the venue"
        rows.append(pair("Unknown orders", escape(said), "warn"))
    if bad := sum(venue.bad_messages.values()):
        causes = ", ".join(f"{kind} {count}" for kind, count in venue.bad_messages.items())
        rows.append(pair("Bad messages", f"{bad} ({escape(causes)})", "warn"))
    if venue.restarts:
        rows.append(pair("Restarts", str(venue.restarts), "warn"))
    simulated = ", simulated" if venue.simulated else ""
    return (
        f'<section class="venue"><h3>{escape(venue.name)} <span class="tone {link_tone}">{shape(link_tone)} '
        f"{'connected' if venue.connected else 'not connected'}</span><small>{age}{simulated}</small></h3>"
        f"<dl>{''.join(rows)}</dl></section>"
    )


def _link(name: str, link: Link) -> str:
    ends = sum(link.ends.values())
    said = f"{'up' if link.connected else 'down'}, {link.messages} messages"
    if ends:
        causes = ", ".join(f"{cause} {count}" for cause, count in link.ends.items() if count)
        said += f", ended {ends}× ({causes})"
    return pair(f"Link {escape(name)}", escape(said), "" if link.connected else "warn")


def _switch(switch: Switch, now_ns: int) -> str:
    words = escape(switch.words.removeprefix("dead man's switch: "))
    if switch.deadline_ns is None:
        return pair("Dead man's switch", words)
    left_s = (switch.deadline_ns - now_ns) / _NS_PER_S
    armed = "" if switch.refresh_s is None else f", armed again every {duration(switch.refresh_s)}"
    late = switch.refresh_s is not None and left_s < switch.refresh_s / 2
    return pair("Dead man's switch", f"acts in {duration(max(left_s, 0.0))}{armed}; {words}", "warn" if late else "")


def _own_price(side: SideStatus) -> str:
    return "–" if side.price is None else f"{escape(side.price)} <small>×&nbsp;{escape(side.size or '')}</small>"
