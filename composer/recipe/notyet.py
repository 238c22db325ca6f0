"""What the grammar knows and this version does not do; every recipe is told before it runs.

    adapters.thin.sparsity: not yet: masked weights; leave `sparsity` out

A line is taken out here when the thing itself is built.
"""

from collections.abc import Iterator

from composer.recipe.findings import Finding
from composer.recipe.schema import AdapterShape, OtherAdapter, Recipe


def not_yet(recipe: Recipe) -> list[Finding]:
    """List what a recipe asks for and is not built."""
    findings: list[Finding] = []
    for name, shape in recipe.adapters.items():
        findings.extend(
            Finding(("adapters", name, key), f"not yet: {message}")
            for key, message in _shape(shape)
        )
    for name, task in recipe.tasks.items():
        if task.type == "multi-label-classification":
            path, message = ("tasks", name, "type"), "several labels a text"
            findings.append(Finding(path, f"not yet: {message}; use 'text-classification'"))
        if task.cycle:
            path, message = ("tasks", name, "cycle"), "cycling over language adapters"
            findings.append(Finding(path, f"not yet: {message}; use `over: $language`"))
    for name in recipe.compare:
        message = "not yet: comparisons of methods; write the tasks out"
        findings.append(Finding(("compare", name), message, on_key=True))
    return findings


def _shape(shape: AdapterShape) -> Iterator[tuple[str, str]]:
    """Give the keys of an adapter's shape that ask too much, and what to write instead."""
    if isinstance(shape, OtherAdapter):
        yield "kind", f"{shape.kind!r} adapters; use 'bottleneck' or 'madapter'"
        return
    if shape.form != "sequential":
        yield "form", f"form {shape.form!r}; use 'sequential'"
    if shape.init != "normal":
        yield "init", f"init {shape.init!r}; use 'normal'"
    if shape.scaling == "learned":
        yield "scaling", "a learned scaling; give a number"
    if isinstance(shape.reduction_factor, dict):
        yield "reduction_factor", "a reduction factor for each layer; give one number"
    if shape.sparsity is not None:
        yield "sparsity", "masked weights; leave `sparsity` out"
