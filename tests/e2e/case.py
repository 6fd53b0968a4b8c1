"""case.py - what all tests share: an appliance that goes away with the test, and claims about books."""
import json
import unittest

import rack
from appliance import Appliance, missed_frames


class ApplianceTest(unittest.TestCase):
    """One appliance a test: self.appliance(...)."""

    def appliance(self, **settings):
        out = Appliance(**settings)
        self.addCleanup(out.destroy)
        return out

    def assert_balanced(self, ledger):
        told = json.dumps(ledger, indent=1)
        self.assertTrue(ledger["balanced"], told)
        self.assertEqual(ledger["frames"]["residue"], 0, told)
        self.assertEqual(ledger["records"]["residue"], 0, told)

    def assert_in_order(self, found, sent, message):
        """`found` is `sent` with some left out, none moved, none added."""
        at = iter(sent)
        for value in found:
            if not any(value == other for other in at):
                self.fail("%s: %r is not sent, or moved" % (message, value[:120]))


class SharedApplianceTest(ApplianceTest):
    """One appliance for all tests of the class, made by settings(): tests only add to it."""

    @classmethod
    def settings(cls):
        return {}

    @classmethod
    def setUpClass(cls):
        cls.node = Appliance(**cls.settings())
        cls.addClassCleanup(cls.node.destroy)
        cls.node.start()
        rack.resolve_appliance()


__all__ = ["ApplianceTest", "SharedApplianceTest", "missed_frames"]
