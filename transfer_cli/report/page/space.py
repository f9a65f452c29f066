"""The features before and after transfer: point clouds in the plane of their principal directions, and how well a
classifier distinguishes source and target."""

from transfer_cli.analysis import numbers
from transfer_cli.report.page.chart import STYLES, crowd, legend
from transfer_cli.report.page.markup import Html, boxed, folded, joined, tag
from transfer_cli.report.page.material import SHOWN, Cloud, Clouds, Material, Missing
from transfer_cli.report.tables import Column, Table

SIDES = {"target": 0, "source": 1}


def space(material: Material) -> Html:
    """Clouds of the best groups, all except the first folded, and a table of the distances. Raises Missing without
    clouds."""
    named_clouds = [
        (material.name(g), material.clouds[g.counted[0].id])
        for g in material.groups[:SHOWN]
        if g.counted[0].id in material.clouds
    ]
    if not named_clouds:
        raise Missing(material.absent.get("clouds", "no net of these runs is in the store any more"))
    (name, first), *others = named_clouds
    figures = [tag("h3", name), _figures(first), *(folded(other, _figures(clouds)) for other, clouds in others)]
    why = tag("p", f"Not all: {material.absent['clouds']}", class_="absent") if "clouds" in material.absent else Html()
    return joined([*figures, why, _distances(named_clouds)])


def _figures(clouds: Clouds) -> Html:
    pairs = [("before transfer", clouds.before), *([("after", clouds.after)] if clouds.after else [])]
    figures = [
        tag("figure", _cloud(cloud), tag("figcaption", f"{_upper(when)}. {_caption(cloud)}")) for when, cloud in pairs
    ]
    note = "" if clouds.after else "Transfer did not change the net, only the head on its features."
    note = " ".join(filter(None, [clouds.about, note]))
    return joined([
        legend(_keys(clouds.before)),
        tag("div", *figures, class_="figures cloud"),
        tag("p", note, class_="quiet") if note else None,
    ])  # fmt: skip


def _keys(cloud: Cloud) -> list[tuple[str, int]]:
    """The legend: colours are sides if there are two, else classes if there are enough colours."""
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
    text = f"The plane holds {numbers.percent(cloud.explained)} % of the variance"
    if cloud.distance is None:
        return text
    return f"{text}; proxy A-distance {cloud.distance:.2f}"


def _distances(named_clouds: list[tuple[str, Clouds]]) -> Html:
    """A table of the distances between source and target, for the nets for which they were measured."""
    rows = [
        {"group": name, "when": when, "accuracy": cloud.domain_accuracy, "distance": cloud.distance}
        for name, clouds in named_clouds
        for when, cloud in (("before", clouds.before), ("after", clouds.after))
        if cloud is not None and cloud.distance is not None
    ]
    if not rows:
        return tag("p", "There is no source, so there is no distance between domains.", class_="absent")
    columns = [
        Column("group"),
        Column("when"),
        Column("accuracy", "%", head="domain classifier, accuracy %"),
        Column("distance", head="proxy A-distance", align="right"),
    ]
    held = next(c.before.held_back for _, c in named_clouds)
    notes = [
        f"a linear classifier of source or target on {held:,} held-back rows; at 50 % it cannot distinguish them",
        "distance: 2 (1 - 2 error), 0 if it never can, 2 if it always can; Ben-David et al. 2006",
    ]
    texts = [{**row, "distance": f"{row['distance']:.2f}"} for row in rows]
    return boxed(Table(columns, texts, notes=notes))


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
