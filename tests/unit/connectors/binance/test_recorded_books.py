"""Must be seen: from depth frames alone, the book's best prices and sizes are those of the feed's own bookTicker."""

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
                    tops[event.update_id] = (event.bid_ticks, event.bid_lots, event.ask_ticks, event.ask_lots)
                    continue
                book.apply(event)
                if isinstance(event, BookDelta):
                    bests[event.update_id] = (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots)
    ids = sorted(tops)  # a bookTicker may arrive after the depth frame that already has its change
    expected_bests = {update_id: tops[ids[at - 1]] for update_id in bests if (at := bisect_right(ids, update_id))}
    equal = sum(bests[update_id] == best for update_id, best in expected_bests.items())
    with capsys.disabled():
        sys.stdout.write(f"\n{recording}: best bid and ask equal bookTicker at {equal} of {len(expected_bests)}\n")
    assert (equal, len(expected_bests)) == (expected, expected)
