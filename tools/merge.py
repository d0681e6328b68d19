"""Makes one module of several: those that come into the plug's heap together, and small ones.

Each module costs about 200 bytes of heap by being one, pays again for every name that another has
as well, and takes a whole block of the flash however small it is. In the source they stay apart,
each file one idea; on the plug they live in the modules that WHOLES names.

What parts of one whole import from each other is there already; who else imports from a part, or
lets go of it, is sent to the whole. The `run` of a part that has moved in with another bears the
part's name there.
"""

import ast
import builtins

# Which parts each is made of, in the order in which they are needed: a part imports only from
# those before it.
WHOLES = {
    # Resident. They come one after the other: reading the settings takes room that only the first
    # leaves, and the last is not there while the portal is open.
    "plug": ("board", "plug"),
    "statemachine": ("gestures", "wire", "statemachine"),
    "octoapi": ("octoapi", "mqtt", "online"),
    # Let go after use. What follows on each other, or comes at moments with room to spare.
    "figures": ("refusal", "odds", "figures"),
    "opening": ("firsts", "radio", "closing", "opening"),
    "apply": ("diary", "apply"),
    "heat": ("pending", "heat"),
    "slots": ("intro", "connecting", "slots"),
    "info": ("dialing", "info"),
}

# In the heap for as long as the plug runs; the others are imported where they are used and let go
RESIDENT = ("plug", "statemachine", "octoapi", "settings")


def merge(texts):
    """`texts`, {module: text}, with parts made wholes. ValueError: they cannot be."""
    whole_of = {part: whole for whole, parts in WHOLES.items() if whole in texts for part in parts}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    runs = _runs(trees, whole_of)
    merged = {}
    for name, tree in trees.items():
        if name not in whole_of:
            _redirect(tree, whole_of, runs, None)
            merged[name] = ast.unparse(tree)
    for whole in dict.fromkeys(whole_of.values()):
        parts = {part: trees[part] for part in WHOLES[whole] if part in trees}
        merged[whole] = _whole(whole, parts, whole_of, runs)
    return merged


def alone(whole, parts, texts):
    """The text of a module that is made of these parts and needs none of the others."""
    trees = {part: ast.parse(texts[part]) for part in parts}
    whole_of = dict.fromkeys(parts, whole)
    return _whole(whole, trees, whole_of, _runs(trees, whole_of))


def _runs(trees, whole_of):
    # Parts whose `run` bears the part's name in the whole.
    return {
        part
        for part, whole in whole_of.items()
        if part != whole and part in trees and "run" in _defined(trees[part])
    }


def _whole(whole, parts, whole_of, runs):
    lines, taken, imports = [], {}, set()
    for part, tree in parts.items():
        _redirect(tree, whole_of, runs, whole)
        if part in runs:
            _rename(tree, {"run": part})
        twice = set()
        for name in _defined(tree):
            if taken.setdefault(name, part) != part:
                if name[0] != "_":
                    raise ValueError(f"{name} stands in both {taken[name]} and {part}")
                twice.add(name)
        _rename(tree, {name: f"{name}_{part}" for name in twice})
        for node in tree.body[1:] if ast.get_docstring(tree) is not None else tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                text = ast.unparse(node)
                if text in imports:
                    continue
                imports.add(text)
            lines.append(node)
    for part, tree in parts.items():
        for name in _loaded(tree) & set(dir(builtins)):
            if taken.get(name, part) != part:
                raise ValueError(f"{part} means another {name} than that of {taken[name]}")
    return '""""""\n' + ast.unparse(ast.Module(lines, []))


def _defined(tree):
    # Names that stand at the top of a module, but for those that are imported.
    names = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            names |= {part.id for part in ast.walk(node) if _stored(part)}
    return names


def _stored(node):
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _loaded(tree):
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return {node.id for node in names if isinstance(node.ctx, ast.Load)}


def _rename(tree, names):
    # What stands at the top of a part must not meet its namesake in another.
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
        elif isinstance(node, ast.Global):
            node.names = [names.get(name, name) for name in node.names]
    for node in tree.body:
        if getattr(node, "name", None) in names:
            node.name = names[node.name]


def _redirect(tree, whole_of, runs, here):
    # Imports from parts go to their wholes, or away if that is `here`; so does what is let go.
    for line in tree.body:
        for name in line.names if isinstance(line, ast.Import) else ():
            if here and whole_of.get(name.name) == here:
                raise ValueError(f"line {line.lineno}: from {name.name} import what?")
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            lines = getattr(node, field, None)
            if isinstance(lines, list) and lines:
                kept = [line for line in lines if not _is_here(line, whole_of, here)]
                setattr(node, field, kept or [ast.Pass()])
        if isinstance(node, ast.Attribute) and node.attr == "run":
            said = _module_said(node.value)
            name = said.value if said else getattr(node.value, "id", None)
            if name in runs:
                node.attr = name
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_PARTS":
            words = [whole_of.get(word, word) for word in node.value.value.split()]
            node.value = ast.Constant(" ".join(dict.fromkeys(words)))
        said = _module_said(node)
        if said is not None:
            said.value = whole_of.get(said.value, said.value)


def _is_here(line, whole_of, here):
    if isinstance(line, ast.Import):
        for name in line.names:
            if whole_of.get(name.name, name.name) != name.name:
                name.asname = name.asname or name.name
                name.name = whole_of[name.name]
    elif isinstance(line, ast.ImportFrom) and line.module in whole_of:
        line.module = whole_of[line.module]
        if line.module == here:
            if any(name.asname for name in line.names):
                raise ValueError(f"line {line.lineno}: import it under its own name")
            return True
    return False


def _module_said(node):
    # The text that names a module in sys.modules["…"] and sys.modules.pop("…"), in step("…"),
    # _step("…", …), and steps.take("…").
    first = None
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "sys.modules":
        first = node.slice
    elif isinstance(node, ast.Call) and node.args:
        called = ast.unparse(node.func)
        if called in ("sys.modules.pop", "_step", "steps.take") or called.split(".")[-1] == "step":
            first = node.args[0]
    return first if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
