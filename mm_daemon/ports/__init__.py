"""What the daemon needs from the outside world, as protocols. Implementations are found by entry point."""
