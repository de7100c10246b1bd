"""Who a payload says it is from. The topic decides who it is; a payload may only agree."""

from drivers.mqtt.settings import MqttDevice
from gateway.errors import BadData


def check(section: MqttDevice, sender: str | None) -> None:
    """Raises BadData when a payload names another sender, or none where one is expected."""
    if sender is None:
        if section.identity is not None:
            raise BadData("no_identity")
    elif sender != (section.identity or section.topic_id):
        raise BadData("identity_mismatch")
