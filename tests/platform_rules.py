"""What MicroPython 1.25 on the ESP8266 has, as far as firmware/ may use it; the rest is refused.

The port is built with "extra features" less those its mpconfigport.h switches off: str.center,
partition and splitlines, compile, execfile, complex, NotImplemented, __file__, pow of three
arguments, slice.indices, __setattr__ hooks, math's constants and special functions,
binascii.crc32, and all of random but getrandbits and seed. CPython and the unix port have these,
so no test that merely runs the code would notice; this file looks at the source instead.

`problems(source)` returns [(line, sentence)]. Names are allowed, not forbidden, wherever the list
is short: what nobody has thought of yet is refused too.
"""

import ast
import builtins


def words(text):
    return frozenset(text.split())


# What can be imported: the modules of the stock 1 MB image, and the libraries that travel with us
MODULES = words(
    "array asyncio binascii builtins cryptolib deflate dht ds18x20 errno esp espnow framebuf gc "
    "hashlib heapq io json lwip machine math micropython mip neopixel network ntptime onewire os "
    "platform random re requests select socket ssl struct sys time tls uctypes urequests vfs "
    "collections webrepl websocket umqtt "
    "uarray ubinascii ucollections uerrno uhashlib uheapq uio ujson umachine uos uplatform "
    "urandom ure uselect usocket ussl ustruct usys utime"
)

# What may be used of a module; modules that are not listed here are left to the type checker
NAMES = {
    # Not the lazy parts (Event, Lock, wait_for, gather, streams): each loads another module
    "asyncio": words(
        "CancelledError TimeoutError create_task current_task get_event_loop new_event_loop run "
        "sleep sleep_ms"
    ),
    "binascii": words("a2b_base64 b2a_base64 hexlify unhexlify"),
    "collections": words("OrderedDict deque namedtuple"),
    "gc": words("collect disable enable isenabled mem_alloc mem_free threshold"),
    "hashlib": words("sha1 sha256"),
    "io": words("BytesIO IOBase StringIO open"),
    "json": words("dump dumps load loads"),
    "math": words(
        "acos asin atan atan2 ceil copysign cos degrees e exp fabs floor fmod frexp isfinite "
        "isinf isnan ldexp log modf pi pow radians sin sqrt tan trunc"
    ),
    "os": words(
        "VfsLfs2 chdir dupterm getcwd ilistdir listdir mkdir mount remove rename rmdir stat "
        "statvfs umount uname unlink urandom"
    ),
    "random": words("getrandbits seed"),
    "re": words("compile match search sub"),
    "select": words("POLLERR POLLHUP POLLIN POLLOUT poll"),
    # Not getaddrinfo: it blocks, for seconds where no name server answers
    "socket": words(
        "AF_INET IPPROTO_IP IPPROTO_TCP IP_ADD_MEMBERSHIP SOCK_DGRAM SOCK_STREAM SOL_SOCKET "
        "SO_REUSEADDR TCP_NODELAY socket"
    ),
    "struct": words("calcsize pack pack_into unpack unpack_from"),
    "sys": words(
        "argv byteorder exit implementation maxsize modules path platform print_exception stderr "
        "stdin stdout version version_info"
    ),
    "time": words(
        "gmtime localtime mktime sleep sleep_ms sleep_us ticks_add ticks_cpu ticks_diff ticks_ms "
        "ticks_us time"
    ),
}

# Names that are there and must not be used, and why
REFUSED = {
    ("machine", "Timer"): "lives in the heap and is not disarmed by a restart in place",
    ("machine", "soft_reset"): "only ends the program here; what restarts is main.py",
}

BUILTINS = words(
    "ArithmeticError AssertionError AttributeError BaseException EOFError Ellipsis Exception "
    "False GeneratorExit ImportError IndentationError IndexError KeyError KeyboardInterrupt "
    "LookupError MemoryError NameError None NotImplementedError OSError OverflowError "
    "RuntimeError StopAsyncIteration StopIteration SyntaxError SystemExit True TypeError "
    "UnicodeError ValueError ZeroDivisionError __build_class__ __import__ __name__ abs all "
    "any bin bool bytearray bytes callable chr classmethod delattr dict dir divmod enumerate "
    "eval exec filter float frozenset getattr globals hasattr hash hex id input int "
    "isinstance issubclass iter len list locals map max memoryview min next object oct open "
    "ord pow print property range repr reversed round set setattr slice sorted staticmethod "
    "str sum super tuple type zip"
)

# Methods of the built-in types
METHODS = {
    str: words(
        "count encode endswith find format index isalpha isdigit islower isspace isupper join "
        "lower lstrip replace rfind rindex rsplit rstrip split startswith strip upper"
    ),
    bytes: words(
        "count decode endswith find fromhex hex index isalpha isdigit islower isspace isupper "
        "join lower lstrip replace rfind rindex rsplit rstrip split startswith strip upper"
    ),
    bytearray: words("append decode extend"),
    list: words("append clear copy count extend index insert pop remove reverse sort"),
    dict: words("clear copy fromkeys get items keys pop popitem setdefault update values"),
    set: words(
        "add clear copy difference difference_update discard intersection intersection_update "
        "isdisjoint issubset issuperset pop remove symmetric_difference "
        "symmetric_difference_update union update"
    ),
    int: words("from_bytes to_bytes"),
    tuple: words("count index"),
}

ABSENT_METHODS = frozenset(
    name for kind in METHODS for name in dir(kind) if not name.startswith("_")
).difference(*METHODS.values()) | {"irq", "indices"}

ABSENT_BUILTINS = frozenset(dir(builtins)) - BUILTINS - {"const", "__debug__", "__doc__"} | {
    "execfile"
}

# Called with keywords on CPython; positional only here
POSITIONAL = words("split rsplit strip lstrip rstrip replace startswith endswith encode decode")


def problems(source, ours=(), excused=()):
    """[(line, what is wrong)] of a module's source.

    `ours` are the names of our own modules; `excused` are "module.name" that this one may use.
    """
    tree = ast.parse(source)
    finder = _Finder(tree, ours, excused)
    finder.visit(tree)
    return sorted(set(finder.found))


def imports(source):
    """{(line, module)}: every module a source imports, anywhere, dotted name cut to its head."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add((node.lineno, node.module.split(".")[0]))
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "__import__"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add((node.lineno, str(node.args[0].value).split(".")[0]))
    return found


class _Finder(ast.NodeVisitor):
    def __init__(self, tree, ours, excused):
        self.found, self.ours, self.excused = [], frozenset(ours), frozenset(excused)
        self.aliases = {}  # name in this file -> module
        self.bound = set()  # names this file gives a meaning of its own
        self.own = set()  # attributes and methods this file defines
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.aliases[alias.asname or alias.name.split(".")[0]] = alias.name
                    self.bound.add(alias.asname or alias.name.split(".")[0])
            elif isinstance(node, ast.ImportFrom):
                self.bound.update(alias.asname or alias.name for alias in node.names)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.bound.add(node.name)
                self.own.add(node.name)
            elif isinstance(node, ast.arg):
                self.bound.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.bound.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                self.own.add(node.attr)

    def note(self, node, text):
        self.found.append((node.lineno, text))

    def module(self, node, name):
        head = name.split(".")[0]
        if head not in MODULES and head not in self.ours:
            self.note(node, f"there is no module {head}")

    def member(self, node, module, name):
        why = REFUSED.get((module, name))
        allowed = NAMES.get(module)
        if f"{module}.{name}" in self.excused:
            return
        if why:
            self.note(node, f"{module}.{name} {why}")
        elif allowed is not None and name not in allowed and not name.startswith("__"):
            self.note(node, f"{module}.{name} is missing or not to be used")

    def visit_Try(self, node):
        for part in node.body + node.orelse + node.finalbody:
            self.visit(part)
        for handler in node.handlers:
            # What stands after "except ImportError" is for CPython
            if not (isinstance(handler.type, ast.Name) and handler.type.id == "ImportError"):
                self.visit(handler)

    def visit_Import(self, node):
        for alias in node.names:
            self.module(node, alias.name)

    def visit_ImportFrom(self, node):
        if node.level:
            self.note(node, "a relative import needs a package; ours are plain modules")
            return
        self.module(node, node.module or "")
        for alias in node.names:
            if alias.name == "*":
                self.note(node, "import * keeps every name in the heap")
            else:
                self.member(node, node.module, alias.name)

    def visit_Attribute(self, node):
        if isinstance(node.value, ast.Name) and node.value.id in self.aliases:
            self.member(node, self.aliases[node.value.id], node.attr)
        elif node.attr in ABSENT_METHODS and node.attr not in self.own:
            self.note(node, f".{node.attr} is missing")
        self.generic_visit(node)

    def visit_Name(self, node):
        loaded = isinstance(node.ctx, ast.Load) and node.id not in self.bound
        if loaded and (node.id in ABSENT_BUILTINS or node.id == "__file__"):
            self.note(node, f"{node.id} is missing")

    def visit_Constant(self, node):
        if isinstance(node.value, complex):
            self.note(node, "complex numbers are missing")

    def visit_Call(self, node):
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name == "pow" and len(node.args) + len(node.keywords) > 2:
            self.note(node, "pow takes two arguments")
        if name == "print" and any(k.arg == "flush" for k in node.keywords):
            self.note(node, "print has no flush")
        if isinstance(node.func, ast.Attribute) and node.keywords:
            method = node.func.attr
            if method in POSITIONAL and method not in self.own:
                self.note(node, f".{method} takes no keywords")
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        if node.name in ("__setattr__", "__delattr__"):
            self.note(node, f"{node.name} is never called")
        if node.args.posonlyargs:
            self.note(node, "positional-only parameters are no syntax here")
        self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node):
        self.visit_FunctionDef(node)

    def visit_Match(self, node):
        self.note(node, "match is no syntax here")
        self.generic_visit(node)
