"""When an order of unknown outcome is proven dead (EXECUTION 2): four sources, each of them later than the instant V at
which the order's validity closed.

Pure; asked by `core/resolver.py`. "Not found" alone is never proof (R7): a command may be late.
"""

from enum import StrEnum

import msgspec

from mm_daemon.domain.capabilities import Validity

APART_NS = 1_000_000_000
"""Two answers "not found" count as two when they are this far apart."""


class Missing(StrEnum):
    """What a proof still lacks."""

    VALIDITY_OPEN = "validity_open"
    NOT_FOUND_TWICE = "not_found_twice"
    SNAPSHOT = "snapshot"
    FILLS_INCOMPLETE = "fills_incomplete"


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one order. Instants are the venue's own, in nanoseconds; for `height` they are blocks.

    closes_at: last instant at which the validity may be open, margin included; None: it never closes by itself.
    closed_at: when it was closed before that, by an accepted fence or by a nonce spent elsewhere. now: the venue's
    latest known time. not_found: answers "no such order". absent_at: as of when the open orders lacked it; None: they
    never did, or it was there the last time. fills_to: how far the fills are complete.
    """

    kind: Validity
    closes_at: int | None
    now: int
    closed_at: int | None = None
    not_found: tuple[int, ...] = ()
    absent_at: int | None = None
    fills_to: int | None = None


def nonce_spent(nonce: int, next_nonce: int, *, hash_found: bool) -> bool:
    """Whether another transaction took a command's place: the venue is past its nonce and does not know it."""
    return next_nonce > nonce and not hash_found


def closed_since(evidence: Evidence) -> int | None:
    """V: since when the validity is closed; None while it is open."""
    if evidence.closed_at is not None:
        return evidence.closed_at
    if evidence.closes_at is not None and evidence.now > evidence.closes_at:
        return evidence.closes_at
    return None


def absence_proven(evidence: Evidence) -> tuple[Missing, ...]:
    """What the proof of death still lacks; nothing: the order can never fill again."""
    since = closed_since(evidence)
    missing: list[Missing] = []
    if since is None:
        missing.append(Missing.VALIDITY_OPEN)
        since = evidence.closes_at
    absent = since is not None and evidence.absent_at is not None and evidence.absent_at > since
    if evidence.kind is Validity.HEIGHT:
        # A block's own fills are complete only once the indexer is past it; its 404 means nothing.
        if since is None or evidence.fills_to is None or evidence.fills_to <= since:
            missing.append(Missing.FILLS_INCOMPLETE)
        if not absent:
            missing.append(Missing.SNAPSHOT)
        return tuple(missing)
    answers = [] if since is None else [at for at in evidence.not_found if at > since]
    if not answers or max(answers) - min(answers) < APART_NS:
        missing.append(Missing.NOT_FOUND_TWICE)
    if not absent:
        missing.append(Missing.SNAPSHOT)
    if since is None or evidence.fills_to is None or evidence.fills_to < since:
        missing.append(Missing.FILLS_INCOMPLETE)
    return tuple(missing)
