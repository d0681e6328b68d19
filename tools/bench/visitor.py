"""Somebody with a browser in front of the plug's portal, who looks at every page and saves."""

import asyncio
import re

import aiohttp

PASSWORD = "eight letters"

# What the plug has to be told for a visit: a HOLD of a second opens its portal.
CONFIG = {"portal_password": PASSWORD, "portal_press_ms": 1000, "portal_open_s": 600}
HOLD_S = 1.2

PAGES = ["/", "/wifi", "/octoprint", "/info", *(f"/settings?g={group}" for group in range(7))]
SWITCHING_OFF = "/settings?g=4"


class Visitor:
    """`async with Visitor()`, in a network where port 80 is the plug's.

    seen: pages that came whole, and saves. TimeoutError, aiohttp.ClientError: nobody answers.
    """

    def __init__(self):
        self.seen = 0

    async def __aenter__(self):
        jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address, too
        wait = aiohttp.ClientTimeout(30)
        line = aiohttp.TCPConnector(force_close=True)
        self.session = aiohttp.ClientSession(cookie_jar=jar, timeout=wait, connector=line)
        return self

    async def __aexit__(self, *_):
        await self.session.close()

    async def enter(self, seconds=30):
        """Logs in, as soon as somebody listens."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await self._ask("POST", "/login", data={"p": PASSWORD})
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.1)

    async def _ask(self, method, path, **more):
        async with self.session.request(method, "http://127.0.0.1" + path, **more) as answer:
            text = await answer.text()
        if answer.status != 200 or "</html>" not in text:
            raise aiohttp.ClientError(f"{method} {path}: {answer.status}")
        self.seen += 1
        return text

    async def look(self):
        """Every page, one after the other."""
        for path in PAGES:
            await self._ask("GET", path)

    async def save(self, **changed):
        """Saves the page about switching off with these fields changed."""
        page = await self._ask("GET", SWITCHING_OFF)
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))
        done = await self._ask("POST", SWITCHING_OFF, data=fields | changed)
        if "Saved" not in done:
            raise aiohttp.ClientError("not saved")

    async def leave(self):
        """Closes the portal."""
        page = await self._ask("GET", "/exit")
        token = re.search(r'name="t" value="(\w+)"', page)
        await self._ask("POST", "/exit", data={"t": token[1] if token else ""})
