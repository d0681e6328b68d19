"""Stands for the phone on the plug's access point, or the browser on its network.

A port of 127.0.0.1 through which this PC's browser reaches the plug's port 80. What is particular
to the address is translated both ways, so that the plug sees a browser that typed its own address:
Host, Origin and Referer there, Location, Set-Cookie and links back. Everything else passes as it
is, above all what another site's page might send. Only the simulator's page may frame the portal,
which lets nobody do so by itself.
"""

import html
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

POINT = "192.168.4.1"  # the plug on its own access point

_LIMIT = 1 << 20
_WAIT_S = 30.0
_NO_FRAME = "frame-ancestors 'none'"
# Between two neighbours only, or told anew by whoever sends it on.
_OURS = ("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server")

_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="2">
<title>No portal</title>
<style>
:root {{ color-scheme: light dark; font: 18px/1.5 system-ui, sans-serif }}
body {{ max-width: 30rem; margin: 3rem auto; padding: 0 1rem }}
</style>
<h1>{0}</h1>
<p>{1}</p>
<p>This page looks again by itself. {2}</p>
</html>
"""


def address(chip):
    """The plug's address for whoever reaches it now; None: nobody does."""
    if chip.powered and chip.wifi.active[1]:
        return POINT
    if chip.powered and chip.wifi.status() == 5:
        return chip.wifi.address[0]
    return None


def in_the_way(runner):
    """(what, remedy) why there is no portal now; None when there is one."""
    if not runner.chip.powered:
        return "The plug has no power", "Plug it in."
    if runner.dead:
        return "The plug is dead", f"Its firmware has ended: {runner.dead}. Unplug it, plug it in."
    if not runner.serves("tcp", 80):
        return (
            "The portal is closed",
            "Hold the plug's button for five seconds: HOLD on the simulator's page.",
        )
    if address(runner.chip) is None:
        return "The plug cannot be reached", "It is in no network, and its access point is off."
    return None


class Phone:
    """home: the simulator's own page, which the page without a portal leads to."""

    def __init__(self, runner, home=""):
        self.runner, self.home = runner, home
        self.port = 0

    async def start(self, port):
        """Listen on 127.0.0.1; OSError if the port is taken. Returns the port."""
        app = web.Application(client_max_size=_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._serving = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._serving.setup()
        try:
            await web.TCPSite(self._serving, "127.0.0.1", port).start()
        except OSError:
            await self._serving.cleanup()
            raise
        self.port = self._serving.addresses[0][1]
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            timeout=aiohttp.ClientTimeout(total=_WAIT_S),
        )
        return self.port

    async def stop(self):
        await self._session.close()
        await self._serving.cleanup()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    async def _pass(self, request):
        reason = in_the_way(self.runner)
        if reason:
            return self._without(*reason)
        plug, mine = address(self.runner.chip), request.host
        # Somebody who was led here under another name is not to look like one who typed ours.
        ours = mine in (f"127.0.0.1:{self.port}", f"localhost:{self.port}")
        headers = CIMultiDict(
            (name, value) for name, value in request.headers.items() if name.lower() not in _OURS
        )
        if ours:
            headers["Host"] = plug
            for name in ("Origin", "Referer"):
                if urlsplit(headers.get(name, "")).netloc == mine:
                    headers[name] = headers[name].replace(f"//{mine}", f"//{plug}", 1)
        headers["Connection"] = "close"
        where = f"http://127.0.0.1:{self.runner.ports['tcp', 80]}{request.raw_path}"
        try:
            async with self._session.request(
                request.method,
                URL(where, encoded=True),
                headers=headers,
                data=await request.read() or None,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            ) as answer:
                body = await answer.read()
                if request.headers.get("Sec-Fetch-Dest") == "iframe":
                    body = body.replace(b" autofocus", b"")  # refused there, with a complaint
                return self._back(answer, body, plug, mine if ours else plug)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            said = str(error) or type(error).__name__
            return self._without("The plug gave no whole answer", said)

    def _back(self, answer, body, plug, mine):
        headers = CIMultiDict()
        for name, value in answer.headers.items():
            if name.lower() in _OURS:
                continue
            if name.lower() == "location" and urlsplit(value).netloc == plug:
                value = value.replace(f"//{plug}", f"//{mine}", 1)
            elif name.lower() == "set-cookie":
                parts = [part for part in value.split(";") if "domain=" not in part.lower()]
                value = ";".join(parts)
            elif name.lower() == "content-security-policy" and self.home:
                value = value.replace(_NO_FRAME, f"frame-ancestors {self.home}")
            headers.add(name, value)
        if answer.content_type == "text/html":
            body = body.replace(f'="http://{plug}/'.encode(), f'="http://{mine}/'.encode())
        return web.Response(status=answer.status, headers=headers, body=body)

    def _without(self, what, remedy):
        home = self.home and f'<a href="{html.escape(self.home)}">The simulator</a>.'
        text = _PAGE.format(html.escape(what), html.escape(remedy), home)
        return web.Response(status=502, text=text, content_type="text/html")
