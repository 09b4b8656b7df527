"""
What may happen to a program without changing the bug in it: each variant is a function from files to files.

All work on the source, so that what runs are real programs.
"""

from __future__ import annotations

import ast
import io
import symtable
import tokenize
from collections.abc import Callable

Files = dict[str, str]

DRIVER = {
    "plain": "from shop.app import main\n\ndef run(n):\n    return main(n)\n",
    "library": "import lib\nfrom shop.app import main\n\ndef run(n):\n    return lib.call(main, n)\n",
    "thread": (
        "from concurrent.futures import ThreadPoolExecutor\nfrom shop.app import main\n\n"
        "def run(n):\n    with ThreadPoolExecutor(1) as pool:\n        return pool.submit(main, n).result()\n"
    ),
    "async": "import asyncio\nfrom shop.app import main\n\ndef run(n):\n    return asyncio.run(main(n))\n",
    "task": (
        "import asyncio\nfrom shop.app import main\n\nasync def job(n):\n    return main(n)\n\n"
        "async def jobs(n):\n    return await asyncio.gather(job(n))\n\ndef run(n):\n    return asyncio.run(jobs(n))\n"
    ),
    "group": (
        "from shop.app import main\n\ndef run(n):\n    try:\n        main(n)\n    except Exception as error:\n        found = error\n"
        "    raise ExceptionGroup(f'unhandled errors ({n})', [found])\n"
    ),
    "cause": (
        "from shop.app import main\n\ndef run(n):\n    try:\n        return main(n)\n    except Exception as error:\n"
        "        raise SystemError(f'job {n} failed') from error\n"
    ),
    "implicit": (
        "from shop.app import main\n\ndef run(n):\n    try:\n        return main(n)\n    except Exception:\n"
        "        raise SystemError(f'job {n} failed')\n"
    ),
    "deep": "from shop.app import main\n\ndef run(n, depth=20):\n    return run(n, depth - 1) if depth else main(n)\n",
}
"""How the bug is reached; `run(n)` of `shop/driver.py` is called."""


def moved(files: Files) -> Files:
    """Other lines above: a comment, an import, another function."""
    above = "# A comment.\n\nimport os\n\n\ndef unrelated(value):\n    return os.path.join('a', value)\n\n\n"
    return {name: above + text for name, text in files.items()}


def exploded(files: Files) -> Files:
    """Calls over many lines, as formatters write them."""
    out = {}
    for name, text in files.items():
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        lines: list[str] = text.splitlines(keepends=True)
        breaks: list[tuple[int, int]] = []
        depth = inside = 0
        for token in tokens:
            if inside and token.type not in (_FSTRING_START, _FSTRING_END):
                continue
            if token.type == tokenize.OP and token.string in "([{":
                depth += 1
                breaks.append(token.end)
            elif token.type == tokenize.OP and token.string in ")]}":
                depth -= 1
                breaks.append(token.start)
            elif token.type == tokenize.OP and token.string == "," and depth:
                breaks.append(token.end)
            elif token.type == _FSTRING_START:  # Python 3.12 takes f-strings apart; there is nothing to break in them
                inside += 1
            elif token.type == _FSTRING_END:
                inside -= 1
        for row, column in sorted(breaks, reverse=True):
            line = lines[row - 1]
            lines[row - 1] = line[:column] + "\n        " + line[column:].lstrip(" ")
        candidate = "".join(lines)
        out[name] = candidate if _parses(candidate) else text
    return out


_FSTRING_START = getattr(tokenize, "FSTRING_START", None)
_FSTRING_END = getattr(tokenize, "FSTRING_END", None)


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def renamed(files: Files) -> Files:
    """Other names for locals and parameters, where nothing calls by them."""
    return {name: _rename(text) for name, text in files.items()}


def _rename(text: str) -> str:
    names: set[str] = set()
    pending = [symtable.symtable(text, "x", "exec")]
    kept = {keyword.arg for keyword in ast.walk(ast.parse(text)) if isinstance(keyword, ast.keyword)}
    while pending:
        table = pending.pop()
        pending.extend(table.get_children())
        if table.get_type() in ("module", "class"):
            kept.update(symbol.get_name() for symbol in table.get_symbols())
        elif table.get_type() == "function":
            names.update(
                s.get_name() for s in table.get_symbols() if s.is_local() and not (s.is_imported() or s.is_namespace())
            )
    names -= kept | {"self", "cls", "main", "n"}

    def rename(node: ast.AST) -> None:
        for child in ast.walk(node):
            if isinstance(child, ast.Name) and child.id in names:
                child.id = f"{child.id}_renamed"
            elif isinstance(child, ast.arg) and child.arg in names:
                child.arg = f"{child.arg}_renamed"
            elif isinstance(child, ast.ExceptHandler) and child.name in names:
                child.name = f"{child.name}_renamed"

    tree = ast.parse(text)
    rename(tree)
    return ast.unparse(tree)


def typed(files: Files) -> Files:
    """With annotations on parameters and results, and in another layout: as `ast.unparse` writes it."""
    out = {}
    for name, text in files.items():
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                for arg in node.args.args:
                    if arg.arg != "self":
                        arg.annotation = ast.Constant("Any")
                node.returns = ast.Constant("Any")
                for index, statement in enumerate(node.body):
                    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                        node.body[index] = ast.AnnAssign(statement.targets[0], ast.Constant("Any"), statement.value, 1)
        out[name] = ast.unparse(ast.fix_missing_locations(tree))
    return out


def logged(files: Files) -> Files:
    """Every function in a decorator of the application."""
    decorator = dedent_block(
        """
        import functools

        def logged(fn):
            @functools.wraps(fn)
            def wrapper(*args, **kwargs):
                result = fn(*args, **kwargs)
                return result
            return wrapper
        """
    )
    out = dict(files)
    for name, text in files.items():
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                node.decorator_list.append(ast.Name("logged", ast.Load()))
        out[name] = "from shop.logs import logged\n" + ast.unparse(ast.fix_missing_locations(tree))
    out["shop/logs.py"] = decorator
    return out


def dedent_block(text: str) -> str:
    from textwrap import dedent

    return dedent(text).lstrip()


def asynchronous(files: Files) -> Files:
    """Every function a coroutine function, every call of one awaited."""
    names = {
        node.name
        for text in files.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("__") and not node.decorator_list
        if not _returns_function(node)
    }
    return {
        name: ast.unparse(ast.fix_missing_locations(_Awaiting(names).visit(ast.parse(text))))
        for name, text in files.items()
    }


def _returns_function(node: ast.FunctionDef) -> bool:
    inner = {one.name for one in ast.walk(node) if isinstance(one, ast.FunctionDef)}
    return any(isinstance(one, ast.Return) and getattr(one.value, "id", "") in inner for one in ast.walk(node))


class _Awaiting(ast.NodeTransformer):
    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.inside: list[bool] = [False]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        awaits = node.name in self.names
        self.inside.append(awaits)
        self.generic_visit(node)
        self.inside.pop()
        return ast.AsyncFunctionDef(**{field: getattr(node, field, None) for field in node._fields}) if awaits else node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.inside.append(False)
        self.generic_visit(node)
        self.inside.pop()
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        library = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") in ("lib", "json")
        return ast.Await(node) if name in self.names and self.inside[-1] and not library else node


VARIANTS: dict[str, tuple[Callable[[Files], Files], str]] = {
    "base": (dict, "plain"),
    "moved-elsewhere": (moved, "plain"),
    "reformatted-typed": (typed, "plain"),
    "exploded": (exploded, "plain"),
    "renamed": (renamed, "plain"),
    "decorated": (logged, "plain"),
    "async": (asynchronous, "async"),
    "newer-library": (dict, "library"),
    "thread": (dict, "thread"),
    "task": (dict, "task"),
    "cause": (dict, "cause"),
    "implicit": (dict, "implicit"),
    "deep": (dict, "deep"),
    "moved-renamed-async": (lambda files: moved(renamed(asynchronous(files))), "async"),
    "decorated-exploded-group": (lambda files: exploded(logged(files)), "group"),
}
"""Name -> (what happens to the source, how it is reached)."""


def occurrence(variant: str) -> int:
    """The data of this occurrence: any number, another for each variant."""
    return 3 + 7919 * list(VARIANTS).index(variant) % 90_000
