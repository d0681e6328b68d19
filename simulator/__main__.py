"""python -m simulator: the plug on this PC. tools/simulate.sh makes the environment for it."""

import asyncio
import json
import signal
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from .flash import FlashError
from .runner import heap_bytes
from .server import Server
from .world import Options, World


def fail(text):
    print(text, file=sys.stderr)
    raise typer.Exit(2)


def read_config(path):
    """The settings in a file; ends the program when it holds no JSON object."""
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        fail(f"--config: {path}: {error.strerror}")
    except ValueError as error:
        fail(f"--config: {path} is not JSON: {error}")
    if not isinstance(values, dict):
        fail(f"--config: {path}: a JSON object of settings, as in config.json.example")
    return values


async def simulate(options, port, headless):
    """Run until Ctrl-C or a TERM signal; returns the exit code."""
    world = World(options)
    server = None
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, done.set)
    try:
        await world.start()
        server = Server(world)
        try:
            port = await server.start(port)
        except OSError as error:
            print(f"--port: {port}: {error.strerror}", file=sys.stderr)
            return 1
        url = f"http://127.0.0.1:{port}/"
        world.phone.home = url
        try:
            await world.phone.start((port + 1) % 65536)
        except OSError:
            await world.phone.start(0)
        print(url, flush=True)
        print(f"{world.phone.url} is the plug's portal while it is open", flush=True)
        if not headless:
            await asyncio.to_thread(webbrowser.open, url)
        await done.wait()
        return 0
    except FlashError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if server is not None:
            await server.stop()
        if world.phone is not None and world.phone.port:
            await world.phone.stop()
        await world.stop()


def main(
    headless: Annotated[bool, typer.Option(help="Open no browser.")] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of page and control interface; 0 = any.")
    ] = 8266,
    config: Annotated[
        Path | None, typer.Option(help="Settings as in config.json.example.")
    ] = None,
    flash: Annotated[
        Path | None,
        typer.Option(
            help="Directory that is the plug's file system; an empty one is a new plug to set up."
        ),
    ] = None,
    runtime: Annotated[str, typer.Option(help="auto, micropython or cpython.")] = "auto",
    heap: Annotated[str, typer.Option(help="The plug's heap under MicroPython.")] = "38k",
    octoprint: Annotated[
        str | None, typer.Option(help="http://HOST:PORT of a real one instead of the stand-in.")
    ] = None,
    api_key: Annotated[str | None, typer.Option(help="Key for the real OctoPrint.")] = None,
    mqtt: Annotated[
        str | None, typer.Option(help="HOST:PORT of a real broker instead of the embedded one.")
    ] = None,
    speed: Annotated[
        float, typer.Option(help="Times pass this much faster; not below a setting's lowest.")
    ] = 1.0,
):
    """The real firmware on virtual hardware, with an OctoPrint stand-in and a broker."""
    try:
        options = Options(
            config=read_config(config) if config else None,
            flash=flash,
            runtime=runtime,
            heap=heap_bytes(heap),
            octoprint=octoprint,
            api_key=api_key,
            mqtt=mqtt,
            speed=speed,
        )
    except ValueError as error:
        fail(str(error))
    if flash is not None and flash.exists() and not flash.is_dir():
        fail(f"--flash: {flash} is not a directory")
    raise typer.Exit(asyncio.run(simulate(options, port, headless)))


if __name__ == "__main__":
    typer.run(main)
