"""What a trader asks before the first order: whether venue, account, clock and configuration fit each other."""
