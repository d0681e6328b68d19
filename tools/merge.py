"""Makes one module of several that come into the plug's heap together.

Each module costs about 200 bytes by being one, and pays again for every name that another has as
well. In the source they stay apart, each file one idea; on the plug they live in the modules that
WHOLES names. What parts of one whole import from each other is there already; who else imports
from a part is sent to the whole. Only `from … import …` can be followed so; others are refused.
"""

import ast

# Which parts each is made of, in the order in which they are needed: a part imports only from
# those before it. They come one after the other: reading the settings takes room that only the
# first leaves, and the last is let go while the portal is open.
WHOLES = {
    "plug": ("board", "plug"),
    "statemachine": ("gestures", "wire", "statemachine"),
    "octoapi": ("octoapi", "mqtt"),
}


def merge(texts):
    """`texts`, {module: text}, with parts made wholes. ValueError: they cannot be."""
    whole_of = {part: whole for whole, parts in WHOLES.items() if whole in texts for part in parts}
    merged = {}
    for name, text in texts.items():
        if name not in whole_of:
            tree = ast.parse(text)
            _redirect(tree, whole_of, None)
            merged[name] = ast.unparse(tree)
    for whole in dict.fromkeys(whole_of.values()):
        merged[whole] = _whole(whole, [p for p in WHOLES[whole] if p in texts], texts, whole_of)
    return merged


def _whole(whole, parts, texts, whole_of):
    lines, taken, imports = [], {}, set()
    for part in parts:
        tree = ast.parse(texts[part])
        twice = set()
        for name in _defined(tree):
            if taken.setdefault(name, part) != part:
                if name[0] != "_":
                    raise ValueError(f"{name} stands in both {taken[name]} and {part}")
                twice.add(name)
        _own(tree, twice, part)
        _redirect(tree, whole_of, whole)
        for node in tree.body[1:] if ast.get_docstring(tree) is not None else tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                text = ast.unparse(node)
                if text in imports:
                    continue
                imports.add(text)
            lines.append(node)
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


def _own(tree, names, part):
    # What is private to a part must not meet its namesake in another.
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in names:
            node.id += "_" + part
        elif isinstance(node, ast.Global):
            node.names = [n + "_" + part if n in names else n for n in node.names]
    for node in tree.body:
        if getattr(node, "name", None) in names:
            node.name += "_" + part


def _redirect(tree, whole_of, here):
    # Imports from parts go to their wholes, or away if that is `here`.
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            lines = getattr(node, field, None)
            if isinstance(lines, list) and lines:
                kept = [line for line in lines if not _is_here(line, whole_of, here)]
                setattr(node, field, kept or [ast.Pass()])


def _is_here(line, whole_of, here):
    if isinstance(line, ast.Import):
        for name in line.names:
            if whole_of.get(name.name, name.name) != name.name:
                raise ValueError(f"line {line.lineno}: from {name.name} import what?")
    elif isinstance(line, ast.ImportFrom) and line.module in whole_of:
        line.module = whole_of[line.module]
        if line.module == here:
            if any(name.asname for name in line.names):
                raise ValueError(f"line {line.lineno}: import it under its own name")
            return True
    return False
