"""What a backbone folder must be before any library hears of it.

    config.json                    read here, strictly; a library gets values, never the file
    tokenizer.json                 screened by `composer.model.tokenizer`
    model.safetensors, or shards   read by us: see `composer.bundle.fingerprint`
    whatever else is there         read by nobody; code and pickles are refused all the same

A crafted config can name code to fetch and run (CVE-2026-4372): such keys are refused at any
depth, and what is passed on is what `composer.model.architectures` knows and nothing more.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from composer.bundle.files import read_json
from composer.errors import BackboneError
from composer.model.architectures import EncoderConfig, parse_config

CONFIG = "config.json"
CONFIG_LIMIT = 2**20  # bytes
ENTRIES_LIMIT = 10_000  # files and folders in a backbone's folder
FAULTS_SHOWN = 20

REFUSED_KEYS = {
    "auto_map": "names Python code to import",
    "_attn_implementation_internal": "names a kernel to fetch and run",
    "_attn_implementation": "names a kernel to fetch and run",
    "attn_implementation": "names a kernel to fetch and run",
    "trust_remote_code": "asks for code to be run",
    "custom_pipelines": "names Python code to import",
    "quantization_config": "changes how weights are read; composer reads plain weights",
}
_CODE = ".py .pyc .pyo .pyd .pyx .pyz .so .dll .dylib .exe .sh .egg .whl .ipynb".split()
_PICKLES = ".bin .pt .pth .ckpt .pkl .pickle .dill .joblib .npy .npz .h5 .keras".split()


def screen_folder(folder: Path) -> tuple[str, EncoderConfig]:
    """Check a folder's files and its config as plain data; give the model type and the config.

    Raises:
        BackboneError: Naming each file or key that is wrong, what is allowed and a remedy.
    """
    screen_files(folder)
    return parse_config(read_config(folder), place=str(folder / CONFIG))


def screen_files(folder: Path) -> None:
    """Refuse a folder with code, pickles or links in it, or without the files that are needed.

    Raises:
        BackboneError: Naming each file.
    """
    names: set[str] = set()
    faults: list[str] = []
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        names.add(name)
        fault = _file_fault(path)
        if fault:
            faults.append(f"{name[:200]} {fault}")
    faults += _missing(names)
    _raise([f"{folder}: {fault}" for fault in faults])


def read_config(folder: Path) -> dict[str, object]:
    """Read `config.json` strictly, and refuse keys that make a library run code, at any depth.

    Raises:
        BackboneError: It is no strict JSON, or has such a key.
    """
    file = folder / CONFIG
    config = read_json(file, CONFIG_LIMIT, error=BackboneError)
    _raise([f"{file}: {fault}" for fault in _dangers(config, "")])
    return config


def _walk(folder: Path) -> Iterator[Path]:
    """Yield everything below a folder, and follow no link."""
    waiting, seen = [folder], 0
    while waiting:
        try:
            entries = sorted(waiting.pop().iterdir())
        except OSError as fault:
            raise BackboneError(f"{folder} cannot be read: {fault.strerror or fault}") from fault
        for path in entries:
            seen += 1
            if seen > ENTRIES_LIMIT:
                raise BackboneError(
                    f"{folder}: more than {ENTRIES_LIMIT:,} files; give the folder that holds "
                    "the backbone and nothing else"
                )
            yield path
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)


def _file_fault(path: Path) -> str:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return "is a symbolic link; copy the file itself (cp -RL)"
    if stat.S_ISDIR(mode):
        return ""
    if not stat.S_ISREG(mode):
        return "is no plain file; remove it"
    name = path.name.lower()
    if name.endswith(tuple(_CODE)) or ".so." in name:
        return "holds code; composer runs none, so remove it"
    if name.endswith(tuple(_PICKLES)):
        return "is of a format that can hold code; keep the safetensors weights and remove it"
    if name == "adapter_config.json":
        return (
            "makes this an adapter, and names another folder or hub repository as its backbone; "
            "give the backbone's own folder"
        )
    return ""


def _missing(names: set[str]) -> Iterator[str]:
    if CONFIG not in names:
        yield "no config.json here; a backbone folder holds one"
    if "tokenizer.json" not in names:
        yield "no tokenizer.json; save the model's fast tokenizer here"
    if not names & {"model.safetensors", "model.safetensors.index.json"}:
        yield (
            "no .safetensors weights (model.safetensors, or model.safetensors.index.json and its "
            "shards); save the model again with save_pretrained"
        )


def _dangers(values: object, above: str) -> Iterator[str]:
    if isinstance(values, list):
        for number, value in enumerate(values):
            yield from _dangers(value, f"{above}{number}.")
    if isinstance(values, dict):
        for key, value in values.items():
            if key in REFUSED_KEYS:
                yield (
                    f"{above}{key} {REFUSED_KEYS[key]}; refused: take it out if you trust the rest"
                )
            else:
                yield from _dangers(value, f"{above}{str(key)[:80]}.")


def _raise(faults: list[str]) -> None:
    if not faults:
        return
    more = len(faults) - FAULTS_SHOWN
    shown = faults[:FAULTS_SHOWN] + ([f"and {more:,} more"] if more > 0 else [])
    raise BackboneError("\n".join(shown))
