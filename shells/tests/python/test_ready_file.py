"""A server for one's own tests, as `docs/test-server.md` shows it."""

import os
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from kubernetes import client


def start(directory):
    """Starts a server of its own; the process, and a client of it."""
    ready = Path(directory, "ready")
    server = subprocess.Popen([os.environ["MINIKU"], "apiserver", "--store", "memory", "--port", "0", "--ready-file", ready],
                              stderr=subprocess.DEVNULL)
    while not ready.exists():
        assert server.poll() is None, "it ended"
        time.sleep(0.001)
    configuration = client.Configuration()
    configuration.host = ready.read_text().strip()
    return server, client.ApiClient(configuration)


class ReadyFile(unittest.TestCase):
    def test_two_servers_at_once(self):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            servers = [start(one), start(two)]
            try:
                for nth, (_, api) in enumerate(servers):
                    core = client.CoreV1Api(api)
                    core.create_namespaced_config_map("default", {"metadata": {"name": f"of-{nth}"}})
                    names = [item.metadata.name for item in core.list_namespaced_config_map("default").items]
                    self.assertEqual([one for one in names if one.startswith("of-")], [f"of-{nth}"])
            finally:
                for server, api in servers:
                    api.close()
                    server.terminate()
                    self.assertEqual(server.wait(timeout=30), 0)
            self.assertFalse(Path(one, "ready").exists())
