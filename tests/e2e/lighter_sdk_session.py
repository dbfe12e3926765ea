"""A session of the official SDK with the simulated venue, in the SDK's own environment: names of the checks, as JSON.

Called with the line that `mm-daemon simulate lighter` printed. Nothing here imports the daemon.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import lighter
from lighter.nonce_manager import NonceManagerType

DONE: list[str] = []


def check(name: str, holds: bool, *seen: Any) -> None:
    assert holds, (name, *seen)
    DONE.append(name)


async def until(look: Callable[[], Any], fits: Callable[[Any], bool]) -> Any:
    """What `look` finds, once it fits."""
    found = None
    for _ in range(100):
        found = await look()
        if fits(found):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"never: {found}")


async def main() -> None:
    venue = json.loads(sys.argv[1])
    account, keys = venue["account_index"], {each["api_key_index"]: each["private_key"] for each in venue["api_keys"]}
    client = lighter.SignerClient(
        url=venue["rest"],
        account_index=account,
        api_private_keys=dict(keys),
        nonce_management_type=NonceManagerType.OPTIMISTIC,
        chain_id=venue["chain_id"],
    )
    api = lighter.ApiClient(configuration=lighter.Configuration(host=venue["rest"]))
    orders, accounts, sent = lighter.OrderApi(api), lighter.AccountApi(api), lighter.TransactionApi(api)
    check("the keys are the venue's", client.check_client() is None, client.check_client())

    books = await orders.order_books()
    check("order books", [book.symbol for book in books.order_books] == venue["symbols"], books)
    details = await orders.order_book_details(market_id=0)
    check("details", details.order_book_details[0].price_decimals == 2, details)
    top = await orders.order_book_orders(market_id=0, limit=5)
    check("book by orders", len(top.bids) == 5 and float(top.bids[0].price) < float(top.asks[0].price), top)
    bid = round(float(top.bids[0].price) * 100) - 5000

    token, error = client.create_auth_token_with_expiry(api_key_index=next(iter(keys)))
    check("auth token", error is None, error)

    async def active() -> Any:
        found = await orders.account_active_orders(account_index=account, market_id=0, authorization=token)
        return found.orders

    created, answer, error = await client.create_order(
        market_index=0,
        client_order_index=11,
        base_amount=50,
        price=bid,
        is_ask=False,
        order_type=client.ORDER_TYPE_LIMIT,
        time_in_force=client.ORDER_TIME_IN_FORCE_POST_ONLY,
    )
    check("post-only order", error is None and answer.code == 200, error, answer)
    found = await until(active, lambda rows: len(rows) == 1)
    check("active order", found[0].client_order_index == 11 and found[0].status == "open", found)
    check("its price", created.price == found[0].base_price == bid, created, found)

    _, answer, error = await client.modify_order(0, 11, 60, bid - 100, 0)
    check("modify", error is None and answer.code == 200, error, answer)
    await until(active, lambda rows: rows and rows[0].base_size == 60 and rows[0].base_price == bid - 100)
    record = await sent.tx(by="hash", value=answer.tx_hash)
    check("transaction by hash", record.hash == answer.tx_hash, record)

    _, answer, error = await client.cancel_order(0, 11)
    check("cancel", error is None and answer.code == 200, error, answer)
    await until(active, lambda rows: not rows)
    _, answer, error = await client.cancel_order(0, 11)
    check("cancel of what is gone", "21600" in str(error), error)

    _, answer, error = await client.create_market_order(0, 12, 20, round(float(top.asks[0].price) * 102), False)
    check("market order", error is None and answer.code == 200, error, answer)

    async def held() -> Any:
        return (await accounts.account(by="index", value=str(account))).accounts[0].positions

    positions = await until(held, lambda rows: bool(rows) and float(rows[0].position) > 0)
    check("position", positions[0].position == "0.020" and positions[0].sign == 1, positions)
    trades = await orders.trades(sort_by="timestamp", limit=10, account_index=account, market_id=0, authorization=token)
    check("trades", sum(float(each.size) for each in trades.trades) == 0.02, trades)

    # every key has its own nonces; a batch goes under one of them
    key = next(iter(keys))
    nonce = (await sent.next_nonce(account_index=account, api_key_index=key)).nonce
    types, infos, hashes = [], [], []
    for number in range(3):
        kind, info, digest, error = client.sign_create_order(
            0,
            20 + number,
            50,
            bid - number,
            False,
            client.ORDER_TYPE_LIMIT,
            client.ORDER_TIME_IN_FORCE_GOOD_TILL_TIME,
            nonce=nonce + number,
            api_key_index=key,
        )
        assert error is None, error
        types.append(kind)
        infos.append(info)
        hashes.append(digest)
    batch = await client.send_tx_batch(types, infos)
    check("batch", batch.code == 200 and list(batch.tx_hash) == hashes, batch)
    await until(active, lambda rows: len(rows) == 3)
    client.nonce_manager.hard_refresh_nonce(key)
    _, answer, error = await client.cancel_all_orders(client.CANCEL_ALL_TIF_IMMEDIATE, 0)
    check("cancel all", error is None and answer.code == 200, error, answer)
    await until(active, lambda rows: not rows)
    _, _, error = await client.cancel_order(0, 99, nonce=nonce, api_key_index=key)
    check("old nonce", "21104" in str(error), error)

    check("book stream", await streamed(venue, account), "no book, account or shutdown")
    await client.close()
    await api.close()


async def streamed(venue: dict[str, Any], account: int) -> bool:
    """The SDK's own stream client sees the book and the account."""
    seen: dict[str, Any] = {}
    both = asyncio.Event()

    def note(name: str) -> Callable[[Any, Any], None]:
        def noted(number: Any, state: Any) -> None:
            seen[name] = (number, state)
            if len(seen) == 2:
                both.set()

        return noted

    streams = lighter.WsClient(
        ws_url=venue["ws"],
        order_book_ids=[0],
        account_ids=[account],
        on_order_book_update=note("book"),
        on_account_update=note("account"),
    )
    running = asyncio.create_task(streams.run_async())
    try:
        await asyncio.wait_for(both.wait(), 10)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return bool(seen["book"][1]["bids"]) and seen["account"][1]["account"] == account


if __name__ == "__main__":
    asyncio.run(main())
    print(json.dumps(DONE))
