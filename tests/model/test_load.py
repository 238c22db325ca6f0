"""Many bundles, many threads, one backbone: no growth, and the numbers of one thread."""

import gc
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from composer.bundle.fingerprint import tensor_digests
from composer.bundle.reader import OpenedBundle, open_bundle
from composer.bundle.records import BackboneRecord, CompositionRecord, SelfTest, SelfTestCase
from composer.bundle.writer import NewPart, pack_bundle, write_bundle
from composer.data.encode import Encoder
from composer.data.examples import Example
from composer.errors import BackboneError
from composer.model.adapters import Site, Sites
from composer.model.backbone import Backbone, open_backbone
from composer.model.bundled import check_backbone, open_composition
from composer.model.composed import ComposedModel
from composer.model.files import HeadFile
from composer.model.folded import fold
from composer.model.mixers import TrainedMixers
from composer.model.parts import Part, new_head
from composer.model.predictor import Predictor
from composer.recipe.grammar.composition import NONE, adapter_names, parse_composition
from tests.bundle.content import KEY, content, make_bundle
from tests.model.conftest import SHAPES, adapter, batch_of, owned_for
from tests.tiny import SENTENCES

EXPRESSIONS = (
    "relu",
    "mid1",
    "relu > gelu",
    "average(0.2 * relu, 0.8 * mid1)",
    "fuse(relu, gelu, none)",
    "gate(relu, gelu, mid1)",
    "swish > fuse(relu, gelu)",
    "tanh",
)
EXAMPLES = [Example(text=sentence) for sentence in SENTENCES]
LONG = [Example(text=" ".join(SENTENCES[:count])) for count in range(1, 7)]


@pytest.fixture(scope="module", autouse=True)
def _one_thread_each() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def arrays(part: Part) -> dict[str, object]:
    return {name: tensor.numpy() for name, tensor in part.tensors().items()}


def write_home(target: Path, folder: Path, backbone: Backbone) -> Path:
    """Write a bundle of all the expressions."""
    head = new_head(classes=3, size=backbone.size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        head["weight"].mul_(100)
    parts = {"head": NewPart(kind="head", role="head", tensors=arrays(head), parents=(KEY,))}
    compositions = {}
    for number, expression in enumerate(EXPRESSIONS):
        composition = parse_composition(expression)
        names = [name for name in adapter_names(composition) if name != NONE]
        members = {name: adapter(backbone, name) for name in names}
        for name, member in members.items():
            parts[name] = NewPart(
                kind=member.shape.kind,
                role="task",
                tensors=arrays(member),
                config=SHAPES[name].model_dump(mode="json", exclude_none=True),
                parents=(KEY,),
            )
        owned = owned_for(composition, backbone, train_norm=False)
        used = names
        if owned.names:
            model = ComposedModel(
                backbone, composition=composition, adapters=members, mixers=TrainedMixers(owned)
            )
            tensors = {name: tensor.numpy() for name, tensor in fold(model).items()}
            parts[f"c{number}.mixer"] = NewPart(
                kind="fusion", role="composition", tensors=tensors, parents=(KEY,)
            )
            used = [*names, f"c{number}.mixer"]
        compositions[f"c{number}"] = CompositionRecord(
            expression=expression,
            parts=tuple(used),
            head="head",
            type="text-classification",
            labels=("off", "on", "licht an"),
            languages=("en",),
        )
    tokenizer = (folder / "tokenizer.json").read_bytes()
    record: BackboneRecord = content()["backbone"]  # type: ignore[assignment]
    write_bundle(
        target,
        composer="0.1.0",
        backbone=record.model_copy(
            update={
                "body": backbone.fingerprints.body,
                "vocabulary": backbone.fingerprints.vocabulary,
                "tokenizer": sha256(tokenizer).hexdigest(),
                "hidden_size": backbone.size,
                "max_tokens": backbone.max_tokens,
            }
        ),
        backbone_tensors=tensor_digests(folder),
        tokenizer=tokenizer,
        parts=parts,
        compositions=compositions,
        scores=[],
        licences={},
        recipe={},
        lock={},
        self_test=SelfTest(
            cases=(SelfTestCase(composition="c0", text="lamp", expected=((0.0, 0.0, 0.0),)),)
        ),
    )
    return target


@pytest.fixture(scope="module")
def home(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    backbone = open_backbone(tiny_folder, precision="float32")
    return write_home(tmp_path_factory.mktemp("home") / "home", tiny_folder, backbone)


@pytest.fixture(params=["float32", "bfloat16"])
def shared(request: pytest.FixtureRequest, tiny_folder: Path) -> Backbone:
    return open_backbone(tiny_folder, precision=request.param)


def predicted(bundle: OpenedBundle, name: str, backbone: Backbone) -> bytes:
    """Open a composition and predict: every number of every output, as bytes."""
    predictor = open_composition(bundle, name, backbone)
    rows = predictor.encode(EXAMPLES)
    return b"".join(one.numpy().tobytes() for one in predictor.logits(rows))


def in_threads(jobs: list[Callable[[], bytes]]) -> list[bytes]:
    """Run jobs at once, each in a thread of its own."""
    gate = threading.Barrier(len(jobs))

    def run(job: Callable[[], bytes]) -> bytes:
        gate.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [one.result() for one in [pool.submit(run, job) for job in jobs]]


def test_eight_threads_predict_with_eight_compositions_as_one_thread_does(
    home: Path, tiny_folder: Path, shared: Backbone
):
    bundle = open_bundle(home)
    check_backbone(bundle, tiny_folder, shared)
    names = [f"c{number}" for number in range(8)]
    alone = {name: predicted(bundle, name, shared) for name in names}
    assert len(set(alone.values())) == 8

    def often(name: str) -> bytes:
        # each round opens its composition while the others predict
        return b"".join(predicted(bundle, name, shared) for _ in range(12))

    together = in_threads([lambda name=name: often(name) for name in names])
    wrong = [name for name, got in zip(names, together, strict=True) if got != alone[name] * 12]
    assert wrong == []


def test_what_acts_in_one_thread_acts_in_no_other(shared: Backbone):
    batch = batch_of(shared, SENTENCES[:1])
    alone = shared.encode(batch)

    def nothing(site: Site, hidden: torch.Tensor, *_: object) -> torch.Tensor:
        return torch.zeros_like(hidden)

    with shared.sites.acting(nothing):
        elsewhere = in_threads([lambda: shared.encode(batch).detach().numpy().tobytes()])
        assert not shared.encode(batch).any()
    assert elsewhere == [alone.numpy().tobytes()]
    assert torch.equal(shared.encode(batch), alone)


def test_what_acted_before_acts_again_after_an_inner_block(shared: Backbone):
    seen: list[str] = []

    def noting(name: str) -> Callable[..., torch.Tensor]:
        def act(site: Site, hidden: torch.Tensor, *_: object) -> torch.Tensor:
            seen.append(name)
            return hidden

        return act

    batch = batch_of(shared, SENTENCES[:1])
    with shared.sites.acting(noting("outer")):
        with shared.sites.acting(noting("inner")):
            shared.encode(batch)
        shared.encode(batch)
    shared.encode(batch)
    assert seen == ["inner"] * 4 + ["outer"] * 4


def test_one_predictor_serves_threads_that_cut_texts_and_threads_that_do_not(
    home: Path, tiny_folder: Path
):
    backbone = open_backbone(tiny_folder, precision="float32", max_tokens=24)
    predictor = open_composition(open_bundle(home), "c0", backbone)
    short = [example for example in LONG if len(example.text.split()) < 12]

    def rows(*, truncate: bool) -> bytes:
        found = []
        for _ in range(40):
            encoded = predictor.encode(LONG if truncate else short, truncate=truncate)
            found.append(repr([(one.ids, one.cut) for one in encoded]))
        assert len(set(found)) == 1
        return found[0].encode()

    alone = {truncate: rows(truncate=truncate) for truncate in (False, True)}
    kinds = [number % 2 == 0 for number in range(8)]
    together = in_threads([lambda cut=cut: rows(truncate=cut) for cut in kinds])
    assert together == [alone[cut] for cut in kinds]
    assert any(one.cut for one in predictor.encode(LONG, truncate=True))


def trained(backbone: Backbone, steps: int = 25) -> bytes:
    """Train an adapter with dropout of its own for some steps; give its weights."""
    torch.manual_seed(7)
    shape = SHAPES["relu"].model_copy(update={"dropout": 0.2})
    member = adapter(backbone, "relu")
    member.shape = shape
    head = new_head(classes=3, size=backbone.size, generator=torch.Generator().manual_seed(1))
    model = ComposedModel(
        backbone, composition=parse_composition("relu"), adapters={"relu": member}, head=head
    )
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = batch_of(backbone, SENTENCES)
    labels = torch.arange(len(SENTENCES)) % 3
    for _ in range(steps):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(batch), labels).backward()
        optimiser.step()
    return b"".join(tensor.numpy().tobytes() for tensor in member.tensors().values())


def test_training_is_the_same_while_others_predict_and_open_compositions(
    home: Path, shared: Backbone
):
    bundle = open_bundle(home)
    alone = trained(shared)
    expected = {name: predicted(bundle, name, shared) for name in ("c4", "c7")}
    done = threading.Event()

    def until_done(name: str) -> bytes:
        found = predicted(bundle, name, shared)
        while not done.is_set():
            assert predicted(bundle, name, shared) == found
        return found

    def training() -> bytes:
        try:
            return trained(shared)
        finally:
            done.set()

    got = in_threads([training, *(lambda name=name: until_done(name) for name in expected)])
    assert got == [alone, *expected.values()]


def predictor_of(backbone: Backbone) -> Predictor:
    head = new_head(classes=2, size=backbone.size, generator=torch.Generator())
    about = HeadFile(
        size=backbone.size, type="text-classification", labels=("a", "b"), pooling="mean"
    )
    model = ComposedModel(backbone, composition=NONE, adapters={}, head=head)
    return Predictor(model, about, Encoder(backbone.tokenizer, max_tokens=64))


def test_dropout_of_the_backbone_and_a_prediction_in_another_thread_exclude_each_other(
    tiny_folder: Path,
):
    backbone = open_backbone(tiny_folder, precision="float32")
    predictor = predictor_of(backbone)
    backbone.set_dropout(active=True)

    def told() -> bytes:
        with pytest.raises(BackboneError, match="in use by another thread.*open it once more"):
            predictor.predict(EXAMPLES)
        return b"told"

    assert in_threads([told]) == [b"told"]
    assert backbone.module.training
    predictor.predict(EXAMPLES)  # its own thread may: an evaluation between two epochs
    assert not backbone.module.training
    backbone.set_dropout(active=True)
    backbone.set_dropout(active=False)

    def refused() -> bytes:
        with pytest.raises(BackboneError, match="in use by another thread"):
            backbone.set_dropout(active=True)
        return b"refused"

    with backbone.predicting():
        assert in_threads([refused]) == [b"refused"]
        assert not backbone.module.training
    backbone.set_dropout(active=True)


def test_a_thread_that_died_in_training_holds_nobody_up(tiny_folder: Path):
    backbone = open_backbone(tiny_folder, precision="float32")
    thread = threading.Thread(target=lambda: backbone.set_dropout(active=True))
    thread.start()
    thread.join()
    predictor_of(backbone).predict(EXAMPLES[:1])
    assert not backbone.module.training


def kept() -> tuple[int, int, int]:
    """Count open files, blocks of memory that Python holds, and bytes of the whole process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    size = os.sysconf("SC_PAGE_SIZE")
    return len(os.listdir("/proc/self/fd")), sys.getallocatedblocks(), pages * size


def assert_nothing_kept(before: tuple[int, int, int], *, blocks: int) -> None:
    """Hold what is kept now to what was: some blocks more, as caches still fill."""
    after = kept()
    assert after[0] == before[0]
    assert after[1] - before[1] < blocks
    assert after[2] - before[2] < 8 * 2**20


def open_and_close(paths: list[Path], rounds: int) -> None:
    for _ in range(rounds):
        for path in paths:
            bundle = open_bundle(path)
            for name in bundle.manifest.parts:
                bundle.read_part(name)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts in /proc")
@pytest.mark.parametrize(
    "rounds", [1, pytest.param(100, marks=pytest.mark.slow)], ids=lambda rounds: f"{rounds} times"
)
def test_a_hundred_bundles_opened_and_closed_leave_nothing_behind(tmp_path: Path, rounds: int):
    make_bundle(tmp_path / "home")
    pack_bundle(tmp_path / "home", tmp_path / "home.zip")
    paths = []
    for number in range(50):
        paths.append(Path(shutil.copytree(tmp_path / "home", tmp_path / f"{number}")))
        paths.append(Path(shutil.copy(tmp_path / "home.zip", tmp_path / f"{number}.zip")))
    open_and_close(paths, 1)
    before = kept()
    open_and_close(paths, rounds)
    assert_nothing_kept(before, blocks=400 + rounds * len(paths) // 10)  # a manifest has many


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts in /proc")
@pytest.mark.parametrize(
    "rounds", [10, pytest.param(300, marks=pytest.mark.slow)], ids=lambda rounds: f"{rounds} times"
)
def test_compositions_opened_and_closed_leave_nothing_behind(
    home: Path, tiny_folder: Path, rounds: int
):
    backbone = open_backbone(tiny_folder, precision="float32")
    bundle = open_bundle(home)
    names = [f"c{number}" for number in range(8)]
    for name in names * 3:
        predicted(bundle, name, backbone)
    before = kept()
    for name in names * rounds:
        predicted(bundle, name, backbone)
    assert_nothing_kept(before, blocks=rounds * len(names) * 6)  # a predictor has hundreds


def test_sites_are_let_go_with_their_backbone(tiny_folder: Path):
    def alive() -> int:
        gc.collect()
        return sum(type(one) is Sites for one in gc.get_objects())

    before = alive()
    for _ in range(3):
        backbone = open_backbone(tiny_folder, precision="float32")
        with backbone.sites.acting(lambda site, hidden, *_: hidden):
            backbone.encode(batch_of(backbone, SENTENCES[:1]))
        del backbone
    assert alive() == before
