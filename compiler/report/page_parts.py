"""What the pages of reports have in common."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.resources import files


def fill(template: str, parts: Mapping[str, str]) -> str:
    """A page: the template, with the style and the script of all pages and the parts in their places."""
    common = {"PAGE STYLE": _read("page.css"), "PAGE SCRIPT": _read("page.js")}
    for name, part in {**common, **parts}.items():
        template = template.replace(f"<!--{name}-->", part)
    return template


def fact(name: str, value: str, note: str) -> str:
    """A number that stands out, with what it is and what to know of it."""
    return (
        f"<div class=fact><span>{escape(name)}</span><b>{escape(value)}</b>"
        f"<small>{escape(note)}</small></div>"
    )


def section(anchor: str, title: str, body: str) -> str:
    """A part of a page under a heading; ``body`` is HTML."""
    return f'<section id="{anchor}"><h2>{escape(title)}</h2>{body}</section>'


def key(*entries: tuple[str, str]) -> str:
    """What the marks of a drawing mean: the class of a mark, and its meaning."""
    shown = "".join(f'<span><i class="{mark}"></i>{escape(meaning)}</span>' for mark, meaning in entries)
    return f'<div class="key below">{shown}</div>'


def _read(name: str) -> str:
    return files("paddle_tvm.compiler.report").joinpath(name).read_text(encoding="utf-8")
