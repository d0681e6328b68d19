"""Shortens names that nobody outside a module can see, before it is compiled for the plug.

Every different name costs the plug's heap about 20 bytes, in every module loaded from its file
system. So private names (`_like_this`) and parameters that are never given by name become one of a
few short ones that all modules share, and so do the words of the state table and the public names
that only our modules know. Texts and `_NAME = const(…)` (which the compiler takes away itself)
stay. The source says what it says; only the .mpy differs, and the end-to-end tests run the .mpy.
"""

import ast
import builtins
import re

# Names that MicroPython has in its ROM on every port, since its own types and functions bear them:
# these cost nothing at all. None is used where the code itself speaks of it.
SHORT = """
id abs all any bin dir end get hex int key len map max min oct ord pop pow sep set str sum zip add
args bool copy dict eval exec find hash iter join keys list next open pack path read recv repr seek
send sort step stop time type bytes clear close count errno flush float index input items level
lower print range reset round start strip super throw tuple upper value write append extend format
insert lstrip object popitem remove replace reverse rindex rsplit rstrip
setattr setdefault slice sorted startswith update values bytearray callable chr classmethod
complex delattr discard divmod endswith enumerate filter frozenset from_bytes getattr globals
hasattr intersection isalpha isdigit isinstance islower isspace issubclass issubset isupper
ArithmeticError AssertionError AttributeError BaseException EOFError Ellipsis GeneratorExit
ImportError IndentationError IndexError KeyError KeyboardInterrupt LookupError MemoryError
NameError NotImplementedError OverflowError RuntimeError StopIteration SyntaxError SystemExit
TypeError ZeroDivisionError NoneType builtins closure cmath const difference fromkeys
function generator isdisjoint iterator issuperset locals property
symmetric_difference sum union staticmethod
""".split()


def keywords(trees):
    """Names given as keywords in any call of `trees` (a list of ast.Module): these must stay."""
    calls = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {word.arg for call in calls for word in call.keywords if word.arg}


def pack(source, stay=frozenset(), words=None, public=None):
    """`source` with short names; `stay` are parameter names that must not change.

    `words`: what table_words() returned, for a module that speaks of states and conditions.
    `public`: what public_names() returned.
    """
    tree = ast.parse(source)
    for node, field in _identifiers(tree):
        name = getattr(node, field)
        setattr(node, field, (public or {}).get(name, name))
    _parameters(tree, stay | keywords([tree]))
    _private(tree, stay)
    if words:
        _words(tree, words)
    return ast.unparse(tree)


# What is known outside of the packed modules: to main.py and to the simulator's view of the plug.
KNOWN = {"Plug", "current", "run", "machine", "state", "reason", "countdown_s", "relay", "changes"}


def public_names(sources, foreign):
    """{name: one from the ROM} for what modules of ours define for each other, and only they.

    `sources`: {module: text} of all of them. `foreign`: names that others' objects have. A name
    that stands in any text stays, since an attribute may be looked up by it.
    """
    trees = [ast.parse(source) for source in sources.values()]
    defined, used, said = set(), set(), set(keywords(trees))
    for tree in trees:
        used |= {getattr(node, field) for node, field in _identifiers(tree)}
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                defined.add(node.name)
                if ast.get_docstring(node) is not None:
                    node.body[0] = ast.Pass()
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                defined.add(node.attr)
        for node in tree.body[1:]:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, (str, bytes)):
                    text = (
                        part.value if isinstance(part.value, str) else part.value.decode("latin1")
                    )
                    said |= set(re.findall(r"\w+", text))
    names = {name for name in defined if name[0] != "_"}
    names -= KNOWN | said | set(foreign) | set(sources) | set(dir(builtins))
    free = (word for word in reversed(SHORT) if word not in used)
    return dict(zip(sorted(names), free, strict=False))


def table_words(source):
    """{word of TABLE: short one} for the text of statemachine.py.

    Left as they are: events and facts, which other modules and the RTC memory know, and the states
    that a setting names or the RTC memory remembers.
    """
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            found[node.targets[0].id] = node.value.value
    stay = set("Relay_off Switched_ON Waiting ASKED ACCEPTED".split()) | set(
        found["_KEPT"].split()
    )
    stay |= set("SHORT LONG INSIST ON OFF PERMON FORCEOFF".split())
    words = re.findall(r"\w+", found["TABLE"].replace("any on-state", ""))
    often = {word: words.count(word) for word in words if word not in stay}
    text = {word for value in found.values() if isinstance(value, str) for word in value.split()}
    free = [short for short in SHORT if short not in text]
    return dict(zip(sorted(often, key=lambda word: (-often[word], word)), free, strict=False))


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


def _private(tree, stay):
    consts = {
        node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", "") == "const"
    }
    found = [
        (node, field)
        for node, field in _identifiers(tree)
        if getattr(node, field)[0] == "_" and getattr(node, field)[1:2] != "_"
    ]
    often = {}
    for node, field in found:
        name = getattr(node, field)
        if name not in consts and name not in stay and name != "_":
            often[name] = often.get(name, 0) + 1
    # What stays must not be what another becomes.
    taken = {getattr(node, field) for node, field in _identifiers(tree)} - set(often)
    free = (short for short in SHORT if short not in taken)
    short = dict(zip(sorted(often, key=lambda name: (-often[name], name)), free, strict=False))
    for node, field in found:
        setattr(node, field, short.get(getattr(node, field), getattr(node, field)))


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
