"""`composer push`: send a bundle or an adapter to the Hub or a bucket, with a model card."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from composer.cli.options import json_option, store_option
from composer.cli.texts import print_json, print_table
from composer.errors import Fault, RecipeError, StoreError, TransferError

if TYPE_CHECKING:
    from composer.engine.sharing.places import Address, HubPlace
    from composer.engine.sharing.pushing import Parcel, Pushed

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("source")
@click.argument("to")
@click.option("--private", is_flag=True, help="Make the repository so; refused if it is not.")
@click.option("--revision", metavar="BRANCH", help="Branch to push to; made if it is not there.")
@click.option("--message", metavar="TEXT", help="Of the commit.")
@click.option(
    "--licence", metavar="SPDX", help="For the card; left out, what the bundle's manifest says."
)
@click.option("--replace-card", is_flag=True, help="Replace a README.md that was edited there.")
@click.option("--public-key", type=_PATH, help="PEM file; the bundle must be signed with it.")
@click.option("--dry-run", is_flag=True, help="Check all, show what would go, and send nothing.")
@store_option
@json_option
def command(**given: Any) -> None:
    """Send a bundle or an adapter to the Hub or a bucket.

    SOURCE is a bundle (folder or .zip), or the name of a task, a language or a bundle in the
    store. TO is a model repository on the Hub (owner/name), which is made if it is not there, or
    a URL (s3, gs, abfs). All of it is checked first, and nothing is sent if anything is wrong.
    A model card is written from what was measured. The Hub's endpoint and token are those of
    huggingface_hub: HF_ENDPOINT, HF_TOKEN, `hf auth login`.

    \b
    Example:
      composer push home/ owner/home --dry-run
      composer push home.zip owner/home --private --message "German added"
      composer push language/de owner/german-adapter --licence Apache-2.0
    """
    from composer.engine.sharing.hub import endpoint
    from composer.engine.sharing.places import HubPlace, read_place
    from composer.engine.sharing.pushing import checked_destination

    place = read_place(given["to"], endpoint=endpoint(), revision=given["revision"])
    place = checked_destination(place)
    if given["private"] and not isinstance(place, HubPlace):
        raise TransferError(f"--private: {place} has no such thing; only the Hub does")
    with _parcel(given["source"], given["store_folder"], given["public_key"]) as parcel:
        card = b""
        if isinstance(place, HubPlace):
            card = _card(parcel, place, _licence(given["licence"]))
        if not given["as_json"]:
            _show(parcel, place, card)
        pushed = None if given["dry_run"] else _push(parcel, place, card, given)
        if given["as_json"]:
            print_json(_values(parcel, place, card, pushed))
        else:
            _tell(pushed, card)


def _push(
    parcel: "Parcel", place: "HubPlace | Address", card: bytes, given: Mapping[str, Any]
) -> "Pushed":
    from composer.engine.sharing.pushing import push

    return push(
        parcel,
        place,
        card=card,
        message=given["message"] or _message(parcel),
        private=given["private"],
        replace_card=given["replace_card"],
    )


def _licence(asked: str | None) -> str | None:
    if asked is not None and not re.fullmatch(r"[A-Za-z0-9.+() -]{1,200}", asked):
        message = f"{asked[:200]!r} is no SPDX expression; write Apache-2.0 or MIT AND CC0-1.0"
        raise RecipeError([Fault("--licence", message)])
    return asked


@contextmanager
def _parcel(source: str, store_folder: Path | str, public_key: Path | None) -> "Iterator[Parcel]":
    """Check what is to be sent: a bundle by its path, or what the store calls so."""
    from composer.engine.sharing.pushing import adapter_parcel, bundle_parcel
    from composer.engine.storage.refs import PARTS, resolve
    from composer.engine.storage.store import open_store

    path = Path(source)
    if path.exists() or path.suffix == ".zip":
        with bundle_parcel(path, public_key=public_key) as parcel:
            yield parcel
        return
    store = open_store(store_folder)
    place = "SOURCE (no such file or folder)"
    ref = resolve(store, source, kinds=(*PARTS, "bundle"), place=place)
    result = store.open(ref.key)
    if result is None:
        raise StoreError(f"{ref.full_name}: its result is damaged; make it again")
    if ref.kind == "composition":
        export = f"composer export {source} --to {ref.short_name}"
        message = f"{source} rests on other adapters; make a bundle, and push that: {export}"
        raise RecipeError([Fault("SOURCE", message)])
    if ref.kind == "bundle":
        with bundle_parcel(result.folder / "bundle", public_key=public_key) as parcel:
            yield parcel
        return
    if public_key is not None:
        message = f"{source} is an adapter, and only bundles are signed"
        raise RecipeError([Fault("--public-key", message)])
    with adapter_parcel(result) as parcel:
        yield parcel


def _card(parcel: "Parcel", place: "HubPlace", licence: str | None) -> bytes:
    from composer.engine.sharing.pushing import sealed_card
    from composer.report.card import adapter_card, bundle_card

    if parcel.bundle is not None:
        manifest = parcel.bundle.manifest
        return sealed_card(bundle_card(manifest, name=place.name, licence=licence))
    if parcel.adapter is None:
        raise TransferError("neither a bundle nor an adapter")
    text = adapter_card(parcel.adapter, parcel.folder, name=place.name, licence=licence)
    return sealed_card(text)


def _message(parcel: "Parcel") -> str:
    if parcel.bundle is not None:
        names = ", ".join(sorted(parcel.bundle.manifest.compositions))
        return f"Bundle of {names}"[:200]
    return f"Adapter of kind {parcel.adapter.kind if parcel.adapter else ''}"


def _sizes(parcel: "Parcel", card: bytes) -> dict[str, int]:
    sizes = parcel.sizes()
    return {**sizes, "README.md": len(card)} if card else sizes


def _show(parcel: "Parcel", place: "HubPlace | Address", card: bytes) -> None:
    from composer.engine.sharing.hub import endpoint
    from composer.report.layout import number_of, size

    sizes = _sizes(parcel, card)
    rows = [["file", "size"], *([name, size(one)] for name, one in sizes.items())]
    print_table(rows, right=(1,))
    server = f" on {endpoint()}" if card else ""
    click.echo(f"{number_of(len(sizes), 'file')}, {size(sum(sizes.values()))}, to {place}{server}")


def _values(
    parcel: "Parcel", place: "HubPlace | Address", card: bytes, pushed: "Pushed | None"
) -> dict[str, object]:
    sizes = _sizes(parcel, card)
    return {
        "to": str(place),
        "files": sizes,
        "bytes": sum(sizes.values()),
        "card": card.decode(),
        "sent": pushed is not None,
        "url": pushed.url if pushed else None,
        "commit": pushed.commit if pushed else None,
        "created": pushed.created if pushed else False,
        "removed": list(pushed.removed) if pushed else [],
        "card_kept": pushed.card_kept if pushed else False,
    }


def _tell(pushed: "Pushed | None", card: bytes) -> None:
    if pushed is None:
        click.echo("nothing was sent (--dry-run)")
        if card:
            click.echo(f"\n{card.decode()}", nl=False)
        return
    for name in pushed.removed:
        click.echo(f"removed {name}, of an earlier push")
    if pushed.card_kept:
        click.echo(
            "README.md was edited there and is left as it is; --replace-card replaces it", err=True
        )
    if not pushed.changed:
        click.echo(f"{pushed.url} holds all of it already, at commit {pushed.commit}")
        return
    made = " (a new repository)" if pushed.created else ""
    at = f" at commit {pushed.commit}" if pushed.commit else ""
    click.echo(f"pushed to {pushed.url}{at}{made}")
