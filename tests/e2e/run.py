#!/usr/bin/python3
"""run.py - runs the end-to-end tests: real processes, real sockets, two network namespaces.

  run.py [-l] [--long] [--part I/N] [NAME...]
                                    NAME: part of a test's full name (file.Class.test); all without
                                    --long: those of long_*.py, which take minutes each
                                    --part: of N parts, whole files each, the I-th

Needs root and a build (./tools/test makes one; PENSTOCK_BUILD names another than build). Everything
runs in a network, mount and process namespace of its own: nothing of it is seen from outside, and
nothing outlives the run. Logs of failed tests are kept in BUILD/e2e-artefacts. The last lines count:
"Ran N tests in Xs" (N passed) and, if any failed, "FAILED: M of K". Exit 1 then.
"""
import argparse
import glob
import os
import shutil
import signal
import sys
import time
import unittest

sys.dont_write_bytecode = True
import namespaces  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
TAIL_LINES = 40
TEST_SECONDS_MAX = 120
LONG_TEST_SECONDS_MAX = 1800


class Result(unittest.TestResult):
    """A line a test; keeps the daemons' logs of those that fail."""

    def __init__(self, started_logs, artefacts, seconds_max):
        super().__init__()
        self.started_logs, self.artefacts, self.seconds_max = started_logs, artefacts, seconds_max
        self.passed = 0
        self.begun = time.monotonic()
        self.is_good = True

    def startTest(self, test):
        super().startTest(test)
        self.begun, self.is_good = time.monotonic(), True
        signal.alarm(self.seconds_max)

    def stopTest(self, test):
        signal.alarm(0)
        if self.is_good:
            self.passed += 1
        print("%-6s %s  %.1f s" % ("ok" if self.is_good else "FAILED", test.id(), time.monotonic() - self.begun),
              flush=True)
        self.clear_logs()
        super().stopTest(test)

    def clear_logs(self):
        self.started_logs[:] = [path for path in self.started_logs if os.path.exists(path)]

    def addError(self, test, error):
        super().addError(test, error)
        self.tell(test, self.errors[-1][1])

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.tell(test, self.failures[-1][1])

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.tell(subtest, self._exc_info_to_string(error, subtest))

    def addSkip(self, test, reason):
        self.addFailure(test, (AssertionError, AssertionError("skipped: " + reason), None))

    def tell(self, test, text):
        self.is_good = False
        print("---- %s\n%s" % (test.id(), text), flush=True)
        folder = os.path.join(self.artefacts, "".join(c if c.isalnum() or c in "._" else "-" for c in test.id())[:120])
        for path in dict.fromkeys(self.started_logs):
            if not os.path.exists(path):
                continue
            os.makedirs(folder, exist_ok=True)
            shutil.copy(path, folder)
            with open(path, errors="replace") as file:
                tail = file.readlines()[-TAIL_LINES:]
            print("---- the end of %s (kept in %s)\n%s" % (os.path.basename(path), folder, "".join(tail)), flush=True)


def tests_of(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests_of(item)
        else:
            yield item


def chosen(names, pattern, part):
    index, count = (int(number) for number in part.split("/"))
    loader = unittest.TestLoader()
    found = [loader.loadTestsFromName(os.path.basename(path)[:-3])
             for path in sorted(glob.glob(os.path.join(HERE, pattern)))[index - 1::count]]
    wanted = [test for test in tests_of(found) if not names or any(name in test.id() for name in names)]
    return unittest.TestSuite(wanted)


def on_alarm(*_):
    raise TimeoutError("the test took too long")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-l", "--list", action="store_true", help="print the names only")
    parser.add_argument("--long", action="store_true", help="the tests that take minutes")
    parser.add_argument("--part", default="1/1", help="I/N: the I-th of N parts, by file")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    namespaces.enter(__file__)
    signal.signal(signal.SIGALRM, on_alarm)

    sys.path.insert(0, HERE)
    import appliance
    import rack
    suite = chosen(arguments.names, "long_*.py" if arguments.long else "test_*.py", arguments.part)
    if arguments.list:
        print("\n".join(test.id() for test in tests_of(suite)))
        return 0

    artefacts = os.path.join(appliance.BUILD, "e2e-artefacts", arguments.part.replace("/", "-of-"))
    shutil.rmtree(artefacts, ignore_errors=True)
    count = suite.countTestCases()
    began = time.monotonic()
    seconds_max = LONG_TEST_SECONDS_MAX if arguments.long else TEST_SECONDS_MAX
    result = Result(appliance.started_logs, artefacts, seconds_max)
    try:
        suite.run(result)
    finally:
        rack.down()
    failed = count - result.passed
    print("Ran %d tests in %.1fs" % (result.passed, time.monotonic() - began))
    if failed > 0 or count == 0:
        print("FAILED: %d of %d" % (failed, count))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
