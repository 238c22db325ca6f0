"""What comes into a bundle is tried by the bundle's own graph before the bundle changes."""

from composer.bundle.editing import Edit
from composer.bundle.records import SelfTestCase
from composer.bundle.selftest import Rows, relative_difference
from composer.device.bundle import Bundle
from composer.errors import BundleError


def tested(edit: Edit) -> tuple[Edit, dict[str, float]]:
    """Run the self-test of all that is added.

    In float32 it must pass. A graph that rounds is not expected to: what it answers is taken
    down, as it is when a bundle is exported.

    Args:
        edit: Not published yet; without a graph nothing can be run, and it stays as it is.

    Returns:
        The edit with those answers, and for each composition its largest difference, as a share
        of the largest output.

    Raises:
        BundleError: A composition cannot be run, or answers something else.
    """
    if not edit.manifest.graphs or not edit.added:
        return edit, {}
    device = Bundle(edit.opened())
    exact = all(graph.precision == "float32" for graph in edit.manifest.graphs.values())
    off: dict[str, float] = {}
    cases = []
    for name in edit.added:
        device.use(name)
    for case in edit.manifest.self_test.cases:
        if case.composition in edit.added:
            got = device.outputs(case)
            worst = off.get(case.composition, 0.0)
            off[case.composition] = max(worst, _difference(edit, case, got, exact=exact))
            case = case if exact else case.model_copy(update={"by_graph": got})
        cases.append(case)
    return edit.with_cases(cases), off


def _difference(edit: Edit, case: SelfTestCase, got: Rows, *, exact: bool) -> float:
    """Tell how far outputs are off; not to be compared, or too far in float32, is refused."""
    off = relative_difference(got, case.expected)
    allowed = edit.manifest.self_test.tolerance if exact else float("inf")
    if not off <= allowed or off == float("inf"):  # also where it is not a number
        raise BundleError(
            f"{edit.path}: {case.composition}: self-test: {case.text[:80]!r} is off by {off:.1e} "
            f"of the largest output, allowed is {edit.manifest.self_test.tolerance:.0e}; nothing "
            "was added"
        )
    return off
