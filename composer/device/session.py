"""The door to ONNX Runtime: a graph with its weights, ready to be fed.

The weights are handed over as arrays that were checked, never as a path: what ONNX Runtime
computes with is what was verified, and a graph's structure can name no file.
"""

from collections.abc import Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from composer.bundle.graphs import (
    LOGITS,
    TOKEN_INPUTS,
    TOKENS,
    Dimensions,
    GraphRecord,
    adapter_inputs,
    with_lengths,
)
from composer.bundle.jsontext import one_line
from composer.device.structure import read_structure
from composer.errors import BundleError

Arrays = Mapping[str, NDArray[np.generic]]

_FLOATS, _WHOLE = "tensor(float)", "tensor(int64)"


class Session:
    """A loaded graph; any number of threads may run it at a time.

    Args:
        structure: The graph, its weights marked as lying elsewhere.
        weights: Name -> array of each of them.
        threads: For one run; None: as many as there are cores.
        place: For messages.

    Raises:
        BundleError: ONNX Runtime cannot load it.
    """

    def __init__(
        self, structure: bytes, weights: Arrays, *, threads: int | None, place: str
    ) -> None:
        self._place = place
        if threads is not None and threads < 1:
            raise ValueError(f"threads: {threads}; give at least 1, or None for one a core")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what it would print is raised
        if threads is not None:
            options.intra_op_num_threads = threads
        # The session reads its weights where they lie: they are kept as long as it is.
        names = read_structure(structure, place=place).external
        missing = [name for name in names if name not in weights]
        if missing:
            raise BundleError(f"{place}: the weights {', '.join(missing[:5])} are missing")
        self._weights = {name: weights[name] for name in names}
        try:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(weights[name]) for name in names]
            options.add_external_initializers(list(names), values)
            self._session = onnxruntime.InferenceSession(
                structure, options, providers=["CPUExecutionProvider"]
            )
            inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
            self.inputs = {one.name: tuple(one.shape) for one in inputs}
            self.outputs = {one.name: tuple(one.shape) for one in outputs}
            self._types = {one.name: one.type for one in (*inputs, *outputs)}
        except Exception as fault:  # its errors share no other class
            raise BundleError(f"{place}: ONNX Runtime cannot load it: {_told(fault)}") from fault

    @property
    def takes_types(self) -> bool:
        """Say whether tokens have types."""
        return "token_type_ids" in self.inputs

    def check_inputs(self, record: GraphRecord, *, size: int, layers: int, place: str) -> None:
        """Hold the graph to the inputs that its signature promises, and to its one output.

        Args:
            record: What the manifest says of it.
            size: Hidden size.
            layers: Of the backbone.
            place: For messages.

        Raises:
            BundleError: Naming every input that is not as promised.
        """

        def fixed(shape: Dimensions) -> Dimensions:
            return with_lengths(shape, record.shape, size=size)

        expected, logits = adapter_inputs(record.signature, size=size, layers=layers), fixed(LOGITS)
        known = {name: (_FLOATS, fixed(shape)) for name, shape in expected.items()}
        known |= {name: (_WHOLE, fixed(TOKENS)) for name in TOKEN_INPUTS}
        faults = [
            f"{place}: input {name!r} is {self._spoken(name)}, not {kind}{list(shape)}"
            for name, (kind, shape) in known.items()
            if (self._types.get(name), self.inputs.get(name)) != (kind, shape)
            and (name in self.inputs or name != "token_type_ids")
        ]
        faults += [
            f"{place}: input {name[:80]!r} is not in its signature"
            for name in self.inputs
            if name not in known
        ]
        if self.outputs != {"logits": logits} or self._types["logits"] != _FLOATS:
            said = ", ".join(f"{name[:80]!r} {self._spoken(name)}" for name in self.outputs)
            faults.append(f"{place}: its outputs are {said}; not 'logits' {_FLOATS}{list(logits)}")
        if faults:
            raise BundleError("\n".join(faults[:20]))

    def run(self, feeds: Arrays) -> NDArray[np.float32]:
        """Give the logits, (batch, rows, classes).

        Raises:
            BundleError: The graph fails or gives no numbers, as one that is not composer's may.
        """
        try:
            (logits,) = self._session.run(None, dict(feeds))
        except Exception as fault:  # its errors share no other class
            message = f"{self._place}: ONNX Runtime cannot run it: {_told(fault)}"
            raise BundleError(message) from fault
        shape = (*feeds["pooling"].shape[:2], len(feeds["head_bias"]))
        if logits.shape != shape:
            raise BundleError(f"{self._place}: gives {logits.shape}, and {shape} is asked for")
        if not np.isfinite(logits).all():
            raise BundleError(
                f"{self._place}: gives outputs that are no numbers; its weights, or the adapters', "
                "are not as they were trained"
            )
        return logits  # type: ignore[no-any-return]

    def _spoken(self, name: str) -> str:
        shape = self.inputs.get(name, self.outputs.get(name))
        return "missing" if shape is None else f"{self._types[name]}{list(shape)}"


def _told(fault: Exception) -> str:
    """Give what ONNX Runtime says on one line that can be printed: names in it are the file's."""
    return one_line(str(fault))[:500]
