"""The status page: what the daemon does and why, on the loopback address, for people.

`sentences.py` says why in words, `daemon.py` and `market.py` make HTML of it, all from the same `Status` that
`status --json` prints. `board.py` builds it while somebody watches, once for everybody, a
market at a time so that no decision waits; `server.py` serves it and lets through what people ask for.
"""
