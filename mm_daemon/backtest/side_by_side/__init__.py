"""`compare JOURNAL_A JOURNAL_B`: `compare.py` walks, `told.py` reads, `fills.py` pairs, `why.py` explains."""
