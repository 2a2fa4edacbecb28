"""The page is one file that loads nothing, runs nothing, and is the same at every time."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import matplotlib

from fgic_core.data.artifact import Metric
from fgic_core.report import write_report
from fgic_core.report.pictures import Album

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
LOADING = {"src", "href", "xlink:href", "srcset", "poster", "data", "action", "background"}


class Elements(HTMLParser):
    """Every element of a page, and what it links or loads."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.without_alt: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        values = dict(attrs)
        self.loaded += [value or "" for name, value in attrs if name in LOADING]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.ids += [values["id"] or ""] if "id" in values else []
        if tag == "img" and not values.get("alt"):
            self.without_alt.append(str(values.get("src"))[:40])


def parse(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    return elements


def test_the_page_loads_nothing_from_outside(fake_run: Callable[..., Any]) -> None:
    folder = fake_run().all_steps()
    page = write_report(folder).read_text(encoding="utf-8")
    assert POLICY in page
    assert all(value.startswith(("data:", "#")) for value in parse(page).loaded)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style
    assert "url(" not in style.group(1)
    assert "@import" not in style.group(1)
    assert "file:" not in page


def test_names_from_outside_are_escaped(fake_run: Callable[..., Any]) -> None:
    evil = "<img src=x onerror=alert(1)>"
    run = fake_run(classes=("<script>alert(1)</script>", evil, '"><b onclick=x>', "{{ 7 * 7 }}"))
    run.dataset()
    run.cropper(source="birds")
    run.model(right=0.2)
    run.add(
        "<i>step</i>",
        "classifier/<u>x</u>",
        {},
        "robustness",
        [Metric(name=evil, value=1.0, note=evil, at={"whose": evil, evil: 1.0})],
        options={evil: evil},
    )
    page = write_report(run.write()).read_text(encoding="utf-8")
    elements = parse(page)
    assert not {"script", "i", "u", "iframe", "object"} & set(elements.names)
    assert not elements.handlers
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page


def test_every_picture_has_words_and_every_id_is_unique(fake_run: Callable[..., Any]) -> None:
    elements = parse(write_report(fake_run().all_steps()).read_text(encoding="utf-8"))
    assert not elements.without_alt
    assert len(elements.ids) == len(set(elements.ids))


def test_links_within_the_page_lead_somewhere(fake_run: Callable[..., Any]) -> None:
    elements = parse(write_report(fake_run().all_steps()).read_text(encoding="utf-8"))
    inner = {value[1:] for value in elements.loaded if value.startswith("#")}
    assert inner <= set(elements.ids)


def test_the_same_run_gives_the_same_bytes_whatever_the_user_s_style(fake_run: Callable[..., Any]) -> None:
    folder = fake_run().all_steps()
    first = write_report(folder).read_bytes()
    figures = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        assert write_report(folder).read_bytes() == first
    assert {path.name: path.read_bytes() for path in (folder / "figures").iterdir()} == figures
    assert not list(folder.glob("*.new"))


def test_a_class_name_is_never_read_as_a_formula(fake_run: Callable[..., Any]) -> None:
    folder = fake_run(classes=("$x^2$", r"\frac", "$$", "日本 & <x>")).all_steps()
    write_report(folder)
    chart = (folder / "figures" / "01-birds-counts.svg").read_text(encoding="utf-8")
    texts = [element.text for element in ElementTree.fromstring(chart).iter("{http://www.w3.org/2000/svg}text")]
    assert {"$x^2$", r"\frac", "$$", "日本 & <x>"} <= set(texts)


def test_charts_are_sound_svg_without_dates(fake_run: Callable[..., Any]) -> None:
    folder = fake_run().all_steps()
    page = write_report(folder).read_text(encoding="utf-8")
    charts = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page)
    assert len(charts) == len(list((folder / "figures").iterdir()))
    for chart in charts:
        text = base64.b64decode(chart).decode()
        ElementTree.fromstring(text)
        assert "dc:date" not in text


def test_a_full_album_says_that_it_is_full() -> None:
    from PIL import Image

    album = Album(budget=10)
    first, second = (album.add(lambda: Image.new("RGB", (40, 30)), "a picture") for _ in range(2))
    assert first.src.startswith("data:image/webp;base64,")
    assert not second.src
    assert "left out" in second.problem
