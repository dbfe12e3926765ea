"""A recording told otherwise: at other times, or a part of it."""
