"""Saved pages are complete, inert and written in one step."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from synthetic import HOSTILE, long_acts, make_acts, report, unicorn_acts

from saewidgets.widgets import TokenHeatmap, TrustPanel, badge_of
from saewidgets.widgets.shared import static_page
from saewidgets.widgets.shared.buffers import unpack


class Elements(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.scripts = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data


def saved(widget, tmp_path, **options):
    path = tmp_path / "page.html"
    widget.save_html(path, **options)
    return path.read_bytes().decode("utf-8")


def blob_of(page):
    return unpack(base64.b64decode(json.loads(Elements(page).scripts[0])["blob"]))


@pytest.mark.parametrize("acts", [make_acts(tokens=HOSTILE), unicorn_acts(), make_acts(tokens=[], bos=False)])
def test_hostile_tokens_stay_data(tmp_path, acts):
    page = saved(TokenHeatmap(acts), tmp_path, title="</title><script>hacked</script>\x00\u202e\ud83d")
    elements = Elements(page)
    assert elements.tags.count("script") == 2
    assert "img" not in elements.tags
    assert "\x00" not in page
    assert blob_of(page)[0]["tokens"] == list(acts.str_tokens)


def test_the_page_can_load_nothing(tmp_path):
    page = saved(TokenHeatmap(make_acts()), tmp_path)
    elements = Elements(page)
    assert not {"link", "iframe", "object", "base"} & set(elements.tags)
    assert not {"src", "href", "srcdoc"} & {name for name, _ in elements.attributes}
    policy = next(value or "" for name, value in elements.attributes if name == "content")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    # The one script that runs is the one the policy names.
    digest = base64.b64encode(hashlib.sha256(elements.scripts[1].encode()).digest()).decode()
    assert digest in policy
    style = re.search("<style>(.*?)</style>", page, re.S)
    assert style is not None
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in policy


def test_a_long_text_is_saved_whole_and_not_editable(tmp_path):
    widget = TokenHeatmap(long_acts(6_000), compute=lambda text, stop: make_acts(text), feature=19)
    page = saved(widget, tmp_path)
    meta, arrays = blob_of(page)
    assert meta["whole"]
    assert len(arrays["values"]) == 72_000
    state = json.loads(Elements(page).scripts[0])["state"]
    assert state["_editable"] is False
    assert state["feature"] == 19


def test_the_footer_says_where_the_numbers_come_from(tmp_path):
    page = saved(TokenHeatmap(make_acts()), tmp_path)
    footer = re.search("<footer>(.*?)</footer>", page)
    assert footer is not None
    for part in ("SmolLM2-135M-Instruct", "blocks.15.hook_resid_post", "demo-sae-1k", "SAE 5ae0"):
        assert part in footer[1]


def test_a_page_does_not_wait_for_a_check(tmp_path):
    page = saved(TokenHeatmap(make_acts(), badge=badge_of(None)), tmp_path)
    assert json.loads(Elements(page).scripts[0])["state"]["badge"]["status"] == "unchecked"
    page = saved(TrustPanel(report("red")), tmp_path)
    assert json.loads(Elements(page).scripts[0])["state"]["badge"]["status"] == "red"


def test_a_failed_write_leaves_the_old_page_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("old")

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(static_page.os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        TokenHeatmap(make_acts()).save_html(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_the_default_title_names_what_is_shown(tmp_path):
    page = saved(TokenHeatmap(make_acts(), feature=11), tmp_path)
    assert "<title>Feature 11 · The Golden Gate Bridge" in page
    assert "<title>mine</title>" in saved(TokenHeatmap(make_acts()), tmp_path, title="mine")
