"""What is unpacked is loaded by any ONNX Runtime by its path, and answers the same."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto

from composer.bundle.reader import OpenedBundle, open_bundle
from composer.bundle.tensors import read_tensors
from composer.data.batches import collate
from composer.data.examples import Example
from composer.device.bundle import Bundle, pooling_rows
from composer.device.places import check_places
from composer.device.unpacking import _places, file_stem, unpack_bundle
from composer.errors import BundleError
from tests.device.graphed import ALL, files_of, write_parts, write_some

TEXTS = ("turn on the lamp", "wie warm ist es im wohnzimmer 12")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> OpenedBundle:
    return open_bundle(write_parts(tmp_path_factory.mktemp("whole") / "whole", tiny_folder))


@pytest.fixture(scope="module", params=["float32", "int8"])
def opened(
    request: pytest.FixtureRequest,
    parts: OpenedBundle,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_folder: Path,
) -> OpenedBundle:
    target = tmp_path_factory.mktemp("home") / "home"
    return open_bundle(
        write_some(target, parts, ALL, tiny_folder, graph_for=ALL, precision=request.param)
    )


@pytest.fixture(scope="module")
def unpacked(opened: OpenedBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("unpacked") / "assets"
    names = unpack_bundle(opened, target)
    assert names == sorted(files_of(target))
    return target


def tokens_and_expected(
    opened: OpenedBundle, name: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    bundle = Bundle(opened, threads=1)
    rows = bundle.encode([Example(text=text) for text in TEXTS], truncate=True, offsets=False)
    composition = bundle.use(name)
    batch = collate(rows, pad_id=bundle.pad_id)
    batch["pooling"] = pooling_rows(batch["attention_mask"], composition.record)
    return batch, composition._run(rows)


@pytest.mark.parametrize("name", ALL)
def test_any_onnx_runtime_loads_the_graph_by_its_path_and_answers_the_same(
    opened: OpenedBundle, unpacked: Path, name: str
):
    about = json.loads((unpacked / f"{name}.json").read_text())
    session = onnxruntime.InferenceSession(
        str(unpacked / about["graph"]), providers=["CPUExecutionProvider"]
    )
    batch, expected = tokens_and_expected(opened, name)
    feeds = read_tensors(unpacked / f"{name}.safetensors")
    (got,) = session.run(None, {**batch, **feeds})
    np.testing.assert_array_equal(got, expected)
    assert about["inputs"] == {one: list(array.shape) for one, array in feeds.items()}
    record = opened.manifest.compositions[name]
    assert (about["composition"], about["labels"]) == (name, list(record.labels))
    assert about["pooling"] == ("token" if name == "spans" else "mean")


@pytest.mark.parametrize("name", ALL)
def test_an_adapter_of_onnx_runtime_holds_the_inputs_and_need_not_be_fed(
    opened: OpenedBundle, unpacked: Path, name: str
):
    file = str(unpacked / f"{name}.onnx_adapter")
    feeds = read_tensors(unpacked / f"{name}.safetensors")
    found = onnxruntime.AdapterFormat.read_adapter(file).get_parameters()
    assert found.keys() == feeds.keys()
    for one, value in found.items():
        np.testing.assert_array_equal(value.numpy(), feeds[one])
    record = opened.manifest.compositions[name]
    session = onnxruntime.InferenceSession(
        str(unpacked / f"{record.graph}.onnx"), providers=["CPUExecutionProvider"]
    )
    adapter = onnxruntime.LoraAdapter()
    adapter.Load(file)
    options = onnxruntime.RunOptions()
    options.add_active_adapter(adapter)
    batch, expected = tokens_and_expected(opened, name)
    # InferenceSession.run wants every input; what it calls takes them from the adapter.
    (got,) = session._sess.run(["logits"], batch, options)
    np.testing.assert_array_equal(got, expected)


def test_unpacking_gives_the_same_bytes_in_another_process(
    opened: OpenedBundle, unpacked: Path, tmp_path: Path
):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from composer.bundle.reader import open_bundle\n"
        "from composer.device.unpacking import unpack_bundle\n"
        "unpack_bundle(open_bundle(sys.argv[1]), Path(sys.argv[2]))\n"
        "assert 'torch' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code, str(opened.path), str(tmp_path / "again")]
    subprocess.run(command, check=True, env={"PYTHONHASHSEED": "7", "PYTHONPATH": "."})
    assert files_of(tmp_path / "again") == files_of(unpacked)


def test_nothing_is_overwritten(opened: OpenedBundle, tmp_path: Path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for target in (taken, taken / "mine", tmp_path / "link"):
        with pytest.raises(BundleError, match="is there; give a name that is free"):
            unpack_bundle(opened, target)
    assert files_of(taken) == {"mine": b"mine"}
    (tmp_path / "empty").mkdir()
    assert "graph.onnx" in unpack_bundle(opened, tmp_path / "empty")


def test_a_bundle_of_parts_only_is_refused(parts: OpenedBundle, tmp_path: Path):
    with pytest.raises(BundleError, match="holds parts only"):
        unpack_bundle(parts, tmp_path / "assets")
    assert not (tmp_path / "assets").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"one": "graph"}, "'graph' cannot be unpacked: that is the name of another file"),
        ({"one": "Tokenizer"}, "'Tokenizer' cannot be unpacked"),
        ({"one": "nul"}, "'nul' cannot be unpacked"),
        ({"one": "a:de", "mean": "A:DE"}, "'A:DE' and another differ in case only"),
    ],
)
def test_names_that_would_be_one_file_are_refused(
    opened: OpenedBundle, tmp_path: Path, names: dict[str, str], message: str
):
    from dataclasses import replace

    old = opened.manifest
    compositions = {names.get(name, name): one for name, one in old.compositions.items()}
    changed = replace(opened, manifest=old.model_copy(update={"compositions": compositions}))
    with pytest.raises(BundleError, match=message):
        unpack_bundle(changed, tmp_path / "assets")
    assert not (tmp_path / "assets").exists()


def test_a_colon_is_no_sign_for_the_name_of_a_file():
    assert file_stem("mad-x:de-CH") == "mad-x@de-CH"


@pytest.mark.parametrize(
    ("key", "value"),
    [("location", "../../etc/passwd"), ("location", "tokenizer.json"), ("offset", "0"),
     ("length", "1"), ("checksum", "0")],
)  # fmt: skip
def test_a_graph_that_takes_its_weights_from_elsewhere_is_refused(
    opened: OpenedBundle, key: str, value: str
):
    model = ModelProto.FromString(opened.read_graph("graph"))
    constant = next(one for one in model.graph.initializer if one.external_data)
    for entry in constant.external_data:
        if entry.key == key:
            entry.value = value
    if key == "checksum":
        constant.external_data.add(key=key, value=value)
    places = _places(opened)
    check_places(opened.read_graph("graph"), places, place="home")
    with pytest.raises(BundleError, match="^home: (says that|a constant) .*lies at"):
        check_places(model.SerializeToString(), places, place="home")


def test_a_graph_whose_weights_are_not_there_is_refused(opened: OpenedBundle):
    model = ModelProto.FromString(opened.read_graph("graph"))
    places = _places(opened)
    next(one for one in model.graph.initializer if one.external_data).name = "another"
    with pytest.raises(BundleError, match=r"graph.safetensors has no tensor 'another'"):
        check_places(model.SerializeToString(), places, place="home")


def test_a_zip_is_unpacked_as_its_folder_is(opened: OpenedBundle, unpacked: Path, tmp_path: Path):
    from composer.bundle.writer import pack_bundle

    pack_bundle(opened.path, tmp_path / "home.zip")
    unpack_bundle(open_bundle(tmp_path / "home.zip"), tmp_path / "assets")
    assert files_of(tmp_path / "assets") == files_of(unpacked)
    shutil.rmtree(tmp_path / "assets")
