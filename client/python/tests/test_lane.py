"""The producer's lane against the tables of docs/protocol.md, sections 5 and 6, in virtual time."""

import context  # noqa: F401

import unittest

from mini_appliance import MiniAppliance, Settings
from penstock_producer import codec
from penstock_producer.codec import Code, Fate
from penstock_producer.lane import State
from world import Link, World, is_open


class LaneCase(unittest.TestCase):
    def world(self, link: Link | None = None, **settings: object) -> World:
        self.subject = World(7, link, MiniAppliance(Settings(**settings)))
        return self.subject

    def tearDown(self) -> None:
        self.assertEqual(self.subject.appliance.violations, [])

    def settle(self, world: World, seconds: float = 60.0) -> None:
        self.assertTrue(world.run(world.all_settled, seconds), [host.lane.state for host in world.hosts])

    def answered_with(self, code: Code, retry_after_ms: int = 0, times: int = 1) -> World:
        world = self.world()
        world.appliance.override = [codec.Reject(0, code, 42, retry_after_ms)] * times
        world.host()
        world.send(world.hosts[0], 5)
        return world


class Handshake(LaneCase):
    def test_a_record_opens_the_lane(self):
        world = self.world()
        host = world.host()
        world.send(host, 1)

        self.settle(world)

        self.assertEqual(host.fates, {0: Fate.STORED})
        self.assertEqual(host.opened[0].next, 1)

    def test_t1_doubles_from_100_ms_to_5_s(self):
        world = self.world(Link(drop=1.0))
        host = world.host()
        host.lane.open(world.now)

        world.run_for(0.001)
        first = host.lane.deadline() - world.now
        world.run_for(60)
        late = host.lane.deadline() - world.now

        self.assertTrue(0.07 < first < 0.13, first)
        self.assertLessEqual(late, 6.25)
        self.assertTrue(14 < host.lane.statistics.datagrams_sent < 30, host.lane.statistics.datagrams_sent)

    def test_the_third_open_without_an_answer_leads_back_to_hello(self):
        world = self.world()
        host = world.host()
        host.lane.open(world.now)
        world.run(lambda: host.lane.state is State.OPEN_SENT)
        world.link.drop = 1.0
        sent = host.lane.statistics.datagrams_sent

        world.run(lambda: host.lane.state is State.HELLO_SENT)

        self.assertEqual(host.lane.statistics.datagrams_sent - sent, 3)  # two OPENs more, and the HELLO

    def test_a_version_list_without_ours_fails_the_lane(self):
        world = self.world(versions=(2, 3))
        host = world.host()
        world.send(host, 2)

        world.run(lambda: host.failure is not None, 5)

        self.assertIn("[2, 3]", host.failure.reason)
        self.assertEqual(host.failure.contexts, [0, 1])

    def test_an_answer_to_another_nonce_is_ignored(self):
        world = self.world()
        host = world.host()
        host.lane.open(world.now)
        host.lane.transmit(world.now)

        for stranger in (codec.Challenge(2, bytes(24)), codec.Reject(2, Code.INVALID), codec.VersionList(2, (9,))):
            host.lane.receive(stranger.encode(), world.now)

        self.assertEqual(host.lane.state, State.HELLO_SENT)
        self.assertEqual(host.lane.statistics.datagrams_ignored, 3)


class Rejects(LaneCase):
    def test_those_that_pass_are_tried_again(self):
        for code in (Code.COOKIE, Code.LANE_BUSY, Code.LANES_FULL, Code.DRAINING, Code.OVERLOADED, Code.REDIRECT):
            with self.subTest(code=code.name):
                world = self.answered_with(code, times=3)

                self.settle(world)

                self.assertEqual(len(world.hosts[0].fates), 5)

    def test_retry_after_is_waited_for(self):
        for code in (Code.LANE_BUSY, Code.LANES_FULL, Code.DRAINING, Code.OVERLOADED):
            with self.subTest(code=code.name):
                world = self.answered_with(code, retry_after_ms=7000)

                self.assertFalse(world.run(world.all_settled, 6.9))
                self.settle(world, 0.5)

    def test_those_that_are_final_fail_the_lane_with_its_records(self):
        for code in (Code.LANE_UNKNOWN, Code.FENCED, Code.INVALID, Code.NOT_ALLOWED):
            with self.subTest(code=code.name):
                world = self.answered_with(code)
                host = world.hosts[0]

                world.run(lambda: host.failure is not None, 5)

                self.assertEqual((host.failure.reason, host.failure.detail), (code.name, 42))
                self.assertEqual(host.failure.contexts, list(range(5)))
                self.assertEqual(host.lane.pending, 0)

    def test_cookies_that_are_never_right_are_asked_for_with_backoff(self):
        world = self.answered_with(Code.COOKIE, times=1000)

        world.run_for(30)

        self.assertLess(world.hosts[0].lane.statistics.datagrams_sent, 60)

    def test_an_old_cookie_is_replaced(self):
        world = self.world()
        host = world.host()
        world.send(host, 1)
        world.run(lambda: host.lane.state is State.OPEN_SENT)
        world.now += 25.0

        self.settle(world)

        self.assertIn(Code.COOKIE, world.appliance.rejected)


class Redirects(LaneCase):
    def test_the_named_port_leads_home(self):
        world = self.world(workers=8)
        hosts = [world.host(lane=number) for number in range(8)]
        for host in hosts:
            world.send(host, 10)

        self.settle(world)

        self.assertLessEqual(max(host.rebinds for host in hosts), 1)
        self.assertEqual([host.address[1] % 8 for host in hosts], list(range(8)))

    def test_unnamed_ports_are_tried_until_one_leads_home(self):
        world = self.world(workers=16, names_source_port=False)
        host = world.host(lane=9)
        world.send(host, 10)

        self.settle(world)

        self.assertEqual(host.address[1] % 16, 9)

    def test_more_than_64_in_a_row_go_on_with_backoff(self):
        world = self.answered_with(Code.REDIRECT, times=10000)

        world.run_for(30)

        self.assertTrue(64 < world.hosts[0].rebinds < 90, world.hosts[0].rebinds)


class Sessions(LaneCase):
    def test_an_unknown_session_is_opened_again_with_its_number(self):
        world = self.world()
        host = world.host()
        world.send(host, 10)
        self.settle(world)
        old = host.lane.session.accept.session
        world.appliance.lose_sessions()
        world.send(host, 10)

        self.settle(world)

        self.assertEqual(host.lane.previous_session, old)
        self.assertEqual(len(host.fates), 20)

    def test_a_silent_appliance_is_left_after_10_s_and_the_own_session_is_no_obstacle(self):
        world = self.world()
        host = world.host()
        world.send(host, 10)
        self.settle(world)
        world.link.drop = 1.0
        world.send(host, 10)
        world.run(lambda: not is_open(host), 30)
        silent = world.now
        world.link.drop = 0.0

        self.settle(world)

        self.assertTrue(1010 < silent < 1013, silent)
        self.assertNotIn(Code.LANE_BUSY, world.appliance.rejected)

    def test_an_idle_lane_stays_open_by_pings(self):
        world = self.world()
        host = world.host()
        world.send(host, 1)
        self.settle(world)

        world.run_for(300)

        self.assertEqual(host.lane.statistics.sessions, 1)
        self.assertIn(host.lane.session.accept.session, world.appliance.sessions)
        self.assertLess(host.lane.statistics.pings, 40)

    def test_draining_is_waited_out(self):
        world = self.world()
        host = world.host()
        world.send(host, 100)
        world.run(lambda: is_open(host))
        world.appliance.drain()
        world.run_for(2)
        world.appliance.restart()

        self.settle(world)

        self.assertEqual(sorted(host.fates), list(range(100)))

    def test_close_ends_the_session_when_all_is_durable(self):
        for drop in (0.0, 0.4):
            with self.subTest(drop=drop):
                world = self.world(Link(drop=drop))
                host = world.host()
                world.send(host, 20)
                host.lane.close(world.now)

                self.assertTrue(world.run(lambda: host.lane.state is State.CLOSED, 60))

                self.assertEqual(len(host.fates), 20)

    def test_closing_without_an_answer_ends_after_three_tries(self):
        world = self.world()
        host = world.host()
        world.send(host, 1)
        self.settle(world)
        world.link.drop = 1.0
        host.lane.close(world.now)

        self.assertTrue(world.run(lambda: host.lane.state is State.CLOSED, 2))

    def test_an_ack_that_cannot_be_true_is_ignored(self):
        world = self.world()
        host = world.host()
        world.send(host, 10)
        self.settle(world)
        session = host.lane.session.accept.session
        ignored = host.lane.statistics.datagrams_ignored

        for lie in (
            codec.Ack(session, 99, 10, 10, 11, 0, ranges=[(0, 50)]),
            codec.Ack(session, 99, 10, 11, 11, 0, fates=[(0, 1)]),
            codec.Ack(session, 99, 11, 10, 11, 0),
            codec.Ack(session + 1, 99, 10, 10, 11, 0),
        ):
            host.lane.receive(lie.encode(), world.now)

        self.assertEqual(host.lane.statistics.datagrams_ignored - ignored, 4)
        self.assertGreater(host.lane.session.credit, 0)

    def test_an_older_ack_does_not_bring_back_its_credit(self):
        world = self.world()
        host = world.host()
        world.send(host, 10)
        self.settle(world)
        session = host.lane.session.accept.session

        host.lane.receive(codec.Ack(session, 90, 10, 10, 11, 500, status=1).encode(), world.now)
        host.lane.receive(codec.Ack(session, 89, 10, 10, 11, 9000).encode(), world.now)

        self.assertEqual((host.lane.session.credit, host.lane.session.status), (500, 1))


class Credit(LaneCase):
    def test_zero_stops_new_records_and_is_asked_about(self):
        world = self.world(credit=0)
        host = world.host()
        world.send(host, 10)
        world.run_for(10)
        pings = host.lane.statistics.pings
        self.assertEqual(host.lane.statistics.records_sent, 0)

        world.appliance.settings.credit = 1 << 20
        self.settle(world, 2)

        self.assertTrue(9 < pings < 20, pings)

    def test_one_record_larger_than_it_goes_alone(self):
        world = self.world(credit=1)
        host = world.host()
        world.send(host, 5, size=5000)

        self.settle(world)

        self.assertEqual(len(host.fates), 5)

    def test_a_lost_word_about_durability_is_asked_for(self):
        world = self.world(commit_latency=0.05)
        host = world.host()
        world.send(host, 10)
        world.run(lambda: is_open(host) and host.lane.session.received == 10)
        world.link.drop = 1.0
        world.run_for(0.1)
        world.link.drop = 0.0

        self.settle(world, 1.0)


class Records(LaneCase):
    def test_one_over_max_record_is_refused_and_the_rest_goes_on(self):
        world = self.world(record_bytes_max=500)
        host = world.host()
        lane = host.lane
        for context_number, size in enumerate((100, 800, 100, 5000, 800, 100)):
            lane.add(codec.encode_record(codec.Record(bytes(size))), context_number, world.now, world.now)

        self.settle(world)

        self.assertEqual([i for i, fate in sorted(host.fates.items()) if fate == Fate.TOO_LARGE], [1, 3, 4])

    def test_linger_is_the_longest_that_one_is_held(self):
        world = self.world()
        host = world.host(linger=0.05)
        host.lane.open(world.now)
        world.run(lambda: is_open(host))
        world.send(host, 1, size=10)

        world.run_for(0.045)
        before = host.lane.statistics.records_sent
        world.run_for(0.01)

        self.assertEqual((before, host.lane.statistics.records_sent), (0, 1))

    def test_a_flush_does_not_linger(self):
        world = self.world()
        host = world.host(linger=5.0)
        world.send(host, 1)
        host.lane.hurry = True

        self.settle(world, 1.0)

    def test_malformed_ones_get_their_fate(self):
        world = self.world()
        host = world.host()
        host.lane.add(b"\xff\xff", "wrong", world.now, world.now)
        world.send(host, 1)

        self.settle(world)

        self.assertEqual(host.fates["wrong"], Fate.MALFORMED)


class Identity(LaneCase):
    def test_a_process_without_state_goes_on_behind_its_predecessor(self):
        world = self.world()
        first = world.host(fresh=False, epoch=1)
        world.send(first, 10)
        self.settle(world)
        second = world.host(fresh=False, epoch=2)
        world.send(second, 10)

        self.settle(world)

        self.assertEqual(second.opened[0].next, 11)
        self.assertEqual(len(list(world.appliance.lanes.values())[0].stored()), 20)

    def test_a_newer_epoch_fences_the_older_process(self):
        world = self.world()
        old = world.host(fresh=False, epoch=1)
        world.send(old, 10)
        self.settle(world)
        new = world.host(fresh=False, epoch=2)
        world.send(new, 10)
        self.settle(world)
        world.send(old, 10)

        world.run(lambda: old.failure is not None, 30)

        self.assertEqual((old.failure.reason, old.failure.detail), ("FENCED", 2))
        self.assertEqual(len(list(world.appliance.lanes.values())[0].stored()), 20)

    def test_a_newer_epoch_from_elsewhere_waits_until_the_lane_is_silent(self):
        world = self.world()
        old = world.host(fresh=False, epoch=1)
        world.send(old, 1)
        self.settle(world)
        taken_at = world.now
        new = world.host(ip="10.0.0.2", fresh=False, epoch=2)
        world.send(new, 1)

        self.settle(world)

        self.assertGreater(world.now - taken_at, 2.9)
        self.assertIn(Code.LANE_BUSY, world.appliance.rejected)

    def test_a_forgotten_lane_fails_or_begins_again_as_the_application_wants(self):
        for begin_again in (False, True):
            with self.subTest(begin_again=begin_again):
                world = self.world()
                host = world.host(begin_again=begin_again)
                world.send(host, 10)
                self.settle(world)
                world.appliance.forget_lanes()
                world.send(host, 10)

                world.run(world.all_settled, 30)

                self.assertEqual(host.failure is None, begin_again)
                self.assertEqual(len(host.fates), 20 if begin_again else 10)

    def test_records_that_it_never_sent_fail_the_lane(self):
        world = self.world()
        other = world.host(epoch=1)
        world.send(other, 10)
        self.settle(world)
        host = world.host(epoch=2)
        world.send(host, 1)

        world.run(lambda: host.failure is not None, 5)

        self.assertIn("never sent", host.failure.reason)


class PathMtu(LaneCase):
    def test_larger_datagrams_go_only_when_a_ping_of_their_size_was_acknowledged(self):
        world = self.world()
        host = world.host(datagram_bytes=1472)
        world.send(host, 500)

        self.settle(world)

        self.assertGreater(host.auditor.sent_bytes_max, 1200)

    def test_a_path_of_1200_bytes_is_found_out_without_harm(self):
        world = self.world(Link(datagram_bytes=1200))
        host = world.host(datagram_bytes=1472)
        world.send(host, 500)

        self.settle(world)

        self.assertLessEqual(host.auditor.sent_bytes_max, 1200)

    def test_a_path_that_shrinks_is_left_for_1200_bytes_and_records_go_in_fragments(self):
        world = self.world()
        host = world.host(datagram_bytes=1472)
        world.send(host, 200)
        self.settle(world)
        world.link.datagram_bytes = 1250
        for number in range(10):
            value = codec.encode_record(codec.Record(bytes(1300)))
            host.lane.add(value, ("large", number), world.now, world.now)

        self.settle(world)

        self.assertEqual(host.lane.session.mtu.proven, 1200)
        self.assertEqual(len(host.fates), 210)


if __name__ == "__main__":
    unittest.main()
