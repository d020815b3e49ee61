"""Check docstrings beyond what ruff does: every public symbol has one, and one that raises says what.

python tools/check_docstrings.py            fail on what is missing, except in folders that pyproject.toml opens
python tools/check_docstrings.py --counts   what is missing, by folder
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "palate"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Gap:
    """A public symbol whose docstring lacks something."""

    file: str
    line: int
    symbol: str
    lacks: str

    @property
    def folder(self) -> str:
        """The room, or the folder in ``models``."""
        parts = self.file.split("/")
        return "/".join(parts[:2]) if parts[0] == "models" and len(parts) > 2 else parts[0]


def missing_raises() -> Iterator[Gap]:
    """Public functions and methods that raise and do not say so.

    A method without a docstring inherits one; :func:`undocumented` looks for those that inherit none.
    """
    for file in sorted(SOURCE.rglob("*.py")):
        for name, function in public_functions(ast.parse(file.read_text(encoding="utf-8")).body):
            text = ast.get_docstring(function)
            if text and "Raises:" not in text and raises(function):
                yield Gap(str(file.relative_to(SOURCE)), function.lineno, name, "Raises")


def public_functions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Functions and methods without a leading underscore, also those of public classes.

    Args:
        body: of a module or class.
        prefix: name of the class with a dot.
    """
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, Function) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node


def raises(function: Function) -> bool:
    """Whether a function raises something new itself: not in a function inside it, and not where it is caught.

    Args:
        function: to look at.
    """
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        # an exit code is part of a command, not an error of a function
        if (
            isinstance(node, ast.Raise)
            and isinstance(node.exc, ast.Call)
            and ast.unparse(node.exc.func) != "typer.Exit"
        ):
            return True
        caught = isinstance(node, ast.Try) and bool(node.handlers)
        waiting.extend(ast.iter_child_nodes(node) if not caught else [*node.handlers, *node.orelse, *node.finalbody])
    return False


def undocumented() -> Iterator[Gap]:
    """Public functions, classes and methods without a docstring of their own, an inherited one, or a protocol's."""
    names = [found.name for found in pkgutil.walk_packages([str(SOURCE)], "palate.")]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    classes = [member for module in modules for member in vars(module).values() if inspect.isclass(member)]
    protocols = [kind for kind in set(classes) if getattr(kind, "_is_protocol", False)]
    for module in modules:
        for name, member in vars(module).items():
            if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(member):
                yield from _of_class(member, protocols)
            elif inspect.isfunction(member) and not inspect.getdoc(member):
                yield _gap(member, name)


def _of_class(kind: type, protocols: list[type]) -> Iterator[Gap]:
    if not kind.__doc__:
        yield _gap(kind, kind.__name__)
    met = [one for one in protocols if all(hasattr(kind, name) for name in _public(one))]
    described = {name for one in met for name in _public(one) if inspect.getdoc(getattr(one, name))}
    for name, member in vars(kind).items():
        plain = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(plain) or plain.__module__ != kind.__module__:
            continue
        if name not in described and not inspect.getdoc(getattr(kind, name)):
            yield _gap(plain, f"{kind.__name__}.{name}")


def _public(protocol: type) -> list[str]:
    return [name for name, member in vars(protocol).items() if not name.startswith("_") and callable(member)]


def _gap(member: object, name: str) -> Gap:
    plain = inspect.unwrap(member) if inspect.isfunction(member) else member
    file, (_, line) = inspect.getfile(plain), inspect.getsourcelines(plain)  # type: ignore[arg-type]
    return Gap(str(Path(file).relative_to(SOURCE)), line, name, "a docstring")


def open_folders() -> set[str]:
    """Folders that ``pyproject.toml`` lists as not clean yet."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return set(settings["tool"]["palate"]["docstrings"]["open"])


def gaps() -> list[Gap]:
    """Everything that is missing, also in open folders."""
    return [*missing_raises(), *undocumented()]


def main() -> int:
    """Print what is missing; 1 where that is in a folder that should be clean."""
    found = gaps()
    if "--counts" in sys.argv:
        for (folder, lacks), number in sorted(Counter((gap.folder, gap.lacks) for gap in found).items()):
            print(f"{folder}: {number} lack {lacks}")
        return 0
    wrong = [gap for gap in found if gap.folder not in open_folders()]
    for gap in wrong:
        print(f"src/palate/{gap.file}:{gap.line}: {gap.symbol} lacks {gap.lacks}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
