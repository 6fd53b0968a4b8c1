"""A thousand reloads in a row under full load: nothing is lost, each commit keeps to one set, memory does not grow."""
import os
import statistics
import time

from appliance import missed_frames
from test_rules_reload import TO_ALERTS, TO_EVENTS, ReloadTest, epoch_of

RELOADS = int(os.environ.get("PENSTOCK_RELOADS", "1000"))
WARM_UP = 10  # memory may grow until both sets have been there some times
GROWTH_KIB_MAX = 16 * 1024
RECORDS = 1_000_000  # a sender; the next begins when it is done
PADDING = 200  # rules that match nothing: a set worth the name


def padded(rules):
    """With some rules that cost a compilation."""
    idle = [{"name": "idle-%d" % i, "when": "never-%d-[a-f]+x" % i, "do": "drop"} for i in range(PADDING)]
    return {"rules": idle + rules["rules"]}


class ThousandReloads(ReloadTest):
    def resident_kib(self, node):
        with open("/proc/%d/status" % node.status()["pid"]) as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))

    def check_senders(self, node, sent):
        self.assert_balanced(node.settled_ledger())
        ledger = node.ledger()
        self.assertEqual(missed_frames(ledger), 0, "what the port lost before the workers")
        self.assertEqual(ledger["records"]["stored"]["sum"], sent)

    def test_a_thousand_reloads_under_full_load(self):
        sets = [padded(TO_EVENTS), padded(TO_ALERTS)]
        node = self.node(workers=2, storage={"segment": "64MiB"})
        node.write_rules(sets[0])
        self.reload(node)
        sender, sent, senders = None, 0, 0
        took, resident = [], []
        began = time.monotonic()
        for number in range(1, RELOADS + 1):
            if sender is None or sender.poll() is not None:
                if sender is not None:
                    self.finish_sending(sender)
                senders += 1
                sent += RECORDS
                sender = self.begin_sending(node, RECORDS, lanes=16, receipts="receipts-%d" % senders)
            node.write_rules(sets[number % 2])
            asked = time.monotonic()
            self.reload(node)
            took.append(time.monotonic() - asked)
            resident.append(self.resident_kib(node))
        seconds = time.monotonic() - began
        self.finish_sending(sender, seconds=300)
        self.check_senders(node, sent)
        counters = node.counters()
        self.assertEqual(node.stop("ingest"), 0)
        for i in range(senders):
            self.assert_audit_is_clean(node, "receipts-%d" % (i + 1))
        epochs = self.assert_commits_keep_to_their_rules(
            node, {epoch_of(sets[0]): "events", epoch_of(sets[1]): "alerts", epoch_of(TO_EVENTS): "events"})
        growth = max(resident[len(resident) // 2:]) - max(resident[:WARM_UP])
        print("%d reloads in %.0f s (median %.0f ms, slowest %.0f ms), %d records by %d senders at %.0f a second, "
              "%d commits, %d changes of rules between them; RSS %d KiB after %d, %d at the end, growth %d KiB" %
              (RELOADS, seconds, 1000 * statistics.median(took), 1000 * max(took), sent, senders, sent / seconds,
               len(epochs), sum(a != b for a, b in zip(epochs, epochs[1:])), max(resident[:WARM_UP]), WARM_UP,
               resident[-1], growth), flush=True)
        self.assertLessEqual(counters["rules_swaps"], 2 * (RELOADS + 1))
        self.assertGreater(counters["rules_swaps"], RELOADS)
        self.assertLess(growth, GROWTH_KIB_MAX)
