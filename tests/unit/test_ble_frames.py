"""Published and computed frames, and what they say. The keys are test keys that everybody knows."""

import pytest

from drivers.ble import beacons, bthome, mibeacon
from drivers.ble.frame import Frame, Refusal

K1 = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
M1 = "54:48:E6:8F:80:A5"
KS = bytes.fromhex("5b51a7c91cde6707c9ef18dfda143a58")
MS = "54:EF:44:E3:9C:BC"
WRONG = bytes.fromhex("814aac74c4f17b6c1581e1ab87816b99")


def bt(data: str, key: bytes | None = None) -> Frame:
    return bthome.parse(M1, bytes.fromhex(data), key)


def mi(data: str, key: bytes | None = KS, address: str = MS) -> Frame:
    return mibeacon.parse(address, bytes.fromhex(data), key)


def said(frame: Frame) -> list[tuple[int | str, object]]:
    return [(one.id, one.value) for one in frame.objects]


@pytest.mark.parametrize(
    ("data", "objects", "packet", "refused"),
    [
        ("4002ca0903bf13", [(0x02, 25.06), (0x03, 50.55)], None, None),
        ("40005201643a01", [(0x01, 100), (0x3A, 1)], 0x52, None),
        ("440021015e3a01", [(0x01, 94), (0x3A, 1)], 0x21, None),
        ("440023015e3a00", [(0x01, 94), (0x3A, 0)], 0x23, None),
        ("403a003a013a03", [(0x3A, 0), (0x3A, 1), (0x3A, 3)], None, None),
        ("403a04", [(0x3A, 4)], None, None),
        ("403a80", [(0x3A, 0x80)], None, None),
        ("403afe", [], None, None),
        ("402d01", [(0x2D, True)], None, None),
        ("401100", [(0x11, False)], None, None),
        ("400009015d025d0903b718", [(0x01, 93), (0x02, 23.97), (0x03, 63.27)], 9, None),
        ("40feca09", [], None, Refusal.UNKNOWN_OBJECT),
        ("40015dfe5d0903b718", [(0x01, 93)], None, Refusal.UNKNOWN_OBJECT),
        ("40015d02ca", [(0x01, 93)], None, Refusal.CUT),
        ("00", [], None, Refusal.VERSION),
        ("", [], None, Refusal.TOO_SHORT),
        ("44000101612901", [(0x01, 97), (0x29, True)], 1, None),
        ("40530548656c6c6f", [(0x53, "48656c6c6f")], None, None),
        ("4053002901", [(0x29, True)], None, None),
        ("403b0102", [], None, Refusal.CUT),
        ("403b00023a01", [(0x3B, "02"), (0x3A, 1)], None, None),
        ("403b0101053a01", [(0x3B, "0105"), (0x3A, 1)], None, None),
        ("403c0103", [(0x3C, -3)], None, None),
        ("40f20001042901", [(0xF2, "4.1.0"), (0x29, True)], None, None),
        ("4058cc", [(0x58, -18.2)], None, None),
        ("405b9cffffff", [(0x5B, -100)], None, None),
    ],
)  # fmt: skip
def test_a_plain_bthome_frame_says(
    data: str,
    objects: list[tuple[int, object]],
    packet: int | None,
    refused: Refusal | None,
) -> None:
    frame = bt(data)
    assert (said(frame), frame.packet, frame.refused) == (objects, packet, refused)
    assert frame.counter is None


@pytest.mark.parametrize(
    ("data", "objects", "counter"),
    [
        ("41a47266c95f730011223378237214", [(0x02, 25.06), (0x03, 50.55)], 857870592),
        ("4187b90011223372b0231f", [(0x21, True)], 857870592),
        ("43a5808fe64854f196c06ffb4900112233f08ecbde", [(0x02, 25.06), (0x03, 50.55)], 857870592),
        ("41ba0db07aeef6ffffffff21fd4600", [(0x02, 25.07), (0x03, 50.55)], 0xFFFFFFFF),
        ("41de40b50e676600000000d7cb95de", [(0x02, 25.07), (0x03, 50.55)], 0),
        ("45bcc908fb192788130000cc17622f", [(0x01, 97), (0x29, True)], 5000),
        ("4505bbada2bed289130000a9f967e6", [(0x01, 97), (0x29, False)], 5001),
        ("45acfb9f77e98887130000351f5baa", [(0x01, 97), (0x29, True)], 4999),
    ],
)
def test_an_encrypted_bthome_frame_says(
    data: str, objects: list[tuple[int, object]], counter: int
) -> None:
    frame = bt(data, K1)
    assert (said(frame), frame.counter, frame.refused) == (objects, counter, None)
    assert frame.encrypted


@pytest.mark.parametrize(
    ("frame", "refused"),
    [
        (bt("41a47266c95f730011223378237214", WRONG), Refusal.MIC),
        (bt("41a47266c95f730011223378237214"), Refusal.NO_KEY),
        (bt("41ba0db07aeef600", K1), Refusal.TOO_SHORT),
        (bt("43a5808fe64855f196c06ffb4900112233f08ecbde", K1), Refusal.ADDRESS),
        (mi("585997"), Refusal.TOO_SHORT),
        (mi("5819970966bc9ce344ef5401081205000000715ebe90"), Refusal.VERSION),
        (mi("5839970966bc9ce344ef5401081205000000715ebe90"), Refusal.UNSAFE),
        (mi("d859970966bc9ce344ef5401081205000000715ebe90"), Refusal.FOREIGN),
        (mi("5859970966bc9ce344ef5401081205000000715ebe91"), Refusal.MIC),
        (mi("5859970966bc9ce344ef5401081205000000715ebe90", None), Refusal.NO_KEY),
        (mi("5859970966bd9ce344ef5401081205000000715ebe90"), Refusal.ADDRESS),
        (beacons.parse_eddystone(bytes.fromhex("20010bb8178000000064000027")), Refusal.TOO_SHORT),
        (beacons.parse_eddystone(bytes.fromhex("10ee00676f6f")), Refusal.FOREIGN),
        (beacons.parse_ibeacon(bytes.fromhex("0c0e00")), Refusal.FOREIGN),
    ],
)
def test_a_frame_is_refused_with_its_reason(frame: Frame, refused: Refusal) -> None:
    assert (frame.refused, frame.objects) == (refused, ())


@pytest.mark.parametrize(
    ("data", "key", "address", "objects", "counter"),
    [
        ("5859970966bc9ce344ef5401081205000000715ebe90", KS, MS, [(0x1015, 1)], 102),
        ("5859970967bc9ce344ef5458e63e9c000000af43071f", KS, MS, [(0x1015, 0)], 103),
        (
            "5859970910bc9ce344ef540576c06021bfdfb8010000801354c6",
            KS,
            MS,
            [(0x1015, 1), (0x100A, 95)],
            272,
        ),
        ("5059970968bc9ce344ef5415100101", KS, MS, [(0x1015, 1)], None),
        ("485963080556bc883b0200008e2939d7", KS, MS, [(0x1014, 1)], 517),
        (
            "58588b09a3ae2181ecaae40e2c553c040000d28a500c",
            bytes.fromhex("017e52d2684779298709b117c0a75a7b"),
            "E4:AA:EC:81:21:AE",
            [(0x1019, 2)],
            1187,
        ),
        (
            "58598d0a8c778e203cc2185a273628ec32060000c4264015",
            bytes.fromhex("4960bb9f8711b4ffd7df1756d11427ae"),
            "18:C2:3C:20:8E:77",
            [(0x000F, 256)],
            1676,
        ),
    ],
)
def test_a_mibeacon_says(
    data: str,
    key: bytes,
    address: str,
    objects: list[tuple[int, object]],
    counter: int | None,
) -> None:
    frame = mi(data, key, address)
    assert (said(frame), frame.counter, frame.refused) == (objects, counter, None)


def test_a_mibeacon_button_tells_which_and_how() -> None:
    assert said(mi("5059970968bc9ce344ef540110030000020110030100010110020000")) == [
        (0x1001, 2),
        (0x1001, 0x101),
    ]


def test_temperature_and_humidity_in_one_object_are_two() -> None:
    assert said(mi("5059970968bc9ce344ef540d1004eaff1d02")) == [(0x1004, -2.2), (0x1006, 54.1)]


def test_an_ibeacon_is_somebody() -> None:
    data = "0215fda50693a4e24fb1afcfc6eb0764782500010002c5"
    assert said(beacons.parse_ibeacon(bytes.fromhex(data))) == [
        ("uuid", "fda50693a4e24fb1afcfc6eb07647825"),
        ("major", 1),
        ("minor", 2),
        ("power", -59),
    ]


def test_eddystone_tells_its_name_and_its_battery() -> None:
    uid = beacons.parse_eddystone(bytes.fromhex("00ee8b0ca750095477cb3e770100000000000000"))
    assert said(uid) == [
        ("power", -18),
        ("namespace", "8b0ca750095477cb3e77"),
        ("instance", "010000000000"),
    ]
    telemetry = beacons.parse_eddystone(bytes.fromhex("20000bb817800000006400002710"))
    assert said(telemetry) == [
        ("voltage", 3.0),
        ("temperature", 23.5),
        ("adverts", 100),
        ("uptime", 1000.0),
    ]
