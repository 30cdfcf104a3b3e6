"""Watches, and what is built upon them."""

import threading

from kubernetes import client, watch

from cluster import Test, name, until


def configmap(name, value):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value, "config": "dummy"}}


class Watches(Test):
    def setUp(self):
        self.space = name("watched")
        self.core.create_namespace({"metadata": {"name": self.space}})

    def stream(self, **more):
        return watch.Watch().stream(self.core.list_namespaced_config_map, namespace=self.space, **more)

    def test_everything_after_a_list(self):
        self.core.create_namespaced_config_map(self.space, configmap("a", "a"))
        seen = self.core.list_namespaced_config_map(self.space).metadata.resource_version
        self.core.create_namespaced_config_map(self.space, configmap("b", "b"))
        self.core.patch_namespaced_config_map("b", self.space, {"data": {"config": "{}"}})
        self.core.delete_collection_namespaced_config_map(self.space)
        events = [(event["type"], event["object"].metadata.name) for event in self.stream(resource_version=seen, timeout_seconds=1)]
        self.assertEqual(events[:2], [("ADDED", "b"), ("MODIFIED", "b")])
        self.assertEqual(sorted(events[2:]), [("DELETED", "a"), ("DELETED", "b")])

    def test_what_is_there_first(self):
        self.core.create_namespaced_config_map(self.space, configmap("a", "a"))
        self.assertEqual([(event["type"], event["object"].metadata.name) for event in self.stream(timeout_seconds=1)], [("ADDED", "a")])

    def test_a_selector_that_is_entered_and_left(self):
        events = []
        seen = self.core.list_namespaced_config_map(self.space).metadata.resource_version
        self.core.create_namespaced_config_map(self.space, configmap("a", "a"))
        self.core.patch_namespaced_config_map("a", self.space, {"metadata": {"labels": {"in": "yes"}}})
        self.core.patch_namespaced_config_map("a", self.space, {"data": {"key": "b"}})
        self.core.patch_namespaced_config_map("a", self.space, {"metadata": {"labels": {"in": None}}})
        for event in self.stream(resource_version=seen, label_selector="in=yes", timeout_seconds=1):
            events.append(event["type"])
        self.assertEqual(events, ["ADDED", "MODIFIED", "DELETED"])

    def test_as_it_happens(self):
        types, ready = [], threading.Event()
        self.core.create_namespaced_config_map(self.space, configmap("first", "a"))

        def listen():
            for event in self.stream(timeout_seconds=20):
                types.append((event["type"], event["object"].metadata.name))
                ready.set()
                if event["type"] == "DELETED":
                    return

        listener = threading.Thread(target=listen)
        listener.start()
        self.assertTrue(ready.wait(20))
        self.core.create_namespaced_config_map(self.space, configmap("second", "a"))
        until("the second is seen", lambda: ("ADDED", "second") in types)
        self.core.delete_namespaced_config_map("second", self.space)
        listener.join(20)
        self.assertEqual(types, [("ADDED", "first"), ("ADDED", "second"), ("DELETED", "second")])

    def test_bookmarks_and_initial_events(self):
        self.core.create_namespaced_config_map(self.space, configmap("a", "a"))
        events = self.stream(send_initial_events=True, resource_version_match="NotOlderThan", allow_watch_bookmarks=True, timeout_seconds=1)
        raw = [(event["type"], event["raw_object"]["metadata"].get("annotations")) for event in events]
        self.assertIn(("BOOKMARK", {"k8s.io/initial-events-end": "true"}), raw)

    def test_a_revision_of_the_future(self):
        error = self.refused(504, "Gateway Timeout", self.core.list_namespaced_config_map, self.space, resource_version="999999999",
                             resource_version_match="NotOlderThan")
        self.assertIn("Too large resource version", error.body)

    def test_an_informer(self):
        """What its authors call one: a list, then watches that go on where it left off, ended by the server."""
        cache, stop = {}, threading.Event()

        def inform():
            listed = self.core.list_namespaced_config_map(self.space)
            cache.update({item.metadata.name: item for item in listed.items})
            revision = listed.metadata.resource_version
            while not stop.is_set():
                for event in self.stream(resource_version=revision, timeout_seconds=1, allow_watch_bookmarks=True):
                    revision = event["raw_object"]["metadata"]["resourceVersion"]
                    who = event["raw_object"]["metadata"].get("name")
                    if event["type"] == "DELETED":
                        cache.pop(who)
                    elif event["type"] != "BOOKMARK":
                        cache[who] = event["object"]

        self.core.create_namespaced_config_map(self.space, configmap("a", "a"))
        informer = threading.Thread(target=inform)
        informer.start()
        try:
            until("the first is known", lambda: "a" in cache)
            for number in range(20):
                self.core.create_namespaced_config_map(self.space, configmap(f"n{number}", "x"))
            until("all are known", lambda: len(cache) == 21)
            self.core.delete_namespaced_config_map("a", self.space)
            until("one is gone", lambda: "a" not in cache)
        finally:
            stop.set()
            informer.join()
