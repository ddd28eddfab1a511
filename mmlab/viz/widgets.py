"""Interactive figures that need no kernel: the frames are drawn beforehand, and the page switches between them."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmlab.viz.markup import alt_problem, emit, img, inline_html, png
from mmlab.viz.numbering import anchor, number_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["frames"]

_DPI = 120
_COLOURS = 128
_MOST_BYTES = 8_000_000


def frames(
    knobs: Mapping[str, Sequence[Any]],
    draw: Callable[..., Figure],
    alt: Callable[..., str],
    caption: str,
    *,
    start: Mapping[str, Any] | None = None,
    label: str | None = None,
) -> None:
    """Show one figure for each setting of one or two knobs, with a slider for each knob.

    All frames are drawn when the cell runs, so that the sliders work on the published page, where no Python runs.
    Below the widget stand the caption and, folded, the description of every frame. A knob with one setting, as in a run
    with one seed, has no slider.

    Args:
        knobs: Label of each knob to its settings, for example ``{"σ": [0.1, 1.0], "steps": [5, 50]}``.
        draw: Called with one setting of each knob, in order; returns the figure.
        alt: Called with the same; returns what that frame shows, numbers included.
        caption: What to try and what to see; inline Markdown and mathematics are rendered.
        start: Settings that are shown first; by default the first of each knob.
        label: Name by which the text refers to it, as for :func:`mmlab.viz.show`.

    Raises:
        ValueError: If there are no knobs or more than two, if a knob has no setting or ``start`` names none of them,
            if an alt text says nothing, or if the frames together would weigh more than 8 MB.
    """
    if not 1 <= len(knobs) <= 2:
        raise ValueError(f"frames() takes one or two knobs, and was given {len(knobs)}.")
    if empty := [label for label, settings in knobs.items() if not len(settings)]:
        raise ValueError(f"The knob {empty[0]!r} has no settings: give it at least one.")
    if not caption.strip():
        raise ValueError("frames() needs a caption: say what to try and what to see.")
    first = [_position(label, knobs[label], (start or {}).get(label)) for label in knobs]
    images, descriptions = {}, {}
    for position in itertools.product(*(range(len(settings)) for settings in knobs.values())):
        settings = [values[i] for values, i in zip(knobs.values(), position, strict=True)]
        descriptions[position] = alt(*settings)
        if problem := alt_problem(descriptions[position]):
            raise ValueError(f"The alt text of the frame at {_name(knobs, position)} {problem}")
        picture, width = png(draw(*settings), dpi=_DPI, colours=_COLOURS)
        images[position] = img(picture, width, descriptions[position])
    if (size := sum(map(len, images.values()))) > _MOST_BYTES:
        raise ValueError(
            f"The {len(images)} frames weigh {size / 1e6:.1f} MB: draw fewer or smaller ones, "
            f"to stay below {_MOST_BYTES / 1e6:.0f} MB."
        )
    _show_widget(knobs, images, first)
    listed = "".join(
        f"<li><strong>{html.escape(_name(knobs, position))}</strong>: {html.escape(text)}</li>"
        for position, text in descriptions.items()
    )
    markup = (
        f"<noscript>{images[tuple(first)]}</noscript>"
        f'<p class="mm-caption"{anchor(label)} style="font-size: 0.9em">'
        f"<strong>Figure {number_of(caption, label)}.</strong> {inline_html(caption)}</p>"
        f"<details><summary>What each frame shows, in words</summary><ul>{listed}</ul></details>"
    )
    emit({"text/html": markup, "text/plain": caption})


def _position(label: str, settings: Sequence[Any], value: Any) -> int:
    if value is not None and value not in settings:
        raise ValueError(f"start puts the knob {label!r} at {value!r}, which is not among its settings.")
    return 0 if value is None else list(settings).index(value)


def _name(knobs: Mapping[str, Sequence[Any]], position: Sequence[int]) -> str:
    return ", ".join(f"{label} = {knobs[label][i]}" for label, i in zip(knobs, position, strict=True))


def _show_widget(knobs: Mapping[str, Sequence[Any]], images: Mapping[Any, str], first: Sequence[int]) -> None:
    """Sliders whose positions are linked, in the browser, to which frame is on top of its stack."""
    import ipywidgets
    from IPython.display import display

    sliders = [
        ipywidgets.SelectionSlider(
            options=[(str(value), i) for i, value in enumerate(settings)],
            index=at,
            description=label,
            continuous_update=True,
        )
        for (label, settings), at in zip(knobs.items(), first, strict=True)
    ]
    turned = [slider for slider in sliders if len(slider.options) > 1]
    if not hasattr(ipywidgets, "Stack"):  # ipywidgets 7, as on Colab: there a kernel is at hand to switch the frame
        shown = ipywidgets.HTML(images[tuple(first)])

        def turn(_: Any) -> None:
            shown.value = images[tuple(slider.index for slider in sliders)]

        for slider in sliders:
            slider.observe(turn, "index")
        display(ipywidgets.VBox([*turned, shown]))  # type: ignore[no-untyped-call]
        return

    def stack(prefix: tuple[int, ...]) -> Any:
        """The frame at a full position; before that, a stack over the next knob whose index follows its slider."""
        if len(prefix) == len(sliders):
            return ipywidgets.HTML(images[prefix])
        slider = sliders[len(prefix)]
        children = [stack((*prefix, i)) for i in range(len(slider.options))]
        layer = ipywidgets.Stack(children, selected_index=slider.index)
        ipywidgets.jsdlink((slider, "index"), (layer, "selected_index"))
        return layer

    display(ipywidgets.VBox([*turned, stack(())]))  # type: ignore[no-untyped-call]
