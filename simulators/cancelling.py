"""A cancellation that a library forgets."""

import asyncio


def obey_cancellation() -> None:
    """Call it after `aiomqtt.Client.publish` and `subscribe`. Raises CancelledError if there is one.

    `asyncio.wait_for`, which they use, may swallow one before Python 3.12 (cpython#86296): the task
    would live on, and whoever waits for its end would wait for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
