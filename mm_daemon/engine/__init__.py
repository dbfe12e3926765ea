"""From a market to quotes: signals, pricing models, lockouts, tolerance. Pure; no order is known here."""
