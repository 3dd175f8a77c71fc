"""The house rules that a reader relies on: imports point one way, imports are light, the map is true."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "prismrec"
STAGES = [
    "errors", "config", "files", "resources", "cluster", "data", "graphs", "models", "training", "evaluation",
    "retrieval", "serving", "settings", "sizing", "preflight", "inputs", "link_data", "crew_fitting", "worker",
    "fitting", "link_training", "pipeline", "contenders", "link_contenders", "cold_placements", "cold_contenders",
    "click_contenders", "trade_off", "search", "cli", "__main__", "__init__",
]  # fmt: skip
HEAVY = ["torch", "ibis", "duckdb", "numba", "pandas", "scipy", "faiss", "plotly", "typer", "fastapi"]


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def stage_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path):
    """Dotted names of all prismrec modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name for name in names if name.startswith("prismrec."))


def test_every_module_belongs_to_a_stage():
    assert {stage_of(path) for path in modules()} <= set(STAGES)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_stage_imports_only_stages_above(path):
    own = STAGES.index(stage_of(path))
    for name in imports_of(path):
        stage = name.split(".")[1]
        if stage in STAGES:
            assert STAGES.index(stage) <= own, f"{path.name} imports {name}, which is below it"


def test_models_never_import_each_other():
    shared = {"contract", "history", "item_products", "neural", "user_vectors"}
    families = {"baselines", "sequential", "collaborative", "heterogeneous", "knowledge"}
    shared_in_family = {
        "__init__",
        "tables",
        "configs",
        "ripple_batches",
        "ripple_paths",
        "impressions",
        "kcnn",
        "news_beginning",
        "attention",
        "multitask",
        "node_vectors",
        "subgraph_tasks",
        "adjacency",
        "visits",
        "windows",
        "pieces",
        "next_item",
        "translation_scores",
        "link_losses",
        "row_steps",
    }
    for path in modules():
        parts = path.relative_to(PACKAGE).parts
        if parts[0] != "models" or len(parts) < 2 or path.name in ("__init__.py", "algorithms.py"):
            continue
        own = parts[1].removesuffix(".py")
        if own in families:
            own_module = path.stem
            others = {n.split(".")[3] for n in imports_of(path) if n.startswith(f"prismrec.models.{own}.")}
            files = {p.stem for p in path.parent.glob("*.py")} - shared_in_family
            assert not (others & files) - {own_module}, f"{path.name} imports {others}"
        foreign = {n.split(".")[2] for n in imports_of(path) if n.startswith("prismrec.models.")}
        assert foreign <= {own, *shared}, f"{path} imports {foreign}"


def test_import_is_light():
    code = f"import sys, prismrec; print([m for m in {HEAVY!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


def test_files_named_in_the_map_exist():
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"\b(?:src/prismrec|tests|benchmarks|examples|docs)/[\w./-]*\w\.(?:py|md|toml)\b", text))
    assert named, "the map should name files by their path"
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing
