"""A dYdX chain and its indexer on this machine, as `deploy/docs/dydx.md` tells of them."""
