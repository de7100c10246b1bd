import pytest

from gateway.sinks.encode import Batch, Unsendable
from gateway.sinks.window import WINDOW, Timing, Verdict, Window
from gateway.store.store import Position

TIMING = Timing(ack_timeout_s=10, backoff_s=1, longest_s=60)


def window(cursor: Position | None = None) -> Window:
    return Window(0, cursor, TIMING)


def batch(first: int, last: int, *, epoch: int = 1, unsendable: tuple[int, ...] = ()) -> Batch:
    letters = tuple(Unsendable(seq, "too_large", b"x") for seq in unsendable)
    return Batch(epoch, 0, first, last, last - first + 1 - len(letters), b"payload", letters)


def send(one: Window, *parts: Batch, now: float = 0.0) -> None:
    for part in parts:
        one.sending(part, now)
        one.sent = Position(part.epoch, part.last)


def ack(one: Window, seq: int, *, epoch: int = 1, now: float = 0.0) -> Verdict:
    verdict = one.judge(epoch, seq)
    if verdict is Verdict.NEWS:
        one.acknowledge(epoch, seq)
    return verdict


def settled(one: Window, now: float) -> tuple[Position, int, tuple[Unsendable, ...]] | None:
    result = one.settle(now)
    return None if result is None else (result.position, result.items, result.unsendable)


def test_the_cursor_moves_to_what_is_acknowledged_and_never_back() -> None:
    one = window()
    send(one, batch(1, 10), batch(11, 20))
    assert ack(one, 20) is Verdict.NEWS
    assert settled(one, 0) == (Position(1, 20), 20, ())
    assert ack(one, 10) is Verdict.STALE
    assert one.settle(0) is None
    assert one.cursor == Position(1, 20)


def test_an_ack_inside_a_batch_moves_the_cursor_there_and_counts_the_batch_once() -> None:
    one = window()
    send(one, batch(1, 10))
    ack(one, 4)
    assert settled(one, 0) == (Position(1, 4), 0, ())
    ack(one, 10)
    assert settled(one, 0) == (Position(1, 10), 10, ())


@pytest.mark.parametrize(("epoch", "seq"), [(1, 11), (2, 1), (0, 5)])
def test_an_ack_for_what_was_never_sent_is_refused(epoch: int, seq: int) -> None:
    one = window()
    send(one, batch(1, 10))
    assert ack(one, seq, epoch=epoch) is Verdict.REFUSED
    assert one.settle(0) is None


def test_a_new_process_knows_only_acks_up_to_its_cursor() -> None:
    one = window(Position(3, 50))
    assert ack(one, 50, epoch=3) is Verdict.STALE
    assert ack(one, 51, epoch=3) is Verdict.REFUSED


def test_a_platform_that_has_more_than_was_sent_again_after_a_restart_ends_the_repeat() -> None:
    """It answers with the end of what it has without a gap, which an earlier process sent."""
    one = Window(0, None, TIMING, before=Position(2, 900))
    assert ack(one, 834) is Verdict.REFUSED, "nothing of this epoch was sent again yet"
    one.restart()
    send(one, batch(1, 135))
    assert not one.may_send(0)
    assert ack(one, 901) is Verdict.REFUSED
    assert ack(one, 834) is Verdict.NEWS
    assert settled(one, 0) == (Position(1, 834), 834, ())
    assert one.sent == Position(1, 834)
    assert one.may_send(0)


def test_an_ack_of_a_later_epoch_waits_for_the_earlier_one() -> None:
    one = window()
    send(one, batch(1, 10), batch(11, 20, epoch=2))
    assert ack(one, 20, epoch=2) is Verdict.NEWS
    assert one.settle(0) is None
    ack(one, 10)
    assert settled(one, 0) == (Position(2, 20), 20, ())


def test_no_more_batches_than_the_window_are_under_way() -> None:
    one = window()
    for number in range(WINDOW):
        assert one.may_send(0)
        send(one, batch(number + 1, number + 1))
    assert not one.may_send(0)
    ack(one, 1)
    one.settle(0)
    assert one.may_send(0)


def test_a_missing_ack_sends_everything_again_from_the_cursor_ever_more_slowly() -> None:
    one = window(Position(1, 5))
    waits, now = [], 0.0
    for _ in range(5):
        send(one, batch(6, 10), now=now)
        assert one.deadline is not None
        waits.append(one.deadline - now)
        assert not one.expire(one.deadline - 0.1)
        now = one.deadline
        assert one.expire(now)
        assert one.sent == Position(1, 5)
    assert waits == [10, 20, 40, 60, 60]


def test_after_a_missing_ack_one_batch_at_a_time_probes_until_there_is_progress() -> None:
    one = window()
    send(one, batch(1, 5), batch(6, 10))
    one.expire(10)
    send(one, batch(1, 5), now=10)
    assert not one.may_send(10)
    ack(one, 5)
    one.settle(11)
    assert one.may_send(11)
    send(one, batch(6, 10), now=11)
    assert one.deadline == 21


def test_a_late_ack_settles_what_a_rewind_had_forgotten() -> None:
    one = window()
    send(one, batch(1, 5), batch(6, 10), batch(11, 15))
    one.expire(10)
    one.queue.extend([batch(1, 5), batch(6, 10), batch(11, 15)])
    send(one, one.queue.popleft(), now=10)
    ack(one, 10)
    done = one.settle(12)
    assert done is not None
    assert done[:2] == (Position(1, 10), 10)
    assert [queued.first for queued in one.queue] == [11]
    assert one.sent == Position(1, 10)
    assert one.deadline is None


def test_a_batch_that_was_acknowledged_while_it_was_read_again_settles_by_itself() -> None:
    one = window()
    send(one, batch(1, 5))
    ack(one, 5)
    one.settle(1)
    send(one, batch(1, 5), now=1)
    assert ack(one, 5) is Verdict.STALE
    assert one.settle(1) is None
    assert one.waiting == 0
    assert one.deadline is None


def test_a_refusal_of_the_broker_backs_off_between_0_and_60_s() -> None:
    one = window()
    for ceiling in (1, 2, 4, 8, 16, 32, 60, 60):
        send(one, batch(1, 5))
        one.refuse(100, unheard=False)
        assert 100 <= one.retry_at <= 100 + ceiling
        assert one.waiting == 0
        assert one.sent is None
    one.retry_at = 130
    assert not one.may_send(129)
    assert one.may_send(130)


def test_a_sign_of_life_ends_only_the_wait_for_a_subscriber() -> None:
    one = window()
    one.refuse(100, unheard=False)
    denied = one.retry_at
    one.encourage()
    one.restart()
    assert one.retry_at == denied
    one.refuse(100, unheard=True)
    one.encourage()
    assert one.may_send(0)


def test_what_could_not_be_sent_is_put_aside_only_when_the_cursor_has_passed_it() -> None:
    one = window()
    send(one, batch(1, 10, unsendable=(3, 8)))
    ack(one, 5)
    done = one.settle(0)
    assert done is not None
    assert [letter.seq for letter in done.unsendable] == [3]
    one.rewind()
    send(one, batch(6, 10, unsendable=(8,)))
    ack(one, 10)
    done = one.settle(0)
    assert done is not None
    assert [letter.seq for letter in done.unsendable] == [8]


def test_refusals_in_a_row_wait_ever_longer_and_a_success_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("random.uniform", lambda _least, most: most)
    window = Window(1, None, Timing(backoff_s=1, longest_s=5))

    def wait() -> float:
        window.refuse(100, unheard=False)
        return window.retry_at - 100

    assert [wait() for _ in range(4)] == [1, 2, 4, 5]
    window.delivered()
    assert window.retry_at == 0
    assert wait() == 1


def test_after_a_refusal_one_batch_goes_at_a_time_until_one_is_taken() -> None:
    one = window()
    send(one, batch(1, 10), batch(11, 20))
    one.refuse(0, unheard=False)
    send(one, batch(1, 10), now=100)
    assert not one.may_send(100)
    assert ack(one, 10) is Verdict.NEWS
    assert settled(one, 100) is not None
    send(one, batch(11, 20), now=100)
    assert one.may_send(100)
