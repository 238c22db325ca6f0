import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import composer

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "click", "numpy", "pydantic", "sklearn", "rich", "onnxruntime"}


def loaded_after(code: str) -> set[str]:
    """Run code in a Python of its own; give the roots of what it has imported."""
    ending = "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code + ending], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def typed_names() -> dict[str, set[str]]:
    """Read what `composer/__init__.py` imports for type checkers: module -> names."""
    tree = ast.parse((ROOT / "composer" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (one for one in tree.body if isinstance(one, ast.If))
    return {
        one.module or "": {alias.name for alias in one.names}
        for one in block.body
        if isinstance(one, ast.ImportFrom)
    }


def test_import_composer_imports_nothing_heavy():
    loaded = loaded_after("import composer; dir(composer)")
    assert "composer" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("name", "not_needed"),
    [
        ("plan_recipe", {"torch", "transformers", "click", "sklearn", "onnxruntime"}),
        ("Bundle", {"torch", "transformers", "click", "sklearn"}),
        ("run_recipe", {"torch", "transformers", "click", "sklearn"}),
        ("BundleClassifier", {"torch", "transformers", "click"}),
    ],
)
def test_a_name_imports_only_what_it_needs(name: str, not_needed: set[str]):
    loaded = loaded_after(f"import composer; composer.{name}")
    assert "pydantic" in loaded
    assert not loaded & not_needed


def test_every_public_name_is_there_sorted_and_typed():
    assert composer.__all__ == sorted(composer.__all__)
    assert all(getattr(composer, name).__name__ == name for name in composer.__all__)
    assert typed_names() == {module: set(names) for module, names in composer._HOMES.items()}
    assert {name for names in composer._HOMES.values() for name in names} == set(composer.__all__)
    assert set(composer.__all__) <= set(dir(composer))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'run_recpe'"):
        composer.run_recpe  # noqa: B018


def test_submodules_are_found_beside_names():
    import composer.errors

    assert composer.errors.ComposerError is composer.ComposerError


def test_every_public_name_says_what_it_is():
    undocumented = [name for name in composer.__all__ if not getattr(composer, name).__doc__]
    assert not undocumented
