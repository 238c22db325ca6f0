"""Train small adapters on one frozen transformer, compose them, export them to devices.

    import composer

    composer.train_task("intent", data="train.csv", backbone="sample:multilingual-e5-small",
                        columns={"text": "utterance", "label": "intent"})
    bundle = composer.export("intent", to="home.zip", precision="int8")
    bundle.predict(["turn on the lamp"])

A name is imported when it is used first, so `import composer` takes no time. All faults are
`ComposerError`; `composer.errors` has the tree of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from composer.api.asking import explain, predict, to_transformers
    from composer.api.bundles import Bundle
    from composer.api.estimators import BundleClassifier, BundleRegressor
    from composer.api.findings import compare, debug_data, leakage, transfer, write_report
    from composer.api.parts import Training, fuse, train_language, train_task
    from composer.api.plans import Plan, plan_recipe
    from composer.api.recipes import Recipe, check, load_recipe
    from composer.api.runs import Run, run_recipe
    from composer.api.scores import Score, Scores
    from composer.api.sharing import pull
    from composer.api.showing import Findings
    from composer.api.stored import evaluate, export
    from composer.data.examples import Span
    from composer.data.predictions import Prediction
    from composer.engine.running.events import Event
    from composer.errors import ComposerError

__all__ = [
    "Bundle",
    "BundleClassifier",
    "BundleRegressor",
    "ComposerError",
    "Event",
    "Findings",
    "Plan",
    "Prediction",
    "Recipe",
    "Run",
    "Score",
    "Scores",
    "Span",
    "Training",
    "check",
    "compare",
    "debug_data",
    "evaluate",
    "explain",
    "export",
    "fuse",
    "leakage",
    "load_recipe",
    "plan_recipe",
    "predict",
    "pull",
    "run_recipe",
    "to_transformers",
    "train_language",
    "train_task",
    "transfer",
    "write_report",
]

# Module -> the names that are imported from it; as above, for those who run it.
_HOMES = {
    "composer.api.asking": ("explain", "predict", "to_transformers"),
    "composer.api.bundles": ("Bundle",),
    "composer.api.estimators": ("BundleClassifier", "BundleRegressor"),
    "composer.api.findings": (
        "compare",
        "debug_data",
        "leakage",
        "transfer",
        "write_report",
    ),
    "composer.api.parts": ("Training", "fuse", "train_language", "train_task"),
    "composer.api.plans": ("Plan", "plan_recipe"),
    "composer.api.recipes": ("Recipe", "check", "load_recipe"),
    "composer.api.runs": ("Run", "run_recipe"),
    "composer.api.scores": ("Score", "Scores"),
    "composer.api.sharing": ("pull",),
    "composer.api.showing": ("Findings",),
    "composer.api.stored": ("evaluate", "export"),
    "composer.data.examples": ("Span",),
    "composer.data.predictions": ("Prediction",),
    "composer.engine.running.events": ("Event",),
    "composer.errors": ("ComposerError",),
}


def __getattr__(name: str) -> object:
    """Import a public name when it is used first."""
    for module, names in _HOMES.items():
        if name in names:
            found = globals()[name] = getattr(import_module(module), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
