"""Hyperliquid on this machine: its wire protocol around the embedded market's order flow, from the venue's documents.

Nothing here imports the connector: what one side misunderstands, the other must not share.
"""
