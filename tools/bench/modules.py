"""What each module costs in heap, on 32-bit MicroPython: imported one after the other."""

import build

from . import delivery

# In the order in which they come into the heap. A name that two modules use is paid by the first.
RESIDENT = "asyncio settings plug statemachine octoapi"

NAMES = {
    "boot.py": "boot.py, which stays",
    "Settings": "one Settings (Plug has its own)",
    "Plug,": "Plug and what it makes, Settings too",
    "umqtt.simple": "umqtt.simple, were it on the plug",
}

_CODE = """
import gc, sys
sys.path.insert(0, "a")
import machine, network
def used():
    gc.collect()
    return gc.mem_alloc()
def cost(name):
    before = used()
    __import__(name)
    if name == "asyncio":
        __import__(name).sleep_ms  # the core comes with the first use
    return used() - before
for name in %r.split():
    try:
        print("r", name, cost(name))
    except ImportError:
        pass
before = used()
execfile("boot.py")
print("r", "boot.py", used() - before)
before = used()
s = sys.modules["settings"].load(id="12ab8a")
print("r", "Settings", used() - before)
before = used()
p = sys.modules["plug"].Plug(True)
print("r", "Plug,", used() - before)
for name in %r.split():
    before = used()
    had = set(sys.modules)
    try:
        c = cost(name)
    except ImportError:
        continue
    for m in set(sys.modules) - had:
        del sys.modules[m]
    del had
    print("u", name, c, used() - before)
"""

_SHIMS = """
import gc
gc.collect()
before = gc.mem_alloc()
import machine, network
gc.collect()
print(gc.mem_alloc() - before)
"""


def shims(of="1mb", kind="bare"):
    """Bytes of heap that the shims take by themselves."""
    return int(delivery.run(delivery.DELIVERIES[of], _SHIMS, shims=kind).split()[-1])


def costs(of="1mb"):
    """[(what, bytes of heap, bytes that stay when it is let go or None if it stays)]."""
    rows = []
    use = [m.stem for m in sorted((delivery.LOOSE.folder / "a").glob("*.mpy"))]
    use = [name for name in use if name not in RESIDENT.split()]
    if of == "1mb":
        use.append("umqtt.simple")
    code = _CODE % (RESIDENT, " ".join(use))
    where = delivery.LOOSE if of == "1mb" else delivery.DELIVERIES[of]
    ours = {called: name for name, called in build.packer_of_all().called.items()}
    for line in delivery.run(where, code).splitlines():
        kind, name, *numbers = line.split()
        numbers = [int(n) for n in numbers]
        name = ours.get(name, name)
        name = NAMES.get(name, "module " + name)
        rows.append((name, numbers[0], None if kind == "r" else numbers[1]))
    return rows
