"""The features before and after transfer: clouds in the plane of their main directions, and how well source and target
can be told apart."""

from transfer_cli.analysis import numbers
from transfer_cli.report.page.chart import STYLES, crowd, legend
from transfer_cli.report.page.markup import Html, boxed, folded, joined, tag
from transfer_cli.report.page.material import SHOWN, Cloud, Clouds, Material, Missing
from transfer_cli.report.tables import Column, Table

SIDES = {"target": 0, "source": 1}


def space(it: Material) -> Html:
    """Clouds of the best groups, the first open, and a table of the distances."""
    known = [(it.name(g), it.clouds[g.counted[0].id]) for g in it.groups[:SHOWN] if g.counted[0].id in it.clouds]
    if not known:
        raise Missing(it.absent.get("clouds", "no net of these runs is left to look through"))
    (name, first), *others = known
    figures = [tag("h3", name), _figures(first), *(folded(other, _figures(clouds)) for other, clouds in others)]
    why = tag("p", f"Not all: {it.absent['clouds']}", class_="absent") if "clouds" in it.absent else Html()
    return joined([*figures, why, _distances(known)])


def _figures(clouds: Clouds) -> Html:
    pairs = [("before transfer", clouds.before), *([("after", clouds.after)] if clouds.after else [])]
    figures = [
        tag("figure", _cloud(cloud), tag("figcaption", f"{_upper(when)}. {_caption(cloud)}")) for when, cloud in pairs
    ]
    note = "" if clouds.after else "The net is the one it began with: transfer changed what stands on its features."
    note = " ".join(filter(None, [clouds.about, note]))
    return joined([
        legend(_keys(clouds.before)),
        tag("div", *figures, class_="figures cloud"),
        tag("p", note, class_="quiet") if note else None,
    ])  # fmt: skip


def _keys(cloud: Cloud) -> list[tuple[str, int]]:
    """Sides have colours where there are two, else classes have, as far as there are colours."""
    if len(cloud.points) > 1:
        return [(side, SIDES[side]) for side in cloud.points]
    classes = list(dict.fromkeys(name for points in cloud.points.values() for *_, name in points))
    return [(name, at) for at, name in enumerate(sorted(classes))] if len(classes) <= STYLES else [("target", 0)]


def _cloud(cloud: Cloud) -> Html:
    styles = dict(_keys(cloud))
    points: dict[int, list[tuple[float, float]]] = {}
    for side, few in cloud.points.items():
        for x, y, name in few:
            points.setdefault(styles.get(side, styles.get(name, 0)), []).append((x, y))
    rows = sum(map(len, points.values()))
    return crowd(points, "first direction", "second direction", f"{rows} rows. {_caption(cloud)}")


def _caption(cloud: Cloud) -> str:
    told = f"The plane holds {numbers.percent(cloud.explained)} % of the variance"
    if cloud.distance is None:
        return told
    return f"{told}; proxy A-distance {cloud.distance:.2f}"


def _distances(known: list[tuple[str, Clouds]]) -> Html:
    """Where source and target were compared."""
    rows = [
        {"group": name, "when": when, "accuracy": cloud.domain_accuracy, "distance": cloud.distance}
        for name, clouds in known
        for when, cloud in (("before", clouds.before), ("after", clouds.after))
        if cloud is not None and cloud.distance is not None
    ]
    if not rows:
        return tag("p", "No source to tell apart from the target, so no distance of domains.", class_="absent")
    columns = [
        Column("group"),
        Column("when"),
        Column("accuracy", "%", head="domain classifier, accuracy %"),
        Column("distance", head="proxy A-distance", align="right"),
    ]
    held = next(c.before.held_back for _, c in known)
    notes = [
        f"a linear classifier of source or target, asked on {held:,} rows held back; 50 %: cannot be told apart",
        "distance: 2 (1 - 2 error), 0 where they cannot, 2 where they always can; Ben-David et al. 2006",
    ]
    told = [{**row, "distance": f"{row['distance']:.2f}"} for row in rows]
    return boxed(Table(columns, told, notes=notes))


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
