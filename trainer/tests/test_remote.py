# SPDX-License-Identifier: Apache-2.0
import os
import tempfile
import unittest

from nemo_trainer import remote
from nemo_trainer.streams import Stream


class FakeCallback:
    """A customizer's side of one stream."""

    def __init__(self) -> None:
        self.held = b""
        self.away = False

    def stream_size(self, _name):
        if self.away:
            raise TimeoutError
        return len(self.held)

    def append(self, _name, offset, body):
        if self.away:
            raise TimeoutError
        if offset != len(self.held):
            return False, len(self.held)
        self.held += body
        return True, len(self.held)


class Streams(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.there = FakeCallback()
        self.addCleanup(self.folder.cleanup)

    def stream(self):
        return Stream(self.there, self.folder.name, "events.jsonl", whole_lines=True)

    def write(self, text):
        with open(os.path.join(self.folder.name, "events.jsonl"), "a", encoding="utf-8") as file:
            file.write(text)

    def send(self, stream):
        while stream.send_some():
            pass

    def test_whole_lines_only_and_each_once(self):
        stream = self.stream()
        self.write("a\nb")
        self.send(stream)
        self.assertEqual(self.there.held, b"a\n")
        self.write("c\n")
        self.send(stream)
        self.assertEqual(self.there.held, b"a\nbc\n")

    def test_a_new_pod_goes_on_where_the_last_one_was(self):
        self.write("a\nb\n")
        self.send(self.stream())
        self.write("c\n")
        self.send(self.stream())
        self.assertEqual(self.there.held, b"a\nb\nc\n")

    def test_a_new_disk_there_gets_everything_again(self):
        stream = self.stream()
        self.write("a\nb\n")
        self.send(stream)
        self.there.held = b""
        self.write("c\n")
        self.send(stream)
        self.assertEqual(self.there.held, b"a\nb\nc\n")

    def test_a_new_workspace_here_goes_on_behind_what_is_there(self):
        self.there.held = b"old\n"
        stream = self.stream()
        self.write("a\n")
        self.send(stream)
        self.assertEqual(self.there.held, b"old\na\n")
        self.there.held = b""
        self.write("b\n")
        self.send(stream)
        self.assertEqual(self.there.held, b"a\nb\n")

    def test_a_customizer_that_is_away_is_asked_later(self):
        self.there.away = True
        stream = self.stream()
        self.write("a\n")
        self.assertFalse(stream.send_some())
        self.there.away = False
        stream._retry_at = 0
        self.send(stream)
        self.assertEqual(self.there.held, b"a\n")


class Paths(unittest.TestCase):
    def test_only_paths_below_the_workspace(self):
        self.assertEqual(remote.safe_parts("data/training/a.jsonl"), ["data", "training", "a.jsonl"])
        for path in ("", "/etc/passwd", "../x", "a/../../x", "a//b", "a\\b", "."):
            with self.assertRaises(ValueError):
                remote.safe_parts(path)
