"""Imports point only downward, greenlets start in one place: read off the source, so no path is missed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "appliance"

LAYERS = {
    "cli": 6,
    "admin": 5,
    "server": 4,
    "client": 4,
    "fileserver": 4,
    "tunnel": 3,
    "transport": 2,
    "certificates": 2,
    "wire": 1,
    "config": 0,
}
# What a layer must not touch, beyond the layers above it.
FORBIDDEN = {
    "wire": {"gevent", "socket", "_socket", "ssl", "select", "time", "threading", "asyncio"},
    "config": {"gevent", "socket", "_socket", "ssl", "click", "flask"},
    "client": {"flask", "werkzeug", "prometheus_client", "cryptography", "OpenSSL"},
}
SPAWNING_MODULES = {"gevent", "greenlet", "threading", "_thread", "concurrent", "multiprocessing"}
SPAWNING_NAMES = {"spawn", "spawn_later", "spawn_raw", "Greenlet", "greenlet", "Thread", "start_new_thread"}
SPAWNING_NAMES |= {"ThreadPool", "ThreadPoolExecutor", "Process", "Group", "Pool"}

MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name in it or "") of every import, wherever it stands: in functions, under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports would slip past this test"
            yield from ((node.module or "", alias.name) for alias in node.names)


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


def own_modules(module: str) -> set[str]:
    """The modules of this package that a module imports."""
    found = set()
    for source, name in imports(tree_of(module)):
        if source.split(".")[0] == "appliance":
            full = f"{source}.{name}"
            found.add(full if full in MODULES else source)
    return found


def layer_name(module: str) -> str:
    """ "appliance.wire.http1" -> "wire"; "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


def closure(package: str) -> set[str]:
    """All modules of ours that a package imports, directly or not."""
    found: set[str] = set()
    waiting = [module for module in MODULES if layer_name(module) == package]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += own_modules(module)
    return found


def test_every_package_has_a_layer() -> None:
    packages = {layer_name(module) for module in MODULES} - {"", "__main__"}
    assert packages <= LAYERS.keys()
    assert "wire" in packages


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module: str) -> None:
    name = layer_name(module)
    for imported in own_modules(module):
        other = layer_name(imported)
        assert imported in MODULES, f"{module} imports {imported}, which does not exist"
        if other in ("", name) or name == "__main__":
            continue
        assert name, f"the package itself imports {imported}"
        assert LAYERS[other] < LAYERS[name], f"{module} ({LAYERS[name]}) imports {imported} ({LAYERS[other]})"


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_forbidden_dependencies(layer: str) -> None:
    for module in closure(layer):
        for source, _ in imports(tree_of(module)):
            top = source.split(".")[0]
            assert top not in FORBIDDEN[layer], f"{layer}, by {module}, imports {source}"


@pytest.mark.parametrize("module", [name for name in MODULES if name != "appliance.transport.tasks"])
def test_only_tasks_spawns(module: str) -> None:
    tree = tree_of(module)
    names = {name for source, name in imports(tree) if source.split(".")[0] in SPAWNING_MODULES}
    for node in ast.walk(tree):
        used: list[ast.expr] = []
        if isinstance(node, ast.Call):
            used = [node.func]
        elif isinstance(node, ast.ClassDef):
            used = node.bases
        for expression in used:
            parts = ast.unparse(expression).split(".")
            first, last = parts[0], parts[-1]
            spawns = last in SPAWNING_NAMES and first in SPAWNING_MODULES | names
            assert not spawns, f"{module}, line {node.lineno}: {ast.unparse(expression)}"


def test_nothing_patches_but_the_commands() -> None:
    patching = [
        module
        for module in MODULES
        if any(name == "monkey" or source.startswith("gevent.monkey") for source, name in imports(tree_of(module)))
    ]
    assert patching == ["appliance.cli.compose"]
    tree = tree_of("appliance.cli.compose")
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not any("gevent" in ast.unparse(node) for node in top)
