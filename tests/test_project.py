"""What a reader of the repository relies on before any code runs: pins, versions, commands."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import prismrec

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
IMPORTED_AS = {
    "ibis-framework": "ibis", "faiss-cpu": "faiss", "scikit-learn": "sklearn", "prometheus-client": "prometheus_client",
    "pydantic-core": "pydantic_core", "pyre-extensions": "pyre_extensions", "mlflow-skinny": "mlflow",
    "torch-geometric": "torch_geometric",
}  # fmt: skip
WITHOUT_THEIR_NEEDS = ("torchrec", "fbgemm-gpu-cpu")
"""Installed by the Makefile with --no-deps; the extra `cluster` lists what they really need."""
SOURCES = sorted((ROOT / "src").rglob("*.py"))
COMMANDS = ("demo", "test", "bench", "bench-serve", "tables", "check")


# ---- what is installed ----


def pins() -> dict[str, Version]:
    """Every line of constraints.txt."""
    found: dict[str, Version] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            found[canonicalize_name(name)] = Version(version)
    return found


def declared() -> list[Requirement]:
    """The requirements of the package and of all its extras, references from extra to extra left out."""
    texts = [*PROJECT["dependencies"], *(text for group in EXTRAS.values() for text in group)]
    return [r for r in map(Requirement, texts) if r.name != "prismrec"]


def installed(name: str):
    try:
        return distribution(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed: `make test` installs every extra")


def is_exact(requirement: Requirement) -> bool:
    return any(s.operator == "==" and not s.version.endswith("*") for s in requirement.specifier)


def needed() -> set[str]:
    """Every package that the extras bring, at any depth, and whose version nobody else names exactly.

    What a pinned package itself ties to one version needs no pin: torch and its CUDA libraries, say.
    """
    found: set[tuple[str, str]] = set()
    queue = declared()
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            brought = [Requirement(text) for text in installed(name).requires or []]
            wanted = [r for r in brought if r.marker is None or r.marker.evaluate({"extra": extra})]
            queue.extend(r for r in wanted if not is_exact(r))
    return {name for name, _ in found}


def test_every_requirement_is_pinned_within_its_range():
    pinned = pins()
    for requirement in declared():
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in constraints.txt"
        assert version in requirement.specifier, f"{requirement} does not allow the pinned {version}"


def test_everything_that_an_extra_brings_is_pinned():
    missing = needed() - set(pins())
    assert not missing, f"add to constraints.txt: {sorted(missing)}"


def test_nothing_is_pinned_without_need():
    tied = {"polars-runtime-32", "pydantic-core"}  # by polars and pydantic; pinned all the same, for pip to see early
    assert set(pins()) - needed() <= {*tied, *WITHOUT_THEIR_NEEDS}


def test_makefile_installs_without_their_needs_what_contradicts_torch():
    makefile = (ROOT / "Makefile").read_text()
    line = next(line for line in makefile.splitlines() if "--no-deps" in line)
    fbgemm = re.findall(r"^FBGEMM \?= (\S+)$", makefile, re.MULTILINE)
    assert line.split("--no-deps")[1].replace("$(FBGEMM)", *fbgemm).split() == list(WITHOUT_THEIR_NEEDS)
    assert set(WITHOUT_THEIR_NEEDS) <= set(pins())


def test_tests_run_with_the_pinned_versions():
    running = {name: Version(installed(name).version).public for name in pins()}
    assert running == {name: str(version) for name, version in pins().items()}


# ---- what is imported ----


def third_party(paths: Iterable[Path], *, at_import: bool) -> set[str]:
    """Names of foreign packages that files import: when they are imported themselves, or inside functions."""
    found = set()
    for path in paths:
        tree = ast.parse(path.read_text())
        inner = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
        inner |= {id(n) for branch in ast.walk(tree) if is_for_types_only(branch) for n in ast.walk(branch)}
        for node in ast.walk(tree):
            if (id(node) in inner) is at_import:
                continue
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"prismrec"}


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def is_network(path: Path) -> bool:
    return (
        path.parent.name in ("neural", "sequential", "collaborative", "heterogeneous", "knowledge")
        and path.stem != "configs"
    )


def imported_as(requirements: Iterable[str]) -> set[str]:
    names = {Requirement(text).name for text in requirements}
    return {IMPORTED_AS.get(name, name) for name in names}


def test_modules_import_nothing_but_required_packages():
    served = [path for path in SOURCES if "serving" in path.parts]
    kernels = [path for path in SOURCES if path.stem.startswith("triton_")]  # Triton compiles what a module holds
    networks = [path for path in SOURCES if is_network(path)]  # which models/algorithms.py imports when one is named
    others = [path for path in SOURCES if path not in (*served, *kernels, *networks)]
    assert third_party(others, at_import=True) <= imported_as(PROJECT["dependencies"])
    assert third_party(kernels, at_import=True) <= {"torch", "triton", *imported_as(PROJECT["dependencies"])}
    assert third_party(networks, at_import=True) <= imported_as([*PROJECT["dependencies"], *EXTRAS["neural"]])
    assert third_party(served, at_import=True) <= imported_as([*PROJECT["dependencies"], *EXTRAS["serve"]])


def test_functions_import_nothing_but_required_packages_and_extras():
    for_users = [text for extra, group in EXTRAS.items() if extra != "dev" for text in group]
    allowed = imported_as([*PROJECT["dependencies"], *for_users])
    assert third_party(SOURCES, at_import=False) <= {*allowed, "torchrec", "fbgemm_gpu", "triton"}  # triton: by torch


def test_every_required_package_is_imported_somewhere():
    used = third_party(SOURCES, at_import=True) | third_party(SOURCES, at_import=False)
    assert imported_as(PROJECT["dependencies"]) <= used


def test_errors_name_extras_that_exist():
    named = {extra for path in SOURCES for extra in re.findall(r"prismrec\[([\w,]+)\]", path.read_text())}
    assert named
    assert named <= set(EXTRAS)


# ---- versions and commands ----


def test_changelog_begins_with_the_version_of_the_package():
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == prismrec.__version__
    assert [Version(h) for h in headings] == sorted(map(Version, headings), reverse=True)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/ARCHITECTURE.md"])
def test_documents_name_only_commands_that_exist(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets >= set(COMMANDS)
    assert set(re.findall(r"`make ([a-z-]+)", (ROOT / document).read_text())) <= targets


def test_ci_runs_make_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "make test"


def test_every_benchmark_can_write_json():
    benchmarks = sorted((ROOT / "benchmarks").glob("bench_*.py"))
    assert benchmarks
    assert [path.name for path in benchmarks if '"--json"' not in path.read_text()] == []


@pytest.fixture
def project(tmp_path):
    """A copy of the Makefile with an environment whose programs only write down how they were called."""
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    for name in ("python", "pip", "prismrec", "ruff", "mypy", "pytest"):
        program(tmp_path / "venv" / "bin" / name, f'echo {name} "$@" >> {tmp_path}/calls')
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def program(path: Path, line: str) -> Path:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def make(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", "VENV=venv", "PACKAGES=true", f"PYTHON={sys.executable}", *arguments]
    plain = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(command, cwd=folder, env=plain, capture_output=True, text=True, timeout=60)


def calls(folder: Path) -> list[str]:
    """What the programs of the environment were called with; of pip's options only those that choose packages."""
    lines = (folder / "calls").read_text().splitlines()
    return [
        re.sub(r"^python -m pip install .*constraints\.txt", "install", line)
        for line in lines
        if "-c import" not in line
    ]


def test_demo_installs_once_and_without_torch(project):
    for _ in range(2):
        made = make(project, "demo")
        assert made.returncode == 0, made.stderr
    assert calls(project) == ["install -e .", "prismrec demo", "prismrec demo"]


def test_test_installs_torch_first_and_everything_once_and_ends_with_pytest(project):
    for _ in range(2):
        made = make(project, "test", "PYTEST=-k one")
        assert made.returncode == 0, made.stderr
    checks = ["ruff check .", "ruff format --check .", "mypy", "pytest -n 2 -k one"]
    assert calls(project) == [
        "install torch==2.13.0",
        "install -e .[dev]",
        "install --no-deps torchrec fbgemm-gpu-cpu",
        *checks,
        *checks,
    ]


def test_demo_after_test_installs_nothing(project):
    make(project, "check")
    (project / "calls").unlink()
    assert make(project, "demo").returncode == 0
    assert calls(project) == ["prismrec demo"]


def test_changed_pins_are_installed(project):
    make(project, "demo")
    (project / "calls").unlink()
    later = (project / "venv" / ".installed").stat().st_mtime + 10
    os.utime(project / "constraints.txt", (later, later))
    make(project, "demo")
    assert calls(project) == ["install -e .", "prismrec demo"]


def test_failed_install_is_tried_again(project):
    program(project / "venv" / "bin" / "python", 'case "$*" in *pip*) exit 1;; esac')
    assert make(project, "demo").returncode != 0
    program(project / "venv" / "bin" / "python", f'echo python "$@" >> {project}/calls')
    assert make(project, "demo").returncode == 0
    assert calls(project) == ["install -e .", "prismrec demo"]


def test_lint_that_fails_keeps_the_tests_from_running(project):
    program(project / "venv" / "bin" / "ruff", "exit 1")
    assert make(project, "test").returncode != 0
    assert not [line for line in calls(project) if line.startswith("pytest")]


def test_old_python_is_refused_with_what_to_do(project):
    old = f"""exec {sys.executable} -c 'import sys; sys.version_info = (3, 10, 9); exec(sys.argv[2])' "$@" """
    made = make(project, "demo", f"PYTHON={program(project / 'python3.10', old)}")
    assert made.returncode != 0
    assert "needs Python 3.11 or newer" in made.stderr
    assert "is 3.10; name another: make PYTHON=" in made.stderr


def test_missing_python_is_named(project):
    made = make(project, "demo", "PYTHON=python3.99")
    assert made.returncode != 0
    assert "there is no python3.99: name a Python 3.11 or newer" in made.stderr


def test_bench_runs_every_benchmark_and_tells_which_failed(project):
    (project / "benchmarks").mkdir()
    for name in ("bench_a.py", "bench_b.py", "build_c.py"):
        (project / "benchmarks" / name).touch()
    program(
        project / "venv" / "bin" / "python",
        f'echo python "$@" >> {project}/calls; case "$*" in *bench_a*) exit 1;; esac',
    )
    made = make(project, "bench")
    assert made.returncode != 0
    assert "failed: bench_a" in made.stderr
    assert [line for line in calls(project) if "bench" in line] == [
        "python benchmarks/bench_a.py --json benchmarks/results/a.json",
        "python benchmarks/bench_b.py --json benchmarks/results/b.json",
    ]


def test_bench_serve_runs_that_benchmark_alone(project):
    made = make(project, "bench-serve")
    assert made.returncode == 0, made.stderr
    assert calls(project)[-1] == "python benchmarks/bench_serve.py --json benchmarks/results/serve.json"


def test_tables_measures_what_is_missing_and_then_writes_the_document(project):
    made = make(project, "tables", "DATA=/sets", "JOBS=8")
    assert made.returncode == 0, made.stderr
    assert calls(project)[-2:] == [
        "python benchmarks/model_tables.py --data /sets --jobs 8",
        "python benchmarks/render_models.py --write docs/model_results.md",
    ]


def test_help_tells_every_command(project):
    told = make(project).stdout
    assert all(f"make {name} " in told for name in COMMANDS)


# ---- the map in docs/ARCHITECTURE.md ----


def mapped() -> list[str]:
    """Every module that the map names, as a path below src/prismrec."""
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text().split("<!-- map -->")[1].split("<!-- end of map -->")[0]
    found = []
    for line in re.split(r"^- ", text, flags=re.MULTILINE)[1:]:
        folder, names = re.match(r"`([\w/]*/)`: (.*)", line, re.DOTALL).groups()
        found += [f"{folder.lstrip('/')}{name}.py" for name in re.findall(r"(?:^|,\s+)(\w+)\s+\(", names)]
    return found


def test_map_names_every_module_once_and_no_other():
    modules = [str(path.relative_to(ROOT / "src" / "prismrec")) for path in SOURCES if not path.stem.startswith("__")]
    assert sorted(mapped()) == sorted(modules)


def test_every_file_named_in_the_architecture_exists():
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"(?<![\w/])(?:[a-z0-9_]+/)+[a-z0-9_]+\.py", text))
    places = (ROOT, ROOT / "src" / "prismrec")
    assert [name for name in sorted(named) if not any((place / name).is_file() for place in places)] == []
    assert len(named) > 20
