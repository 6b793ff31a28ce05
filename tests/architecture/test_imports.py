"""The house rules that imports can break: direction between rooms, and one owner for each outside library."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MAY_IMPORT = {
    "configs": set[str](),
    "ingest": set[str](),
    "retrieval": {"ingest.embedding", "ingest.cores"},
    "workers": {"ingest", "retrieval"},
    "carrel": {"configs", "ingest", "retrieval", "workers"},
}
# The only modules that may read settings; everything else receives plain values.
MAY_READ_SETTINGS = {"retrieval.resources", "retrieval.api.service", "workers.app", "ingest.__main__"}

# Work that fails of something unforeseen is met here, and by nobody else in the product: a file's, and a request's.
CATCH_ALL = {"workers.attempts", "retrieval.api.errors"}

# An outside library and the places (modules or packages) that may import it.
OWNERS = {
    "tiktoken": {"ingest.chunking.tokens"},
    "pypdf": {"ingest.parsing.pdf"},
    "pypdfium2": {"ingest.parsing.pdf_lines"},
    "docx": {"ingest.parsing.docx"},
    "pptx": {"ingest.parsing.pptx"},
    "lxml": {"ingest.parsing"},
    "selectolax": {"ingest.parsing.html"},
    "charset_normalizer": {"ingest.parsing.encoding"},
    "onnxruntime": {"ingest.embedding.sessions"},
    "tokenizers": {"ingest.embedding.local"},
    "httpx": {"ingest.embedding.upstream", "workers.sources.web", "carrel.remote"},
    "faiss": {"retrieval.index.vectors.kernels"},
    "sqlalchemy": {"retrieval.catalog"},
    "alembic": {"retrieval.catalog"},
    "psycopg": {"retrieval.catalog"},
    "obstore": {"retrieval.storage.bucket", "workers.sources.bucket"},
    "cronsim": {"retrieval.sources.schedule"},
    "pathspec": {"retrieval.sources.selection", "carrel.walking"},
    "yaml": {"retrieval.sources.templates"},
    "python_multipart": {"retrieval.api.multipart"},
    "xxhash": {"retrieval.index", "retrieval.segments"},
    "fastapi": {"retrieval.api"},
    "starlette": {"retrieval.api"},
    "uvicorn": {"carrel"},
    "celery": {"workers", "retrieval.jobs"},
    "kombu": {"workers", "retrieval.jobs", "retrieval.redis_broker", "retrieval.spool"},
    "typer": {"carrel"},
    "rich": {"carrel", "ingest.__main__"},
    "redis": {"retrieval.api.shared_limits"},
    "prometheus_client": {"retrieval.api.metrics"},
    "pydantic": {"configs", "retrieval.api"},
    "pydantic_core": {"retrieval.catalog.values"},
}

PACKAGES = [name for name in MAY_IMPORT if (ROOT / name).is_dir()]


def modules() -> list[tuple[str, Path]]:
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Each imported module, its line, and whether it stands inside a function."""
    tree = ast.parse(path.read_text("utf-8"))
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in inside
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module
            names = {alias.name for alias in node.names}
            yield node.module, node.lineno, id(node) in inside
            for name in names:  # `from retrieval import errors` imports the module retrieval.errors
                if (ROOT / Path(*node.module.split("."), name)).with_suffix(".py").is_file():
                    yield f"{node.module}.{name}", node.lineno, id(node) in inside


def within(module: str, places: set[str]) -> bool:
    return any(module == place or module.startswith(place + ".") for place in places)


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_keeps_the_house_rules_of_imports(module: str, path: Path) -> None:
    room = module.split(".", maxsplit=1)[0]
    for imported, line, in_function in imports(path):
        where = f"{path.relative_to(ROOT)}:{line}"
        top = imported.split(".")[0]
        assert not in_function, f"{where}: import of {imported} inside a function"
        if top == "configs" and room not in {"carrel", "configs"}:
            assert within(module, MAY_READ_SETTINGS), f"{where}: {module} may not read settings"
        elif top in MAY_IMPORT and top != room:
            assert within(imported, MAY_IMPORT[room]), f"{where}: {room} may not import {imported}"
        if top in OWNERS:
            assert within(module, OWNERS[top]), f"{where}: {top} belongs to {', '.join(sorted(OWNERS[top]))}"


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_whatever_may_go_wrong_is_caught_in_one_place_or_raised_on(module: str, path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.ExceptHandler):
            continue
        every = node.type is None or (
            isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}
        )
        raised_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        assert not every or raised_on or module in CATCH_ALL, f"{path.relative_to(ROOT)}:{node.lineno}: {CATCH_ALL}"


def test_every_outside_library_that_the_product_imports_is_declared() -> None:
    declared = (ROOT / "pyproject.toml").read_text("utf-8").lower().replace("_", "-")
    names = {"faiss": "faiss-cpu", "yaml": "pyyaml", "docx": "python-docx", "pptx": "python-pptx"}
    for module, path in modules():
        for imported, line, _ in imports(path):
            top = imported.split(".")[0]
            if top in MAY_IMPORT or top in sys.stdlib_module_names:
                continue
            package = names.get(top, top).replace("_", "-")
            assert f'"{package}' in declared, (
                f"{path}:{line}: {module} imports {top}, which pyproject.toml does not declare"
            )


def test_no_import_cycle_between_modules() -> None:
    known = dict(modules())
    edges = {
        module: {name for name, _, _ in imports(path) if name in known} - {module} for module, path in known.items()
    }
    settled: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in settled:
            return
        assert module not in trail, f"import cycle: {' -> '.join((*trail[trail.index(module) :], module))}"
        for target in sorted(edges[module]):
            visit(target, (*trail, module))
        settled.add(module)

    for module in sorted(known):
        visit(module, ())


def test_every_package_is_listed_for_installation() -> None:
    listed = (ROOT / "pyproject.toml").read_text("utf-8")
    for package in PACKAGES:
        for init in (ROOT / package).rglob("__init__.py"):
            name = ".".join(init.parent.relative_to(ROOT).parts)
            assert f'    "{name}",' in listed, f"{name} is missing from [tool.setuptools] packages"


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_says_what_it_is_for_and_stays_readable(module: str, path: Path) -> None:
    source = path.read_text("utf-8")
    assert ast.get_docstring(ast.parse(source)), f"{module} has no docstring"
    assert source.count("\n") <= 400, f"{module} has more than 400 lines: it wants a new noun"
    assert path.stem not in {"utils", "helpers", "common", "base", "manager"}, f"{module}: a name that says nothing"
