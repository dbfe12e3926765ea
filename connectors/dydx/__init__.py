"""dYdX v4 (dYdX Chain): perpetual futures of a Cosmos chain with an indexer beside it."""
