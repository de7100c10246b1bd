"""`gateway influx init` and `gateway influx check`."""

import argparse
import sys
import time
from pathlib import Path

import orjson

from gateway.cli.influx_api import Api
from gateway.cli.influx_check import check
from gateway.cli.influx_setup import Setup
from gateway.cli.live import config_path
from gateway.cli.main import CONFIG, USAGE
from gateway.cli.moment import seconds
from gateway.cli.say import refuse, say
from gateway.config import Config, load_config
from gateway.errors import ConfigError, LinkDown, Refused
from gateway.sinks.influx_settings import InfluxSection
from gateway.words.text import text


def run(options: argparse.Namespace) -> int:
    """Exit code 0; 1 if something is wrong, 64 without an `influxdb:` section, 78 if the
    configuration is refused.
    """
    path = config_path(options)
    try:
        config = load_config(path)
        if config.influxdb is None:
            print(f"{path} has no influxdb section: see docs/influxdb.md", file=sys.stderr)
            return USAGE
        work = _init if options.work == "init" else _check
        return work(config, config.influxdb, options)
    except ConfigError as error:
        refuse(error)
        return CONFIG
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE
    except (LinkDown, Refused, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _check(config: Config, section: InfluxSection, options: argparse.Namespace) -> int:
    findings = check(Api(section), config.gateway.id, time.time_ns())
    if options.json:
        print(orjson.dumps([{**one._asdict(), "said": say(one.said)} for one in findings]).decode())
    else:
        for finding in findings:
            state = say(text(f"influx.state.{finding.state}"))
            print(f"{state:5} {finding.what}: {say(finding.said)}")
    return 1 if any(finding.state == "wrong" for finding in findings) else 0


def _init(config: Config, section: InfluxSection, options: argparse.Namespace) -> int:
    token = _token(options.token_file)
    counters = {p.id for d in config.devices.values() for p in d.profile.points if p.kind == "counter"}  # fmt: skip
    setup = Setup(Api(section, token), seconds(options.retention), sorted(counters))
    done = setup.run()
    if options.json:
        print(orjson.dumps(done).decode())
    else:
        print("\n".join(done))
    return 0


def _token(path: str | None) -> str:
    return "" if path is None else Path(path).read_text(encoding="utf-8").strip()
