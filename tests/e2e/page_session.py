"""A person at the status page, in headless Chromium. Runs in an environment of its own, with playwright and axe-core.

    python page_session.py CHROMIUM FOLDER READONLY_URL URL

The token for the daemon at URL is read from stdin. Pictures go into FOLDER. Prints what it saw as JSON on the last
line; a check that fails ends it with a traceback. Nothing here imports the daemon.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIGHTS = ((400, 860, "light"), (1600, 1130, "light"), (1600, 1130, "dark"), (1100, 900, "light"))
MARKET = "/market/sim:BTC-USDT"
PATIENCE_MS = 20_000


@contextmanager
def opened(browser: Browser, url: str, width: int = 1600, height: int = 1000, **options: Any) -> Iterator[Page]:
    """A page of its own. At the end: nothing was asked of any other origin, and nothing complained."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    yield page
    origin = "/".join(url.split("/")[:3])
    assert not [each for each in asked if not each.startswith((f"{origin}/", "data:"))], asked
    assert not complaints, complaints
    context.close()


def looks_right(browser: Browser, url: str, folder: Path) -> list[str]:
    """Narrow and wide, light and dark: nothing to scroll sideways, nothing that axe-core calls serious."""
    pictures = []
    for view, path in (("overview", "/"), ("market", MARKET)):
        for width, height, scheme in (
            (400, 860, "light"),
            (1600, 1130, "light"),
            (1600, 1130, "dark"),
            (1100, 900, "light"),
        ):
            with opened(browser, url + path, width, height, color_scheme=scheme) as page:
                expect(page.locator("#freshness")).to_contain_text("live")
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (view, width)
                found = Axe().run(page).response["violations"]
                serious = [each for each in found if each["impact"] in ("serious", "critical")]
                assert not serious, json.dumps(serious, indent=1)[:4000]
                picture = folder / f"page-{view}-{width}-{scheme}.png"
                page.screenshot(path=picture)
                Image.open(picture).quantize(96).save(picture, optimize=True)
                pictures.append(picture.name)
    return pictures


def moves(page: Page) -> int:
    """The figures change by themselves; the last record that was shown."""
    mark = page.locator('[data-f="clock"] .rec')
    before = int(mark.inner_text().removeprefix("#"))
    page.wait_for_function(
        "before => Number(document.querySelector('[data-f=\"clock\"] .rec').textContent.slice(1)) > before", arg=before
    )
    return int(mark.inner_text().removeprefix("#"))


def shows_only(browser: Browser, url: str) -> None:
    """Without a token in the configuration there is nothing to press."""
    with opened(browser, url) as page:
        expect(page.get_by_text("This page only shows.")).to_be_visible()
        assert page.locator("button").count() == 0
        moves(page)


def without_javascript(browser: Browser, url: str) -> None:
    """The essentials are in the document itself, which is asked for again every few seconds."""
    with opened(browser, url + MARKET, java_script_enabled=False) as page:
        expect(page.locator('[data-f="headline"]')).to_contain_text("BTC-USDT")
        assert page.locator(".ladder tbody tr").count() > 10
        assert 'http-equiv="refresh"' in page.content()


def controls(page: Page, token: str) -> list[str]:
    """Pause and resume, by keyboard; what was answered and said."""
    answers = []

    def press(name: str) -> None:
        page.get_by_role("button", name=name, exact=True).press("Enter")

    def answered(text: str) -> None:
        expect(page.locator("#answer")).to_contain_text(text)
        answers.append(page.locator("#answer").inner_text())

    page.get_by_label("Token").fill("not the right one")
    press("Pause…")
    page.get_by_label("Token").fill(token)
    answered("not right")
    headline = page.locator('[data-f="headline"]')
    press("Pause…")
    expect(page.get_by_role("dialog")).to_contain_text("its quotes are cancelled")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(headline).to_contain_text("Quoting")
    press("Pause…")
    press("Pause")
    answered("paused")
    expect(headline).to_contain_text("Not quoting BTC-USDT: paused by page at")
    expect(page.locator('[data-f="spoken"]')).to_have_text("Not quoting BTC-USDT: paused.")
    expect(page.locator('[data-f="orders"]')).to_contain_text("No order of ours may be alive.")
    return answers


def figures(page: Page) -> dict[str, str]:
    """Those that stand still while a market is paused, exact, by their names in `status --json`."""
    exact = page.locator('[data-f="pnl"] tbody tr td span')
    return {
        "spread": str(exact.nth(0).get_attribute("title")),
        "fees": str(exact.nth(2).get_attribute("title")),
        "position": page.locator('[data-f="position"] .big b').inner_text().replace("−", "-").removeprefix("+"),
        "fills": page.locator('[data-f="quality"] dd').nth(1).inner_text().split()[0],
    }


def names_its_record(page: Page) -> str:
    """A record's mark tells the command that shows it, to the keyboard too; updates do not take the focus away."""
    mark = page.locator('[data-f="pnl"] .rec')
    mark.focus()
    page.wait_for_timeout(1500)
    assert page.evaluate("document.activeElement.className") == "rec"
    page.keyboard.press("Enter")
    expect(page.locator("#command")).to_contain_text("mm-daemon journal show")
    return page.locator("#command").inner_text()


def says_when_it_is_cut_off(page: Page) -> None:
    """Old figures are never shown as new ones."""
    page.context.set_offline(True)
    page.evaluate("stream.close()")
    expect(page.locator("#lost")).to_contain_text("these figures are old")
    expect(page.locator("#freshness")).to_contain_text("s old")


def main() -> None:
    chromium, folder, readonly, url = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    token = sys.stdin.readline().strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        shows_only(browser, readonly)
        without_javascript(browser, url)
        with opened(browser, url) as page:
            page.get_by_role("link", name="sim:BTC-USDT").press("Enter")
            page.wait_for_url(f"**{MARKET}")
            moves(page)
        pictures = looks_right(browser, url, folder)
        # A refused token is an error to the browser's console too: no complaint of the page.
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(url + MARKET)
        answers = controls(page, token)
        seen = figures(page)
        command = names_its_record(page)
        with opened(browser, url + MARKET, 1600, 700) as paused:
            expect(paused.locator("#freshness")).to_contain_text("live")
            picture = folder / "page-paused-1600-light.png"
            paused.screenshot(path=picture)
            Image.open(picture).quantize(96).save(picture, optimize=True)
        print(json.dumps({"figures": seen}), flush=True)
        sys.stdin.readline()  # the caller has compared them
        page.get_by_role("button", name="Resume…", exact=True).press("Enter")
        page.get_by_role("button", name="Resume", exact=True).press("Enter")
        expect(page.locator('[data-f="headline"]')).to_contain_text("Quoting BTC-USDT")
        says_when_it_is_cut_off(page)
        browser.close()
    print(json.dumps({"answers": answers, "command": command, "pictures": pictures}), flush=True)


if __name__ == "__main__":
    main()
