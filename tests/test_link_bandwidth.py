"""The bandwidth estimate of the live link."""

from lowbeam.link.bandwidth import BandwidthEstimate

SIZE = 200  # bytes: 0.4 s at 4 kbit/s


def test_packets_of_one_acknowledgement_do_not_make_the_link_look_fast() -> None:
    estimate = BandwidthEstimate()
    estimate.begin(0.0)
    estimate.sent(0, SIZE, 0.0)
    estimate.acked(0, 0.4)
    for number in range(1, 7):  # a link of 4 kbit/s, which is overused
        estimate.sent(number, SIZE, 1.0)
    for number in range(1, 7):
        estimate.acked(number, 1.0 + 0.4 * number)
    assert 3000 < estimate.bps <= 4000
    for second in range(5, 20):  # a calm face: little is sent, two packets at a time, and the queue is empty
        for number in (2 * second, 2 * second + 1):
            estimate.sent(number, SIZE, float(second))
        estimate.acked(2 * second, second + 0.45)
        estimate.acked(2 * second + 1, second + 0.45)
    assert estimate.bps < 12_000


def test_a_small_lost_packet_before_a_large_one_does_not_make_the_link_look_thin() -> None:
    estimate = BandwidthEstimate()
    estimate.begin(0.0)
    estimate.sent(0, SIZE, 0.0)
    estimate.acked(0, 0.4)
    estimate.sent(1, 60, 5.0)  # is lost
    estimate.sent(2, 550, 5.0)
    for tenth in range(12):
        estimate.wait(5.0 + 0.1 * tenth)
    estimate.acked(2, 6.2)
    assert estimate.bps > 3000


def test_the_estimate_comes_back_at_once_when_packets_in_flight_were_lost_and_did_not_queue() -> None:
    estimate = BandwidthEstimate(8000)
    estimate.begin(0.0)
    estimate.sent(0, SIZE, 0.0)
    estimate.acked(0, 0.2)
    estimate.sent(1, 100, 5.0)
    estimate.sent(2, 100, 5.0)
    for tenth in range(30):
        estimate.wait(5.0 + 0.1 * tenth)
    assert estimate.bps < 2000
    estimate.lost(1, 8.0)
    estimate.lost(2, 8.0)
    estimate.sent(3, 100, 8.0)
    estimate.acked(3, 8.2)
    assert estimate.bps > 7000


def test_a_burst_of_losses_does_not_keep_the_estimate_down_where_few_packets_are_sent() -> None:
    estimate = BandwidthEstimate(4000)
    estimate.begin(0.0)
    now_s = before = 0.0
    for number in range(30):
        before = estimate.bps if number == 20 else before
        estimate.sent(number, SIZE, now_s)
        if 20 <= number < 28:
            estimate.lost(number, now_s + 0.4)
        else:
            estimate.acked(number, now_s + 0.4)
        now_s += 0.5
    assert estimate.bps < 0.8 * before
    for number in range(30, 38):  # one face in three seconds, and none is lost
        estimate.sent(number, SIZE, now_s)
        estimate.acked(number, now_s + 0.4)
        now_s += 3.0
    assert estimate.bps >= before


def thin_link(estimate: BandwidthEstimate) -> float:
    """Let `estimate` see ten seconds of an overused link of 2 kbit/s; returns the time."""
    now_s = 0.0
    estimate.begin(now_s)
    estimate.sent(0, 60, now_s)
    estimate.acked(0, 0.3)
    for number in range(1, 13):
        estimate.sent(number, SIZE, 0.5)
    for number in range(1, 13):
        now_s = 0.5 + 0.8 * number
        estimate.acked(number, now_s)
    return now_s


def test_single_packets_that_pass_faster_than_the_estimate_raise_it_within_seconds() -> None:
    estimate = BandwidthEstimate()
    now_s = thin_link(estimate)
    assert estimate.bps < 2100
    for number in range(100, 108):  # the link carries 16 kbit/s again, and a packet a second is sent
        now_s += 1.0
        estimate.sent(number, SIZE, now_s)
        estimate.acked(number, now_s + 0.16)
    assert 9000 < estimate.bps < 16_000


def test_the_first_packet_that_takes_long_begins_a_new_measurement() -> None:
    estimate = BandwidthEstimate(16_000)
    estimate.begin(0.0)
    for number in range(40):  # 16 kbit/s, two packets at a time
        estimate.sent(number, SIZE, 0.2 * (number // 2))
        estimate.acked(number, 0.2 * (number // 2) + 0.1 * (1 + number % 2))
    for number in range(40, 44):
        estimate.sent(number, SIZE, 4.0)
    for number in range(40, 44):  # 2 kbit/s
        estimate.acked(number, 4.0 + 0.8 * (number - 39))
    assert estimate.bps < 2000


def test_nothing_follows_the_packets_in_flight_while_the_queue_of_an_overused_link_is_drained() -> None:
    estimate = BandwidthEstimate(16_000)
    estimate.begin(0.0)
    estimate.sent(0, 60, 0.0)
    estimate.acked(0, 0.1)
    for number in range(1, 4):
        estimate.sent(number, SIZE, 1.0)
    assert estimate.may_send(60)
    estimate.acked(1, 2.0)
    assert not estimate.may_send(60)
    estimate.acked(2, 2.8)
    estimate.acked(3, 3.6)
    assert estimate.may_send(SIZE)


def queues_after(estimate: BandwidthEstimate, now_s: float, singles: int, number: int) -> tuple[float, float]:
    """Let `estimate` see single packets that pass at once, one a second, and then several that pass at 2 kbit/s, as by
    a token bucket; returns the time, and the highest estimate."""
    highest = 0.0
    for one in range(number, number + singles):
        now_s += 1.0
        estimate.sent(one, SIZE, now_s)
        estimate.acked(one, now_s + 0.05)
        highest = max(highest, estimate.bps)
    number += singles
    for one in range(number, number + 6):
        estimate.sent(one, SIZE, now_s + 0.5)
    for one in range(number, number + 6):
        now_s += 0.8
        estimate.acked(one, now_s + 0.5)
    return now_s + 0.5, highest


def test_single_packets_are_doubted_where_several_pass_slower() -> None:
    estimate = BandwidthEstimate()
    now_s, peaks = thin_link(estimate), []
    for time in range(4):
        now_s, peak = queues_after(estimate, now_s, 6, 100 * (1 + time))
        peaks.append(peak)
    assert peaks[0] > 8000
    assert max(peaks[2:]) < 0.5 * peaks[0]


def test_that_single_packets_were_doubted_is_forgotten_in_time() -> None:
    estimate = BandwidthEstimate()
    now_s = thin_link(estimate)
    for time in range(4):
        now_s, _ = queues_after(estimate, now_s, 6, 100 * (1 + time))
    now_s, _ = queues_after(estimate, now_s + 150.0, 40, 1000)  # a link whose rate changes: a queue, long after a rise
    _, highest = queues_after(estimate, now_s, 8, 2000)
    assert highest > 8000


def test_a_thin_link_that_is_hardly_used_is_not_taken_for_a_fast_one() -> None:
    estimate = BandwidthEstimate()
    estimate.begin(0.0, 1000.0)
    for number in range(60):  # small packets that ask whether the link is there, for ten minutes
        sent_s = 10.0 * number
        estimate.sent(number, 60, sent_s)
        estimate.acked(number, sent_s + 8 * 60 / 1000 + 0.05)
    assert estimate.bps <= 1200
