"""`composer bundle add`, `remove`, `sign` and `unpack`: what writes something."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from composer.cli.options import json_option
from composer.cli.texts import print_json
from composer.errors import BundleError

if TYPE_CHECKING:
    from composer.bundle.editing import Edit

_PATH = click.Path(path_type=Path)
_PASSWORD = "COMPOSER_KEY_PASSWORD"  # an environment variable


@click.command()
@click.argument("bundle", type=_PATH)
@click.argument("source", metavar="FROM", type=_PATH)
@click.option(
    "--composition", "names", multiple=True, metavar="NAME", help="Which; left out, all of FROM."
)
@click.option("--replace", is_flag=True, help="Let them take the place of others of their names.")
@json_option
def add(bundle: Path, source: Path, names: tuple[str, ...], replace: bool, as_json: bool) -> None:
    """Put compositions of another bundle into a bundle.

    FROM may hold parts only; it must be made for the same backbone, which stays as it is. What
    is added answers its self-test before the bundle is changed. A graph of BUNDLE must be able
    to run it.

    \b
    Example:
      composer bundle add home/ german.zip
      composer bundle add home.zip more/ --composition mad-x:fi --replace
    """
    from composer.bundle.editing import publish, with_compositions
    from composer.bundle.reader import open_bundle
    from composer.device.adding import tested

    opened = open_bundle(bundle)
    edit = with_compositions(opened, open_bundle(source), names=names, replacing=replace)
    edit, off = tested(edit)
    if edit.changes:
        publish(edit, bundle)
    if as_json:
        print_json({**_values(edit), "added": list(edit.added), "self_test": off})
        return
    click.echo(f"{bundle}: {_spoken(edit, 'added', edit.added)}")
    for name, largest in sorted(off.items()):
        click.echo(f"  {name}: self-test within {largest:.1e} of the largest output")
    _tell_of_scores(edit)
    _tell_of_signature(edit)


@click.command()
@click.argument("bundle", type=_PATH)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
def remove(bundle: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Take compositions out of a bundle, and the parts that only they needed.

    The backbone stays as it is. The last composition cannot be removed.

    \b
    Example:
      composer bundle remove home/ mad-x:fi
      composer bundle remove home.zip intent few-shot
    """
    from composer.bundle.editing import publish, without_compositions
    from composer.bundle.reader import open_bundle

    edit = without_compositions(open_bundle(bundle), names)
    publish(edit, bundle)
    if as_json:
        print_json({**_values(edit), "removed": list(edit.removed)})
        return
    click.echo(f"{bundle}: {_spoken(edit, 'removed', edit.removed)}")
    _tell_of_signature(edit)


@click.command()
@click.argument("bundle", type=_PATH)
@click.option("--key", required=True, type=_PATH, help="Private key, elliptic curve, PEM.")
@click.option("--to", "target", type=_PATH, help="Left out, home.sig beside home or home.zip.")
@json_option
def sign(bundle: Path, key: Path, target: Path | None, as_json: bool) -> None:
    """Sign a bundle, in a file beside it.

    The signature (OpenSSF Model Signing) is of the manifest, which holds the SHA-256 of every
    other file; it is the same bundle's as a folder and as a zip. It needs the extra `sign`. The
    password of an encrypted key is asked for, or read from COMPOSER_KEY_PASSWORD.

    \b
    Example:
      composer bundle sign home.zip --key who.pem
      composer bundle sign home/ --key who.pem --to signatures/home.sig
    """
    from composer.bundle.reader import open_bundle
    from composer.bundle.signing import needs_password, sign_manifest, signature_beside

    opened = open_bundle(bundle)
    bundle = opened.path  # where a link leads
    signature = signature_beside(bundle) if target is None else target
    password = _password(key) if needs_password(key) else None
    sign_manifest(opened.manifest.to_bytes(), key=key, signature=signature, password=password)
    manifest = "manifest.json" if bundle.suffix == ".zip" else str(bundle / "manifest.json")
    check = f"model_signing verify key {manifest} --signature {signature} --public_key PUBLIC.pem"
    if as_json:
        digest = opened.manifest.digest
        print_json({"bundle": str(bundle), "signature": str(signature), "digest": digest})
        return
    click.echo(f"{signature} signs {bundle}; check it with either of")
    beside = "" if signature == signature_beside(bundle) else f" --signature {signature}"
    click.echo(f"  composer bundle verify {bundle} --public-key PUBLIC.pem{beside}")
    unzip = f"unzip {bundle} manifest.json && " if bundle.suffix == ".zip" else ""
    click.echo(f"  {unzip}{check}")


def _password(key: Path) -> str:
    """Get a key's password from where no other process and no log sees it."""
    found = os.environ.get(_PASSWORD)
    if found is not None:
        return found
    if not sys.stdin.isatty():
        raise BundleError(
            f"{key} is encrypted, and nobody can be asked for its password here; set {_PASSWORD}"
        )
    return str(click.prompt(f"Password of {key}", hide_input=True, err=True))


@click.command()
@click.argument("bundle", type=_PATH)
@click.option("--to", "target", required=True, type=_PATH, help="A new folder, or an empty one.")
@json_option
def unpack(bundle: Path, target: Path, as_json: bool) -> None:
    """Write a bundle as files for C++, C#, Java and JavaScript.

    The graph with its weights, which ONNX Runtime loads by its path; the tokenizer; and for each
    composition its inputs as `.onnx_adapter` and as `.safetensors`, with a `.json` of labels,
    pooling and shapes. A colon in a name becomes `@`.

    \b
    Example:
      composer bundle unpack home.zip --to app/assets
    """
    from composer.bundle.reader import open_bundle
    from composer.device.unpacking import unpack_bundle

    files = unpack_bundle(open_bundle(bundle), target)
    if as_json:
        print_json({"bundle": str(bundle), "to": str(target), "files": files})
        return
    for name in files:
        click.echo(name)


def _values(edit: "Edit") -> dict[str, object]:
    sizes = edit.sizes()
    return {
        "bundle": str(edit.path),
        "digest": edit.manifest.digest,
        "compositions": sorted(edit.manifest.compositions),
        "bytes": sum(sizes.values()),
    }


def _spoken(edit: "Edit", verb: str, names: tuple[str, ...]) -> str:
    from composer.report.layout import size

    if not names:
        return "holds all of it already; nothing was changed"
    now, before = sum(edit.sizes().values()), edit.bundle.manifest
    was = sum(record.bytes for record in before.listed().values()) + len(before.to_bytes())
    sign_ = "+" if now >= was else "-"
    return f"{verb} {', '.join(names)} ({sign_}{size(abs(now - was))}, now {size(now)})"


def _tell_of_scores(edit: "Edit") -> None:
    """Say where the scores of what was added are those of float32 only."""
    manifest = edit.manifest
    trimmed = manifest.backbone.trimmed is not None
    graphs = {one.precision for one in manifest.graphs.values()}
    variants = {f"{one}, trimmed" if trimmed else one for one in graphs} - {"float32"}
    scored = {one.composition for one in manifest.scores if one.variant in variants}
    for name in sorted(set(edit.added) - scored if variants else ()):
        click.echo(
            f"warning: {name} was not scored in {'/'.join(variants)}; its scores are float32's",
            err=True,
        )


def _tell_of_signature(edit: "Edit") -> None:
    from composer.bundle.signing import signature_beside

    signature = signature_beside(edit.path)
    if edit.changes and signature.exists():
        click.echo(f"warning: {signature} is of the bundle as it was; sign it again", err=True)
