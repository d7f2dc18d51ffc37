"""A browser that publishes the clip from its camera, by WHIP, from a page of another origin."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from lowbeam.media import VideoSource
from lowbeam.server.workers import Workers
from tests.server_whip import CLIP, until, whip_server

CHROMIUM = Path("/usr/bin/chromium")
CAMERA_FRAMES = 50
DOCS = Path(__file__).parents[1] / "docs" / "how-to" / "whip.md"


def write_y4m(path: Path) -> None:
    """The first frames of the clip as a fake camera shows them."""
    with path.open("wb") as file, VideoSource(CLIP) as video:
        for number, frame in enumerate(video):
            if number == CAMERA_FRAMES:
                break
            height, width = frame.rgb.shape[:2]
            if number == 0:
                file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420mpeg2\n".encode())
            file.write(b"FRAME\n" + frame.picture.to_ndarray(format="yuv420p").tobytes())


async def serve_page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer any request with a page that has the function of the docs."""
    script = DOCS.read_text().partition("```js\n")[2].partition("```")[0]
    page = f"<!doctype html><title>camera</title><script>{script}</script>".encode()
    with suppress(asyncio.IncompleteReadError):  # browsers also connect without a request
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + page)
        await writer.drain()
    writer.close()


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")
def test_a_browser_publishes_its_camera(tmp_path: Path) -> None:
    camera = tmp_path / "camera.y4m"
    write_y4m(camera)
    workers = Workers(count=1)

    async def run() -> None:
        other = await asyncio.start_server(serve_page, "127.0.0.1", 0)
        async with other, whip_server(tmp_path, workers, with_pages=True) as to, async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=[
                    "--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
                    f"--use-file-for-fake-video-capture={camera}",
                ],
            )  # fmt: skip
            page = await browser.new_page()
            await page.goto(f"http://localhost:{other.sockets[0].getsockname()[1]}/")
            endpoint = f"{str(to.client.base_url).rstrip('/')}/whip"
            await page.evaluate("async (to) => { window.end = await publish(...to) }", [endpoint, to.token])
            await until(lambda: to.estimates > 5, 15)
            await until(lambda: to.stream.link.rate_bps > 10_000, 5)
            assert to.stream.link.state == "live"
            await page.evaluate("end()")
            assert not to.hub.streams
            await browser.close()

    try:
        asyncio.run(run())
    finally:
        workers.close()
