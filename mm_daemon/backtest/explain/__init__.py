"""Why the quotes of a market are where they are: what `mm-daemon explain` says."""
