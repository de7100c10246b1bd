"""The section `metrics` of the configuration; apart from what serves it, which needs an event loop."""

from typing import Annotated, Self

from pydantic import BeforeValidator, model_validator

from gateway.endpoint import is_loopback
from gateway.settings import FilePath, Section, wrong
from gateway.words.text import fault


def _listen(value: object) -> tuple[str, int]:
    """`127.0.0.1:9464`, `[::1]:9464` or `localhost:9464`."""
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise wrong(*fault("metrics.address", value=repr(value)))
    if not is_loopback(host):
        raise wrong(*fault("metrics.open", value=value, port=port))
    return host, int(port)


class MetricsSection(Section):
    """`listen`: HTTP on loopback; `textfile`: written every 15 s. One of them, or both."""

    listen: Annotated[tuple[str, int] | None, BeforeValidator(_listen)] = None
    textfile: FilePath | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.listen is None and self.textfile is None:
            raise wrong(*fault("metrics.nothing"))
        return self
