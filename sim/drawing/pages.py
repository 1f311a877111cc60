"""HTML pages that need no other file: one skeleton, Jinja2 templates that escape every value.

A value is text and is escaped, unless it is ``Markup``, which is HTML already. ``render`` returns ``Markup``, so
that parts nest.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title><style>{{ style }}</style></head>
<body>{{ body }}</body></html>
"""
_PICTURE = """<figure><img src="{{ source }}" alt="{{ caption }}"><figcaption>{{ caption }}</figcaption></figure>"""

_environment = Environment(
    autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
)


@lru_cache(maxsize=64)
def _template(source: str) -> Template:
    return _environment.from_string(source)


def render(template: str, **values: Any) -> Markup:
    """Returns a part of a page.

    Args:
        template: The source of a Jinja2 template.
        values: Values of its variables; text is escaped, ``Markup`` is not. A variable without a value is an error.
    """
    return Markup(_template(template).render(**values))


def render_page(title: str, body: Markup, *, style: str = "") -> str:
    """Returns a whole page.

    Args:
        title: Title of the page, text.
        body: Content of the page's body.
        style: Style sheet of the page; it goes into the page as it is.
    """
    return str(render(_PAGE, title=title, body=body, style=Markup(style)))


def render_picture(source: str, caption: str) -> Markup:
    """Returns a picture with its caption; ``source`` is an address or a ``data_url``."""
    return render(_PICTURE, source=source, caption=caption)


def data_url(content: bytes, kind: str = "png") -> str:
    """Returns a picture file's bytes as an address that carries them; ``kind`` is "png" or "jpeg"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
