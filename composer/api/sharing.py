"""Bundles and adapters of others, fetched."""

from pathlib import Path

from composer.api.calling import Place
from composer.engine.sharing import pulling
from composer.engine.sharing.hub import endpoint
from composer.engine.sharing.places import read_place


def pull(
    source: Place,
    *,
    to: Place,
    revision: str | None = None,
    public_key: Place | None = None,
    signature: Place | None = None,
) -> Path:
    """Fetch a bundle or an adapter, and check all of it before anything is at its place.

    Args:
        source: A repository on the Hub (owner/name), a URL (https, s3, gs, abfs) or a path.
        to: Folder, or of a bundle a file that ends in .zip.
        revision: Branch, tag or commit on the Hub.
        public_key: PEM file of who is trusted; the bundle must be signed with it.
        signature: Left out, the one that lies beside it there.

    Returns:
        Where it is now; `Bundle.open` takes that of a bundle.

    Raises:
        TransferError: The other side is out of reach, or refuses.
        BundleError: What came is no bundle, or is damaged; nothing of it is left.

    Example:
        composer.Bundle.open(composer.pull("owner/home", to="home.zip"))
    """
    place = read_place(str(source), endpoint=endpoint(), revision=revision)
    pulled = pulling.pull(
        place,
        Path(to),
        public_key=None if public_key is None else Path(public_key),
        signature=None if signature is None else Path(signature),
    )
    return pulled.path
