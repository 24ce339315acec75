# SPDX-License-Identifier: Apache-2.0
"""Runs unittest modules or a discovery folder and prints a JSON object for each test."""

import json
import os
import sys
import unittest

# What tests and the processes that they start print goes to standard error, so that each line here is a result.
results = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


class Lines(unittest.TestResult):
    def line(self, test, outcome, **more):
        print(json.dumps({"name": test.id(), "outcome": outcome, **more}), file=results, flush=True)

    def addSuccess(self, test):
        self.line(test, "passed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.line(test, "failed", detail=self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.line(test, "failed", detail=self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.line(subtest, "failed", detail=self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        self.line(test, "skipped", reason=reason)


names = sys.argv[1:]
loader = unittest.TestLoader()
suite = loader.loadTestsFromNames(names) if names else loader.discover("tests", top_level_dir=".")
suite.run(Lines())
