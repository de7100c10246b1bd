"""What rules read and set, as a graph: points -> rules -> points. Pure."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rules.model import Instance, RuleSet

How = Literal["reads", "sets", "asks"]


class Node(NamedTuple):
    """A rule (or instance), or a point. `devices`: how many have it among these rules."""

    kind: Literal["rule", "point"]
    name: str


@dataclass(slots=True)
class Graph:
    """Nodes and edges in the order of the rules. `devices` are those of each point node."""

    edges: dict[tuple[Node, Node, How], None] = field(default_factory=dict)
    devices: dict[Node, set[str]] = field(default_factory=dict)

    @property
    def nodes(self) -> list[Node]:
        """Each once, in the order in which edges name them."""
        return list(dict.fromkeys(node for a, b, _ in self.edges for node in (a, b)))

    def label(self, node: Node, newline: str) -> str:
        """For people; `newline` is that of the language of the graph."""
        devices = self.devices.get(node, set())
        return f"{node.name}{newline}{len(devices)} devices" if len(devices) > 1 else node.name


def graph(rules: RuleSet, wanted: Collection[str], *, single: bool) -> Graph:
    """Of the rules with these ids. `single`: a node for each instance and for each point of each device, else one
    for each rule and for each point that several devices have.
    """
    found = Graph()
    of_rule = {one.id: one.rule.id for one in rules.instances}
    for instance in rules.instances:
        if instance.rule.id not in wanted:
            continue
        me = Node("rule", instance.id if single else instance.rule.id)
        for device, point in rules.reads(instance):
            found.edges[_point(found, device, point, single=single), me, "reads"] = None
        for other in _asked(rules, instance):
            asked = Node("rule", other if single else of_rule[other])
            found.edges[asked, me, "asks"] = None
        for setting in instance.sets:
            target = _point(found, setting.device, setting.point, single=single)
            found.edges[me, target, "sets"] = None
    return found


def _point(found: Graph, device: str, point: str, *, single: bool) -> Node:
    node = Node("point", f"{device}.{point}" if single else point)
    found.devices.setdefault(node, set()).add(device)
    return node


def _asked(rules: RuleSet, instance: Instance) -> Iterator[str]:
    """The instances whose state it asks for."""
    slots = len(rules.stale_ns)
    for test in instance.tests:
        for index in test.inputs:
            if index >= slots:
                yield from rules.wires[index - slots].runs


def mermaid(found: Graph) -> Iterator[str]:
    """Lines of a Mermaid flowchart: rules are round, what is set has a thick arrow."""
    arrows: dict[How, str] = {"reads": "-->", "sets": "==>", "asks": "-.->"}
    names = {node: f"n{number}" for number, node in enumerate(found.nodes)}
    yield "flowchart LR"
    for node, name in names.items():
        label = found.label(node, "<br/>").replace('"', "#quot;")
        yield f'  {name}(["{label}"])' if node.kind == "rule" else f'  {name}["{label}"]'
    for source, target, how in found.edges:
        yield f"  {names[source]} {arrows[how]} {names[target]}"


def graphviz(found: Graph) -> Iterator[str]:
    """The same for `dot`."""
    styles: dict[How, str] = {"reads": "", "sets": " [style=bold]", "asks": " [style=dashed]"}
    names = {node: f"n{number}" for number, node in enumerate(found.nodes)}
    yield "digraph rules {"
    yield "  rankdir=LR;"
    for node, name in names.items():
        label = (
            found.label(node, "\n").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        )
        yield f'  {name} [label="{label}", shape={"ellipse" if node.kind == "rule" else "box"}];'
    for source, target, how in found.edges:
        yield f"  {names[source]} -> {names[target]}{styles[how]};"
    yield "}"
