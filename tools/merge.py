"""Makes one module of several that stay in the plug's heap together.

Each module costs about 200 bytes by being one, and pays again for every name that another has as
well. In the source they stay apart, each file one idea; on the plug those named in PARTS live in
`plug`. What they import from each other is there already; who else imports from one of them is
sent to `plug`. Only `from … import …` can be followed so; other ways are refused.
"""

import ast

INTO = "plug"

# In the order in which they are needed: each imports only from those before it.
PARTS = ("gestures", "wire", "board", "statemachine", INTO)


def merge(texts):
    """`texts`, {module: text}, with PARTS in one. ValueError: they cannot be."""
    parts = [part for part in PARTS if part in texts]
    whole, taken, imports = [], {}, set()
    for part in parts:
        tree = ast.parse(texts[part])
        twice = set()
        for name in _defined(tree):
            if taken.setdefault(name, part) != part:
                if name[0] != "_":
                    raise ValueError(f"{name} stands in both {taken[name]} and {part}")
                twice.add(name)
        _own(tree, twice, part)
        _redirect(tree, parts, None)
        for node in tree.body[1:] if ast.get_docstring(tree) is not None else tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                text = ast.unparse(node)
                if text in imports:
                    continue
                imports.add(text)
            whole.append(node)
    merged = {name: text for name, text in texts.items() if name not in parts}
    for name, text in merged.items():
        tree = ast.parse(text)
        _redirect(tree, parts, INTO)
        merged[name] = ast.unparse(tree)
    merged[INTO] = '""""""\n' + ast.unparse(ast.Module(whole, []))
    return merged


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
    # What is private to a module must not meet its namesake in another.
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in names:
            node.id += "_" + part
        elif isinstance(node, ast.Global):
            node.names = [n + "_" + part if n in names else n for n in node.names]
    for node in tree.body:
        if getattr(node, "name", None) in names:
            node.name += "_" + part


def _redirect(tree, parts, into):
    # Imports from `parts` go to `into`, or away where it is None.
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            lines = getattr(node, field, None)
            if not isinstance(lines, list):
                continue
            kept = []
            for line in lines:
                if isinstance(line, ast.Import):
                    wrong = {name.name for name in line.names} & (set(parts) - {INTO})
                    if wrong:
                        raise ValueError(f"line {line.lineno}: from {wrong.pop()} import what?")
                elif isinstance(line, ast.ImportFrom) and line.module in parts:
                    if any(name.asname for name in line.names) and not into:
                        raise ValueError(f"line {line.lineno}: import it under its own name")
                    if not into:
                        continue
                    line.module = into
                kept.append(line)
            if lines and not kept:
                kept = [ast.Pass()]
            setattr(node, field, kept)
