"""Must be seen: the book's best prices and sizes are those of the feed's own bookTicker.

From depth frames alone after each of them, and with bookTicker laid over it at every moment.
"""

import gzip
import sys
from bisect import bisect_right

import pytest

from connectors.binance.translate import BinanceSpotTranslator, BinanceUsdmTranslator
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.events import BookDelta, TopOfBook
from mm_daemon.domain.instrument import Instrument
from tests.shared import shared_file
from tests.unit.connectors.binance.frames import BTC, SPOT

Best = tuple[int, int, int, int]


def best_of(book: OrderBook) -> Best:
    return (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)


def best_said(event: TopOfBook) -> Best:
    return (event.bid_ticks, event.bid_lots, event.ask_ticks, event.ask_lots)


@pytest.mark.parametrize(
    ("recording", "translator", "instrument", "expected"),
    [
        ("binance-usdm-btcusdt-20240808.gz", BinanceUsdmTranslator, BTC, 6547),
        ("binance-spot-btcusdt-20240808.gz", BinanceSpotTranslator, SPOT, 3449),
    ],
)
def test_book_from_depth_alone_equals_the_feeds_own_best_prices(
    recording: str,
    translator: type[BinanceUsdmTranslator | BinanceSpotTranslator],
    instrument: Instrument,
    expected: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After every depth frame: price and size of both sides against the newest bookTicker not newer by update id."""
    translate = translator([instrument]).translate
    book, tops, bests = OrderBook(), dict[int, Best](), dict[int, Best]()
    with gzip.open(shared_file(f"data/{recording}")) as lines:
        for line in lines:
            stamp, _, frame = line.partition(b" ")
            for event in translate(frame, int(stamp)):
                if isinstance(event, TopOfBook):
                    tops[event.update_id] = best_said(event)
                    continue
                book.apply(event)
                if isinstance(event, BookDelta):
                    bests[event.update_id] = best_of(book)
    ids = sorted(tops)  # a bookTicker may arrive after the depth frame that already has its change
    expected_bests = {update_id: tops[ids[at - 1]] for update_id in bests if (at := bisect_right(ids, update_id))}
    equal = sum(bests[update_id] == best for update_id, best in expected_bests.items())
    with capsys.disabled():
        sys.stdout.write(f"\n{recording}: best bid and ask equal bookTicker at {equal} of {len(expected_bests)}\n")
    assert (equal, len(expected_bests)) == (expected, expected)


@pytest.mark.parametrize(
    ("recording", "translator", "instrument", "expected"),
    [
        ("binance-usdm-btcusdt-20240808.gz", BinanceUsdmTranslator, BTC, (66_089, 6_547)),
        ("binance-spot-btcusdt-20240808.gz", BinanceSpotTranslator, SPOT, (28_040, 3_449)),
    ],
)
def test_overlay_never_shows_an_older_best_than_the_feeds_own(
    recording: str,
    translator: type[BinanceUsdmTranslator | BinanceSpotTranslator],
    instrument: Instrument,
    expected: tuple[int, int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After every bookTicker and every depth frame, in the order they came: what the book shows is what the venue says
    of the newest update known by then, from whichever stream.
    """
    translate = translator([instrument]).translate
    book, tops = OrderBook(), dict[int, Best]()
    shown: list[tuple[bool, int, Best]] = []
    newest_id = tickers = 0
    with gzip.open(shared_file(f"data/{recording}")) as lines:
        for line in lines:
            stamp, _, frame = line.partition(b" ")
            for event in translate(frame, int(stamp)):
                if isinstance(event, TopOfBook):
                    tickers += 1
                    tops[event.update_id] = best_said(event)
                    newest_id = max(newest_id, event.update_id)
                elif isinstance(event, BookDelta):
                    newest_id = max(newest_id, event.update_id)
                book.apply(event)
                if isinstance(event, TopOfBook | BookDelta) and book.trusted:
                    shown.append((isinstance(event, TopOfBook), newest_id, best_of(book)))
    ids = sorted(tops)
    compared_tickers = compared_depths = older = 0
    for is_ticker, update_id, best in shown:
        at = bisect_right(ids, update_id)
        if at:
            compared_tickers += is_ticker
            compared_depths += not is_ticker
            older += best != tops[ids[at - 1]]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{recording}: an older best at {older} of {compared_tickers} bookTicker ({tickers} came) "
            f"and {compared_depths} depth frames\n"
        )
    assert older == 0
    assert (tickers, compared_depths) == expected
    assert compared_tickers > 0.999 * tickers, "all but those that came before the book"
