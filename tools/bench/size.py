"""What each module weighs as .mpy, and which are in the heap for as long as the plug works."""

from . import heap
from .delivery import DELIVERIES, K

COMMAND = "tools/bench.sh size"


async def rows(built):
    """`built`: what delivery.prepare() returned."""
    async with heap.resolver() as names:
        seen = await heap.moments(DELIVERIES["1mb"], names, 64 * K)
    table = []
    total = 0
    for group, file, source, size in built:
        if group in ("asyncio", "umqtt"):
            module = file.split("/", 1)[1].removesuffix(".mpy").replace("/", ".")
            module = module.removesuffix(".__init__")
        else:
            module = file.rsplit("/", 1)[-1].removesuffix(".mpy")
        stays = module in seen.modules
        if stays and group not in ("asyncio", "umqtt"):
            total += size
        note = f"from {source:,} B" + (", resident" if stays else "")
        table.append((file, f"{size:,} B", note, COMMAND))
    table.append(("ours, resident", f"{total:,} B", "", COMMAND))
    return table
