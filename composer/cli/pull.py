"""`composer pull`: fetch a bundle or an adapter, check all of it, and put it in its place."""

import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import click

from composer.cli.options import command_line, json_option, store_option
from composer.cli.single import read_command
from composer.cli.texts import print_json
from composer.errors import TransferError

if TYPE_CHECKING:
    from composer.engine.sharing.places import Place
    from composer.engine.sharing.pulling import Pulled

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("source")
@click.option(
    "--to",
    "target",
    type=_PATH,
    help="Folder, or of a bundle a file that ends in .zip; left out, the last word of SOURCE.",
)
@click.option("--revision", metavar="REV", help="Branch, tag or commit on the Hub.")
@click.option(
    "--public-key",
    type=_PATH,
    help="PEM file of who is trusted; the bundle must be signed with it.",
)
@click.option("--signature", type=_PATH, help="Left out, the one that lies beside it there.")
@click.option("--name", help="Put an adapter into the store, under this name.")
@store_option
@json_option
def command(**given: Any) -> None:
    """Fetch a bundle or an adapter, and check all of it.

    SOURCE is a repository on the Hub (owner/name, hf://owner/name@v2), a URL (https, s3, gs,
    abfs) of a folder or a .zip, or a path. Every byte is checked, and a bundle's self-test is
    run, before anything is at its place; what fails leaves nothing. The Hub's endpoint and token
    are those of huggingface_hub: HF_ENDPOINT, HF_TOKEN, `hf auth login`.

    \b
    Example:
      composer pull owner/home
      composer pull owner/home --revision v2 --to phone.zip --public-key who.pub.pem
      composer pull owner/german --name de
    """
    from composer.engine.sharing.hub import endpoint
    from composer.engine.sharing.places import read_place
    from composer.engine.sharing.pulling import pull

    place = read_place(given["source"], endpoint=endpoint(), revision=given["revision"])
    name, target = given["name"], given["target"]
    with tempfile.TemporaryDirectory(prefix="composer-pull-") as scratch:
        if target is None:
            target = Path(scratch, "adapter") if name else _last_word(place)
        pulled = pull(
            place,
            target,
            public_key=given["public_key"],
            signature=given["signature"],
            only="adapter" if name else None,
        )
        stage = _keep(pulled, name, given) if name else None
    if given["as_json"]:
        print_json({**_values(place, pulled), "to": stage or str(target)})
        return
    _tell(place, pulled, stage)


def _keep(pulled: "Pulled", name: str, given: Mapping[str, Any]) -> str:
    """Put a pulled adapter into the store, so that commands find it by a name."""
    from composer.engine.commands.importing import check_new_name, label_about
    from composer.engine.commands.parts import COMMAND
    from composer.engine.sharing.keeping import keep_adapter

    check_new_name(name, language=pulled.stage == "language")
    store = read_command(given).store
    about = label_about(store, Path.cwd(), command_line())
    return keep_adapter(store, pulled.path, name, recipe=COMMAND, about=about)


def _last_word(place: "Place") -> Path:
    """Name what is pulled as it is named where it is."""
    if isinstance(place, Path) and not place.exists():
        raise TransferError(f"{place} does not exist; a repository on the Hub is owner/name")
    if isinstance(place, Path):
        raise TransferError(f"{place} is on this machine already; say where to: --to PATH")
    path = getattr(place, "name", "") or unquote(urlsplit(str(place)).path)
    name = PurePosixPath(path).name
    if not name or name.startswith(".") or "\\" in name:
        raise TransferError(f"{place} has no name of its own; say where to: --to PATH")
    return Path(name)


def _values(place: "Place", pulled: "Pulled") -> dict[str, object]:
    return {
        "from": str(place),
        "kind": pulled.kind,
        "commit": pulled.commit,
        "digest": pulled.digest,
        "files": pulled.files,
        "bytes": pulled.bytes,
        "signature": None if pulled.signature is None else str(pulled.signature),
        "not_fetched": list(pulled.left),
        "verified": pulled.figures,
    }


def _tell(place: "Place", pulled: "Pulled", stage: str | None) -> None:
    from composer.cli.bundle_look import verified_lines
    from composer.report.layout import number_of, size

    at = f" at commit {pulled.commit}" if pulled.commit else ""
    click.echo(f"{place}{at}")
    if pulled.figures is None:
        click.echo(f"{number_of(pulled.files, 'file')}, {size(pulled.bytes)}, every byte checked")
    else:
        for line in verified_lines(pulled.figures):
            click.echo(line)
    if pulled.left:
        shown = ", ".join(ascii(name)[1:-1] for name in pulled.left[:5])
        click.echo(f"not fetched, as the manifest does not list it: {shown}")
    if stage is not None:
        click.echo(f"{stage} is in the store; use it by its name")
    elif pulled.kind == "adapter":
        stage = f"{pulled.stage}/{'TAG' if pulled.stage == 'language' else 'NAME'}"
        click.echo(f"{pulled.path} is a {pulled.stage} adapter; use it in a recipe:")
        click.echo(f"  composer adopt RECIPE.yaml {stage} {pulled.path}")
    else:
        _tell_of_bundle(pulled)


def _tell_of_bundle(pulled: "Pulled") -> None:
    from composer.bundle.signing import signature_beside

    click.echo(f"{pulled.path} is in its place")
    beside = signature_beside(pulled.path.absolute())
    if pulled.signature is not None and not (pulled.figures or {}).get("signed_by"):
        click.echo(f"{pulled.signature} came with it; whose it is was not asked: --public-key")
    elif pulled.signature is None and beside.exists():
        click.echo(f"warning: {beside} is not of this bundle, which came without one", err=True)
