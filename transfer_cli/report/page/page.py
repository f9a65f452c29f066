"""The page: its sections in order, as one file without scripts or network access. If a section fails, a line at the end
says why, and the other sections are not affected."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from transfer_cli.report.page import again, finding, learning, mistakes, results, settings, space
from transfer_cli.report.page.markup import Html, joined, listed, tag
from transfer_cli.report.page.material import Material, Missing

Section = Callable[[Material], Html]
SECTIONS: dict[str, tuple[str, Section]] = {
    "compare": ("Compared", results.comparison),
    "rules": ("Selection rules", results.rules),
    "classes": ("Classes", results.classes),
    "views": ("Views and marks", results.views),
    "curves": ("Learning curves", learning.learning),
    "confusion": ("Confusion", mistakes.matrices),
    "mistakes": ("Worst errors", mistakes.worst),
    "features": ("Features before and after transfer", space.space),
    "uncounted": ("Failed and left out", settings.uncounted),
    "settings": ("Settings", settings.settings),
    "data": ("Data and stages", settings.data),
    "expected": ("Expected", settings.expected),
    "again": ("To repeat it", again.again),
    "environment": ("Environment", again.environment),
}
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Page:
    """A page. `html`: the document; `absent`: missing sections with the reason; `figures`: the number of charts."""

    html: str
    absent: dict[str, str]
    figures: int


def page(material: Material) -> Page:
    """The whole document."""
    absent: dict[str, str] = {}
    sections = [_section(material, name, absent) for name in SECTIONS]
    title = finding.sentence(material)
    reasons = {name: why for name, why in absent.items() if why}
    body = joined([tag("header", finding.top(material), _contents(absent)), tag("main", *sections, _left_out(reasons))])
    return Page(f"<!doctype html>\n{tag('html', _head(title), tag('body', body), lang='en')}\n", reasons, _charts(body))


def _charts(body: Html) -> int:
    return body.count('class="chart"') + body.count('class="dots"') + body.count('class="matrix"')


def _head(title: str) -> Html:
    style = Html(Path(__file__).with_name("style.css").read_text(encoding="utf-8"))
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", style),
    )


def _contents(absent: Mapping[str, str]) -> Html:
    links = [tag("a", title, href=f"#{name}") for name, (title, _) in SECTIONS.items() if name not in absent]
    return tag("nav", *links, aria_label="contents")


def _section(material: Material, name: str, absent: dict[str, str]) -> Html | None:
    title, make = SECTIONS[name]
    try:
        return tag("section", tag("h2", title), make(material), id=name)
    except Missing as why:
        absent[name] = str(why)
    except Exception as error:  # files of another version or changed by hand must not affect the other sections
        absent[name] = f"could not be made: {type(error).__name__}: {error}"
    return None


def _left_out(absent: Mapping[str, str]) -> Html | None:
    lines = [f"{SECTIONS[name][0]}: {why}" for name, why in absent.items()]
    return tag("section", tag("h2", "Not on this page"), listed(lines)) if lines else None
