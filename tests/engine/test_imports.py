"""Imports point one way, and the public names are those that the documentation tells of."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import ferritin

ENGINE = Path(ferritin.__file__).parent
# A module may import from its own layer's own folder and from the layers before it.
LAYERS = [
    part.split()
    for part in (
        "errors units scan stages backend door registry",
        "ops",
        "solvers",
        "inversion",
        "io",
        "kspace coils field mask background dipole relax sources iron contrast metrics phantom",
        "report",
        "run",
    )
]
MODULES = sorted(path for path in ENGINE.rglob("*.py") if path != ENGINE / "__init__.py")


def imported(path: Path) -> set[str]:
    """Dotted names that a module imports from the project; those for the type checker alone do not count."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import; write it in full"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.partition(".")[0] in ("ferritin", "ferritin_kernels")}


@cache
def layer(part: str) -> int:
    """Number of the layer that a folder or module directly below ferritin belongs to."""
    found = [i for i, parts in enumerate(LAYERS) if part in parts]
    assert found, f"ferritin.{part} is in no layer; add it to the table in {Path(__file__).name}"
    return found[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ENGINE)))
def test_imports_point_one_way(path):
    own = path.relative_to(ENGINE).parts[0].removesuffix(".py")
    for name in imported(path):
        package, _, rest = name.partition(".")
        part = rest.partition(".")[0]
        if package == "ferritin_kernels" or part in ("", "__version__"):
            continue
        if (layer(own) == 0 and layer(part) == 0) or part == own:
            continue
        assert layer(part) < layer(own), f"{own} imports {name}, which does not lie below it"


def test_kernels_import_nothing_of_the_engine():
    import ferritin_kernels

    for path in Path(next(iter(ferritin_kernels.__path__))).rglob("*.py"):
        assert not [name for name in imported(path) if name.startswith("ferritin.")], path


def test_no_folder_of_leftovers():
    assert not [path for path in MODULES if re.search(r"\b(utils?|helpers?|misc|common)\b", path.stem)]


def test_optional_packages_are_imported_when_needed():
    optional = ("cupy", "torch", "numba", "dask", "pandas")
    for path in MODULES:
        tree = ast.parse(path.read_text())
        top = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        top |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert not {name.partition(".")[0] for name in top} & set(optional), path


def test_version_is_the_projects():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert ferritin.__version__ == project["version"]


def test_public_names_are_as_documented():
    documented = set(re.findall(r"\bft\.(\w+)", ferritin.__doc__))
    assert {"read", "reconstruct", "dipole"} <= documented <= set(ferritin.__all__)
    assert sorted(dir(ferritin)) == sorted(ferritin.__all__)
    for name in ferritin.__all__:
        assert getattr(ferritin, name) is not None
    with pytest.raises(AttributeError, match="it has"):
        _ = ferritin.chi


def test_importing_the_package_takes_no_time():
    code = "import sys, ferritin; print([m for m in ('numpy', 'scipy', 'nibabel', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
