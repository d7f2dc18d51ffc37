"""A browser that notes when each number came on the page: ``python -m benchmarks.link.glass_page SETUP_URL``.

Makes the first admin, opens the page "who is on" in headless Chromium and prints a line when it watches. When its input
ends it prints a JSON list of rows: the time that the page gives with a number, when the document changed, and when the
frame of the browser that shows the change was drawn. All are Unix seconds.
"""

import json
import secrets
import sys

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
WATCH = """() => {
  const known = new Set();
  globalThis.glass = [];
  const utc = () => (performance.timeOrigin + performance.now()) / 1000;
  const look = () => {
    for (const number of document.querySelectorAll("[data-value=valence][data-time]")) {
      const time = number.dataset.time;
      if (known.has(time)) continue;
      known.add(time);
      const row = [Number(time), utc(), null];
      glass.push(row);
      requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = () => { row[2] = utc(); };
        channel.port2.postMessage(0);
      });
    }
  };
  const what = { subtree: true, childList: true, attributes: true, characterData: true };
  new MutationObserver(look).observe(document.body, what);
}"""


def main(setup_url: str) -> None:
    """Watch until the input ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(setup_url)
        page.fill("[name=name]", "benchmark")
        page.fill("[name=password]", secrets.token_urlsafe())
        page.click("text=Make the admin")
        page.wait_for_selector("text=Nobody is on.")
        page.evaluate(WATCH)
        print("watching", flush=True)
        sys.stdin.read()
        print(json.dumps(page.evaluate("glass")))
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
