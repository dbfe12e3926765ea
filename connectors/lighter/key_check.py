"""Whether the venue takes an API key: it lets a token that the key has signed read. At the start of a run, for the
doctor."""

import msgspec

from connectors.lighter import transactions as tx
from connectors.lighter import wire
from connectors.lighter.rest import BAD_AUTH, KEY_REFUSED, Refused, RestClient

_TOKEN_S = 120
_AUTH_REFUSALS = KEY_REFUSED | {BAD_AUTH, 401, 403}


class KeyProblem(msgspec.Struct, frozen=True):
    """Why the venue does not take a key. registered: it has one at this index, which is another one."""

    registered: bool
    text: str


async def look_at_key(
    rest: RestClient, signer: tx.SignsTransactions, *, account: int, index: int, venue_now_s: int
) -> wire.Limits | KeyProblem:
    """The account's tier and fees as this key may read them. Raises VenueUnreachable."""
    token = await signer.auth_token(venue_now_s + _TOKEN_S, index)
    try:
        return await rest.read("accountLimits", wire.Limits, {"account_index": account}, token=token)
    except Refused as refused:
        if refused.code not in _AUTH_REFUSALS:
            raise
        text = refused.text
    try:
        await rest.read("apikeys", wire.Keys, {"account_index": account, "api_key_index": index})
    except Refused as refused:
        if refused.limited:
            raise
        return KeyProblem(False, refused.text)
    return KeyProblem(True, text)
