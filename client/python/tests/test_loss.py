"""Lanes over a link that loses, doubles, reorders and damages: each record once, in order, whatever happens."""

import context  # noqa: F401

import unittest

from mini_appliance import MiniAppliance, Settings
from penstock_producer import codec
from penstock_producer.codec import Fate
from world import Host, Link, World

RECORDS = 400


def bad_link(seed: int) -> Link:
    """Up to 30 % each, by the seed."""
    return Link(drop=seed % 7 * 0.05, duplicate=seed % 3 * 0.15, corrupt=seed % 4 * 0.1, reorder=seed % 5 * 0.07)


def stored_indexes(world: World, lane: int = 0) -> list[int]:
    records = next(state for state in world.appliance.lanes.values() if state.key[1] == lane).stored()
    return [int.from_bytes(codec.decode_record(record).value[:8], "big") for record in records]


class Loss(unittest.TestCase):
    def expect_each_once(self, world: World, host: Host, count: int) -> None:
        self.assertEqual(world.appliance.violations, [])
        self.assertIsNone(host.failure)
        self.assertEqual(sorted(host.fates), list(range(count)))
        expected = [index for index in range(count) if host.fates[index] == Fate.STORED]
        self.assertEqual(stored_indexes(world, host.lane.options.lane), expected)

    def test_every_record_is_stored_once_and_in_order(self):
        for seed in range(35):
            with self.subTest(seed=seed):
                world = World(seed, bad_link(seed))
                host = world.host()
                world.send(host, RECORDS)

                self.assertTrue(world.run(world.all_settled))

                self.expect_each_once(world, host, RECORDS)

    def test_fates_are_those_that_the_appliance_gave(self):
        for seed in range(8):
            with self.subTest(seed=seed):
                kinds = [Fate.STORED, Fate.DROPPED, Fate.NO_TOPIC, Fate.QUOTA]
                fate_of = lambda record: kinds[len(record) % 4]  # noqa: E731
                appliance = MiniAppliance(Settings(fate_of=fate_of, fates_bytes=400))
                world = World(seed, bad_link(seed), appliance)
                host = world.host()
                world.send(host, RECORDS)

                self.assertTrue(world.run(world.all_settled))

                self.expect_each_once(world, host, RECORDS)
                self.assertEqual(list(appliance.lanes.values())[0].fates, {i + 1: host.fates[i] for i in range(RECORDS)})

    def test_fragments_arrive_among_small_records(self):
        for seed in range(10):
            with self.subTest(seed=seed):
                world = World(seed, bad_link(seed))
                host = world.host()
                world.send(host, 60, size=20000)

                self.assertTrue(world.run(world.all_settled, 3000))

                self.expect_each_once(world, host, 60)

    def test_little_credit_is_respected(self):
        for seed in range(8):
            with self.subTest(seed=seed):
                world = World(seed, bad_link(seed), MiniAppliance(Settings(credit=1500)))
                host = world.host()
                world.send(host, 120, size=2500)

                self.assertTrue(world.run(world.all_settled, 3000))

                self.expect_each_once(world, host, 120)

    def test_restarts_of_the_appliance_lose_nothing(self):
        for seed in range(20):
            with self.subTest(seed=seed):
                world = World(seed, bad_link(seed))
                host = world.host()
                for _ in range(4):
                    world.send(host, RECORDS // 4)
                    world.run_for(world.random.random() * 0.4)
                    world.appliance.restart()

                self.assertTrue(world.run(world.all_settled))

                self.expect_each_once(world, host, RECORDS)
                self.assertEqual(host.losses, [])

    def test_lost_sessions_are_opened_again(self):
        for seed in range(10):
            with self.subTest(seed=seed):
                world = World(seed, bad_link(seed))
                host = world.host()
                for _ in range(3):
                    world.send(host, 100)
                    world.run_for(0.1)
                    world.appliance.lose_sessions()

                self.assertTrue(world.run(world.all_settled))

                self.expect_each_once(world, host, 300)

    def test_a_lost_disk_is_told_with_its_exact_range(self):
        for seed in range(10):
            with self.subTest(seed=seed):
                world = World(seed, bad_link(seed))
                host = world.host()
                world.send(host, 50)
                self.assertTrue(world.run(world.all_settled))
                world.appliance.restart(lose=7)
                world.send(host, 50)

                self.assertTrue(world.run(world.all_settled))

                self.assertEqual(world.appliance.violations, [])
                self.assertEqual(host.losses, [(44, 50)])
                self.assertEqual(stored_indexes(world), [*range(43), *range(50, 100)])

    def test_a_link_that_is_dead_for_a_minute_only_takes_time(self):
        world = World(3)
        host = world.host()
        world.send(host, 100)
        world.run_for(0.012)
        world.link.drop = 1.0
        world.send(host, 100)
        world.run_for(60)
        world.link.drop = 0.0

        self.assertTrue(world.run(world.all_settled, 30))

        self.expect_each_once(world, host, 200)


if __name__ == "__main__":
    unittest.main()
