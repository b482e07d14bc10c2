"""How a picture is shown: by whatever a notebook is opened with, and as SVG."""

from __future__ import annotations

from typing import Any

import altair as alt

__all__ = ["WIDTH", "Picture"]

WIDTH = 720
"""Pixels of a picture that stands in no page."""
_LIVE = "application/vnd.vegalite.v5+json"
_DARK_ON_WHITE: dict[str, Any] = {
    "axis": {
        "labelColor": "#222",
        "titleColor": "#444",
        "gridColor": "#ddd",
        "domainColor": "#888",
        "tickColor": "#888",
    },
    "legend": {"labelColor": "#222", "titleColor": "#444"},
    "style": {"guide-label": {"fill": "#222"}, "guide-title": {"fill": "#444"}},
}


class Picture:
    """One picture; `chart` is altair's.

    In a notebook it is there twice, and needs no network: for JupyterLab, which has Vega of its own, as a picture that
    tells more where it is pointed at; for pages and whatever else as SVG.
    """

    def __init__(self, chart: Any) -> None:
        self.chart: alt.TopLevelMixin = chart

    def to_dict(self) -> dict[str, Any]:
        """The Vega-Lite specification, as wide as what holds it."""
        spec: dict[str, Any] = self.chart.to_dict()
        return spec

    def to_svg(self, width: int = WIDTH) -> str:
        """As SVG on white, `width` pixels wide."""
        import vl_convert  # noqa: PLC0415 - heavy

        svg: str = vl_convert.vegalite_to_svg(self._on_white(width))
        return svg

    def _on_white(self, width: int) -> dict[str, Any]:
        spec: dict[str, Any] = _wide(self.to_dict(), width)
        # room at the sides: here text is measured with another font than it is drawn with
        spec["config"] = {**spec.get("config", {}), "background": "white", "autosize": "pad", "padding": 14}
        return spec

    def _repr_mimebundle_(self, **_more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        live = self._on_white(WIDTH)
        # JupyterLab 4 has Vega-Lite 5, in which all of this means the same; its dark theme is for dark pages only
        live["$schema"] = "https://vega.github.io/schema/vega-lite/v5.json"
        live["config"] |= {k: {**live["config"].get(k, {}), **v} for k, v in _DARK_ON_WHITE.items()}
        # no menu: one of its entries would send the picture to a web site
        return {_LIVE: live, "image/svg+xml": self.to_svg()}, {_LIVE: {"embed_options": {"actions": False}}}


def _wide(spec: Any, width: int) -> Any:
    """The specification with a width of its own: outside a page there is no container."""
    if isinstance(spec, dict):
        return {k: width if (k, v) == ("width", "container") else _wide(v, width) for k, v in spec.items()}
    return [_wide(v, width) for v in spec] if isinstance(spec, list) else spec
