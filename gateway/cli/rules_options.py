"""What `gateway rules WORK` takes."""

from collections.abc import Callable
from typing import Any


def add(commands: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "Test, explain and draw rules."
    rules = command(commands, "rules", "rules:test", text, "gateway rules test configs/rules")
    works = rules.add_subparsers(metavar="WORK", required=True, dest="work")
    _list(works, command, config_option)
    _test(works, command, config_option)
    _explain(works, command, config_option)
    _graph(works, command, config_option)
    _backtest(works, command, config_option)
    _drill(works, command, config_option)


def _test(works: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "Run the cases of NAME.test.yaml against the rules of NAME.yaml, on a virtual clock."
    test = command(works, "test", "rules:test", text, "gateway rules test configs/rules")
    config_option(test)
    text = "fixtures, rule files, or folders (default: the rules of the configuration)"
    test.add_argument("paths", metavar="PATH", nargs="*", help=text)
    test.add_argument("--show", action="store_true", help="print all that happens in each case")


def _list(works: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "The rules, their instances, and how each is where the gateway runs."
    list_ = command(works, "list", "rules_list:list_", text, "gateway rules list")
    config_option(list_)
    list_.add_argument("--json", action="store_true")


def _explain(works: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "Why a rule is active, or why not: its condition, part by part, with the values."
    example = "gateway rules explain 'overvoltage[meter-1]'"
    explain = command(works, "explain", "rules_live:explain", text, example)
    config_option(explain)
    explain.add_argument("rule", metavar="ID[KEY]", help="an instance, or a rule: up to 20 of its")
    text = "the last N changes of each, 1 to 50: what was known then, what followed"
    explain.add_argument("--last", metavar="N", type=int, default=0, help=text)
    explain.add_argument("--json", action="store_true")


def _graph(works: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "Draw what rules read and set, for Mermaid or Graphviz."
    example = "gateway rules graph --format dot | dot -Tsvg -o rules.svg"
    graph = command(works, "graph", "rules_graph:graph", text, example)
    config_option(graph)
    graph.add_argument("rules", metavar="RULE", nargs="*", help="default: all rules of files")
    graph.add_argument("--format", choices=("mermaid", "dot"), default="mermaid")
    text = "each instance, and each point of each device"
    graph.add_argument("--devices", action="store_true", help=text)


def _backtest(works: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "What the rules of a configuration would have done with what the journal holds."
    example = "gateway rules backtest -c next.yaml --since 7d --diff"
    backtest = command(works, "backtest", "rules_past:backtest_", text, example)
    config_option(backtest)
    moment = "ISO 8601 (UTC unless it says otherwise), or 2h: so long ago"
    backtest.add_argument("--since", metavar="TIME", default="7d", help=f"default 7d; {moment}")
    backtest.add_argument("--until", metavar="TIME", help=f"default now; {moment}")
    text = "what differs from the alarms in the journal: added, removed, moved"
    backtest.add_argument("--diff", nargs="?", const="current", choices=("current",), help=text)


def _drill(works: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "Do what a rule would do, check each answer, and keep a report. No alarm is raised."
    example = "gateway rules drill 'fire-confirmed[3/3-1]' --dry"
    drill = command(works, "drill", "rules_drill:drill", text, example)
    config_option(drill)
    drill.add_argument(
        "rule", metavar="ID[KEY]", nargs="?", help="an instance, or a rule that has one"
    )
    drill.add_argument("--dry", action="store_true", help="do nothing, log what it would do")
    text = "how long it may go on (default 5m, at most 1h): waits of the rule take their time"
    drill.add_argument("--for", dest="span", metavar="TIME", default="5m", help=text)
    drill.add_argument("--stop", action="store_true", help="end the drill that is under way")
    drill.add_argument("--list", action="store_true", help="the reports of earlier drills")
    drill.add_argument("--json", action="store_true")
