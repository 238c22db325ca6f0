"""A bundle with its graph answers on a device: by name, in batches, from many threads."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from composer.bundle.reader import open_bundle
from composer.bundle.writer import pack_bundle
from composer.data.examples import Example
from composer.data.predictions import Prediction
from composer.device.bundle import Bundle, Composition
from composer.device.session import Session
from composer.errors import BundleError, DataError
from composer.model.backbone import Backbone
from composer.model.bundled import open_composition
from tests.device.homes import TASKS, Task, write_home
from tests.tiny import SENTENCES

TOLERANCE = 1e-5  # of the largest logit
PAIRS = [(one, SENTENCES[-1 - number]) for number, one in enumerate(SENTENCES)]
EXAMPLES = [Example(text=text) for text in SENTENCES]


def logits_of(composition: Composition, **more: int) -> list[np.ndarray]:
    spans = composition.record.type == "token-classification"
    rows = composition._bundle.encode(EXAMPLES, truncate=False, offsets=spans)
    return composition.logits(rows, **more)


def bits(composition: Composition) -> bytes:
    return b"".join(one.tobytes() for one in logits_of(composition))


def far(got: list[np.ndarray], expected: list[np.ndarray]) -> float:
    one, other = (
        np.concatenate([g.ravel() for g in got]),
        np.concatenate([e.ravel() for e in expected]),
    )
    return float(np.abs(one - other).max() / np.abs(other).max())


@pytest.mark.parametrize("name", TASKS)
def test_every_composition_answers_what_torch_answers_of_the_same_bundle(
    home: Path, opened: Bundle, backbone: Backbone, name: str
):
    predictor = open_composition(open_bundle(home), name, backbone)
    expected = predictor.predict(EXAMPLES)
    got = opened.use(name).predict(SENTENCES)
    torch_logits = [one.numpy() for one in predictor.logits(predictor.encode(EXAMPLES))]
    # Random weights make scores of hundreds, where a rounding of 1e-7 grows a thousandfold.
    assert far(logits_of(opened.use(name)), torch_logits) < (3e-4 if name == "fused" else 2e-5)
    for one, other in zip(expected, got, strict=True):
        if name != "gated":
            assert one.value == other.value
            assert one.confidence == pytest.approx(other.confidence, rel=2e-3)


def test_spans_tell_where_they_lie_in_the_text(opened: Bundle):
    found = opened.use("spans").predict(SENTENCES)
    spans = [(text, span) for text, one in zip(SENTENCES, found, strict=True) for span in one.value]
    assert len(spans) > 3
    for text, span in spans:
        words = text[span.start : span.end]
        assert words == words.strip() != ""
        assert span.label == "label 0"


def test_a_number_is_predicted_without_a_confidence(opened: Bundle):
    found = opened.use("gated").predict(SENTENCES[:2])
    assert all(isinstance(one.value, float) and one.confidence is None for one in found)
    assert found[0].value != found[1].value


def test_the_first_tokens_vector_is_used_where_it_was_trained(opened: Bundle, home: Path):
    first, other = opened.use("first"), Bundle.open(home, threads=1).use("first")
    other.record = other.record.model_copy(update={"pooling": "mean"})
    assert far(logits_of(first), logits_of(other)) > 0.01


def test_pairs_are_read_as_pairs(opened: Bundle, home: Path, backbone: Backbone):
    predictor = open_composition(open_bundle(home), "one", backbone)
    examples = [Example(text=one, pair=other) for one, other in PAIRS]
    expected = [one.value for one in predictor.predict(examples)]
    assert [one.value for one in opened.use("one").predict(PAIRS)] == expected
    both = opened.use("one").predict([PAIRS[0], SENTENCES[0]])
    assert both[0].confidence != both[1].confidence


def test_a_composition_is_found_by_name_and_by_expression(opened: Bundle):
    assert opened.use("stacked") is opened.use("relu > mid2")
    assert opened.compositions == tuple(sorted(TASKS))


def test_a_wrong_name_is_refused_with_the_nearest(opened: Bundle):
    with pytest.raises(BundleError, match="no composition 'fusd'; did you mean 'fused'"):
        opened.use("fusd")


def test_a_bundle_of_several_compositions_wants_to_know_which(opened: Bundle, small: Path):
    with pytest.raises(BundleError, match="say which composition: first, fused"):
        opened.predict(SENTENCES)
    assert opened.predict(SENTENCES[:1], composition="one")[0].value.startswith("label")
    assert Bundle.open(small).predict(SENTENCES[:1])[0].value.startswith("label")


def test_a_zip_answers_as_its_folder_does(opened: Bundle, home_zip: Path):
    zipped = Bundle.open(home_zip, threads=1)
    assert all(bits(zipped.use(name)) == bits(opened.use(name)) for name in TASKS)
    assert zipped.self_test() == opened.self_test() == 0.0


def test_a_bundle_of_parts_only_is_refused_with_a_remedy(
    backbone: Backbone, tiny_folder: Path, tmp_path: Path
):
    folder = write_home(
        tmp_path / "bare", backbone, tiny_folder, tasks={"one": Task("relu")}, precision=None
    )
    pack_bundle(folder, tmp_path / "bare.zip")
    for path in (folder, tmp_path / "bare.zip"):
        with pytest.raises(BundleError, match="holds parts only, and no graph.*export it with a"):
            Bundle.open(path)


def test_a_text_that_is_too_long_is_refused_with_its_place_or_cut(opened: Bundle):
    long = " ".join(SENTENCES * 4)
    with pytest.raises(DataError, match="text 2: .* tokens, and the backbone takes 64"):
        opened.use("one").predict([SENTENCES[0], long])
    (cut,) = opened.use("one").predict([long], truncate=True)
    assert cut.confidence is not None


REFUSED_TEXTS = {
    "empty": ([SENTENCES[0], ""], "text 2: "),
    "blank": ([" \n"], "text 1: "),
    "an empty second text": ([("lamp", "")], "text 1: the second text"),
    "a zero byte": (["turn\0on"], "text 1: "),
    "half a character": (["lamp \ud800"], "text 1: "),
    "one text alone": ("turn on", "texts: one text, 'turn on', where a list"),
    "a number": ([3], "text 1: 3 is neither a text nor a pair"),
    "three texts": ([("a", "b", "c")], "text 1: .* is neither a text nor a pair"),
    "bytes": ([b"turn on"], "text 1: .* is neither a text nor a pair"),
}


@pytest.mark.parametrize("what", REFUSED_TEXTS)
def test_what_is_no_text_is_refused_with_its_place(opened: Bundle, what: str):
    texts, message = REFUSED_TEXTS[what]
    with pytest.raises(DataError, match=message):
        opened.use("one").predict(texts)


def test_no_texts_get_no_answers(opened: Bundle):
    assert [opened.use(name).predict([]) for name in TASKS] == [[]] * len(TASKS)


@pytest.mark.parametrize("name", ["fused", "spans"])
def test_answers_keep_their_order_whatever_the_batches(opened: Bundle, name: str):
    composition = opened.use(name)
    whole = logits_of(composition)
    assert far(logits_of(composition, batch_tokens=1), whole) < TOLERANCE
    assert far(logits_of(composition, batch_tokens=20), whole) < TOLERANCE
    alone = composition.predict(SENTENCES, batch_tokens=1)
    assert [one.value for one in alone] == [one.value for one in composition.predict(SENTENCES)]


def test_two_threads_for_a_prediction_answer_what_one_does(opened: Bundle, home: Path):
    two = Bundle.open(home, threads=2)
    for name in TASKS:
        assert far(logits_of(two.use(name)), logits_of(opened.use(name))) < TOLERANCE


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_at_all_are_refused(small: Path, threads: int):
    with pytest.raises(ValueError, match=f"threads: {threads}; give at least 1"):
        Bundle.open(small, threads=threads)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sessions that are built, each by its place."""
    built: list[str] = []

    def counted(*given: object, place: str, **more: object) -> Session:
        built.append(place)
        return Session(*given, place=place, **more)

    monkeypatch.setattr("composer.device.bundle.Session", counted)
    return built


def test_fifty_swaps_build_no_session_and_change_no_bit(home: Path, sessions: list[str]):
    bundle = Bundle.open(home, threads=1)
    before = {name: bits(bundle.use(name)) for name in TASKS}
    assert len(set(before.values())) == len(TASKS)
    assert sessions == [f"{home}: graph", f"{home}: graph-2"]
    names = list(TASKS)
    for number in range(50):
        name = names[number * 3 % len(names)]
        assert bits(bundle.use(name)) == before[name]
    assert len(sessions) == 2


def in_threads(jobs: list[Callable[[], object]]) -> list[object]:
    """Run jobs at once, each in a thread of its own."""
    gate = threading.Barrier(len(jobs))

    def run(job: Callable[[], object]) -> object:
        gate.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [one.result() for one in [pool.submit(run, job) for job in jobs]]


def test_eight_threads_with_eight_compositions_give_the_bits_of_one_thread(
    home: Path, opened: Bundle
):
    alone = {name: bits(opened.use(name)) for name in TASKS}
    shared = Bundle.open(home, threads=1)  # nothing is prepared yet

    def often(name: str) -> set[bytes]:
        return {bits(shared.use(name)) for _ in range(10)}

    together = in_threads([lambda name=name: often(name) for name in TASKS])
    assert together == [{alone[name]} for name in TASKS]


def test_threads_that_ask_for_one_composition_share_one_that_is_prepared_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, sessions: list[str]
):
    bundle, prepared = Bundle.open(home, threads=1), []
    prepare = bundle._prepare
    monkeypatch.setattr(bundle, "_prepare", lambda name: prepared.append(name) or prepare(name))
    found = in_threads([lambda: bundle.use("fused")] * 8)
    assert prepared == ["fused"]
    assert len({id(one) for one in found}) == 1
    assert len(sessions) == 1


def test_threads_that_cut_and_threads_that_do_not_leave_each_other_alone(opened: Bundle):
    long, composition = [" ".join(SENTENCES * 4)], opened.use("one")

    def cut() -> list[Prediction]:
        return [composition.predict(long, truncate=True)[0] for _ in range(20)]

    def refused() -> int:
        count = 0
        for _ in range(20):
            with pytest.raises(DataError, match="tokens, and the backbone takes"):
                composition.predict(long)
            count += 1
        return count

    *cuts, count = in_threads([cut, cut, cut, refused])
    assert count == 20
    assert cuts[0] == cuts[1] == cuts[2] == [cuts[0][0]] * 20


def test_a_self_test_that_is_off_is_told_with_figures(home: Path):
    bundle = Bundle.open(home, threads=1)
    bundle.use("one").feeds["head_bias"] = bundle.use("one").feeds["head_bias"] + 1
    with pytest.raises(BundleError, match=r"one: self-test: 'lamp' is off by .* allowed is 1e-04"):
        bundle.self_test()


@pytest.mark.parametrize("precision", ["int8", "weight-int8"])
def test_a_small_graph_answers_nearly_as_the_large_one(
    backbone: Backbone, tiny_folder: Path, tmp_path: Path, opened: Bundle, precision: str
):
    tasks = {name: TASKS[name] for name in ("one", "low")}
    folder = write_home(tmp_path / "s", backbone, tiny_folder, tasks=tasks, precision=precision)
    bundle = Bundle.open(folder, threads=1)
    for name in tasks:
        off = far(logits_of(bundle.use(name)), logits_of(opened.use(name)))
        assert 0 < off < (0.3 if precision == "int8" else 0.05)
