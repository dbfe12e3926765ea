"""Approved commands for tests of what comes after the gate, where the gate itself is not the subject."""

import msgspec

from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, Command, PlaceOrder


def approved(command: Command, now_ns: int = 0) -> ApprovedCommand:
    return ApprovedCommand(command, now_ns)


def fold(place: PlaceOrder, amend: AmendOrder, now_ns: int) -> ApprovedCommand:
    """A waiting place with its amend's price and size, as the gate passes it when no limit is in the way."""
    return approved(msgspec.structs.replace(place, ticks=amend.ticks, lots=amend.lots, reasons=amend.reasons), now_ns)
