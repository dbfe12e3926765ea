"""The pricing models beside each other on the same markets: `make compare-models` writes `deploy/docs/models.md`.

`contenders` makes them comparable, `scenes` are the markets, `watched` sees fills and mids from outside the driver,
`play` runs one, `cost` times a quote, `page` and `picture` show it. Not part of the daemon: nothing imports it.
"""
