"""The page of a report in a real browser: wide and narrow, light and dark, nothing fetched, all of it readable."""

from pathlib import Path

import pytest

from mm_daemon.cli.main import execute
from mm_daemon.domain.orders import Side
from tests.browser import browser, chromium
from tests.unit.backtest.test_curves import walked

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
LEAST_PX = 7.5
"""Of text in pictures."""
LEAST_CONTRAST = 3.0
"""Of any text against what is behind it (WCAG asks 3 of large text and 4.5 of small)."""

SHOWN_TEXT = """
[...document.querySelectorAll('svg text')].filter(t => t.getClientRects().length && t.textContent.trim())
  .map(t => t.getBoundingClientRect().height * 0.8)
"""
CONTRASTS = """
(() => {
  const light = c => { const [r, g, b] = c.match(/[0-9.]+/g).slice(0, 3).map(v => { v /= 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 }); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
      if (c && !c.startsWith('rgba(0, 0, 0, 0')) return c } return 'rgb(255, 255, 255)' };
  const found = {};
  for (const e of document.querySelectorAll('h1, h2, h3, p, th, td, b, span, small, dt, dd, figcaption, svg text')) {
    if (!e.getClientRects().length || !e.textContent.trim()) continue;
    const colour = e instanceof SVGElement ? getComputedStyle(e).fill : getComputedStyle(e).color;
    const [a, b] = [light(colour), light(behind(e))];
    found[colour + ' on ' + behind(e)] = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of one run and a page of two."""
    chromium()
    folder = tmp_path_factory.mktemp("pages")
    steps = [(700, 20, Side.SELL), (2500, 35, Side.BUY), (2500, -50, Side.SELL), (2500, 5, None)] * 10
    journals = []
    for name, run in (("first", steps), ("a run with a long name that has to be broken somewhere", steps[1:])):
        (folder / name).mkdir()
        journals.append(walked(folder / name, run)[1])
    made = {"one": folder / "one.html", "two": folder / "two.html"}
    assert execute(["report", str(journals[0]), "--html", str(made["one"])]) == 0
    assert execute(["report", *map(str, journals), "--html", str(made["two"])]) == 0
    return made


@pytest.mark.parametrize("name", ["one", "two"])
async def test_page_in_a_browser(pages: dict[str, Path], name: str, tmp_path: Path) -> None:
    async with browser(tmp_path) as tab:
        for width in (360, 400, 800, 1600):
            for dark in (False, True):
                await tab.show(pages[name], width, dark=dark)
                where = f"{name} at {width} px, {'dark' if dark else 'light'}"
                assert await tab.run("document.documentElement.scrollWidth") == width, f"{where}: wider than the screen"
                sizes = await tab.run(SHOWN_TEXT)
                assert sizes
                assert min(sizes) >= LEAST_PX, f"{where}: text of {min(sizes):.1f} px"
                contrasts = await tab.run(CONTRASTS)
                weak = {pair: ratio for pair, ratio in contrasts.items() if ratio < LEAST_CONTRAST}
                assert not weak, f"{where}: {weak}"
                paper = await tab.run("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0]")
                assert (int(paper) < 60) is dark
                shown = await tab.run("[...document.querySelectorAll('svg')].filter(s => s.clientWidth > 0).length")
                drawn = await tab.run("document.querySelectorAll('figure').length")
                assert shown == drawn, f"{where}: {shown} pictures shown of {drawn}"
        assert tab.errors == []
        assert {url.split(":")[0] for url in tab.fetched} == {"file"}
        assert len(set(tab.fetched)) == 1


async def test_a_question_is_answered(pages: dict[str, Path], tmp_path: Path) -> None:
    """On a phone too: the words lie within the screen."""
    async with browser(tmp_path) as tab:
        for width in (400, 1600):
            await tab.show(pages["one"], width)
            assert await tab.run("getComputedStyle(document.querySelector('.tip')).display") == "none"
            await tab.run("document.querySelector('.tile .q').focus()")
            await tab.run("window.box = document.querySelector('.tile .tip').getBoundingClientRect()")
            left, right, top, bottom = await tab.run("[box.left, box.right, box.top, box.bottom]")
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= 900
            assert "cash + final position" in await tab.run("document.querySelector('.tile .tip').innerText")
