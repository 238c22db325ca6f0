"""All that is checked of a bundle before it is trusted: every byte, then what it answers.

Its self-test is run by ONNX Runtime on this machine, where the bundle holds a graph.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from composer.bundle.reader import OpenedBundle, open_bundle
from composer.bundle.sizes import size_report

Figures = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A bundle that is what it says, and answers what it should.

    Attributes:
        opened: Every byte of it was checked.
        figures: How many files and bytes, the self-test's differences, seconds; as JSON has them.
    """

    opened: OpenedBundle
    figures: Figures


def verify_bundle(
    bundle: Path, *, public_key: Path | None = None, signature: Path | None = None
) -> Verified:
    """Open a bundle, and run its self-test if it can be run without its backbone.

    Args:
        bundle: The folder, or the zip.
        public_key: PEM file of who is trusted; the bundle must be signed with it.
        signature: Left out, `home.sig` beside it.

    Raises:
        BundleError: For the first thing that is wrong.
    """
    start = time.perf_counter()
    opened = open_bundle(bundle, public_key=public_key, signature=signature)
    rows = size_report(opened.manifest)
    checked = time.perf_counter()
    figures: Figures = {
        "digest": opened.manifest.digest,
        "files": len(rows),
        "bytes": sum(row.bytes for row in rows),
        "seconds": round(checked - start, 3),
        "signed_by": None if public_key is None else str(public_key),
        "self_test": _self_test(opened) if opened.manifest.graphs else None,
    }
    return Verified(opened=opened, figures=figures)


def _self_test(opened: OpenedBundle) -> Figures:
    from composer.device.bundle import Bundle  # ONNX Runtime, once there is a graph

    start = time.perf_counter()
    device, test = Bundle(opened), opened.manifest.self_test
    for name in device.compositions:
        device.use(name)  # its graph is loaded and its inputs are laid out, test case or not
    largest = device.self_test()
    rounded = any(case.by_graph is not None for case in test.cases)
    return {
        "cases": len(test.cases),
        "largest_difference": largest,
        "allowed": test.graph_tolerance if rounded else test.tolerance,
        "precision": next(iter(opened.manifest.graphs.values())).precision,
        "seconds": round(time.perf_counter() - start, 3),
    }
