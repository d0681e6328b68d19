"""At power-on the LED blinks the version: major, pause, minor. Loaded once and let go."""

from asyncio import sleep_ms


async def blink(board, version):
    """Blink with `board.led`; `version` is "major.minor…"."""
    for count in version.split(".")[:2]:
        for _ in range(int(count)):
            board.led(True)
            await sleep_ms(200)
            board.led(False)
            await sleep_ms(300)
        await sleep_ms(1000)
