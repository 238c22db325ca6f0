"""Backbones from elsewhere, crafted: refused before a library hears of them; honest ones pass."""

import base64
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from composer.data import tokenizer as tokenizer_door
from composer.data.tokenizer import read_tokenizer
from composer.errors import BackboneError
from composer.model import backbone as door
from composer.model import screening
from composer.model.architectures import parse_config
from composer.model.backbone import open_backbone
from composer.model.screening import read_config, screen_folder

CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"
WORDS = "embeddings.word_embeddings.weight"
Attack = Callable[[Path], object]


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def peak_bytes(*, anew: bool = False) -> int:
    """Tell the most memory that this process has had, since it was last asked anew."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    return int(found[1]) * 1024 if found else 0


class ShutDoor:
    """Stands for a library: whoever touches it has gone too far."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"a library was reached: {name}")

    def __call__(self, *given: object, **named: object) -> object:
        raise AssertionError("a library was reached")


@pytest.fixture
def shut(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("transformers", "open_sites"):
        monkeypatch.setattr(door, name, ShutDoor())
    monkeypatch.setattr(tokenizer_door, "Tokenizer", ShutDoor())


def change(name: str, **values: object) -> Attack:
    """Change top values of a JSON file."""
    return lambda folder: (folder / name).write_text(
        json.dumps(json.loads((folder / name).read_text()) | values)
    )


def config(**values: object) -> Attack:
    return change(CONFIG, **values)


def text(name: str, data: str | bytes) -> Attack:
    """Put a file there."""

    def put(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())

    return put


def instead(name: str, data: str = "") -> Attack:
    """Put a file there in place of the weights."""

    def put(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        text(name, data)(folder)

    return put


def link(name: str, to: str) -> Attack:
    def put(folder: Path) -> None:
        target = Path(to.replace("HERE", str(folder)))
        if (folder / name).exists():
            shutil.move(folder / name, folder.parent / name)
        (folder / name).symlink_to(target)

    return put


def more(name: str, text: str) -> Attack:
    """Insert into the first brace of a JSON file."""
    return lambda folder: (folder / name).write_text(
        (folder / name).read_text().replace("{", "{" + text + ",", 1)
    )


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


CODE = "import os; os.system('touch /tmp/owned')"
KERNELS = {"attn_implementation": "owner/repo", "_attn_implementation": "owner/repo@main:x"}
CONFIGS: dict[str, tuple[Attack, str]] = {
    "CVE-2026-4372": (config(_attn_implementation_internal="owner/repo"), "a kernel to fetch"),
    "a kernel of the hub": (config(attn_implementation="owner/repo"), r"attn_implementation names"),
    "a kernel in a sub-config": (config(text_config=KERNELS), r"text_config\.attn_impl.*refused"),
    "auto_map": (config(auto_map={"AutoModel": "owner/repo--m.M"}), "auto_map names Python code"),
    "code for a tokenizer": (config(tokenizer={"auto_map": {}}), r"tokenizer\.auto_map names"),
    "trust, nested": (
        config(vision_config={"a": [{"b": {"trust_remote_code": True}}]}),
        r"vision_config\.a\.0\.b\.trust_remote_code asks for code",
    ),
    "quantization_config": (
        config(quantization_config={"quant_method": "aqlm"}),
        "quantization_config changes how weights are read",
    ),
    "custom_pipelines": (config(custom_pipelines={"x": {"impl": "p.P"}}), "custom_pipelines names"),
    "no model type": (config(model_type=None), "architecture 'None': composer runs bert, "),
    "an unknown type": (config(model_type="berd"), "did you mean 'bert'"),
    "a type that loads from the hub": (config(model_type="timm_wrapper"), "composer runs bert"),
    "a type of two models": (config(model_type="encoder-decoder"), "composer runs bert"),
    "a list for a type": (config(model_type=["bert"]), "composer runs bert"),
    "a decoder": (config(is_decoder=True), "is_decoder: Input should be False"),
    "cross attention": (config(add_cross_attention=True), "add_cross_attention: Input"),
    "pruned heads": (config(pruned_heads={"0": [1]}), "pruned_heads: .*at most 0 items"),
    "a terabyte of tokens": (config(vocab_size=10**12), "vocab_size: .*less than or equal"),
    "a billion layers": (config(num_hidden_layers=10**9), "num_hidden_layers: .*less than"),
    "a size of none": (config(hidden_size=0), "hidden_size: .*greater than or equal to 1"),
    "a negative size": (config(hidden_size=-32), "hidden_size: .*greater than or equal to 1"),
    "a size in words": (config(hidden_size="32"), "hidden_size: .*valid integer"),
    "a size that is a truth": (config(num_hidden_layers=True), "num_hidden_layers: .*integer"),
    "a size with a fraction": (config(hidden_size=32.5), "hidden_size: .*valid integer"),
    "a size left out": (config(hidden_size=None), "hidden_size: Field required, not left out"),
    "heads that do not divide": (config(num_attention_heads=5), "5 does not divide hidden_size 32"),
    "all numbers wrong": (
        config(hidden_size=0, vocab_size=0, layer_norm_eps=0, hidden_act="eval"),
        r"(?s)vocab_size.*hidden_size.*hidden_act.*layer_norm_eps",
    ),
    "an activation that is none": (config(hidden_act="__import__"), "hidden_act: Input should be"),
    "a share beyond one": (config(hidden_dropout_prob=1.5), "hidden_dropout_prob: .*less than"),
    "a padding beyond": (config(pad_token_id=10**9), "pad_token_id: 1000000000 is beyond vocab"),
    "a padding before": (config(pad_token_id=-1), "pad_token_id: .*greater than or equal to 0"),
    "no room for a text": (config(max_position_embeddings=1), "no room for a text"),
    "not finite": (more(CONFIG, '"x": NaN'), "NaN is not a finite number"),
    "a key twice": (more(CONFIG, '"model_type": "bert"'), "'model_type' is there twice"),
    "a number of 10,000 digits": (more(CONFIG, f'"x": {"9" * 10_000}'), CONFIG),
    "100 deep": (text(CONFIG, deep(100)), "nested more than 64 deep"),
    "a million deep": (text(CONFIG, deep(150_000)), "nested more than 64 deep"),
    "no JSON": (text(CONFIG, b"\x80\x04cos\nsystem\n"), "not UTF-8"),
    "a list": (text(CONFIG, "[]"), "must be an object"),
    "two megabytes": (more(CONFIG, f'"x": "{"x" * 2**21}"'), "at most 1,048,576 are read"),
}

FILES: dict[str, tuple[Attack, str]] = {
    "code beside": (text("modeling_bert.py", CODE), r"modeling_bert\.py holds code"),
    "code below": (text("a/b/__init__.py", CODE), r"a/b/__init__\.py holds code"),
    "code compiled": (text("__pycache__/m.cpython-311.pyc", "x"), r"\.pyc holds code"),
    "a library": (text("kernel.so", "\x7fELF"), r"kernel\.so holds code"),
    "a library with a version": (text("libk.so.1.2", "\x7fELF"), r"libk\.so\.1\.2 holds code"),
    "code in capitals": (text("MODELING.PY", CODE), r"MODELING\.PY holds code"),
    "a pickle beside": (text("pytorch_model.bin", "x"), r"pytorch_model\.bin is of a format"),
    "a pickle below": (text("0_Transformer/model.pt", "x"), r"model\.pt is of a format"),
    "numpy's pickle": (text("vocab.npy", "x"), r"vocab\.npy is of a format that can hold code"),
    "only a pickle": (instead("pytorch_model.bin"), "(?s)format that can hold code.*save_pretrain"),
    "only a checkpoint": (instead("model.ckpt"), r"model\.ckpt is of a format"),
    "an adapter": (
        text("adapter_config.json", '{"base_model_name_or_path": "owner/repo"}'),
        "names another folder or hub repository",
    ),
    "linked weights": (link(WEIGHTS, "HERE/../" + WEIGHTS), r"is a symbolic link; copy the file"),
    "a linked config": (link(CONFIG, "/etc/hostname"), r"config\.json is a symbolic link"),
    "a linked tokenizer": (link(TOKENIZER, "/dev/zero"), r"tokenizer\.json is a symbolic link"),
    "a link that loops": (link("loop", "HERE"), "loop is a symbolic link"),
    "a pipe": (lambda folder: os.mkfifo(folder / "vocab.txt"), "vocab.txt is no plain file"),
    "several at once": (
        lambda folder: [text(name, "x")(folder) for name in ("a.py", "b.bin", "c.so")],
        r"(?s)a\.py holds.*b\.bin is of.*c\.so holds",
    ),
}


def tokens(edit: Callable[[dict[str, Any]], object]) -> Attack:
    """Change `tokenizer.json` in any depth."""

    def put(folder: Path) -> None:
        values = json.loads((folder / TOKENIZER).read_text())
        edit(values)
        (folder / TOKENIZER).write_text(json.dumps(values))

    return put


def normalizer(**values: object) -> Attack:
    return tokens(
        lambda all_: all_.update(normalizer={"type": "Sequence", "normalizers": [values]})
    )


def replace(regex: str, content: str = " ") -> Attack:
    return normalizer(type="Replace", pattern={"Regex": regex}, content=content)


def charsmap(units: dict[int, int], texts: bytes, length: int = 1024) -> str:
    """Spell SentencePiece's table: a trie as an array of units, and texts."""
    array = np.zeros(length, "<u4")
    for place, unit in units.items():
        array[place] = unit
    data = (4 * length).to_bytes(4, "little") + array.tobytes() + texts
    return base64.b64encode(data).decode()


# From unit 0 by offset 256 and the byte of "A" to a unit with that label and a leaf at offset 512.
A = 256 ^ ord("A")
TRIE = {0: 256 << 10, A: ord("A") | 1 << 8 | 512 << 10, A ^ 512: 1 << 31}


def table(units: dict[int, int], texts: bytes, length: int = 1024) -> Attack:
    return normalizer(type="Precompiled", precompiled_charsmap=charsmap(units, texts, length))


FOREVER = "may take for ever"
TOKENIZERS: dict[str, tuple[Attack, str]] = {
    "an id beyond": (
        tokens(lambda all_: all_["model"]["vocab"].update(zzz=10**6)),
        r"model\.vocab\['zzz'\]: 1000000 is no id of the backbone's",
    ),
    "a negative id": (tokens(lambda all_: all_["model"]["vocab"].update(z=-1)), "-1 is no id"),
    "an added token beyond": (
        tokens(lambda all_: all_["added_tokens"][0].update(id=10**6)),
        r"added_tokens\[0\]\.id: 1000000 is no id",
    ),
    "a special token beyond": (
        tokens(
            lambda all_: all_["post_processor"]["special_tokens"]["[CLS]"].update(ids=[2, 70000])
        ),
        r"special_tokens\.\[CLS\]\.ids\[1\]: 70000 is no id",
    ),
    "a separator beyond": (
        change(TOKENIZER, post_processor={"type": "BertProcessing", "sep": ["[SEP]", 9999],
                                          "cls": ["[CLS]", 2]}),
        r"post_processor\.sep: 9999 is no id",
    ),
    "a piece too many": (
        change(TOKENIZER, model={"type": "Unigram", "unk_id": 5000, "vocab": [["a", -1.0]] * 900}),
        r"(?s)model\.vocab\[899\]: 899 is no id.*unk_id: 5000 is no id",
    ),
    "a type beyond": (
        tokens(lambda all_: all_["post_processor"]["pair"][0]["SpecialToken"].update(type_id=2)),
        r"pair\.0\.SpecialToken\.type_id: 2; allowed is 0 to 1",
    ),
    "a bomb of groups": (replace("(a+)+b"), FOREVER),
    "a bomb of choices": (replace("(a|aa)*b"), FOREVER),
    "a bomb of repetitions": (replace("a*a*a*a*b"), FOREVER),
    "a back reference": (replace(r"a\1+"), FOREVER),
    "a repeated repetition": (replace("a{9,}{9,}"), FOREVER),
    "a bomb to split by": (
        change(TOKENIZER, pre_tokenizer={"type": "Split", "pattern": {"Regex": "(x+x+)+y"},
                                         "behavior": "Isolated", "invert": False}),
        r"pre_tokenizer\.pattern\.Regex.*may take for ever",
    ),
    "a pattern of nothing": (
        normalizer(type="Replace", pattern={"String": ""}, content="x"),
        "an empty pattern is everywhere",
    ),
    "a text that grows": (replace(" {2,}", "x" * 10**6), "characters; at most 64 are put"),
    "a text that begins": (normalizer(type="Prepend", prepend="x" * 65), "65 characters"),
    "words without end": (
        tokens(lambda all_: all_["model"].update(max_input_chars_per_word=10**8)),
        "max_input_chars_per_word: 100000000; allowed is 0 to 1,000",
    ),
    "dice": (
        tokens(lambda all_: all_.update(model={"type": "BPE", "dropout": 0.5, "vocab": {},
                                               "merges": []})),
        r"model\.dropout: 0\.5 gives other tokens",
    ),
    "a table that is none": (normalizer(type="Precompiled", precompiled_charsmap="!"), "no base64"),
    "a table without a trie": (table({}, b"", 0), "a trie of 0 bytes"),
    "a table that ends early": (
        normalizer(type="Precompiled", precompiled_charsmap="//8AAAAA"), "a trie of 65,535 bytes"
    ),
    "a root that leads out": (table(TRIE | {0: 4096 << 10}, b"a\0"), "leads out of itself"),
    "a branch that leads out": (
        table(TRIE | {A: ord("A") | 1 << 8 | 2000 << 10}, b"a\0"), "leads out of itself"
    ),
    "a leaf that leads out": (
        table(TRIE | {A ^ 512: 1 << 31 | 99}, b"a\0"), "leads out of its texts"
    ),
    "a leaf within a character": (
        table(TRIE | {A ^ 512: 1 << 31 | 1}, "ä\0".encode()), "the middle of a character"
    ),
    "a leaf of a megabyte": (table(TRIE, b"x" * 10**6), "more than 64 bytes in the place"),
    "a key twice": (more(TOKENIZER, '"version": "1.0"'), "'version' is there twice"),
    "deep": (more(TOKENIZER, f'"x": {deep(50_000)}'), "nested more than 64 deep"),
    "65 megabytes": (
        lambda folder: os.truncate(folder / TOKENIZER, 65 * 2**20), "at most 67,108,864 are read"
    ),
}  # fmt: skip


def each(*tables: dict[str, tuple[Attack, str]]) -> pytest.MarkDecorator:
    rows = [pytest.param(*row, id=name) for table in tables for name, row in table.items()]
    return pytest.mark.parametrize(("attack", "message"), rows)


def tensors(edit: Callable[[dict[str, torch.Tensor]], object]) -> Attack:
    def put(folder: Path) -> None:
        values = load_file(folder / WEIGHTS)
        edit(values)
        save_file(values, folder / WEIGHTS)

    return put


def poison(value: float, dtype: torch.dtype = torch.float32) -> Attack:
    def edit(values: dict[str, torch.Tensor]) -> None:
        values[WORDS] = values[WORDS].to(dtype)
        values[WORDS][7, 7] = value

    return tensors(edit)


def shards(names: dict[str, object]) -> Attack:
    def put(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder.parent / "outside.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))

    return put


def sparse(folder: Path) -> None:
    """Claim 16 GiB of zeros, which no disk has to hold."""
    header = {
        "a": {"dtype": "F32", "shape": [2**16, 2**16], "data_offsets": [0, 2**34]},
    }
    data = json.dumps(header).encode()
    (folder / WEIGHTS).write_bytes(len(data).to_bytes(8, "little") + data)
    os.truncate(folder / WEIGHTS, 8 + len(data) + 2**34)


FIT = "weights do not fit config.json: "
WEIGHT_ATTACKS: dict[str, tuple[Attack, str]] = {
    "a NaN": (poison(float("nan")), f"{WORDS} in {WEIGHTS} holds a number that is not finite"),
    "an infinity": (poison(float("-inf"), torch.bfloat16), "not finite"),
    "beyond float32": (poison(1e300, torch.float64), "not finite"),
    "whole numbers": (
        tensors(lambda all_: all_.update({WORDS: all_[WORDS].to(torch.int64)})),
        r"word_embeddings.* is I64.*; weights are F32, F16, BF16, F64",
    ),
    "one missing": (
        tensors(lambda all_: all_.pop("encoder.layer.1.output.dense.bias")),
        r"encoder\.layer\.1\.output\.dense\.bias \[32\] is missing",
    ),
    "one too many": (
        tensors(lambda all_: all_.update({"encoder.layer.9.x": torch.zeros(1)})),
        r"encoder\.layer\.9\.x F32\[1\] in model.safetensors has no place",
    ),
    "another shape": (
        tensors(lambda all_: all_.update({WORDS: all_[WORDS][:, :16].contiguous()})),
        r"is F32\[\d+,16\], of another shape than \[\d+, 32\]",
    ),
    "more layers than there are": (config(num_hidden_layers=60), r"layer\.\d+.* is missing"),
    "fewer layers than there are": (config(num_hidden_layers=1), r"layer\.1\..*has no place"),
    "a terabyte that is not there": (
        config(vocab_size=4_194_304, hidden_size=65_536, num_attention_heads=1),
        r"of another shape than \[4194304, 65536\]",
    ),
    "16 GiB of nothing": (sparse, "a F32.65536,65536. in model.safetensors has no place"),
    "a shard above": (shards({"a": "../outside.safetensors"}), "has a part '..'"),
    "a shard by its full path": (shards({"a": "/outside.safetensors"}), "is absolute"),
    "a shard that is a pipe": (shards({"a": "p.safetensors"}), "cannot be read|no plain file"),
    "an index of nothing": (shards({}), "has no `weight_map`"),
    "no safetensors": (text(WEIGHTS, b"\x80\x04cos\nsystem\n" * 9), "cut short, or no safetensors"),
    "a huge header": (
        text(WEIGHTS, (2**40).to_bytes(8, "little") + b"{}"), "cut short, or no safetensors"
    ),
}  # fmt: skip


@each(WEIGHT_ATTACKS)
def test_crafted_weights_are_refused_and_nothing_is_allocated_for_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, attack: Attack, message: str
):
    monkeypatch.setattr(door, "open_sites", ShutDoor())
    attack(folder)
    before = peak_bytes(anew=True)
    with pytest.raises(BackboneError, match=message):
        open_backbone(folder, precision="float32")
    assert peak_bytes() - before < 2**26


# What an open folder makes Python do, told by the interpreter itself.

_HEARD: list[tuple[str, str]] | None = None


def _listen(event: str, given: tuple[object, ...]) -> None:
    if _HEARD is not None:
        what = given[0] if given else ""
        _HEARD.append((event, what if isinstance(what, str) else ""))


@pytest.fixture
def heard() -> Iterator[list[tuple[str, str]]]:
    """Record audit events; a hook cannot be taken off again, so it falls silent."""
    global _HEARD
    if not getattr(sys, "_composer_tests_listen", False):
        sys.addaudithook(_listen)
        sys._composer_tests_listen = True  # type: ignore[attr-defined]
    _HEARD = []
    yield _HEARD
    _HEARD = None


NEVER = re.compile(
    r"import|exec|compile|pickle|socket\.|urllib|http|subprocess|ctypes\.dlopen|shutil"
    r"|os\.(system|exec|fork|posix_spawn|remove|rename|mkdir)"
)


@each(CONFIGS, FILES, TOKENIZERS)
def test_a_crafted_folder_is_refused_before_any_library_reads_it(
    folder: Path, shut: None, heard: list[tuple[str, str]], attack: Attack, message: str
):
    attack(folder)
    before = peak_bytes(anew=True)
    heard.clear()
    with pytest.raises(BackboneError) as fault:
        open_backbone(folder, precision="float32")
    events = list(heard)
    assert re.search(message, str(fault.value))
    assert str(folder) in str(fault.value)
    assert len(str(fault.value)) < 8000
    assert {Path(what).name for event, what in events if event == "open"} <= {CONFIG, TOKENIZER, ""}
    assert [one for one in events if NEVER.match(one[0])] == []
    assert peak_bytes() - before < 2**28


def test_a_crowd_of_files_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(screening, "ENTRIES_LIMIT", 20)
    for number in range(21):
        text(f"a/{number}", "")(folder)
    with pytest.raises(BackboneError, match="more than 20 files; give the folder that holds"):
        screen_folder(folder)


POISON = json.dumps({
    "auto_map": {"AutoTokenizer": ["owner/repo--t.T", None]}, "tokenizer_class": "Evil",
    "tokenizer_file": "/etc/passwd", "chat_template": "{{ ''.__class__.__mro__ }}",
    "trust_remote_code": True, "custom_generate": "owner/repo",
})  # fmt: skip
UNREAD = ("tokenizer_config.json", "generation_config.json", "chat_template.jinja",
          "special_tokens_map.json", "processor_config.json", "sentence_bert_config.json",
          "modules.json", "vocab.txt", "1_Pooling/config.json")  # fmt: skip


def test_an_honest_folder_is_opened_by_reading_three_files_and_nothing_else(
    folder: Path, heard: list[tuple[str, str]]
):
    for name in UNREAD:
        text(name, POISON)(folder)
    open_backbone(folder, precision="float32")  # whatever is imported late is imported here
    heard.clear()
    open_backbone(folder, precision="float32")
    events = list(heard)
    here = {what for event, what in events if event == "open" and what.startswith(str(folder))}
    assert here == {str(folder / name) for name in (CONFIG, TOKENIZER, WEIGHTS)}
    reached = re.compile(r"socket\.|subprocess|os\.(system|exec)|pickle|urllib|ctypes\.dlopen")
    assert [one for one in events if reached.match(one[0])] == []


def test_a_regular_pattern_of_a_published_tokenizer_is_read(folder: Path):
    for pattern in (" {2,}", r"\s+", "[\\n\\r\\t]", r"\p{L}", r"[\x{200B}\x{200C}-\x{200F}]"):
        replace(pattern, "x")(folder)
        assert read_tokenizer(folder, rows=200, types=2).normalizer is not None


def test_a_sound_table_of_characters_is_read(folder: Path):
    table(TRIE, b"a\0")(folder)
    found = read_tokenizer(folder, rows=200, types=2)
    assert found.normalizer.normalize_str("xAy") == "xay"


@pytest.mark.parametrize(
    "name", ["a root that leads out", "a leaf that leads out", "a leaf within a character"]
)
def test_the_tables_that_are_refused_would_stop_the_library(folder: Path, name: str):
    from tokenizers import Tokenizer

    TOKENIZERS[name][0](folder)
    with pytest.raises(BaseException, match="out of bounds|boundary|out of range"):
        Tokenizer.from_file(str(folder / TOKENIZER)).encode("A")


BERT = {
    "architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1,
    "gradient_checkpointing": False, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072,
    "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "model_type": "bert",
    "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 0,
    "position_embedding_type": "absolute", "transformers_version": "4.6.0.dev0",
    "type_vocab_size": 2, "use_cache": True, "vocab_size": 30522,
}  # fmt: skip
ROBERTA = {
    "architectures": ["RobertaForMaskedLM"], "attention_probs_dropout_prob": 0.1,
    "bos_token_id": 0, "eos_token_id": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072,
    "layer_norm_eps": 1e-05, "max_position_embeddings": 514, "model_type": "roberta",
    "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1, "type_vocab_size": 1,
    "vocab_size": 50265,
}  # fmt: skip
XLMR = {"architectures": ["XLMRobertaForMaskedLM"], "model_type": "xlm-roberta",
        "output_past": True, "vocab_size": 250002}  # fmt: skip
HONEST: dict[str, dict[str, object]] = {
    "bert-base-uncased": BERT,
    "bert-base-multilingual-cased": BERT | {
        "directionality": "bidi", "pooler_fc_size": 768, "pooler_num_attention_heads": 12,
        "pooler_num_fc_layers": 3, "pooler_size_per_head": 128,
        "pooler_type": "first_token_transform", "vocab_size": 119547,
    },
    "all-MiniLM-L6-v2": BERT | {
        "_name_or_path": "nreimers/MiniLM-L6-H384-uncased", "architectures": ["BertModel"],
        "hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6,
        "transformers_version": "4.8.2",
    },
    "multilingual-e5-small": BERT | {
        "_name_or_path": "intfloat/multilingual-e5-small", "architectures": ["BertModel"],
        "classifier_dropout": None, "hidden_size": 384, "intermediate_size": 1536,
        "tokenizer_class": "XLMRobertaTokenizer", "torch_dtype": "float32", "vocab_size": 250037,
    },
    "a task's model": BERT | {
        "_attn_implementation_autoset": True, "_num_labels": 2, "dtype": "bfloat16",
        "finetuning_task": "sst-2", "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
        "label2id": {"NEGATIVE": 0, "POSITIVE": 1}, "problem_type": "single_label_classification",
    },
    "roberta-base": ROBERTA,
    "xlm-roberta-base": ROBERTA | XLMR,
    "xlm-roberta-large": ROBERTA | XLMR | {
        "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
        "num_hidden_layers": 24,
    },
    "distilbert-base-uncased": {
        "activation": "gelu", "architectures": ["DistilBertForMaskedLM"], "attention_dropout": 0.1,
        "dim": 768, "dropout": 0.1, "hidden_dim": 3072, "initializer_range": 0.02,
        "max_position_embeddings": 512, "model_type": "distilbert", "n_heads": 12, "n_layers": 6,
        "pad_token_id": 0, "qa_dropout": 0.1, "seq_classif_dropout": 0.2,
        "sinusoidal_pos_embds": False, "tie_weights_": True, "transformers_version": "4.10.0.dev0",
        "vocab_size": 30522,
    },
    "electra-small-discriminator": BERT | {
        "architectures": ["ElectraForPreTraining"], "embedding_size": 128, "hidden_size": 256,
        "intermediate_size": 1024, "model_type": "electra", "num_attention_heads": 4,
        "summary_activation": "gelu", "summary_last_dropout": 0.1, "summary_type": "first",
        "summary_use_proj": True,
    },
    "mdeberta-v3-base": {
        "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072,
        "layer_norm_eps": 1e-07, "max_position_embeddings": 512, "max_relative_positions": -1,
        "model_type": "deberta-v2", "norm_rel_ebd": "layer_norm", "num_attention_heads": 12,
        "num_hidden_layers": 12, "pooler_dropout": 0, "pooler_hidden_act": "gelu",
        "pooler_hidden_size": 768, "pos_att_type": "p2c|c2p", "position_biased_input": False,
        "position_buckets": 256, "relative_attention": True, "share_att_key": True,
        "type_vocab_size": 0, "vocab_size": 251000,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # deberta's own
def test_a_published_config_passes_and_makes_the_same_model(folder: Path, name: str):
    published = HONEST[name]
    text(CONFIG, json.dumps(published))(folder)
    kind, parsed = screen_folder(folder)
    theirs = transformers.CONFIG_MAPPING[kind].from_dict(published)
    with torch.device("meta"):
        expected = transformers.AutoModel.from_config(theirs).state_dict()
    made = door._build(kind, parsed, place=folder)
    assert {key: one.shape for key, one in made.state_dict().items()} == {
        key: one.shape for key, one in expected.items() if not key.startswith("pooler.")
    }
    weighed = {key: value for key, value in parsed.passed_on().items() if value is not None}
    assert {key: getattr(theirs, key) for key in weighed} == {
        key: getattr(made.config, key) for key in weighed
    }
    assert parsed.pad_token_id == theirs.pad_token_id


def test_what_is_not_known_of_a_config_reaches_no_library(folder: Path):
    config(return_dict=False, torchscript=True, adapters={"adapters": {"x": "y"}}, use_bfloat16=1,
           output_attentions=True, chunk_size_feed_forward=1, _commit_hash="x")(folder)  # fmt: skip
    _, parsed = parse_config(read_config(folder), place="here")
    assert set(parsed.passed_on()) <= {
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "intermediate_size", "max_position_embeddings", "type_vocab_size", "pad_token_id",
        "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob", "layer_norm_eps",
        "position_embedding_type",
    }  # fmt: skip
    assert open_backbone(folder, precision="float32").module.config.return_dict is True
