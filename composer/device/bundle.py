"""A bundle that answers, without torch: one session, adapters swapped as inputs.

    bundle = Bundle.open("home")
    bundle.use("few-shot").predict(["turn on the lamp"])
    [Prediction(value='HassTurnOn', confidence=0.98)]

`use` reads a composition's parts once and keeps them laid out; from then on changing over to
it is picking up a dictionary. All of it may be called from several threads at a time.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from composer.bundle.graphs import WEIGHTS, FixedShape, graph_file
from composer.bundle.heads import head_non_linearity
from composer.bundle.manifest import TOKENIZER, Manifest
from composer.bundle.reader import OpenedBundle, open_bundle
from composer.bundle.records import CompositionRecord, SelfTestCase
from composer.bundle.selftest import Rows, output_rows, relative_difference
from composer.bundle.shapes import read_shape
from composer.bundle.slots import behind_sub_layers, fill_slots, norm_owner
from composer.data.batches import batch_plan, collate
from composer.data.encode import Encoded, Encoder
from composer.data.examples import Example
from composer.data.predictions import Prediction, read_logits
from composer.data.tasks import check_examples
from composer.data.tokenizer import parse_tokenizer
from composer.device.feeds import Array, Trained, feeds_of
from composer.device.session import Session
from composer.device.static import filled_batch, filled_feeds
from composer.device.structure import read_structure
from composer.device.weights import check_weights, token_rows
from composer.errors import BundleError, DataError, Fault, did_you_mean
from composer.recipe.grammar.bundles import GraphPrecision
from composer.recipe.grammar.composition import adapter_names, parse_composition

BATCH_TOKENS = 2048  # padding included
_TYPES = 2  # of tokens: the first and the second text of a pair


class Bundle:
    """A checked bundle with the graph of its backbone.

    Args:
        opened: Of which every byte was checked.
        threads: For one prediction; None: as many as there are cores.
    """

    def __init__(self, opened: OpenedBundle, *, threads: int | None = None) -> None:
        manifest = opened.manifest
        if not manifest.graphs:
            raise BundleError(
                f"{opened.path}: holds parts only, and no graph of their backbone; export it "
                "with a precision, or add it to a bundle that has one"
            )
        self._opened = opened
        self._threads = threads
        if threads is not None and threads < 1:
            raise ValueError(f"threads: {threads}; give at least 1, or None for one a core")
        self._weights = read_weights(opened)
        tokenizer = parse_tokenizer(
            opened.read_tokenizer(),
            place=f"{opened.path}: {TOKENIZER}",
            rows=token_rows(self._weights),
            types=_TYPES,
        )
        shapes = (graph.shape for graph in manifest.graphs.values())
        limits = [manifest.backbone.max_tokens, *(one.tokens for one in shapes if one)]
        self._encoder = Encoder(tokenizer, max_tokens=min(limits))
        self.pad_id = self._encoder.pad_id
        self._lock = threading.RLock()  # of what is made once
        self._sessions: dict[str, Session] = {}
        self._compositions: dict[str, Composition] = {}

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        threads: int | None = None,
        public_key: str | Path | None = None,
        signature: str | Path | None = None,
    ) -> "Bundle":
        """Open a folder or a zip and check every byte of it.

        Args:
            path: The folder, or the zip of one.
            threads: For one prediction; None: as many as there are cores.
            public_key: PEM file of who is trusted; the bundle must be signed with it.
            signature: The detached signature; left out, `home.sig` beside `home` or `home.zip`.

        Raises:
            BundleError: For the first thing that is wrong; nothing of it is used then.
        """
        opened = open_bundle(path, public_key=public_key, signature=signature, graphs_later=True)
        return cls(opened, threads=threads)

    @property
    def manifest(self) -> Manifest:
        """All that the bundle says about itself."""
        return self._opened.manifest

    @property
    def precision(self) -> GraphPrecision:
        """How its graphs multiply; all of them do so alike."""
        return next(iter(self.manifest.graphs.values())).precision

    @property
    def compositions(self) -> tuple[str, ...]:
        """The names that `use` takes, sorted."""
        return tuple(sorted(self.manifest.compositions))

    def use(self, asked: str) -> "Composition":
        """Give a composition, ready to predict.

        Args:
            asked: Its name in the bundle, or its expression: "de > intent".

        Raises:
            BundleError: There is none; the message names the nearest.
        """
        name = find_composition(self._opened, asked)
        with self._lock:
            if name not in self._compositions:
                self._compositions[name] = self._prepare(name)
            return self._compositions[name]

    def predict(
        self, texts: Sequence[str | tuple[str, str]], *, composition: str | None = None
    ) -> list[Prediction]:
        """Predict with a composition; it may be left out where the bundle has just one."""
        if composition is None and len(self.compositions) > 1:
            raise BundleError(
                f"{self._opened.path}: say which composition: {', '.join(self.compositions)}"
            )
        return self.use(composition or self.compositions[0]).predict(texts)

    def encode(
        self, examples: Sequence[Example], *, truncate: bool, offsets: bool
    ) -> list[Encoded]:
        """Encode texts as the backbone reads them."""
        return self._encoder.encode(examples, truncate=truncate, offsets=offsets)

    def outputs(self, case: SelfTestCase) -> Rows:
        """Give the head's outputs for a case of the self-test: one row, or one a token."""
        composition = self.use(case.composition)
        example = Example(text=case.text, pair=case.pair)
        (row,) = self.encode([example], truncate=True, offsets=False)
        (logits,) = composition.logits([row])
        return output_rows(logits)

    def self_test(self) -> float:
        """Run the bundle's own test cases.

        Returns:
            The largest difference, relative to the largest output of its case.

        Raises:
            BundleError: An output is further off than the manifest allows.
        """
        worst, test = 0.0, self.manifest.self_test
        for case in test.cases:
            expected, allowed = case.expected, test.tolerance
            if case.by_graph is not None:
                expected, allowed = case.by_graph, test.graph_tolerance
            off = relative_difference(self.outputs(case), expected)
            if not off <= allowed:  # also where it is not a number
                raise BundleError(
                    f"{self._opened.path}: {case.composition}: self-test: {case.text!r} is off by "
                    f"{off:.1e} of the largest output, allowed is {allowed:.0e}"
                )
            worst = max(worst, off)
        return worst

    def _prepare(self, name: str) -> "Composition":
        """Lay a composition's tensors out as its graph takes them."""
        record = self.manifest.compositions[name]
        if record.graph is None:
            raise BundleError(f"{self._opened.path}: {name}: no graph of this bundle runs it")
        graph = self.manifest.graphs[record.graph]
        session = self._session(record.graph)
        feeds = feeds_of(
            trained_parts(self._opened, record),
            graph.signature,
            self._weights,
            self.manifest.backbone.layers,
        )
        if graph.shape is not None:
            feeds = filled_feeds(feeds, graph.shape)
        return Composition(self, record, session, feeds, shape=graph.shape)

    def _session(self, name: str) -> Session:
        if name not in self._sessions:
            place = f"{self._opened.path}: {name}"
            session = Session(
                self._opened.read_graph(name), self._weights, threads=self._threads, place=place
            )
            backbone, record = self.manifest.backbone, self.manifest.graphs[name]
            session.check_inputs(
                record, size=backbone.hidden_size, layers=backbone.layers, place=place
            )
            self._sessions[name] = session
        return self._sessions[name]


class Composition:
    """One composition of a bundle, ready to predict.

    Args:
        bundle: Encodes texts.
        record: What the head's outputs mean.
        session: Of the graph that runs it.
        feeds: Its tensors, as the graph takes them.
        shape: Of every call; None: any.
    """

    def __init__(
        self,
        bundle: Bundle,
        record: CompositionRecord,
        session: Session,
        feeds: dict[str, Array],
        *,
        shape: FixedShape | None = None,
    ) -> None:
        self.record, self.feeds, self._shape = record, feeds, shape
        self._bundle, self._session = bundle, session

    def predict(
        self,
        texts: Sequence[str | tuple[str, str]],
        *,
        truncate: bool = False,
        batch_tokens: int = BATCH_TOKENS,
    ) -> list[Prediction]:
        """Predict for texts, or for pairs of texts, in their order.

        Args:
            texts: At least one character that is no space each.
            truncate: Cut texts that are too long instead of refusing them.
            batch_tokens: Tokens that are run at a time, padding included.

        Raises:
            DataError: A text is empty, or longer than the backbone takes.
            BundleError: The answer is no number.
        """
        examples = read_texts(texts)
        return self.predict_examples(examples, truncate=truncate, batch_tokens=batch_tokens)

    def predict_examples(
        self,
        examples: Sequence[Example],
        *,
        truncate: bool = False,
        batch_tokens: int = BATCH_TOKENS,
    ) -> list[Prediction]:
        """Predict for examples, of which text and pair are read."""
        spans = self.record.type == "token-classification"
        rows = self._bundle.encode(examples, truncate=truncate, offsets=spans)
        logits = self.logits(rows, batch_tokens=batch_tokens)
        return [
            read_logits(one, example, row, type=self.record.type, labels=self.record.labels)
            for one, example, row in zip(logits, examples, rows, strict=True)
        ]

    def logits(
        self, rows: Sequence[Encoded], *, batch_tokens: int = BATCH_TOKENS
    ) -> list[NDArray[np.float32]]:
        """Give each row's logits: (classes,), or (tokens, classes) where nothing is pooled."""
        lengths = [len(row.ids) for row in rows]
        found: dict[int, NDArray[np.float32]] = {}
        for indices in self._plan(lengths, batch_tokens):
            outputs = self._run([rows[index] for index in indices])
            for index, output in zip(indices, outputs, strict=True):
                one_a_token = self.record.type == "token-classification"
                found[index] = output[: lengths[index]] if one_a_token else output[0]
        return [found[index] for index in range(len(rows))]

    def _plan(self, lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
        if self._shape is None:
            return batch_plan(lengths, batch_tokens=batch_tokens, shuffle=False)
        together = self._shape.batch
        return [
            [*range(start, min(start + together, len(lengths)))]
            for start in range(0, len(lengths), together)
        ]

    def _run(self, rows: Sequence[Encoded]) -> NDArray[np.float32]:
        batch = collate(rows, pad_id=self._bundle.pad_id)
        if not self._session.takes_types:
            del batch["token_type_ids"]
        batch["pooling"] = pooling_rows(batch["attention_mask"], self.record)
        if self._shape is not None:
            batch = filled_batch(batch, self._shape, pad_id=self._bundle.pad_id)
        logits = self._session.run({**batch, **self.feeds})
        return logits[: len(rows), :, : self.record.outputs]


def read_weights(bundle: OpenedBundle) -> dict[str, np.ndarray]:
    """Read the frozen weights, held to all graphs that share them.

    Raises:
        BundleError: A graph holds what composer does not write, or other weights than these.
    """
    structures = {
        name: read_structure(bundle.read_graph(name), place=f"{bundle.path}: {graph_file(name)}")
        for name in bundle.manifest.graphs
    }
    weights = bundle.read_graph_weights()
    place = f"{bundle.path}: {WEIGHTS}"
    check_weights(weights, structures, bundle.manifest.backbone, place=place)
    return weights


def find_composition(bundle: OpenedBundle, asked: str) -> str:
    """Give the name of a composition that is asked for by name or by expression.

    Raises:
        BundleError: There is none; the message names the nearest.
    """
    known = bundle.manifest.compositions
    if asked in known:
        return asked
    for name, record in known.items():
        if record.expression == asked:
            return name
    raise BundleError(f"{bundle.path}: no composition {asked!r}; {did_you_mean(asked, known)}")


def trained_parts(bundle: OpenedBundle, record: CompositionRecord) -> Trained:
    """Read all parts of a composition.

    Raises:
        BundleError: One was changed since the bundle was opened.
    """
    expression = parse_composition(record.expression)
    names = adapter_names(expression)
    owned: dict[str, np.ndarray] = {}
    for part in record.parts:
        if part not in names:
            owned |= bundle.read_part(part)
    return Trained(
        filling=fill_slots(expression),
        shapes=behind_sub_layers(
            {name: read_shape(bundle.manifest.parts[name].config) for name in names}
        ),
        adapters={name: bundle.read_part(name) for name in names},
        owned=owned,
        head=bundle.read_part(record.head),
        top=norm_owner(expression),
        non_linearity=head_non_linearity(bundle.manifest.parts[record.head].config),
    )


def pooling_rows(mask: NDArray[np.generic], record: CompositionRecord) -> NDArray[np.float32]:
    """Say which tokens make up each row of outputs, (batch, rows, tokens)."""
    batch, tokens = mask.shape
    if record.type == "token-classification":
        return np.broadcast_to(np.eye(tokens, dtype=np.float32), (batch, tokens, tokens)).copy()
    if record.pooling == "first":
        rows = np.zeros((batch, 1, tokens), np.float32)
        rows[:, :, 0] = 1.0
        return rows
    shares = mask.astype(np.float32)
    mean: NDArray[np.float32] = shares / shares.sum(1, keepdims=True)
    return mean[:, None]


def read_texts(texts: Sequence[str | tuple[str, str]]) -> list[Example]:
    """Make examples of texts and of pairs.

    >>> read_texts(["turn on", ("turn on", "what?")])[1].pair
    'what?'

    Raises:
        DataError: One of them is none, or empty; each with its place.
    """
    if isinstance(texts, str):
        message = f"one text, {texts[:80]!r}, where a list of them belongs; write [text]"
        raise DataError([Fault("texts", message)])
    examples = []
    for number, text in enumerate(texts, start=1):
        place = f"text {number}"
        both = tuple(text) if isinstance(text, tuple | list) else (text, None)
        if len(both) != 2 or not isinstance(both[0], str) or not isinstance(both[1], str | None):
            message = f"{text!r:.80} is neither a text nor a pair of texts"
            raise DataError([Fault(place, message)])
        examples.append(Example(text=both[0], pair=both[1], place=place))
    if examples:
        check_examples(examples, type=None, labels=(), split="test")
    return examples
