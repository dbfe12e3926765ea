"""Where we stand in the queue: what its models say of our own orders, and what hangs on the choice."""
