"""What a browser gets at the documents where a key is wanted."""

import re

import pytest

from tests.serving.browsers import Site

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    with site.client:
        yield site


def test_a_browser_without_a_key_gets_a_form(site):
    answer = site.ask("GET", "/docs", headers=dict(HTML))
    assert (answer.status_code, answer.headers["content-type"][:9]) == (401, "text/html")
    assert "'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not re.search(r"<script>|<style|style=|onsubmit|https?:", answer.text)
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text)
    assert len(files) == 3
    for file in files:
        assert site.ask("GET", file).status_code == 200
    token, _, _ = site.log_in()
    answer = site.ask("GET", "/docs", token=token, headers=dict(HTML))
    assert answer.status_code == 200
    assert "swagger" in answer.text


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/docs", {"Accept": "application/json"}),
        ("GET", "/docs", {"Accept": "*/*"}),
        ("GET", "/docs/openapi.json", HTML),
        ("GET", "/models", HTML),
        ("POST", "/docs", HTML),
    ],
)
def test_all_others_get_a_refusal_that_programs_read(site, method, path, headers):
    answer = site.ask(method, path, headers=dict(headers))
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
