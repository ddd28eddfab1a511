"""What mmlab.viz hands to IPython: HTML with words in it, Markdown, and numbers for the receipt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import matplotlib as mpl
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt

from mmlab.compare.budget import Budgets, Spent
from mmlab.viz import display, frames, markup, record, say, show, table, table_over_seeds

mpl.use("Agg")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """The bundles that were displayed."""
    bundles: list[dict[str, str]] = []
    monkeypatch.setattr(display, "emit", bundles.append)
    monkeypatch.setattr("mmlab.viz.widgets.emit", bundles.append)
    yield bundles
    plt.close("all")


def line(values=(0, 1)):
    figure, axes = plt.subplots(figsize=(4, 3))
    axes.plot(values)
    return figure


def test_a_figure_comes_with_alt_caption_and_is_closed(shown):
    figure = line()
    show(figure, alt='The loss falls from 3 to 1 & stays, "flat".', caption=r"Loss, $\sigma = 0.5$ and **bold** < 2")
    html, text = shown[0]["text/html"], shown[0]["text/plain"]
    assert text == 'The loss falls from 3 to 1 & stays, "flat".'
    assert 'alt="The loss falls from 3 to 1 &amp; stays, &quot;flat&quot;."' in html
    assert r'<span class="math notranslate nohighlight">\(\sigma = 0.5\)</span>' in html
    assert "<strong>bold</strong> &lt; 2</figcaption></figure>" in html
    assert 'src="data:image/png;base64,' in html
    assert not plt.fignum_exists(figure.number)
    width = int(re.search(r"width: (\d+)px", html)[1])
    assert 300 < width <= 400  # four inches at 96 pixels each, less what tight borders cut off
    assert "max-width: 100%" in html


def test_equal_figures_are_equal_bytes():
    assert markup.png(line()) == markup.png(line())


@pytest.mark.parametrize(
    "alt", ["", "  ", "figure.png", "out/loss.PNG", "<Figure size 640x480 with 1 Axes>", "Figure 1", "plot"]
)
def test_alt_text_that_says_nothing_is_refused(shown, alt):
    figure = line()
    with pytest.raises(ValueError, match="alt text of the figure captioned 'Loss'"):
        show(figure, alt=alt, caption="Loss")
    assert not shown


def test_a_figure_without_caption_is_refused(shown):
    with pytest.raises(ValueError, match="has no caption"):
        show(line(), alt="A line that rises.", caption=" ")


def test_say_keeps_markdown(shown):
    say(r"It needs **3** calls, $\beta = 2$.")
    assert shown == [dict.fromkeys(("text/markdown", "text/plain"), r"It needs **3** calls, $\beta = 2$.")]
    with pytest.raises(ValueError, match="empty"):
        say("")


def test_inline_marks_and_their_escapes():
    assert markup.inline_html(r"\$5 and `a<b` and *x*") == "$5 and <code>a&lt;b</code> and <em>x</em>"
    assert markup.inline_html("2 * 3 * 4") == "2 * 3 * 4"
    assert markup.inline_html("$a < b$") == r'<span class="math notranslate nohighlight">\(a &lt; b\)</span>'


@pytest.fixture
def results():
    rows = ["identity", "bridge", "ceiling"]
    return pd.DataFrame({"RMSE": [0.112, 0.0946, 0.056], "r": [-0.5, 0.93, None], "calls": [0, 12345, 0]}, index=rows)


def cells(html):
    body = html[html.index("<tbody>") :]
    return [re.sub(r"</?td>", "", cell) for cell in re.findall(r"<td>.*?</td>", body)]


def test_a_table_is_accessible_and_marks_the_best(shown, results):
    table(results, "Test set, $N = 3$", best={"RMSE": "lower", "r": "higher"}, reference=["ceiling"], digits={"r": 2})
    html = shown[0]["text/html"]
    assert '<caption style="text-align: left; caption-side: top">Test set, <span class="math' in html
    assert 'aria-label="Test set, N = 3"' in html
    assert html.count('scope="col"') == 3
    assert html.count('scope="row"') == 3
    assert '<abbr title="lower is better"' in html
    assert cells(html) == [
        *("0.112", "−0.50", "0"),
        *("<strong>0.095</strong>", "<strong>0.93</strong>", "12\u202f345"),
        *("<em>0.056</em>", "<em>–</em>", "<em>0</em>"),
    ]


def test_rows_that_tie_as_printed_are_both_best(shown):
    frame = pd.DataFrame({"RMSE": [0.09461, 0.09464, 0.2]}, index=["a", "b", "c"])
    table(frame, "Ties", best={"RMSE": "lower"})
    assert cells(shown[0]["text/html"]) == ["<strong>0.095</strong>", "<strong>0.095</strong>", "0.200"]


def test_spread_stands_beside_the_value(shown):
    frame = pd.DataFrame({"RMSE": [0.1, 0.2]}, index=["a", "b"])
    table(frame, "Mean ± deviation", spread=frame / 10, best={"RMSE": "lower"}, digits=2)
    assert cells(shown[0]["text/html"]) == ["<strong>0.10 ± 0.01</strong>", "0.20 ± 0.02"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"caption": " "}, "needs a caption"),
        ({"best": {"rmse": "lower"}}, "best names 'rmse'"),
        ({"best": {"RMSE": "smaller"}}, "not 'smaller'"),
        ({"reference": ["roof"]}, "reference names 'roof'"),
        ({"spread": pd.DataFrame({"RMSE": [1.0]})}, "spread is"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(shown, results, arguments, message):
    with pytest.raises(ValueError, match=message):
        table(results, **{"caption": "Results", **arguments})
    assert not shown


def test_metrics_go_to_the_receipt_file(tmp_path, monkeypatch):
    record(ignored=1)  # no runner listens
    path = tmp_path / "metrics.jsonl"
    monkeypatch.setenv("MMLAB_METRICS", str(path))
    record(rmse=torch.tensor(0.5), folds=[torch.tensor(1), 2.0], note="three seeds")
    record(spread={"bridge": 0.1})
    found = [json.loads(text) for text in path.read_text().splitlines()]
    assert found == [{"rmse": 0.5, "folds": [1, 2.0], "note": "three seeds"}, {"spread": {"bridge": 0.1}}]
    with pytest.raises(ValueError, match="'rmse' was recorded before"):
        record(rmse=0.4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {"a": torch.tensor(float("nan"))}])
def test_what_is_no_result_is_not_recorded(value):
    with pytest.raises(ValueError, match="'rmse'"):
        record(rmse=value)


def describe(sigma, steps=1):
    return f"A line at sigma {sigma} after {steps} steps."


def test_two_knobs_are_two_layers_of_frames(shown, monkeypatch):
    from ipywidgets import Widget

    displayed = []
    monkeypatch.setattr("IPython.display.display", displayed.append)
    before = set(Widget.get_manager_state()["state"])
    frames(
        {"σ": [0.1, 1.0], "steps": [5, 50, 500]},
        draw=lambda sigma, steps: line((sigma, steps)),
        alt=describe,
        caption=r"Turn $\sigma$.",
        start={"steps": 50},
    )
    state = {key: entry for key, entry in Widget.get_manager_state()["state"].items() if key not in before}
    kinds = [entry["model_name"] for entry in state.values()]
    assert kinds.count("SelectionSliderModel") == 2
    assert kinds.count("StackModel") == 3  # one over σ, and for each σ one over steps
    assert kinds.count("HTMLModel") == 6
    links = [entry["state"] for entry in state.values() if entry["model_name"] == "DirectionalLinkModel"]
    assert [(link["source"][1], link["target"][1]) for link in links] == [("index", "selected_index")] * 3
    outer = displayed[0].children[-1]
    assert outer.selected_index == 0
    shown_first = outer.children[0].children[outer.children[0].selected_index].value
    assert f'alt="{describe(0.1, 50)}"' in shown_first
    for i, sigma in enumerate((0.1, 1.0)):
        for j, steps in enumerate((5, 50, 500)):
            assert describe(sigma, steps) in outer.children[i].children[j].value
    words = shown[0]["text/html"]
    assert words.count("<li>") == 6
    assert f"<strong>σ = 1.0, steps = 5</strong>: {describe(1.0, 5)}" in words
    assert words.startswith("<noscript><img ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"knobs": {}}, "one or two knobs"),
        ({"knobs": {"σ": []}}, "no settings"),
        ({"start": {"σ": 3}}, "not among its settings"),
        ({"alt": lambda sigma: "plot.png"}, "alt text of the frame at σ = 1 is 'plot.png'"),
        ({"caption": ""}, "needs a caption"),
    ],
)
def test_frames_that_make_no_sense_are_refused(shown, arguments, message):
    usual = {"knobs": {"σ": [1, 2]}, "draw": lambda sigma: line(), "alt": describe, "caption": "Turn σ."}
    with pytest.raises(ValueError, match=message):
        frames(**{**usual, **arguments})
    assert not shown


def test_a_knob_with_one_setting_has_no_slider(shown, monkeypatch):
    displayed = []
    monkeypatch.setattr("IPython.display.display", displayed.append)
    frames({"seeds": [1]}, draw=lambda seeds: line(), alt=describe, caption="Turn the seeds.")
    assert [type(child).__name__ for child in displayed[0].children] == ["Stack"]
    frames({"seeds": [1], "σ": [1, 2]}, draw=lambda seeds, sigma: line(), alt=describe, caption="Turn both.")
    assert [type(child).__name__ for child in displayed[1].children] == ["SelectionSlider", "Stack"]


def test_frames_too_heavy_for_a_page_are_refused(shown, monkeypatch):
    monkeypatch.setattr("mmlab.viz.widgets._MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="MB"):
        frames({"σ": [1, 2]}, draw=lambda sigma: line(), alt=describe, caption="Turn σ.")


RUNS = pd.DataFrame(
    [
        {"method": name, "world": world, "RMSE": value}
        for name, values in {
            "ours": [0.10, 0.20, 0.30],
            "level": [0.11, 0.19, 0.31],
            "far": [0.30, 0.41, 0.50],
            "ceiling": [0.01, 0.02, 0.03],
        }.items()
        for world, value in enumerate(values)
    ]
)


def bold(markup_text):
    return re.findall(r'text-align: left">([^<]+)</th><td>(?:<em>)?<strong>', markup_text)


def test_runs_become_one_table_with_all_that_is_tied_in_bold(shown):
    table_over_seeds(RUNS, "Error.", over="world", best={"RMSE": "lower"}, reference=["ceiling"])
    (bundle,) = shown
    assert bold(bundle["text/html"]) == ["ours", "level"]
    assert "0.200 ± 0.100" in bundle["text/html"]
    assert "Error. Mean ± standard deviation over 3 worlds. In bold: the best, and all that" in bundle["text/html"]


def test_a_table_with_paired_values_marks_more_than_the_best(shown):
    mean = RUNS.groupby("method", sort=False)[["RMSE"]].mean()
    table(mean, "Error.", best={"RMSE": "lower"}, reference=["ceiling"])
    table(mean, "Error.", best={"RMSE": "lower"}, reference=["ceiling"], paired=RUNS.set_index(["method", "world"]))
    assert [bold(bundle["text/html"]) for bundle in shown] == [["ours"], ["ours", "level"]]


def test_a_single_run_is_not_in_bold(shown):
    table_over_seeds(RUNS[RUNS.world == 0], "Error.", over="world", best={"RMSE": "lower"})
    assert bold(shown[0]["text/html"]) == []
    assert "A single world. One run tells nothing apart" in shown[0]["text/html"]


def test_a_figure_with_nothing_on_it_is_refused(shown):
    with pytest.raises(ValueError, match="captioned 'Empty' has nothing on it: it has 1 colours"):
        show(plt.figure(figsize=(3, 2)), alt="There is nothing to be seen.", caption="Empty")
    assert not shown
    show(line(), alt="A line that rises.", caption="Not empty")


def test_what_the_proposal_had_more_of_is_a_column(shown):
    budgets = Budgets("ours", {"ours": Spent(steps=200, parameters=10), "level": Spent(steps=100, parameters=10)})
    table_over_seeds(RUNS, "Error.", over="world", best={"RMSE": "lower"}, budgets=budgets)
    (bundle,) = shown
    assert ">steps<" in bundle["text/html"]
    assert "parameters" not in bundle["text/html"]


def test_a_row_beyond_its_ceiling_is_refused(shown):
    frame = pd.DataFrame({"RMSE": [0.30, 0.20], "r": [0.7, 0.8]}, index=["ours", "ceiling"])
    best = {"RMSE": "lower", "r": "higher"}
    table(frame, "All is possible.", best=best, reference=["ceiling"], ceiling="ceiling")
    for column, value in (("RMSE", 0.1), ("r", 0.9)):
        wrong = frame.copy()
        wrong.loc["ours", column] = value
        with pytest.raises(ValueError, match=f"'ours' has the {column} {value}, which is .* beyond the ceiling"):
            table(wrong, "Impossible.", best=best, ceiling="ceiling")
        spread = pd.DataFrame(0.05, index=frame.index, columns=frame.columns)
        table(wrong, "Within its noise.", best=best, spread=spread, ceiling="ceiling")
    with pytest.raises(ValueError, match="ceiling names 'limit'"):
        table(frame, "Unknown.", best=best, ceiling="limit")


def test_figures_are_numbered_and_keep_their_number(monkeypatch):
    from mmlab.viz import display, numbering

    monkeypatch.setattr(numbering, "_shown", {})
    emitted = []
    monkeypatch.setattr(display, "emit", emitted.append)
    for label in ("two-paths", None, "two-paths"):
        display.show(line(), alt="A red line that rises.", caption="Where it goes.", label=label)
    one, two, again = (entry["text/html"] for entry in emitted)
    assert 'id="figure-two-paths"' in one
    assert "Figure 1.</strong> Where" in one
    assert "Figure 1.</strong> Where" in again
    assert "Figure 2.</strong> Where" in two
    assert "id=" not in two
    with pytest.raises(ValueError, match="small letters"):
        numbering.number_of("x", "Two Paths")
    assert numbering.referred("See [](#figure-two-paths).") == "See [Figure 1](#figure-two-paths)."
    with pytest.raises(ValueError, match="'three', which was not shown yet"):
        display.say("See [](#figure-three).")


@pytest.mark.parametrize("command", ["href", "class", "style", "cssId", "require", "mmlToken", "bbox"])
def test_a_formula_never_becomes_a_link_or_a_style(command):
    from mmlab.viz.markup import inline_html

    assert f"\\{command}" not in inline_html(rf"see $\{command}{{javascript:alert(1)}}{{x}}$")
    assert r"\hrefs" in inline_html(r"$\hrefs$")
    for text in (rf"see \(\{command}{{x}}\)", rf"*\[\{command}{{x}}\]*", rf"$x$ and **\(\{command}{{x}}\)**"):
        assert not re.search(r"\\[(\[]\\" + command, inline_html(text))
