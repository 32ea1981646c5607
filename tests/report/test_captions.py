"""Texts of a figure that come from the user are text in the page."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from traitscope.plots.style import inline_svg

SVG = '<?xml version="1.0"?>\n<svg width="10pt" height="20pt" viewBox="0 0 10 20" xmlns="http://www.w3.org/2000/svg"><g/></svg>'


@pytest.mark.parametrize("label", ['a "quoted" <b>bold</b> & co', "</svg><script>x</script>", "&lt;", "plain"])
def test_a_label_is_an_attribute_and_never_markup(label: str) -> None:
    element = ElementTree.fromstring(inline_svg(SVG, label))
    assert element.get("aria-label") == label
    assert [child.tag.rsplit("}", 1)[-1] for child in element] == ["g"]
    assert element.get("width") is None and element.get("height") is None
