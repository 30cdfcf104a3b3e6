"""What the tests share: the client, as a user's program sets it up, and waiting."""

import time
import unittest
import uuid

from kubernetes import client, config

# Long, for a busy machine; nothing waits so long unless it fails.
DEADLINE = 30


def name(kind):
    """A name that no other test uses."""
    return f"{kind}-{uuid.uuid4().hex[:12]}"


def pod(name, **spec):
    """A pod that is content to be there."""
    containers = [{"name": "main", "image": "busybox", "command": ["sleep", "1000"]}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def deployment(name, image="nginx:1.26"):
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def until(what, ask):
    """Asks until the answer is true, and gives it."""
    deadline = time.monotonic() + DEADLINE
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited too long: {what}")
        time.sleep(0.02)
    return answer


class Test(unittest.TestCase):
    """A test with the typed clients at hand."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        config.load_kube_config()
        cls.api = client.ApiClient()
        cls.core = client.CoreV1Api(cls.api)
        cls.apps = client.AppsV1Api(cls.api)

    def refused(self, status, reason, call, *arguments, **more):
        """The error of a call that must fail so."""
        with self.assertRaises(client.ApiException) as caught:
            call(*arguments, **more)
        error = caught.exception
        self.assertEqual((error.status, error.reason), (status, reason), error.body)
        return error
