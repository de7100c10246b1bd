"""Plain values as YAML text that `gateway.document` reads back as the same values."""

import yaml

from gateway.document import Plain, plain_scalar

WIDTH = 120


class _Dumper(yaml.SafeDumper):
    """YAML 1.2 core: quotes what would be no text without them, e.g. `1e3`; no anchors."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = None if isinstance(plain_scalar(value), str) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def yaml_text(value: Plain) -> str:
    """Keys stay in their order; short mappings stand in one line, as in the files of people."""
    return yaml.dump(
        value,
        Dumper=_Dumper,
        allow_unicode=True,
        sort_keys=False,
        default_flow_style=None,
        width=WIDTH,
    )
