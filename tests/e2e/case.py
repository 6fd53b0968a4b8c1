"""case.py - what all tests share: an appliance that goes away with the test, and claims about books."""
import json
import unittest

from appliance import Appliance, missed_frames


def short(value):
    text = repr(value)
    return text if len(text) <= 120 else text[:120] + "..."


def first_difference(found, wanted):
    """Where two lists part, with the neighbours of that place: the whole of them would fill the screen
    many times, and the difference of the two takes minutes to compute."""
    at = next((i for i, (left, right) in enumerate(zip(found, wanted)) if left != right),
              min(len(found), len(wanted)))
    around = slice(max(0, at - 2), at + 3)
    return "%d and %d items, the first difference at %d: %s is not %s" % (
        len(found), len(wanted), at, [short(item) for item in found[around]], [short(item) for item in wanted[around]])


class ApplianceTest(unittest.TestCase):
    """One appliance a test: self.appliance(...)."""

    def __init__(self, *words):
        super().__init__(*words)
        self.addTypeEqualityFunc(list, self.assert_same_list)
        self.addTypeEqualityFunc(dict, self.assert_same_dict)

    def appliance(self, **settings):
        out = Appliance(**settings)
        self.addCleanup(out.destroy)
        return out

    def assert_balanced(self, ledger):
        told = json.dumps(ledger, indent=1)
        self.assertTrue(ledger["balanced"], told)
        self.assertEqual(ledger["frames"]["residue"], 0, told)
        self.assertEqual(ledger["records"]["residue"], 0, told)

    def assert_same_list(self, found, wanted, msg=None):
        """What assertEqual of two lists says."""
        if found != wanted:
            self.fail(self._formatMessage(msg, first_difference(found, wanted)))

    def assert_same_dict(self, found, wanted, msg=None):
        """What assertEqual of two dictionaries says."""
        if found != wanted:
            self.fail(self._formatMessage(msg, first_difference(sorted(found.items()), sorted(wanted.items()))))

    def assert_within(self, part, whole, message):
        """Every item of the set `part` is one of the set `whole`."""
        strange = sorted(set(part) - set(whole))
        if strange:
            self.fail("%s: %d of %d are strange: %s" % (message, len(strange), len(part),
                                                        [short(item) for item in strange[:3]]))

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


__all__ = ["ApplianceTest", "SharedApplianceTest", "missed_frames"]
