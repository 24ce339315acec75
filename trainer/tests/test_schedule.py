# SPDX-License-Identifier: Apache-2.0
import unittest

from nemo_trainer.job import Hyperparameters
from nemo_trainer.schedule import Batches, learning_rate, make_plan, micro_batches, packs


def hyper(**values):
    return Hyperparameters(**{"learning_rate": 1.0, "min_learning_rate": 0.1, **values})


class Plan(unittest.TestCase):
    def test_counts_the_short_last_batch_and_stops_at_max_steps(self):
        self.assertEqual(make_plan(100, hyper(epochs=2, batch_size=8)).steps_total, 26)
        self.assertEqual(make_plan(100, hyper(epochs=2, batch_size=8, max_steps=5)).steps_total, 5)
        self.assertEqual(make_plan(3, hyper(epochs=2, batch_size=8, max_steps=50)).steps_total, 2)

    def test_warm_up_is_at_most_a_tenth_unless_given(self):
        self.assertEqual(make_plan(800, hyper(batch_size=8)).warmup_steps, 10)
        self.assertEqual(make_plan(8, hyper(batch_size=8)).warmup_steps, 0)
        self.assertEqual(make_plan(100_000, hyper(batch_size=1)).warmup_steps, 200)
        self.assertEqual(make_plan(800, hyper(batch_size=8, warmup_steps=50)).warmup_steps, 50)

    def test_validation_interval_as_share_of_an_epoch_and_as_steps(self):
        def every(interval, **more):
            return make_plan(80, hyper(batch_size=8, val_check_interval=interval, **more)).validate_every

        self.assertEqual(every(0.5), 5)
        self.assertEqual(every(3), 3)
        self.assertIsNone(every(1.0))
        self.assertIsNone(every(25))
        self.assertEqual(every(8, max_steps=5), 4)


class Rate(unittest.TestCase):
    def test_rises_from_the_minimum_and_falls_back_to_it(self):
        hp = hyper(epochs=1, batch_size=1)
        plan = make_plan(100, hp)
        rates = [learning_rate(step, plan, hp) for step in range(1, 101)]
        self.assertAlmostEqual(rates[0], 0.19)
        self.assertAlmostEqual(rates[9], 1.0)
        self.assertAlmostEqual(rates[54], 0.55)
        self.assertAlmostEqual(rates[99], 0.1)
        self.assertEqual(rates[9:], sorted(rates[9:], reverse=True))

    def test_flat_stays(self):
        hp = hyper(optimizer="adamw_with_flat_lr", warmup_steps=2)
        plan = make_plan(80, hp)
        self.assertEqual([learning_rate(step, plan, hp) for step in (2, 3, 10)], [1.0, 1.0, 1.0])


class Order(unittest.TestCase):
    def test_an_epoch_has_every_row_once_and_each_epoch_its_own_order(self):
        plan = make_plan(10, hyper(epochs=2, batch_size=4))
        batches = Batches(plan, 42)
        first = [batches.of_step(step) for step in (1, 2, 3)]
        second = [batches.of_step(step) for step in (4, 5, 6)]
        self.assertEqual([len(each) for each in first], [4, 4, 2])
        self.assertEqual(sorted(sum(first, [])), list(range(10)))
        self.assertEqual(sorted(sum(second, [])), list(range(10)))
        self.assertNotEqual(first, second)

    def test_a_resumed_job_finds_the_same_rows(self):
        plan = make_plan(10, hyper(epochs=2, batch_size=4))
        self.assertEqual(Batches(plan, 42).of_step(5), [Batches(plan, 42).of_step(s) for s in (1, 4, 5)][2])
        self.assertNotEqual(Batches(plan, 42).of_step(1), Batches(plan, 43).of_step(1))


class MicroBatches(unittest.TestCase):
    def test_groups_by_length_within_the_budget(self):
        lengths = [10, 200, 12, 11, 90, 5000]
        groups = micro_batches([0, 1, 2, 3, 4, 5], lengths, 256)
        self.assertEqual(groups, [[5], [1], [4, 2], [3, 0]])
        self.assertEqual(micro_batches([0, 2, 3], lengths, 256, limit=1), [[2], [3], [0]])

    def test_loses_no_row(self):
        lengths = [(i * 37) % 101 + 1 for i in range(64)]
        groups = micro_batches(list(range(64)), lengths, 300)
        self.assertEqual(sorted(sum(groups, [])), list(range(64)))
        for group in groups:
            self.assertLessEqual(len(group) * max(lengths[i] for i in group), 300)


class Packs(unittest.TestCase):
    def test_every_row_is_in_one_pack_that_is_not_too_wide(self):
        lengths = [3, 5, 2, 9, 4, 1]
        groups = packs([0, 1, 2, 3, 4, 5], lengths, 8)
        self.assertEqual(sorted(row for group in groups for row in group), [0, 1, 2, 3, 4, 5])
        # A row longer than a pack has one of its own; the others fill two.
        self.assertEqual([sum(lengths[row] for row in group) for group in groups], [9, 8, 7])
        self.assertEqual(packs([], [], 8), [])


if __name__ == "__main__":
    unittest.main()
