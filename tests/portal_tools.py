"""The portal in a House: opens it as a person does, and is the browser in front of it."""

import asyncio
import re
import socket
import sys
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from urllib.parse import urlencode

from simulator.hardware import chip
from whole import House, Prompt

AP = "192.168.4.1"
PASSWORD = "correct horse"


class Prompter(Prompt):
    """The chip's sockets, also those that somebody connects to, without Nagle."""

    @staticmethod
    def socket(*kind):
        made = Prompt.socket(*kind)
        accept = made.accept

        def accepted():
            line, sender = accept()
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return line, sender

        made.accept = accepted
        return made


class Answer:
    """What came back: status, head {name: value}, body (text), raw (bytes)."""

    def __init__(self, raw):
        self.raw = raw
        head, _, body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin1").split("\r\n")
        self.line = lines[0]
        self.status = int(lines[0].split(" ")[1]) if lines[0].startswith("HTTP/") else 0
        self.head = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            assert name.lower() not in self.head, f"{name} twice"
            self.head[name.lower()] = value.strip()
        self.bytes = body
        self.body = body.decode("utf-8", "replace")

    @property
    def where(self):
        return self.head.get("location")

    @property
    def fields(self):
        """{name: value} of the page's forms as a browser would send them."""
        page = _Page()
        page.feed(self.body)
        page.close()
        return page.fields

    @property
    def text(self):
        """What a person reads, spaces as one."""
        page = _Page()
        page.feed(self.body)
        page.close()
        return " ".join("".join(page.texts).split())


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.fields, self.texts, self._in = {}, [], ""
        self._select = self._area = self._option = None

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "style":
            self._in = "style"
        if tag == "input":
            kind = given.get("type", "text")
            if kind in ("checkbox", "radio") and "checked" not in given:
                return
            default = "on" if kind in ("checkbox", "radio") else ""
            self.fields[given.get("name")] = given.get("value", default)
        elif tag == "textarea":
            self._area = given["name"]
            self.fields[self._area] = ""
        elif tag == "select":
            self._select = given["name"]
        elif tag == "option" and self._select:
            if "selected" in given or self._select not in self.fields:
                self._option = self._select

    def handle_endtag(self, tag):
        if tag == "style":
            self._in = ""
        elif tag == "textarea":
            self.fields[self._area] = re.sub("^\r?\n", "", self.fields[self._area])
            self._area = None
        elif tag == "select":
            self._select = None

    def handle_data(self, data):
        if self._option:
            self.fields[self._option] = data
            self._option = None
        if self._area:
            self.fields[self._area] += data
        if not self._in:
            self.texts.append(data)


async def talk(raw, wait=None, byte_s=0):
    """Send bytes to the plug's port 80 and read until it closes. byte_s: a byte each so many s.

    None if nobody listens.
    """
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", chip.ports["tcp", 80])
    except (OSError, KeyError):
        return None
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        if byte_s:
            for i in range(len(raw)):
                writer.write(raw[i : i + 1])
                await asyncio.sleep(byte_s)
        else:
            writer.write(raw)
        if wait:
            await wait
        return await reader.read()
    except OSError:
        return b""
    finally:
        writer.close()


class Browser:
    """A browser on the plug's network. `sent` is every byte the plug has sent it."""

    def __init__(self, host):
        self.host = host
        self.cookie = ""
        self.sent = b""
        self.page = None

    async def ask(self, method, path, body=None, **headers):
        """One request; the Answer, which follows no redirection. Nobody there: AssertionError."""
        head = {"Host": self.host, "User-Agent": "test"}
        if self.cookie:
            head["Cookie"] = "other=1; " + self.cookie
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else urlencode(body).encode()
            head["Content-Type"] = "application/x-www-form-urlencoded"
            head["Content-Length"] = str(len(data))
            head["Origin"] = "http://" + self.host
        for name, value in headers.items():
            head[name.replace("_", "-")] = value
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in head.items() if value is not None]
        raw = await talk("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        assert raw is not None, "nobody listens"
        self.sent += raw
        self.page = page = Answer(raw)
        cookie = re.match(r"(s=\w+)", page.head.get("set-cookie", ""))
        if cookie:
            self.cookie = cookie[1]
        return page

    async def get(self, path="/", **headers):
        return await self.ask("GET", path, **headers)

    async def post(self, path, fields, **headers):
        return await self.ask("POST", path, fields, **headers)

    async def submit(self, path, **changed):
        """Fetch the page, change some of its fields, and send its form."""
        page = await self.get(path)
        assert page.status == 200, page.raw
        fields = page.fields | changed
        fields = {name: value for name, value in fields.items() if name and value is not None}
        return await self.post(path, fields)

    async def log_in(self, password=PASSWORD):
        return await self.post("/login", {"p": password})


class Open:
    """A House whose portal is open, and a browser. way: "lan", "ap", "open", "new",
    or "mqtt" for the LAN, asked for through the broker."""

    def __init__(self, folder, way="lan", **given):
        if way == "new":
            given["wifi_ssid"] = given["wifi_password"] = ""
        self.house = House(folder, **{"booted": True, "portal_password": PASSWORD} | given)
        self.way = way

    async def __aenter__(self):
        self._socket = socket
        sys.modules["socket"] = Prompter()  # type: ignore
        sys.modules.pop("portal", None)  # it meets this one when it is loaded anew
        await self.house.__aenter__()
        self.browser = Browser("127.0.0.1" if self.way in ("lan", "mqtt") else AP)
        try:
            await self.open()
        except BaseException:
            await self.__aexit__(AssertionError)
            raise
        return self

    async def open(self):
        house = self.house
        if self.way == "ap":
            house.wifi.up = False
            await house.pause(1)
        if self.way == "mqtt":
            await house.until(lambda: house.retained("/status") == "online", 10)
            await house.broker.publish(house.topic("/update"), b"1")
        elif self.way != "new":
            await hold(house, 16000 if self.way == "open" else 6000)
        await house.until(self.is_open, 10)

    def is_open(self):
        return ("tcp", 80) in chip.serving

    @property
    def portal(self):
        """The Portal that is open."""
        return self.house.plug.visit.get_coro().cr_frame.f_locals["self"]

    async def __aexit__(self, kind, *rest):
        sys.modules["socket"] = self._socket
        await self.house.__aexit__(kind, *rest)


@asynccontextmanager
async def opened(folder, way="lan", logged_in=True, **given):
    """(house, browser) with the portal open that way and the browser logged in."""
    async with Open(folder, way, **given) as here:
        if way == "lan" and logged_in:
            page = await here.browser.log_in()
            assert page.status == 303, page.raw
        here.house.portal = here
        yield here.house, here.browser


async def hold(house, ms):
    """Hold the button that long."""
    await house.press(ms)
