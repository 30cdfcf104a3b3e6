"""Operators written for Kubernetes: one of the official client, one of a framework. Each is a process of its own."""

import os
import signal
import subprocess
import sys
import tempfile

from kubernetes import client

from cluster import Test, name, until

GROUP, PLURAL = "demo.example.com", "greetings"
HERE = os.path.dirname(os.path.abspath(__file__))


def definition():
    spec = {"type": "object", "required": ["text"], "properties": {
        "text": {"type": "string"}, "replicas": {"type": "integer", "minimum": 0}, "counts": {"type": "boolean"}}}
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": {"plural": PLURAL, "kind": "Greeting", "singular": "greeting"},
                 "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                               "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}}}]},
    }


class Operator:
    """A process that is ended with its test, and whose words are shown if that fails."""

    def __init__(self, *command):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([sys.executable, "-B", *command], cwd=HERE, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def words(self):
        # The process writes on at the place that it shares with us.
        return os.pread(self.log.fileno(), 1 << 20, 0).decode()

    def says(self, text, times=1):
        def said():
            assert self.process.poll() is None, f"it ended:\n{self.words()}"
            return self.words().count(text) >= times

        until(f"it says {text!r}, and not only\n{self.words()}", said)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.kill()
        if kind:
            print(self.words(), file=sys.stderr)
        self.log.close()


class Operators(Test):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.custom = client.CustomObjectsApi(cls.api)
        extensions = client.ApiextensionsV1Api(cls.api)
        extensions.create_custom_resource_definition(definition())
        until("it is served", lambda: any(
            one.type == "Established" and one.status == "True"
            for one in (extensions.read_custom_resource_definition(f"{PLURAL}.{GROUP}").status.conditions or [])))

    def setUp(self):
        self.namespace = name("ns")
        self.core.create_namespace({"metadata": {"name": self.namespace}})

    def at(self, who=None):
        at = {"group": GROUP, "version": "v1", "namespace": self.namespace, "plural": PLURAL}
        return {**at, "name": who} if who else at

    def greet(self, who, **spec):
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Greeting", "metadata": {"name": who}, "spec": spec}
        return self.custom.create_namespaced_custom_object(body=body, **self.at())

    def find(self, call, *arguments, **more):
        try:
            return call(*arguments, **more)
        except client.ApiException as error:
            self.assertEqual(error.status, 404)
            return None

    def greeting(self, who):
        return self.find(self.custom.get_namespaced_custom_object, **self.at(who))

    def text(self, who):
        found = self.find(self.core.read_namespaced_config_map, who, self.namespace)
        return found and found.data.get("text")

    def test_one_of_the_official_client(self):
        before = self.greet("early", text="I was first")
        with Operator("greeter.py") as operator:
            until("what was there is greeted", lambda: self.text("early") == "I was first")
            self.greet("a", text="hello", replicas=2)
            until("it is greeted", lambda: self.text("a") == "hello")
            until("and said so", lambda: (self.greeting("a").get("status") or {}).get("observedGeneration") == 1)
            greeting = self.greeting("a")
            self.assertEqual(greeting["metadata"]["finalizers"], [f"{GROUP}/farewell"])
            # A status is no new wish.
            self.assertEqual((greeting["metadata"]["generation"], greeting["spec"]), (1, {"text": "hello", "replicas": 2}))
            made = self.core.read_namespaced_config_map("a", self.namespace)
            owner = made.metadata.owner_references[0]
            self.assertEqual((owner.kind, owner.name, owner.uid, owner.controller), ("Greeting", "a", greeting["metadata"]["uid"], True))
            deployment = self.apps.read_namespaced_deployment("a", self.namespace)
            self.assertEqual(deployment.spec.replicas, 2)
            self.assertNotEqual(owner.uid, before["metadata"]["uid"])

            # Wishes change; what somebody does to a child is undone, what somebody else owns is left alone.
            self.custom.patch_namespaced_custom_object(body={"spec": {"text": "good day"}}, **self.at("a"))
            until("the wish arrives", lambda: self.text("a") == "good day")
            until("and is told", lambda: self.greeting("a")["status"]["observedGeneration"] == 2)
            self.core.patch_namespaced_config_map("a", self.namespace, {"data": {"text": "vandals", "note": "mine"}})
            until("it is put right", lambda: self.text("a") == "good day")
            self.assertEqual(self.core.read_namespaced_config_map("a", self.namespace).data["note"], "mine")
            self.core.delete_namespaced_config_map("a", self.namespace)
            until("it is made again", lambda: self.text("a") == "good day")

            # Watches end and go on where they were: nothing is listed twice, and nothing is missed.
            operator.says("resumed", operator.words().count("resumed") + 4)
            self.greet("b", text="after watches ended")
            until("it is greeted", lambda: self.text("b") == "after watches ended")
            self.assertEqual(operator.words().count("listed"), 2, operator.words())

        # Nobody is there to say farewell; when somebody is, it goes.
        self.custom.delete_namespaced_custom_object(**self.at("a"))
        self.assertIn("deletionTimestamp", self.greeting("a")["metadata"])
        with Operator("greeter.py"):
            until("it is gone", lambda: self.greeting("a") is None)
        farewells = self.core.read_namespaced_config_map("farewells", self.namespace).data
        self.assertEqual(farewells, {"a": "good day"})

    def test_one_of_a_framework(self):
        kopf = ("-m", "kopf", "run", "--standalone", "--all-namespaces", "kopf_greeter.py")
        with Operator(*kopf):
            self.greet("a", text="hello")
            until("it is greeted", lambda: self.text("a") == "hello")
            until("and said so", lambda: (self.greeting("a").get("status") or {}).get("greet"))
            greeting = self.greeting("a")
            self.assertEqual(greeting["status"]["greet"], {"configMap": "a", "because": "create"})
            self.assertEqual(greeting["metadata"]["finalizers"], ["kopf.zalando.org/KopfFinalizerMarker"])
            made = self.core.read_namespaced_config_map("a", self.namespace)
            self.assertEqual(made.metadata.owner_references[0].uid, greeting["metadata"]["uid"])
            self.custom.patch_namespaced_custom_object(body={"spec": {"text": "good day", "counts": True}}, **self.at("a"))
            until("the wish arrives", lambda: self.text("a") == "good day")
            until("it counts", lambda: self.greeting("a")["status"].get("counted", 0) >= 3)
        # It was away, and takes up what it finds.
        self.greet("b", text="nobody is here")
        with Operator(*kopf):
            until("it is greeted late", lambda: self.text("b") == "nobody is here")
            self.custom.delete_namespaced_custom_object(**self.at("a"))
            until("it is gone", lambda: self.greeting("a") is None)
            until("it said farewell", lambda: self.text("farewell-a") == "good day")
            # It tells what it did in events, as operators do.
            told = lambda: [(event.reason, event.message) for event in self.core.list_namespaced_event(self.namespace).items]
            until("it is told", lambda: ("Greeted", "nobody is here") in told())


if __name__ == "__main__":
    import unittest

    unittest.main()
