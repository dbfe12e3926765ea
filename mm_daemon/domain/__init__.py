"""Words of the trade: instruments, events, orders, decisions, money. Pure values, no input or output."""
