"""Charts as SVG: pure functions from numbers to markup. Colours are classes of the style sheet, and each has its own
marker; every chart also states its numbers as text, for screen readers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite, log10
from typing import NamedTuple

from transfer_cli.analysis.statistics import Interval
from transfer_cli.report.page.markup import Html, joined, tag

WIDTH, HEIGHT = 400, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 42
STYLES = 6  # the number of colours and markers
LINE = 34  # the height of a line of `forest`
DENSE = 12  # the approximate number of markers on a curve
SHAPES: tuple[Callable[[float, float, float], str], ...] = (
    lambda x, y, r: f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z",
    lambda x, y, r: f"M{x - r:.1f} {y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}z",
    lambda x, y, r: f"M{x:.1f} {y - r * 1.2:.1f}l{r * 1.2:.1f} {2.1 * r:.1f}h{-2.4 * r:.1f}z",
    lambda x, y, r: (
        f"M{x:.1f} {y - r * 1.4:.1f}l{r * 1.4:.1f} {r * 1.4:.1f}l{-r * 1.4:.1f} {r * 1.4:.1f}"
        f"l{-r * 1.4:.1f} {-r * 1.4:.1f}z"
    ),
    lambda x, y, r: f"M{x:.1f} {y + r * 1.2:.1f}l{r * 1.2:.1f} {-2.1 * r:.1f}h{-2.4 * r:.1f}z",
    lambda x, y, r: (
        f"M{x - r:.1f} {y - r / 3:.1f}h{r * 2 / 3:.1f}v{-r * 2 / 3:.1f}h{r * 2 / 3:.1f}v{r * 2 / 3:.1f}"
        f"h{r * 2 / 3:.1f}v{r * 2 / 3:.1f}h{-r * 2 / 3:.1f}v{r * 2 / 3:.1f}h{-r * 2 / 3:.1f}v{-r * 2 / 3:.1f}"
        f"h{-r * 2 / 3:.1f}z"
    ),
)  # circle, square, triangle, diamond, triangle down, cross


class Point(NamedTuple):
    x: float
    y: Interval


@dataclass(frozen=True)
class Curve:
    """A curve: points from left to right; `style`: the number of its colour and marker."""

    name: str
    style: int
    points: Sequence[Point]


@dataclass(frozen=True)
class Bar:
    """A line of a forest plot: the mean with its interval, and the single values."""

    name: str
    style: int
    interval: Interval
    values: Sequence[float]


@dataclass(frozen=True)
class Axis:
    """An axis: it maps data to pixels, linearly or logarithmically."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value; values outside of the axis are placed at its edge."""
        if self.log:
            share = log10(max(value, self.low) / self.low) / log10(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """About five round numbers, or the powers of ten on a logarithmic axis.

        >>> Axis(0, 1, 0, 100).ticks()
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]"""
        if self.log:
            powers = range(ceil(log10(self.low) - 1e-9), floor(log10(self.high) + 1e-9) + 1)
            return [10.0**power for power in powers]
        rough = (self.high - self.low) / 5
        size = 10.0 ** floor(log10(rough))
        step = next(size * nice for nice in (1, 2, 5, 10) if size * nice >= rough * 0.999)
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


def spanned(values: Sequence[float], start: float, end: float, *, within: tuple[float, float] = (-inf, inf)) -> Axis:
    """An axis that contains all finite values with a small margin and stays `within` bounds."""
    finite = [value for value in values if isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = max(low - room, within[0]), min(high + room, within[1])
    return Axis(low, high if high > low else low + 1, start, end)


def marker(style: int, x: float, y: float, r: float = 4, about: str = "") -> Html:
    """The marker of a group; `about` is its tooltip."""
    return tag("path", tag("title", about) if about else None, d=SHAPES[style % STYLES](x, y, r), class_="mark")


def legend(names: Sequence[tuple[str, int]]) -> Html:
    """The legend: names with their markers."""
    keys = [tag("svg", marker(style, 8, 8, 5), viewBox="0 0 16 16", aria_hidden="true") for _, style in names]
    pairs = zip(names, keys, strict=True)
    items = [tag("li", tag("span", key, class_=f"s{style % STYLES}"), name) for (name, style), key in pairs]
    return tag("ul", *items, class_="legend")


def lines(curves: Sequence[Curve], x_name: str, y_name: str, *, within: tuple[float, float] = (-inf, inf)) -> Html:
    """Curves with their 95 % bands. The axis contains all means; bands may be cut off at its edge."""
    points = [point for curve in curves for point in curve.points]
    ends = [end for point in points for end in (point.y.lo, point.y.hi) if within[0] <= end <= within[1]]
    across = spanned([point.x for point in points], LEFT, WIDTH - RIGHT, within=(0, inf))
    up = spanned([*(point.y.value for point in points), *ends], HEIGHT - BOTTOM, TOP, within=within)
    about = [f"{c.name}: {_number(c.points[0].y.value)} to {_number(c.points[-1].y.value)}" for c in curves if c.points]
    drawn = [tag("g", *_curve(curve, across, up), class_=f"s{curve.style % STYLES}") for curve in curves]
    return _svg(HEIGHT, [_frame(across, up, x_name, y_name), *drawn], f"{y_name} over {x_name}. {'; '.join(about)}")


def _curve(curve: Curve, across: Axis, up: Axis) -> Iterator[Html]:
    with_interval = [point for point in curve.points if isfinite(point.y.half)]
    if len(with_interval) > 1:
        edge = [(p.x, p.y.hi) for p in with_interval] + [(p.x, p.y.lo) for p in reversed(with_interval)]
        yield tag("polygon", points=" ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in edge), class_="band")
    yield tag(
        "polyline", points=" ".join(f"{across(p.x):.1f},{up(p.y.value):.1f}" for p in curve.points), class_="line"
    )
    every = max(1, len(curve.points) // DENSE)
    for point in curve.points[::every]:
        yield marker(curve.style, across(point.x), up(point.y.value), 3)


def forest(bars: Sequence[Bar], x_name: str, base: float | None = None) -> Html:
    """A forest plot with one line for each group: its name, its mean with interval, and one dot for each value. `base`:
    the mean of the baseline, a dashed line."""
    height = LINE * len(bars) + BOTTOM + TOP
    extent = [end for bar in bars for end in (*bar.values, bar.interval.lo, bar.interval.hi)]
    across = spanned([*extent, *([] if base is None else [base])], 14, WIDTH - RIGHT)
    drawn = [_vertical(across(base), height, "base")] if base is not None else []
    drawn += [tag("g", *_bar(bar, at, across), class_=f"s{bar.style % STYLES}") for at, bar in enumerate(bars)]
    about = "; ".join(f"{bar.name} {_value_text(bar.interval)}" for bar in bars)
    grid = [_vertical(across(tick), height, "grid") for tick in across.ticks()]
    return _svg(height, [*grid, *_below(across, height, x_name), *drawn], f"{x_name}: {about}")


def _bar(bar: Bar, at: int, across: Axis) -> Iterator[Html]:
    y = TOP + LINE * at + 24
    yield tag("text", _short(bar.name, 48), tag("title", bar.name), x=14, y=y - 11, class_="label")
    if isfinite(bar.interval.half):
        yield tag("path", d=f"M{across(bar.interval.lo):.1f} {y}H{across(bar.interval.hi):.1f}", class_="line")
    for value in bar.values:
        yield tag("circle", cx=f"{across(value):.1f}", cy=y + 6, r=1.8, class_="dot")
    yield marker(bar.style, across(bar.interval.value), y, 5, f"{bar.name} {_value_text(bar.interval)}")


def scatter(
    points: Sequence[tuple[float, float, int, str]],
    x_name: str,
    y_name: str,
    *,
    about: str,
    log: bool = False,
    steps: Sequence[tuple[float, float]] = (),
) -> Html:
    """Points (x, y, style, name), with a step line `steps` behind them. `about`: a description for screen readers."""
    xs = [x for x, *_ in points]
    across = spanned(xs, LEFT, WIDTH - RIGHT, within=(0, inf) if steps else (-inf, inf))
    if log:
        across = Axis(10 ** floor(log10(min(xs))), 10 ** ceil(log10(max(xs)) + 1e-9), LEFT, WIDTH - RIGHT, log=True)
    up = spanned([y for _, y, *_ in points], HEIGHT - BOTTOM, TOP)
    stairs = "".join(
        f"{'H' if at else 'M'}{across(x):.1f}" + (f"V{up(y):.1f}" if at else f" {up(y):.1f}")
        for at, (x, y) in enumerate(steps)
    )
    drawn = [tag("path", d=stairs, class_="base")] if len(steps) > 1 else []
    drawn += [
        tag("g", marker(style, across(x), up(y), 5, name), class_=f"s{style % STYLES}") for x, y, style, name in points
    ]
    return _svg(HEIGHT, [_frame(across, up, x_name, y_name), *drawn], about)


def crowd(points: Mapping[int, Sequence[tuple[float, float]]], x_name: str, y_name: str, about: str) -> Html:
    """Many small points without names, by style. `about`: a description for screen readers."""
    all_points = [point for few in points.values() for point in few]
    across = spanned([x for x, _ in all_points], LEFT, WIDTH - RIGHT)
    up = spanned([y for _, y in all_points], HEIGHT - BOTTOM, TOP)
    drawn = []
    for style, few in points.items():
        path = "".join(SHAPES[style % STYLES](across(x), up(y), 2.5) for x, y in few)
        drawn.append(tag("g", tag("path", d=path, class_="mark"), class_=f"s{style % STYLES}"))
    return _svg(HEIGHT, [_frame(across, up, x_name, y_name), *drawn], about)


def _svg(height: float, inside: Sequence[Html], about: str) -> Html:
    return tag("svg", *inside, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=about, class_="chart")


def _frame(across: Axis, up: Axis, x_name: str, y_name: str) -> Html:
    """Grid, ticks and names of both axes."""
    drawn: list[Html] = []
    for tick in up.ticks():
        drawn.append(tag("path", d=f"M{LEFT} {up(tick):.1f}H{WIDTH - RIGHT}", class_="grid"))
        drawn.append(tag("text", _number(tick), x=LEFT - 6, y=f"{up(tick) + 4:.1f}", text_anchor="end"))
    return joined([*drawn, *_below(across, HEIGHT, x_name), _upright(y_name)])


def _upright(name: str) -> Html:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return tag("text", name, transform=f"translate(12 {middle}) rotate(-90)", text_anchor="middle")


def _below(across: Axis, height: float, name: str) -> list[Html]:
    ticks = [
        tag("text", _number(tick), x=f"{across(tick):.1f}", y=height - BOTTOM + 16, text_anchor="middle")
        for tick in across.ticks()
    ]
    middle = (across.start + across.end) / 2
    return [*ticks, tag("text", name, x=middle, y=height - 6, text_anchor="middle")]


def _vertical(x: float, height: float, kind: str) -> Html:
    return tag("path", d=f"M{x:.1f} {TOP}V{height - BOTTOM}", class_=kind)


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _value_text(interval: Interval) -> str:
    return f"{_number(interval.value)}" + (f" ±{interval.half:.2g}" if isfinite(interval.half) else "")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
