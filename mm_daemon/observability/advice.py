"""What each code means and what a person may do about it, a sentence each: the pages of deploy/docs are made of it."""

from collections.abc import Mapping

from mm_daemon.domain.decisions import Doubt, DropCode, Reason, RefusalCode

REASONS: Mapping[Reason, str] = {
    Reason.KILL_LATCHED: (
        "A loss limit, a storm of rejects or a person has stopped everything. Look at `status` for the cause, at the "
        "venue for positions, then `clear-kill`."
    ),
    Reason.SHUTDOWN: "The daemon is stopping and takes its orders away.",
    Reason.OPERATOR_PAUSED: "Somebody asked for it, or a flatten has ended. `resume` quotes again.",
    Reason.MARKET_DISABLED: "`disable`, or `enabled: false` in the configuration. `enable` ends it.",
    Reason.STARTING: (
        "The venue's account has not been compared with ours yet. It takes seconds; longer means that the venue does "
        "not answer."
    ),
    Reason.JOURNAL_FAULT: (
        "The disk does not take the journal, and without it nothing is quoted. Make room or mend the disk, then start "
        "again."
    ),
    Reason.LOOP_STALL: (
        "The process did not get to run for `runtime.loop_stall_ms`. Look for a busy machine, swapping, or a "
        "suspended virtual machine."
    ),
    Reason.CLOCK_SKEW: (
        "Our clock and the venue's are apart by more than `risk.max_clock_skew_ms`. Synchronise the machine's clock."
    ),
    Reason.VENUE_DOWN: (
        "There is no connection. It is tried again with growing pauses; `status` says since when and why."
    ),
    Reason.VENUE_BANNED: (
        "The venue has told us to stay away for a while; nothing is sent until then. Lower the message rate if it "
        "comes back."
    ),
    Reason.RECONCILING: (
        "The venue's account differs from what we believe. It is repaired and compared again; what nothing explains "
        "needs `adopt` or a look at the venue."
    ),
    Reason.UNRESOLVED_ORDER: (
        "An order's fate has been unknown for `orders.unknown_withdraw_ms`. It is asked for until proven; `resolve` "
        "says how it ended where only a person can know."
    ),
    Reason.MARKET_HALTED: "The venue does not trade this market now.",
    Reason.SESSION_CLOSED: "Outside `sessions`, or within `blackouts`.",
    Reason.BOOK_INVALID: (
        "The order book had a gap, was crossed, or has not come yet. It heals with the next snapshot; often means a "
        "bad line."
    ),
    Reason.BOOK_STALE: (
        "The book has said nothing for `max_book_age_ms`. A quiet market, or a dead stream: see the age in `status`."
    ),
    Reason.NO_REFERENCE: "A side of the book is empty, so there is no price to go by.",
    Reason.MODEL_NOT_READY: (
        "The model has not seen enough to have a price: volatility or intensity are still missing. A calibration file "
        "or a checkpoint ends the wait."
    ),
    Reason.BAD_NUMBER: "The model's result is not a finite price in range. Look at the parameters with `explain`.",
    Reason.COST_TOO_HIGH: (
        "Fee and `adverse_bps` are so large that no taker would come to a quote that earns them. Look at the costs, "
        "and at k."
    ),
    Reason.TOXIC_FLOW: "A large trade or one-sided flow: quotes are away for `toxic_cool_down_ms`.",
    Reason.FILL_BURST: "This side was filled too often in a short time; it rests for `fill_burst_pause_ms`.",
    Reason.VOLATILITY_HALT: "Volatility is above `volatility_stop`.",
    Reason.STOP_LOSS: "The open position has lost more than `stop_loss_bps` and is worked off.",
    Reason.POSITION_AGE: "The position is older than `max_position_age_s` and is worked off.",
    Reason.LOSS_LIMIT: "The loss of the day is at `day_loss_stop`: only what reduces the position is quoted.",
    Reason.MAX_POSITION: "One more fill on this side could pass the position limit. The other side brings it back.",
    Reason.MAX_NOTIONAL: "`risk.max_notional` over all markets of this underlying would be passed.",
    Reason.SIZE_BELOW_MIN: (
        "What may still be quoted is smaller than the venue takes. Larger `order_size`, or room to the limit."
    ),
    Reason.PRICE_COLLAR: (
        "The price is farther from the mid or the mark than `collar_bps`. Parameters, or a mark that is wrong."
    ),
    Reason.LEVEL_MERGED: "Two levels came to the same price; the outer one is not placed.",
    Reason.LEVEL_UNUSED: "This level of the ladder has nothing to do on this side.",
    Reason.GRID_CHANGED: "The venue has changed tick, lot or limits; the market waits for the next start.",
    Reason.MARGIN_LOW: "The venue's free margin would fall below `risk.min_margin_headroom`.",
    Reason.BUDGET_PULL: "No message is left to move a quote that has become too aggressive, so it is taken away.",
    Reason.PLACE_PENDING: "The venue has not answered the placement yet.",
    Reason.AMEND_PENDING: "The venue has not answered the move yet.",
    Reason.CANCEL_PENDING: "The venue has not answered the cancel yet.",
    Reason.ORDER_UNKNOWN: "The answer to a message was lost; nothing more is sent for this slot until it is known.",
    Reason.FILL_LOCKOUT: "A pause after a fill (`fill_lockout_ms`), so that a run of takers meets no fresh quote.",
    Reason.ORDER_LOCKOUT: "A pause after a move (`order_lockout_ms`).",
    Reason.REJECT_LOCKOUT: "A pause after a refusal of the venue, doubling with each further one.",
    Reason.VENUE_BACKOFF: "The venue asked us to slow down and said for how long.",
    Reason.ORDER_TO_TRADE: "Too many messages for each fill; the quote stays where it is until the ratio allows more.",
    Reason.BUDGET_HOLD: "The message budget has no room for a move that can wait.",
    Reason.MIN_LIFE: "The quote is younger than `quote_min_life_ms`.",
    Reason.WITHIN_TOLERANCE: "The working quote is close enough to what is wanted; moving it would cost its place.",
    Reason.NEW_QUOTE: "There was no quote on this side.",
    Reason.TOO_AGGRESSIVE: "The quote had become better for others than wanted.",
    Reason.TOO_PASSIVE: "The quote had fallen behind what is wanted.",
    Reason.SIZE_CHANGED: "The wanted size differs by more than the tolerance.",
    Reason.EXPIRY_NEAR: "The quote is about to expire, or older than `quote_max_age_s`.",
    Reason.UNKNOWN_FENCE: "A cancel that makes sure that an unanswered placement can no longer land.",
    Reason.ORPHAN: "An order of ours that nobody here remembers is cancelled (`reconcile.on_orphan`).",
    Reason.FOREIGN: (
        "An order of somebody else on this account (`reconcile.on_foreign_order`). One account, one daemon."
    ),
    Reason.SURPLUS: "There were more orders than slots.",
    Reason.OPERATOR_CANCEL: "A person asked for it.",
    Reason.DEAD_MAN: "The venue's own switch cancels when we are silent.",
    Reason.HEDGE: "An order that lays off a position elsewhere.",
    Reason.FLATTEN: "An order that closes the position.",
}
"""In the order of importance in which they are decided (EXECUTION 3.5)."""

REFUSALS: Mapping[RefusalCode, str] = {
    RefusalCode.CANCELS_ONLY: "The daemon is stopping or its journal has failed.",
    RefusalCode.KILL_LATCHED: "The kill latch is set.",
    RefusalCode.RECONCILING: "The venue's account has not been settled with ours.",
    RefusalCode.UNKNOWN_INSTRUMENT: "No such market in the configuration.",
    RefusalCode.MARKET_HALTED: "The venue does not trade it.",
    RefusalCode.BOOK_NOT_TRUSTED: "There is no valid, fresh book to test the price against.",
    RefusalCode.BAD_NUMBER: "Price or size are no positive whole ticks and lots.",
    RefusalCode.OFF_GRID_PRICE: "The price is not on the venue's grid.",
    RefusalCode.OFF_GRID_SIZE: "The size is not on the venue's grid.",
    RefusalCode.SIZE_MIN: "Smaller than the venue takes, or than what is filled already.",
    RefusalCode.SIZE_MAX: "Larger than `max_order_size`, or than the venue takes.",
    RefusalCode.NOTIONAL_MIN: "Worth less than the venue's smallest order.",
    RefusalCode.NOTIONAL_MAX: "Worth more than `max_order_notional`.",
    RefusalCode.PRICE_COLLAR: "Farther from mid or mark than `collar_bps`.",
    RefusalCode.WOULD_CROSS: "A quote would take instead of make.",
    RefusalCode.SELF_CROSS: "It would meet an order of our own, in this account or another of this process.",
    RefusalCode.DUPLICATE_ID: "The client id was used before.",
    RefusalCode.UNKNOWN_TARGET: "The order it speaks of is not alive here.",
    RefusalCode.TARGET_BUSY: "The order it speaks of has not been answered.",
    RefusalCode.SLOT_BUSY: "Side and level have an order that may still be alive.",
    RefusalCode.PRICE_BUSY: "Another order of ours may stand at this price.",
    RefusalCode.MAX_ORDERS: "As many orders on this side as the ladder has levels.",
    RefusalCode.WORST_POSITION: "If every order of the side were filled, the position limit would be passed.",
    RefusalCode.WORST_NOTIONAL: "If every order of the side were filled, the value limit would be passed.",
    RefusalCode.MARGIN_LOW: "If every order were filled, too little margin would stay free.",
    RefusalCode.NOT_REDUCING: "A reducing order is larger than what there is to reduce.",
    RefusalCode.LOSS_LIMIT: "Drawdown or loss of the day is at its limit; sets the kill latch.",
    RefusalCode.ACTION_BUDGET: "As many actions as `actions_per_minute` allows.",
    RefusalCode.ORDER_TO_TRADE: "More messages for each fill than `max_order_to_trade`.",
    RefusalCode.OUTBOX_FULL: "Too many commands wait for the venue's rate limit.",
}
"""In the order in which the gate asks (EXECUTION 5)."""

DROPS: Mapping[DropCode, str] = {
    DropCode.CONFLATED: "A newer command for the same order took its place before it left.",
    DropCode.QUEUE_EXPIRED: "It waited longer than `runtime.queue_ttl_ms` for the venue's rate limit.",
}

DOUBTS: Mapping[Doubt, str] = {
    Doubt.VOLATILITY_WARMING: "Volatility is still that of the configuration or the last run.",
    Doubt.INTENSITY_WARMING: "There is no good fit of A and k yet; those of the configuration are used.",
    Doubt.INTENSITY_POOR: "The newest fit of A and k is poor; the last good one is used.",
    Doubt.INTENSITY_OLD: "The last good fit of A and k is old.",
    Doubt.MICROPRICE_WARMING: "The microprice is not adjusted yet.",
}
"""They widen the quotes by `low_confidence_widening`."""
