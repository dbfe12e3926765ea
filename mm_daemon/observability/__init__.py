"""What a person can see of a running daemon."""
