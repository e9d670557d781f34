"""QML: how QGIS writes down the style of a layer; made from plain values, as QGIS 3.22 and later read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

from db.errors import UsageError

VERSION = "3.22.0"
"""Oldest QGIS that reads what is written here."""

DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
SHAPES = ("fill", "outline", "line", "marker", "table")

_SYMBOL_TYPES = {"fill": "fill", "outline": "fill", "line": "line", "marker": "marker"}
_GEOMETRY_TYPES = {"marker": "0", "line": "1", "fill": "2", "outline": "2", "table": "4"}
_AT_AN_INSTANT, _FROM_START_TO_END = "1", "2"


@dataclass(frozen=True)
class Category:
    """One entry of a legend: features with this value, their label and colour (#rrggbb)."""

    value: str | int
    label: str
    colour: str


@dataclass(frozen=True)
class Range:
    """One entry of a legend: features from ``lower`` to ``upper``, both included; the first that fits."""

    lower: float
    upper: float
    label: str
    colour: str


@dataclass(frozen=True)
class Look:
    """What a layer looks like.

    Attributes:
        shape: one of ``SHAPES``; ``outline`` is a polygon that hides nothing.
        colour: of all features, #rrggbb, where there are no categories.
        attribute: field or expression that decides the category or range.
        categories: legend, in drawing order.
        ranges: legend of numbers, rising; instead of categories.
        opacity: of fills, 0..1.
        label_field: field written on the map.
        display_field: field that names a feature in lists.
        temporal: one field (a day) or two (first day included, last excluded); none: the layer is timeless.
        aliases: what fields are called in forms and tables.
        choices: for fields that are filled by choice, the label of each stored value.
        read_only: fields that people do not fill.

    """

    shape: str
    colour: str = "#404040"
    attribute: str | None = None
    categories: Sequence[Category] = ()
    ranges: Sequence[Range] = ()
    opacity: float = 1.0
    label_field: str | None = None
    display_field: str | None = None
    temporal: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    read_only: Sequence[str] = ()


def write_qml(look: Look) -> str:
    """The QML document of a layer, as text.

    Raises:
        UsageError: the shape is unknown.

    """
    return to_text(style_element(look))


def to_text(root: ElementTree.Element) -> str:
    """A document of QGIS (style or project) as text."""
    ElementTree.indent(root, " ")
    return DOCTYPE + ElementTree.tostring(root, encoding="unicode") + "\n"


def style_element(look: Look) -> ElementTree.Element:
    """The element ``qgis`` with a layer's style; a project holds its children within the layer.

    Raises:
        UsageError: the shape is unknown.

    """
    if look.shape not in SHAPES:
        raise UsageError(f"shape is {look.shape!r}; choose one of {', '.join(SHAPES)}")
    root = ElementTree.Element("qgis", version=VERSION, styleCategories="AllStyleCategories", readOnly="0")
    if look.temporal:
        root.append(_temporal(look.temporal))
    if look.shape != "table":
        root.append(_renderer(look))
        if look.label_field:
            root.append(_labels(look.label_field))
            root.set("labelsEnabled", "1")
    root.append(_fields(look))
    aliases = ElementTree.SubElement(root, "aliases")
    for index, (name, alias) in enumerate(look.aliases.items()):
        ElementTree.SubElement(aliases, "alias", field=name, name=alias, index=str(index))
    editable = ElementTree.SubElement(root, "editable")
    for name in look.aliases:
        ElementTree.SubElement(editable, "field", name=name, editable="0" if name in look.read_only else "1")
    if look.display_field:
        ElementTree.SubElement(root, "previewExpression").text = f'"{look.display_field}"'
    ElementTree.SubElement(root, "layerGeometryType").text = _GEOMETRY_TYPES[look.shape]
    return root


def _temporal(fields: Sequence[str]) -> ElementTree.Element:
    start, end = (*fields, "")[:2]
    temporal = ElementTree.Element(
        "temporal",
        enabled="1",
        mode=_FROM_START_TO_END if end else _AT_AN_INSTANT,
        startField=start,
        endField=end,
        limitMode="0",  # the first day is included, the last is not
        accumulate="0",
        durationField="",
        durationUnit="min",
        fixedDuration="0",
        startExpression="",
        endExpression="",
    )
    limits = ElementTree.SubElement(temporal, "fixedRange")
    ElementTree.SubElement(limits, "start")
    ElementTree.SubElement(limits, "end")
    return temporal


def _renderer(look: Look) -> ElementTree.Element:
    if not look.attribute:
        renderer = ElementTree.Element("renderer-v2", type="singleSymbol", symbollevels="0", forceraster="0")
        ElementTree.SubElement(renderer, "symbols").append(_symbol(look, 0, look.colour))
        return renderer
    if look.ranges:
        return _graduated(look, look.attribute)
    renderer = ElementTree.Element(
        "renderer-v2", type="categorizedSymbol", attr=look.attribute, symbollevels="0", forceraster="0"
    )
    categories = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for place, category in enumerate(look.categories):
        ElementTree.SubElement(
            categories,
            "category",
            value=str(category.value),
            type="integer" if isinstance(category.value, int) else "string",
            label=category.label,
            symbol=str(place),
            render="true",
        )
        symbols.append(_symbol(look, place, category.colour))
    return renderer


def _graduated(look: Look, attribute: str) -> ElementTree.Element:
    renderer = ElementTree.Element(
        "renderer-v2",
        type="graduatedSymbol",
        attr=attribute,
        graduatedMethod="GraduatedColor",
        symbollevels="0",
        forceraster="0",
    )
    ranges = ElementTree.SubElement(renderer, "ranges")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for place, each in enumerate(look.ranges):
        ElementTree.SubElement(
            ranges,
            "range",
            lower=f"{each.lower:.6f}",
            upper=f"{each.upper:.6f}",
            label=each.label,
            symbol=str(place),
            render="true",
        )
        symbols.append(_symbol(look, place, each.colour))
    return renderer


def _symbol(look: Look, place: int, colour: str) -> ElementTree.Element:
    rgb = ",".join(str(int(colour[first : first + 2], 16)) for first in (1, 3, 5))
    solid, none = f"{rgb},255", f"{rgb},0"
    values: dict[str, str]
    match look.shape:
        case "fill":
            kind = "SimpleFill"
            fill = f"{rgb},{round(255 * look.opacity)}"
            # Polygons of land cover share their edges: an outline would hide the small ones.
            values = {"color": fill, "style": "solid", "outline_style": "no"}
        case "outline":
            kind = "SimpleFill"
            values = {"color": none, "style": "no", "outline_color": solid, "outline_style": "solid"}
            values |= {"outline_width": "0.5", "outline_width_unit": "MM"}
        case "line":
            kind = "SimpleLine"
            values = {"line_color": solid, "line_style": "solid", "line_width": "0.5"}
            values |= {"line_width_unit": "MM"}
        case _:
            kind = "SimpleMarker"
            values = {"name": "circle", "color": solid, "size": "2.4", "size_unit": "MM"}
            values |= {"outline_color": "255,255,255,255", "outline_style": "solid", "outline_width": "0.2"}
    symbol = ElementTree.Element(
        "symbol",
        name=str(place),
        type=_SYMBOL_TYPES[look.shape],
        alpha="1",
        clip_to_extent="1",
        force_rhr="0",
    )
    layer = ElementTree.SubElement(symbol, "layer", {"class": kind}, enabled="1", locked="0", **{"pass": "0"})
    _options(layer, values)
    for key, value in values.items():  # QGIS before 3.24 reads these
        ElementTree.SubElement(layer, "prop", k=key, v=value)
    return symbol


def _options(parent: ElementTree.Element, values: Mapping[str, str]) -> None:
    options = ElementTree.SubElement(parent, "Option", type="Map")
    for key, value in values.items():
        ElementTree.SubElement(options, "Option", type="QString", name=key, value=value)


def _labels(name: str) -> ElementTree.Element:
    labeling = ElementTree.Element("labeling", type="simple")
    settings = ElementTree.SubElement(labeling, "settings", calloutType="simple")
    style = ElementTree.SubElement(
        settings,
        "text-style",
        fieldName=name,
        isExpression="0",
        fontFamily="Sans Serif",
        fontSize="9",
        fontSizeUnit="Point",
        fontWeight="50",
        textColor="30,30,30,255",
        textOpacity="1",
    )
    ElementTree.SubElement(
        style,
        "text-buffer",
        bufferDraw="1",
        bufferSize="0.8",
        bufferSizeUnits="MM",
        bufferColor="255,255,255,255",
        bufferOpacity="1",
    )
    ElementTree.SubElement(settings, "placement", placement="1", quadOffset="4", dist="0", priority="5")
    ElementTree.SubElement(settings, "rendering", drawLabels="1", scaleVisibility="0", obstacle="1")
    return labeling


def _fields(look: Look) -> ElementTree.Element:
    configuration = ElementTree.Element("fieldConfiguration")
    for name in look.aliases:
        entry = ElementTree.SubElement(configuration, "field", name=name, configurationFlags="None")
        choices = look.choices.get(name)
        widget = ElementTree.SubElement(entry, "editWidget", type="ValueMap" if choices else "")
        config = ElementTree.SubElement(widget, "config")
        options = ElementTree.SubElement(config, "Option", type="Map")
        if choices:
            entries = ElementTree.SubElement(options, "Option", type="List", name="map")
            for value, label in choices.items():
                _options(entries, {label: value})
    return configuration
