"""What `mm-daemon doctor` asks the neutral venue. Reads only."""

from collections.abc import Sequence

from connectors.neutral.rest import RestClient
from connectors.shared.round_trip import latency
from mm_daemon.ports.examination import Check, Probe, not_applicable, ok


class Examination:
    def __init__(self, rest: RestClient, stream: str) -> None:
        """`stream` is the address of the WebSocket."""
        self._rest = rest
        self._stream = stream

    def probes(self) -> Sequence[Probe]:
        return [Probe("latency", self._latency), Probe("credentials", self._credentials)]

    async def _latency(self) -> Sequence[Check]:
        return await latency(lambda: self._rest.get("/v1/time"), self._stream)

    async def _credentials(self) -> Sequence[Check]:
        """Raises CredentialsRefused."""
        await self._rest.get("/v1/account")
        untold = not_applicable("balance", "the protocol tells no balance, no margin and no leverage")
        return [ok("credentials", "the venue takes the key's signature"), untold]
