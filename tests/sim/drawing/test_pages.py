"""Pages: text is escaped, HTML made by ``render`` is not, and a forgotten value is an error."""

import base64
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from sim.drawing.pages import data_url, render, render_page, render_picture


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.attributes = [], "", {}

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes[tag] = dict(attrs)

    def handle_data(self, data):
        self.text += data


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader


def test_text_is_escaped_and_parts_nest():
    part = render("<p>{{ words }}</p>", words="<script>1 & 2</script>")
    page = render_page(
        "a < b", render("<div>{{ part }}{{ text }}</div>", part=part, text="<b>"), style="p > b { x: y }"
    )
    reader = read(page)
    assert "script" not in reader.tags
    assert "b" not in reader.tags
    assert reader.tags.count("p") == 1
    assert "<script>1 & 2</script>" in reader.text
    assert "a < b" in reader.text
    assert "p > b { x: y }" in page
    assert page.startswith("<!DOCTYPE html>\n")


def test_body_that_is_mere_text_is_escaped():
    assert "&lt;p&gt;" in render_page("title", "<p>")  # type: ignore[arg-type]


def test_forgotten_value_is_an_error():
    with pytest.raises(UndefinedError, match="words"):
        render("<p>{{ words }}</p>")


def test_picture_carries_bytes_and_its_caption_cannot_break_out():
    url = data_url(b"\x89PNG", "png")
    reader = read(str(render_picture(url, 'a "b" <c>')))
    assert base64.b64decode(reader.attributes["img"]["src"].split(",")[1]) == b"\x89PNG"
    assert reader.attributes["img"]["alt"] == 'a "b" <c>'
    assert isinstance(render_picture(url, ""), Markup)
