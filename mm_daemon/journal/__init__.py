"""What was seen is kept: the append-only record of a run, and the client ids promised ahead of use."""
