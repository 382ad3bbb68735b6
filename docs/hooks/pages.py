"""What the site changes about pages: the cards of the shipped weights are put in, links out of docs/ become paths."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MARK = "<!-- model cards -->"
PAGE = "models.md"
_OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./([^)#]+)[^)]*\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page's text as the site shows it. Raises FileNotFoundError for a link to a file that is not there."""
    if page.file.src_uri == PAGE:
        markdown = _with_cards(markdown)
    return _OUTSIDE.sub(_path_of, markdown)


def _with_cards(markdown: str) -> str:
    if MARK not in markdown:
        raise ValueError(f"docs/{PAGE} has no line '{MARK}'")
    cards = sorted((*ROOT.glob("hmpfit/*/weights/*.card.toml"), *ROOT.glob("priors/weights/*.card.toml")))
    if not cards:
        raise FileNotFoundError("no model card lies beside any weights")
    by_file = {path.resolve(): path for path in cards}  # hmpfit/priors is a link to priors
    shown = [f"## {path.name.partition('.')[0]}\n\n```toml\n{path.read_text()}\n```\n" for path in by_file]
    return markdown.replace(MARK, "") + "\n" + "\n".join(shown)


def _path_of(link: re.Match[str]) -> str:
    text, path = link[1], link[2]
    if not (ROOT / path).exists():
        raise FileNotFoundError(f"a page of docs/ links to '{path}', which is not in the repository")
    return f"`{path}`" if text == path else f"{text} (`{path}`)"
