"""Shortens names that nobody outside a module can see, before it is compiled for the plug.

Every different name costs the plug's heap about 20 bytes, in every module loaded from its file
system. So private names (`_like_this`) and parameters that are never given by name become one of a
few short ones that all modules share, and so do the words of the state table and the public names
that only our modules know. Texts and `_NAME = const(…)` (which the compiler takes away itself)
stay. The source says what it says; only the .mpy differs, and the end-to-end tests run the .mpy.
"""

import ast
import builtins
import keyword
import re
import sys

from merge import RESIDENT

# Names that MicroPython has in its ROM on every port, since its own types and functions bear them:
# these cost nothing at all. None is used where the code itself speaks of it. In a .mpy the first
# are numbers, the others letters.
NUMBERED = """
id abs all any dir end get int key len map ord pop pow sep set str sum zip args bool copy dict
eval exec find hash iter join keys list next open read repr send sort step stop type bytes clear
close count index items lower print range round start strip super throw tuple upper value write
append extend format insert lstrip object popitem remove replace reverse rindex rsplit rstrip
setattr setdefault sorted startswith update values bytearray callable chr classmethod divmod
endswith from_bytes getattr globals hasattr isalpha isdigit isinstance islower isspace issubclass
isupper ArithmeticError AssertionError AttributeError BaseException EOFError Ellipsis
GeneratorExit ImportError IndentationError IndexError KeyError KeyboardInterrupt LookupError
MemoryError NameError NotImplementedError OverflowError RuntimeError StopIteration SyntaxError
SystemExit TypeError ZeroDivisionError NoneType builtins const locals staticmethod readline
bytecode little main rfind to_bytes
""".split()
SHORT = (
    NUMBERED
    + """
pi rb wb bin hex max min oct add sin cos tan log exp EIO aes PTR ptr pack path recv seek time sqrt
ceil acos asin atan load dump exit argv stat fabs fmod modf push peek tell sha1 seed fill blit
poly mkfs VOID file mem8 uint ptr8 errno flush float input reset slice union
loads dumps match group stdin mkdir rmdir chdir floor trunc sleep mount EBADF EPERM atan2 frexp
ldexp isinf isnan deque ipoll pixel hline vline ARRAY mem16 ptr16 ptr32 filter stdout
unlink rename getcwd modify unpack sha256 digest gmtime EISDIR EACCES EAGAIN EEXIST EINVAL ENODEV
ENOENT ENOMEM mktime enable scroll getter setter sizeof NATIVE delattr discard closure
compile listdir ENOBUFS BytesIO heapify heappop degrees radians POLLERR POLLHUP POLLOUT sendall
disable version maxsize deleter issubset fromkeys function iterator property register platform
ENOTCONN EALREADY copysign isfinite schedule StringIO calcsize heappush makefile ticks_us sleep_us
enumerate frozenset generator localtime ETIMEDOUT errorcode mem_alloc threshold opt_level
pack_into unhexlify ticks_cpu difference isdisjoint issuperset
""".split()
)

# Short ones that only the ESP8266's ROM has: its assembler's, and its own modules'. They come
# last, since elsewhere each costs what another name does.
PORT = """
e j n r w a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 IN gc io jx op os pm re rx tx ADC GS8 I2C INT IRQ LSB MSB
OUT PWM Pin RAW RTC SPI WDT arg bbc bbs beq bge blt bne bpp buf dns doc esp gw4 irq mac mem mov or_
put s8i sck scl sda seq sub tls vfs xor AUTO DESC GZIP HSPI INCL INT8 LONG UART UINT ZLIB addi addr
and_ ball bany bdev beqz bgeu bits bnez crc8 dhcp duty l32i l8ui miso mosi movi mull rect rssi s16i
""".split()


def keywords(trees):
    """Names given as keywords in any call of `trees` (a list of ast.Module): these must stay."""
    calls = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {word.arg for call in calls for word in call.keywords if word.arg}


class Packer:
    """Packs modules that know each other's names.

    `modules`: {module: text} of all of them. `foreign`: names that others' objects have. `kept`:
    settings that are attributes of Settings and of nothing else; their texts, by which files and
    forms call them, stay. `attributes` says what they become, for the table that they come from.
    `steps`: modules that are called otherwise on the plug, too; `called` says how.
    """

    def __init__(self, modules, foreign, kept=(), steps=()):
        self.modules = modules
        self._stay = keywords([ast.parse(text) for text in modules.values()])
        self._words = table_words(modules[MACHINE]) if MACHINE in modules else {}
        self._public = public_names(modules, foreign, self._words)
        members = {name for text in modules.values() for name in open_members(ast.parse(text))}
        self._members = {self._public.get(name, name) for name in members}
        taken = {*self._public.values(), "id"}
        self.attributes = dict(zip(kept, (w for w in SHORT if w not in taken), strict=False))
        used = {getattr(*m) for t in modules.values() for m in _identifiers(ast.parse(t))}
        taken |= used | set(self.attributes.values()) | sys.stdlib_module_names | _MODULES
        free = (word for word in SHORT + PORT if word not in taken and len(word) > 2)
        self.called = dict(zip(steps, free, strict=False))

    def module(self, name):
        """The packed text of one of them."""
        words = None
        if name in SPEAK:
            # Others have states and conditions from the machine. What it calls a mood, such as
            # "offline", may be a word of the outside world there.
            own = name == MACHINE
            words = {word: w for word, w in self._words.items() if own or not word.islower()}
        text = self.modules[name]
        if name == SPARE:
            text = self.table(text)
        # Short texts are names, which cost less, where they are not to go with the module.
        joined = _INTERNED + 1 if name in RESIDENT else 1
        given = self._stay, words, self._public, self._members, self.attributes
        return pack(self._sent(text), *given, joined)

    def _sent(self, text):
        # Whoever speaks of a step is sent to what it is called.
        if not set(self.called) & set(re.findall(r"\w+", text)):
            return text
        tree = ast.parse(text)
        imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import))
        imported = {part.name for node in imports for part in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_PARTS":
                words = node.value.value.split(" ")
                node.value.value = " ".join(self.called.get(word, word) for word in words)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value = self.called.get(node.value, node.value)
            elif isinstance(node, ast.ImportFrom):
                node.module = self.called.get(node.module, node.module)
            elif isinstance(node, ast.alias):
                node.name = self.called.get(node.name, node.name)
            elif isinstance(node, ast.Name) and node.id in imported:
                node.id = self.called.get(node.id, node.id)
        return ast.unparse(tree)

    def table(self, text):
        """The table of settings, which says after a `*` what attribute a value becomes."""
        return re.sub(
            r"(?m)^((\w+)\|\w+\*)(?=\|)",
            lambda found: found[1] + self.attributes.get(found[2], ""),
            text,
        )

    def page(self, data):
        """A page, bytes, in which the next step, as in `|>name|`, is said as it is called."""
        return re.sub(
            rb"(?<=\|>)\w+(?=\|)",
            lambda found: self.called.get(found[0].decode(), found[0].decode()).encode(),
            data,
        )

    def beside(self, text):
        """The packed text of a module that is not one of them, but uses them."""
        stay = {node.arg for node in ast.walk(ast.parse(text)) if isinstance(node, ast.arg)}
        text = self._sent(text)
        return pack(text, stay, self._words, self._public, self._members, self.attributes)


# Others of the chip's that an import would find first.
_MODULES = {"esp", "machine", "network", "tls", "vfs"}

# Those on the shelf that are taken from it while the portal is shut. No text of ours is called so
# but where one of them is meant.
STEPS = """
apply configfile figures keeping loading remarks schema sheet telling texts cameras copying doing
finding order parcel parsing picking places placing reply weighing wrong
""".split()

# The module in which the state table stands.
MACHINE = "statemachine"

# And the one that has the rows of settings.txt once more.
SPARE = "spare"


_INTERNED = 10  # the compiler makes names of texts up to this length


def pack(
    source,
    stay=frozenset(),
    words=None,
    public=None,
    members=frozenset(),
    attributes=(),
    joined=_INTERNED + 1,
):
    """`source` with short names; `stay` are parameter names that must not change.

    `words`: what table_words() returned, for a module that speaks of states and conditions.
    `public`: what public_names() returned. `members`: names that objects of ours show to others.
    `attributes`: {name of an attribute: another}. `joined`: texts of so many
    letters and more become one, and so do bytes; 0: none.
    """
    tree = ast.parse(source)
    if words:
        _words(tree, words)
    for text in _steps(tree):
        text.value = (public or {}).get(text.value, text.value)
    for node, field in _identifiers(tree):
        name = getattr(node, field)
        if field == "attr" and name in attributes:
            node.attr = attributes[name]
        else:
            setattr(node, field, (public or {}).get(name, name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            node.names = [(public or {}).get(name, name) for name in node.names]
    _parameters(tree, stay | keywords([tree]))
    _NoTuples().visit(tree)
    said = {name for node in ast.walk(tree) for name in getattr(node, "names", ())}
    if not any(
        isinstance(name, str) and name[0] == "_" for name in said
    ):  # a global is not followed
        _private(tree, stay, members | set(open_members(tree)))
    if joined:
        _joined(tree, joined)
    _often_first(tree)
    return ast.unparse(tree)


def entry(source):
    """`source` of a file that the plug itself compiles, with short names and without docstrings.

    Every name in it would stay in the heap. A text that is a name of the file means that name.
    """
    tree = ast.parse(source)
    _no_docstrings(tree)
    bound = {node.id for node in ast.walk(tree) if _is_stored(node)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, (*_FUNCTIONS[:2], ast.ExceptHandler)):
            bound.add(node.name)
    imported = {part.name for node in ast.walk(tree) for part in getattr(node, "names", ())}
    used = {getattr(*found) for found in _identifiers(tree) if found[1] != "attr"}
    # Both entries share one namespace: what one of them calls must not be the other's name.
    free = (word for word in SHORT if word not in used and not hasattr(builtins, word))
    short = dict(zip(sorted(bound - imported - {None}), free, strict=False))
    for node, field in _identifiers(tree):
        if field != "attr" and not isinstance(node, ast.alias):
            setattr(node, field, short.get(getattr(node, field), getattr(node, field)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = short.get(node.value, node.value)
    return ast.unparse(tree) + "\n"


class _NoTuples(ast.NodeTransformer):
    """A constant tuple is an object; short texts, which are names elsewhere and cost little, are
    objects of their own in one, 32 bytes each. So tuples are looked at one by one, or made where
    they are used."""

    def visit_Compare(self, node):
        self.generic_visit(node)
        one = isinstance(node.left, (ast.Name, ast.Attribute)) and len(node.ops) == 1
        found = one and (_texts(node.comparators[0]) or _numbers(node.comparators[0]))
        if not found or not isinstance(node.ops[0], (ast.In, ast.NotIn)):
            return node
        among = isinstance(node.ops[0], ast.In)
        each = [
            ast.Compare(node.left, [ast.Eq() if among else ast.NotEq()], [ast.Constant(text)])
            for text in found
        ]
        return ast.BoolOp(ast.Or() if among else ast.And(), each)

    def visit_For(self, node):
        self.generic_visit(node)
        found = _texts(node.iter)
        if found and not any(re.search(r"\s", text) or not text for text in found):
            split = ast.Attribute(ast.Constant(" ".join(found)), "split", ast.Load())
            node.iter = ast.Call(split, [], [])
        return node


def _numbers(node):
    # The numbers, or constants, of a tuple of two or three.
    if isinstance(node, ast.Tuple) and 1 < len(node.elts) < 4:
        if all(isinstance(getattr(part, "value", None), int) for part in node.elts):
            return [part.value for part in node.elts]
    return None


def _texts(node):
    # The texts of a tuple of short ones, two or more.
    if isinstance(node, ast.Tuple) and len(node.elts) > 1:
        found = [getattr(part, "value", None) for part in node.elts]
        if all(isinstance(text, str) and len(text) <= _INTERNED for text in found):
            return found
    return None


def _joined(tree, shortest):
    """Makes one text of all that are no names and have so many letters, and one of all bytes.

    Each is an object, with what the heap rounds up: 20 bytes more than as a part of another. It is
    cut out anew each time code speaks of it; what is large anyway stays as it is.
    """
    names = {getattr(*mentioned) for mentioned in _identifiers(tree)} | set(SHORT)
    for kind, least in (str, shortest), (bytes, 1):
        found = {}
        for node, field, i, part in _constants(tree, kind):
            if least <= len(part) <= _LARGE and part not in names:
                found[id(node), field, i] = node, part
        often = [part for _, part in found.values()]
        # An object costs its head, its place and what it holds, in sixteens; a cut its code.
        dear = {
            part
            for part in often
            if len(part) // 16 * 16 + 36 > _CUT * often.count(part) + len(part)
        }
        found = {at: each for at, each in found.items() if each[1] in dear}
        whole = kind().join(dict.fromkeys(part for _, part in found.values()))
        if len(whole) < _WORTHWHILE:
            continue
        used = {getattr(*mentioned) for mentioned in _identifiers(tree)}
        name = next(word for word in SHORT if word not in used and not hasattr(builtins, word))
        for (_, field, i), (node, part) in found.items():
            at = whole.find(part)
            cut = ast.parse(f"{name}[{at}:{at + len(part)}]", mode="eval").body
            if i is None:
                setattr(node, field, cut)
            else:
                getattr(node, field)[i] = cut
        tree.body[1:1] = ast.parse(f"{name} = {whole!r}").body


def _constants(tree, kind):
    # (node, field, place in the field if it is a list, value) of those in functions
    inside = {id(part): part for part in ast.walk(tree) if isinstance(part, _FUNCTIONS)}
    lines = {id(line): line for function in inside.values() for line in _body(function)}
    seen = set()
    for line in lines.values():
        for node in ast.walk(line):
            if isinstance(node, (ast.Expr, ast.JoinedStr, ast.arguments)):
                continue
            for field, value in ast.iter_fields(node):
                for i, part in enumerate(value) if isinstance(value, list) else [(None, value)]:
                    if isinstance(part, ast.Constant) and type(part.value) is kind:
                        if (id(node), field, i) not in seen:
                            seen.add((id(node), field, i))
                            yield node, field, i, part.value


_LARGE = 100
_CUT = 9  # bytes of code
_WORTHWHILE = 40  # bytes altogether


def _no_docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, (*_FUNCTIONS[:2], ast.ClassDef, ast.Module)):
            if ast.get_docstring(node) is not None:
                node.body[:1] = [] if len(node.body) > 1 else [ast.Pass()]


def _often_first(tree):
    """Lets the names used most be the first that the compiler meets.

    Code tells a name by its place among the module's: one byte for the first 128, else two. The
    function made for this takes the place of one that comes after it, and is gone then.
    """
    consts = _consts(tree)
    names = [name for name in _by_use(_mentions(tree)) if name not in consts]
    later = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    if len(names) > _ONE_BYTE and later:
        # It meets attributes and texts before the names of variables.
        front = "None"
        for name in names[:_ONE_BYTE]:
            front += f".{name}" if _nameable(name) else f", {name!r}, None"
        tree.body[1:1] = ast.parse(f"def {later[0].name}():\n    {front}").body


def _mentions(tree):
    """{name or short text: how often code speaks of it}; variables of functions have no names."""
    often = {}

    def meet(name):
        often[name] = often.get(name, 0) + 1

    def look(node, own):
        if isinstance(node, _FUNCTIONS):
            inside = [part for line in _body(node) for part in ast.walk(line)]
            told = {name for part in inside if isinstance(part, ast.Global) for name in part.names}
            own = {part.id for part in inside if _is_stored(part)} - told
            own |= {part.name for part in inside if isinstance(part, ast.ExceptHandler)}
            own |= {part.asname or part.name for part in inside if isinstance(part, ast.alias)}
            own |= {argument.arg for argument in node.args.args}
            for line in _body(node):
                look(line, own)
            return
        if isinstance(node, ast.Attribute):
            meet(node.attr)
        elif isinstance(node, ast.Name) and node.id not in own:
            meet(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if len(node.value) <= _INTERNED:
                meet(node.value)
        for child in ast.iter_child_nodes(node):
            look(child, own)

    look(tree, set())
    return often


_FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda
_ONE_BYTE = 128


def _body(function):
    return function.body if isinstance(function.body, list) else [function.body]


def _is_stored(node):
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


# What is known outside of the packed modules: to main.py and to the simulator's view of the plug.
KNOWN = {"Plug", "current", "run", "machine", "state", "reason", "countdown_s", "relay", "changes"}


# Attributes of ours by whose text nothing is looked up, though there is such a text, or something
# of others' that is called so.
OURS = "ask frame problem tasks topic word".split()


def public_names(sources, foreign, words=()):
    """{name: one from the ROM} for what modules of ours define for each other, and only they.

    `sources`: {module: text} of all of them. `foreign`: names that others' objects have. `words`:
    those of the state table. A name that is a text, or stands in one of pairs with `=`, stays: an
    attribute may be looked up by it. In `_step("module", "name")` it is such a name for certain,
    and is packed; in the machine a word of the table is none.
    """
    trees = {name: ast.parse(source) for name, source in sources.items()}
    defined, used, said = set(), set(), set(keywords(trees.values()))
    for module, tree in trees.items():
        defined |= {name for name in _constants_of(tree) if name.isupper()}
        used |= {getattr(node, field) for node, field in _identifiers(tree)}
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                defined.add(node.name)
                if ast.get_docstring(node) is not None:
                    node.body[0] = ast.Pass()
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                defined.add(node.attr)
        steps = set(map(id, _steps(tree)))
        for node in tree.body[1:]:
            for part in ast.walk(node):
                if id(part) in steps:
                    continue
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    text = part.value
                    if module != MACHINE or text not in words:
                        said |= {text, *re.findall(r"(?<!\S)\w+(?==)|(?<==)\w+", text)}
    names = {name for name in defined if name[0] != "_"}
    names -= KNOWN | (said | set(foreign)) - set(OURS) | set(sources) | set(dir(builtins))
    free = (word for word in SHORT + PORT if word not in used)
    often = {name: sum(source.count(name) for source in sources.values()) for name in names}
    return dict(zip(_by_use(often), free, strict=False))


def _constants_of(tree):
    # What is set at the top of a module, but for what the compiler takes away.
    names = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return names - _consts(tree)


def _steps(tree):
    """The texts in `tree` that name what is called of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("_step", "step"):
            if len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
                yield node.args[1]


# Modules that speak of states, conditions and events as the table does.
SPEAK = ("plug", "statemachine", "octoapi", "heat", "order", "reconnect", "wake")

# Events that the outside world calls so, too.
_WORLD = "ON OFF PERMON FORCEOFF".split()

# What OctoPrint's evidence and the button say, apart from what the table knows.
_SAID = "UP BUSY SILENT UNKNOWN REFUSED_ASK".split()


def table_words(source):
    """{word of the state table: short one} for the text of statemachine.py.

    Each becomes a name from the ROM, those spoken of often a letter or two. What the RTC memory
    holds over an update must mean the same afterwards: the facts become a0, a1 … in the order of
    _KEPT, which only grows. Code looks for states and facts in texts that hold several of them, so
    no other word is a part of one.
    """
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            found[node.targets[0].id] = node.value.value
    facts = found["_KEPT"].split()
    words = re.findall(r"\w+", found["TABLE"].replace("any on-state", ""))
    rows = [line.split(" ") for line in found["STATES"].strip().split("\n")]
    words += [row[0] for row in rows] + _SAID
    often = {word: words.count(word) for word in words if word not in _WORLD}
    states = [row[0] for row in rows if row[1] != "-"]
    short = {fact: f"a{at}" for at, fact in enumerate(facts)}
    text = {word for value in found.values() if isinstance(value, str) for word in value.split()}
    rom = sorted((word for word in SHORT if word not in text), key=len)
    port = [word for word in PORT if len(word) < 3 and word not in text]
    whole = list(short.values())
    for word in _by_use(often):
        if word not in short:
            is_state = word in states
            free = port + rom if is_state or often[word] >= _OFTEN else rom
            new = next(w for w in free if not _meets(w, whole, is_state, short))
            short[word] = new
            port, rom = ([word for word in words if word != new] for words in (port, rom))
            whole += [new] * is_state
    return short


_OFTEN = 4


def _meets(new, whole, is_state, short):
    # Whether a word would be taken for another where one is looked for in a text of several.
    return any(new in word for word in whole) or (
        is_state and any(word in new for word in short.values())
    )


def _words(tree, words):
    for node in ast.walk(tree):
        text = getattr(node, "value", None)
        if not isinstance(node, ast.Constant) or not isinstance(text, str):
            continue
        if "\n" in text and ":\n" in text[1:] or set(text.split()) <= set(words):
            node.value = re.sub(r"\w+", lambda found: words.get(found[0], found[0]), text)
        elif text.count("\n") > 1:  # STATES: only the name that a row begins with
            node.value = re.sub(r"(?m)^\w+", lambda found: words.get(found[0], found[0]), text)


def _identifiers(tree):
    """(node, field) of everything in `tree` that is a name."""
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "asname"):
            name = getattr(node, field, None)
            if isinstance(name, str) and not isinstance(node, ast.keyword):
                yield node, field


def _consts(tree):
    """Names that the compiler takes away."""
    return {
        node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", "") == "const"
    }


def _private(tree, stay, public):
    """Names that begin with `_`: those of a class's own, reached through `self`, may be the same
    as others' in another class; those of the module and all the rest are told apart."""
    kept = _consts(tree) | stay | {"_"}
    mentioned = [name for name in _by_use(_mentions(tree)) if _nameable(name) and name[0] != "_"]
    words = dict.fromkeys(mentioned + SHORT)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    own = {id(node) for part in classes for node, _ in _members(part)}
    rest = [
        (node, field)
        for node, field in _identifiers(tree)
        if id(node) not in own and _hidden(getattr(node, field), kept)
    ]
    kept |= {getattr(node, field) for node, field in rest if field == "attr"}
    for part in classes:
        _shorten([m for m in _members(part) if _hidden(getattr(*m), kept)], words, public)
    rest += [m for part in classes for m in _members(part) if getattr(*m) in kept]
    stay = _consts(tree) | stay | {"_"}
    rest = [m for m in rest if _hidden(getattr(*m), stay)]
    taken = {getattr(*found) for found in _identifiers(tree)}
    if not any(field == "attr" for _, field in rest):
        taken = {getattr(*found) for found in _identifiers(tree) if found[1] != "attr"}
    _shorten(rest, words, taken)


def open_members(tree):
    """Names of functions, and of what is kept in objects."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                yield from (part.id for part in ast.walk(line) if _is_stored(part))


def _nameable(text):
    return text.isidentifier() and not keyword.iskeyword(text)


def _hidden(name, kept):
    return name[0] == "_" and name[1:2] != "_" and name not in kept


def _members(part):
    """(node, field) of what a class has: its functions, and what is reached through `self`."""
    for node in part.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node, "name"
    for node in ast.walk(part):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "self":
            yield node, "attr"


def _shorten(found, words, taken):
    often = {}
    for node, field in found:
        often[getattr(node, field)] = often.get(getattr(node, field), 0) + 1
    free = (word for word in words if word not in taken)
    short = dict(zip(_by_use(often), free, strict=False))
    for node, field in found:
        setattr(node, field, short.get(getattr(node, field), getattr(node, field)))


def _by_use(often):
    return sorted(often, key=lambda name: (-often[name], name))


def _parameters(tree, stay):
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    for function in [node for node in ast.walk(tree) if isinstance(node, functions)]:
        nested = [n for n in ast.walk(function) if isinstance(n, functions) and n is not function]
        if nested:
            continue  # closures are rare here, and not worth the care they would need
        arguments = function.args.posonlyargs + function.args.args
        used = {getattr(node, field) for node, field in _identifiers(function)}
        free = (short for short in SHORT if short not in used)
        for argument in arguments:
            name = argument.arg
            if name == "self" or name in stay:
                continue
            short = next(free)
            for node in ast.walk(function):
                if isinstance(node, ast.Name) and node.id == name:
                    node.id = short
            argument.arg = short
