"""What a page is checked for, piece by piece: it loads nothing from elsewhere, misses no file, and hides no script."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmlab.publish.site import pages

GOOD = '<html><body><article><h1 id="top">A</h1><img src="a.png" alt="A line that rises."></article></body></html>'


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        ("", None),
        ("<img src='a.png' alt='A line that rises.'>", None),
        ("<img src='a.png'>", "alt text is missing"),
        ("<img src='a.png' alt=''>", "alt text is empty"),
        ("<img src='a.png' alt='_images/4f2a.png'>", "a name and no description"),
        ("<pre><span>Traceback (most recent call last)</span>:</pre>", "shows a traceback"),
        ("<script src='https://cdn.example.org/x.js'></script>", "from elsewhere"),
        ("<link rel='stylesheet' href='//example.org/x.css'>", "from elsewhere"),
        ("<link rel='canonical' href='https://example.org/a.html'>", None),
        ("<iframe src='http://example.org'></iframe>", "from elsewhere"),
        ("<a href='https://example.org'>out</a>", None),
        ("<a href='#top'>up</a>", None),
        ("<a href='#nowhere'>up</a>", "no such place"),
        ("<a href='b.html'>b</a>", "does not exist"),
        ("<a href='a.html#top'>a</a>", None),
    ],
)
def test_each_page_is_checked(tmp_path, piece, message):
    (tmp_path / "a.html").write_text(GOOD.replace("</article>", f"{piece}</article>"))
    (tmp_path / "a.png").touch()
    found = pages.problems(tmp_path, ["a"])
    assert (found == []) if message is None else (len(found) == 1 and message in found[0]), found


def test_a_page_that_names_a_folder_of_this_machine_is_refused(tmp_path):
    (tmp_path / "a.html").write_text(GOOD.replace("A</h1>", f"{tmp_path}/mmlab</h1>"))
    (tmp_path / "a.png").touch()
    assert pages.problems(tmp_path, ["a"], tmp_path) == [
        f"a.html names {tmp_path}, a folder of the machine that built it."
    ]


def test_pages_and_toc_are_compared_both_ways(tmp_path):
    (tmp_path / "a.html").write_text(GOOD)
    (tmp_path / "index.html").write_text(GOOD)
    (tmp_path / "a.png").touch()
    assert pages.problems(tmp_path, ["b"]) == [
        "b.html was not built, though _toc.yml lists b.",
        "a.html was built, though _toc.yml does not list it.",
    ]


U = "https://evil.example/x"
ALT = "alt='A line that rises.'"


@pytest.mark.parametrize(
    "piece",
    [
        f"<video src='{U}'></video>",
        f"<audio src='{U}'></audio>",
        f"<video poster='{U}'></video>",
        f"<video><source src='a.png' srcset='{U}'></video>",
        f"<track src='{U}'>",
        f"<img src='a.png' srcset='{U} 1x' {ALT}>",
        f"<img src='a.png' srcset='a.png 1x,{U} 2x' {ALT}>",
        f"<img src='a.png' srcset='a.png, {U} 2x' {ALT}>",
        f"<link rel='preload' imagesrcset='{U} 1x'>",
        f"<link rel='stylesheet alternate' href='{U}'>",
        f"<link rel='PREFETCH' href='{U}'>",
        f"<img src=' {U}' {ALT}>",
        f"<img src='\t\n{U}' {ALT}>",
        f"<img src='ht\ntps://evil.example/x' {ALT}>",
        f"<img src='\\\\evil.example/x' {ALT}>",
        f"<img src='/\\evil.example/x' {ALT}>",
        f"<img src='HTTPS://evil.example/x' {ALT}>",
        f"<img src='ftp://evil.example/x' {ALT}>",
        f"<input type='image' src='{U}'>",
        f"<body background='{U}'>",
        f"<table background='{U}'></table>",
        f"<object data='{U}'></object>",
        f"<embed src='{U}'>",
        f"<frame src='{U}'>",
        f"<iframe srcdoc='<script src={U}></script>'></iframe>",
        f"<iframe srcdoc='&lt;img src={U}&gt;'></iframe>",
        f"<meta http-equiv='refresh' content='0;url={U}'>",
        f"<meta http-equiv=' Refresh ' content='3, {U}'>",
        f"<base href='{U}'>",
        f"<svg><image href='{U}'/></svg>",
        f"<svg><image xlink:href='{U}'/></svg>",
        f"<svg><use href='{U}#a'/></svg>",
        f"<svg><rect fill='url({U}#g)'/></svg>",
        f"<svg><style>@import '{U}';</style></svg>",
        f"<svg><feImage href='{U}'/></svg>",
        f"<svg><script href='{U}'></script></svg>",
        f"<style>@import url({U});</style>",
        f'<style>@import "{U}";</style>',
        f"<style>@font-face {{ src: url('{U}') }}</style>",
        f"<style>p {{ background: image-set('{U}' 1x) }}</style>",
        f"<style>p {{ background: \\75rl({U}) }}</style>",
        f"<style>p {{ background: u/**/rl(a.png); cursor: url( {U} ), auto }}</style>",
        f"<p style='background:url({U})'>x</p>",
        f"<p style='background:url(&quot;{U}&quot;)'>x</p>",
        f"<script>import('{U}')</script>",
        f"<script type='module'>import x from '{U}'</script>",
        f"<script>fetch(`{U}`)</script>",
        f"<script>new Worker('{U}')</script>",
        "<script>new WebSocket('wss://evil.example/x')</script>",
        f"<script>image.src = '{U}'</script>",
        f"<script>navigator.sendBeacon('{U}')</script>",
        "<script src='//evil.example/x'></script>",
    ],
)
def test_a_page_that_loads_from_elsewhere_is_refused(tmp_path, piece):
    (tmp_path / "a.html").write_text(GOOD.replace("</article>", f"{piece}</article>"))
    (tmp_path / "a.png").touch()
    assert any("from elsewhere" in found for found in pages.problems(tmp_path, ["a"])), piece


@pytest.mark.parametrize(
    "piece",
    [
        f"<img src='missing.png' {ALT}>",
        f"<img src='a.png' srcset='missing.png 2x' {ALT}>",
        f"<img src='/a.png' {ALT}>",
        "<link rel='stylesheet' href='missing.css'>",
        "<link rel='icon' href='missing.ico'>",
        "<script src='missing.js?v=1'></script>",
        "<style>p { background: url(missing.png) }</style>",
        "<meta http-equiv='refresh' content='0; url=missing.html'>",
        "<iframe src='missing.html'></iframe>",
        "<video poster='missing.png'></video>",
    ],
)
def test_a_page_that_misses_a_file_is_refused(tmp_path, piece):
    (tmp_path / "a.html").write_text(GOOD.replace("</article>", f"{piece}</article>"))
    (tmp_path / "a.png").touch()
    (found,) = pages.problems(tmp_path, ["a"])
    assert "which is not there" in found


@pytest.mark.parametrize(
    "piece",
    [
        "<a href='javascript:alert(1)'>x</a>",
        "<a href=' java\nscript:alert(1)'>x</a>",
        "<a href='&#106;avascript:alert(1)'>x</a>",
        "<a href='\x01JavaScript:alert(1)'>x</a>",
        "<svg><a xlink:href='javascript:alert(1)'>x</a></svg>",
        "<form action='javascript:alert(1)'></form>",
        "<button formaction='javascript:alert(1)'>x</button>",
        "<iframe src='javascript:alert(1)'></iframe>",
        "<svg><animate attributeName='href' to='javascript:alert(1)'/></svg>",
    ],
)
def test_a_link_that_runs_a_script_is_refused(tmp_path, piece):
    (tmp_path / "a.html").write_text(GOOD.replace("</article>", f"{piece}</article>"))
    (tmp_path / "a.png").touch()
    assert any("runs a script" in found for found in pages.problems(tmp_path, ["a"])), piece


@pytest.mark.parametrize(
    "piece",
    [
        "<p>An @import url(https://example.org) in words.</p>",
        "<pre>fetch('https://example.org')</pre>",
        '<script type=\'application/json\'>{"src": "https://example.org/x"}</script>',
        "<script>const home = 'https://example.org';</script>",
        "<meta property='og:image' content='https://example.org/x.png'>",
        f"<img src='data:image/png;base64,AAAA' {ALT}>",
        f"<img src='a.png?v=1' srcset='data:image/png;base64,AAAA 1x, a.png 2x' {ALT}>",
        "<svg><use href='#top'/></svg>",
        "<a href='mailto:a@example.org'>a</a>",
        "<link rel='next' href='https://example.org'>",
        "<p style='background: url(#g)' title='url (of a page)'>x</p>",
    ],
)
def test_what_loads_nothing_is_let_through(tmp_path, piece):
    (tmp_path / "a.html").write_text(GOOD.replace("</article>", f"{piece}</article>"))
    (tmp_path / "a.png").touch()
    assert pages.problems(tmp_path, ["a"]) == []


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("x.css", "@import 'https://evil.example/x.css';", "from elsewhere"),
        ("x.css", "p { background: url(missing.png) }", "not there"),
        ("x.css", "p { background: url(\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>\") }", None),
        ("x.svg", "<svg><image href='https://evil.example/x'/></svg>", "from elsewhere"),
        ("x.svg", "<svg xmlns='http://www.w3.org/2000/svg'><rect fill='url(#g)'/></svg>", None),
    ],
)
def test_style_sheets_and_pictures_are_checked_too(tmp_path, name, text, told):
    (tmp_path / "a.html").write_text(GOOD)
    (tmp_path / "a.png").touch()
    (tmp_path / name).write_text(text)
    found = pages.problems(tmp_path, ["a"])
    assert (found == []) if told is None else (len(found) == 1 and told in found[0]), found


@pytest.mark.parametrize(
    ("root", "text"),
    [
        ("/mmlab", "See https://github.com/mmlab-book/mmlab for it."),
        ("/book", "in the folder notebooks/book/intro"),
        ("/data", "MMLAB_DATA or out/data, and docker run -v /data:/data"),
        ("/src", "the folder /src, as in most repositories"),
        ("/notebooks", "open /notebooks/."),
        ("/method", "a sub/method/of it"),
        ("/home/user/book", "the path /home/user/bookshelf, or x/home/user/book"),
    ],
)
def test_a_word_that_looks_like_the_folder_is_no_folder(tmp_path, root, text):
    (tmp_path / "a.html").write_text(GOOD.replace("A</h1>", f"A</h1><p>{text}</p>"))
    (tmp_path / "a.png").touch()
    assert pages.problems(tmp_path, ["a"], Path(root)) == []


def test_a_file_in_a_folder_below_the_root_is_noticed(tmp_path):
    (tmp_path / "a.html").write_text(GOOD.replace("A</h1>", "A</h1><p>It is in /etc/passwd: look.</p>"))
    (tmp_path / "a.png").touch()
    assert pages.problems(tmp_path, ["a"], Path("/etc")) == [
        "a.html names /etc, a folder of the machine that built it."
    ]
