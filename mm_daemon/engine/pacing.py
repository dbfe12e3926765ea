"""How long a decision may stand while data flow: shorter in a wild market and near a position limit."""


def adapted_interval_ns(
    base_ns: int, least_ns: int, volatility_ratio: float | None, used: float, near_limit_from: float
) -> int:
    """Between `least_ns` and `base_ns`: what is left of `base_ns` after both shortenings.

    `volatility_ratio` r is volatility now over volatility as usual, None while unknown: above 1 the interval is divided
    by r squared, in which time the mid moves as far as usual in `base_ns`. `used` is the share of the position limit
    that is taken, of either sign: from `near_limit_from` on the interval falls in a straight line to nothing at 1.
    """
    left = 1.0
    if volatility_ratio is not None and volatility_ratio > 1.0:
        left /= volatility_ratio * volatility_ratio
    beyond = abs(used) - near_limit_from
    if beyond > 0.0:
        left *= max(0.0, 1.0 - beyond / (1.0 - near_limit_from)) if near_limit_from < 1.0 else 0.0
    return max(least_ns, min(base_ns, int(base_ns * left)))
