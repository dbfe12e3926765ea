"""The venue's hash, curve and signatures in plain Python: slow, but nobody else's, so that what the venue's native
library signs is checked by something that is not the library."""
