"""A pricing model of somebody else's that now and then has no answer: ours refuse such numbers at the start."""

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models.catalogue import MODELS
from mm_daemon.engine.pricing_model import Curve, ModelInputs, ModelSettings

NAME = "capricious"
_WHIM = 4
"""One volatility in so many displeases it."""


class Capricious:
    """GLFT, but for some volatilities; never for that of the configuration, by which it is tried at the start."""

    def __init__(self, settings: ModelSettings) -> None:
        self._glft = MODELS["glft"](settings)
        self._first: float | None = None

    def curve(self, inputs: ModelInputs) -> Curve:
        """Raises DomainError on a whim, which is the same for the same volatility."""
        if self._first is None:
            self._first = inputs.sigma_bps
        if inputs.sigma_bps != self._first and int(inputs.sigma_bps * 1e6) % _WHIM == 0:
            raise DomainError(f"nothing is to be had at a volatility of {inputs.sigma_bps} bps")
        return self._glft.curve(inputs)
