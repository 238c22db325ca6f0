"""How the pages become a site: `make docs` writes it to `build/site`.

Sphinx reads Markdown through MyST and dresses it with Furo. All three are kept up, pinned in
`constraints.txt`, work without the network, and the site asks for nothing outside itself: no
font, no script, no search service. A link that leads nowhere ends the build (`-W`).

The navigation is written once, as the lists of `index.md`: each of its headings is a part of the
site, each link under it a page. A page `x.md` leads to the pages of a folder `x/`, if there is one.
"""

import re
from importlib.metadata import version as version_of
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "Composer"
author = "the authors of Composer"
version = release = version_of("adapter-composer")

extensions = ["myst_parser"]
root_doc = "index"
myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 4
highlight_language = "text"
pygments_style = "default"  # reads well on Furo's light ground
pygments_dark_style = "github-dark"

html_theme = "furo"
html_title = "Composer"
html_static_path = ["static"]
html_css_files = ["composer.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6b53", "color-brand-content": "#0b6b53"},
    "dark_css_variables": {"color-brand-primary": "#5fd0ae", "color-brand-content": "#5fd0ae"},
}

_PAGE = re.compile(r"^\s*[-*] \[[^\]]+\]\(([^)#:]+)\.md\)", re.MULTILINE)


def parts_of(index: str) -> dict[str, list[str]]:
    r"""Read the navigation: part of the site -> its pages, from the headings and lists of a page.

    >>> parts_of("# Site\\n## How to\\n- [Fuse](how-to/fuse.md): mix adapters\\n")
    {'How to': ['how-to/fuse']}
    """
    sections = re.split(r"^## (.+)$", index, flags=re.MULTILINE)
    return {
        caption: pages
        for caption, text in zip(sections[1::2], sections[2::2], strict=True)
        if (pages := _PAGE.findall(text))
    }


def add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    """Give a page the hidden tables of contents that Sphinx makes its navigation of."""
    parts = parts_of(source[0]) if page == root_doc else {}
    folder = Path(app.srcdir) / page
    if folder.is_dir():
        parts[""] = [f"/{page}/{path.stem}" for path in sorted(folder.glob("*.md"))]
    for caption, pages in parts.items():
        lines = [":hidden:", *([f":caption: {caption}"] if caption else []), "", *pages]
        source[0] += "\n\n```{toctree}\n" + "\n".join(lines) + "\n```\n"


def setup(app: Sphinx) -> None:
    """Tell Sphinx of what is ours."""
    app.add_lexer("csv", TextLexer)  # Pygments has none, and no colours is right
    app.connect("source-read", add_navigation)
