"""Pods that are scheduled, and what sets of them do: with controllers, and nodes on which pods only look as if."""

from kubernetes import client

from cluster import Test, name, pod, until


class Pods(Test):
    def running(self, who):
        return until(f"{who} runs", lambda: (found := self.core.read_namespaced_pod(who, "default")).status.phase == "Running" and found)

    def test_one_runs(self):
        who = name("pod")
        made = self.core.create_namespaced_pod("default", pod(who))
        self.assertEqual(made.status.phase, "Pending")
        found = self.running(who)
        self.assertTrue(found.spec.node_name and found.status.host_ip and found.status.start_time)
        self.assertIsNotNone(found.status.container_statuses[0].state.running.started_at)
        self.assertEqual({one.type: one.status for one in found.status.conditions}["Ready"], "True")
        self.core.delete_namespaced_pod(who, "default", grace_period_seconds=1)

        def gone():
            try:
                self.core.read_namespaced_pod(who, "default")
            except client.ApiException as error:
                return error.status == 404

        until("it is gone", gone)

    def test_a_set_is_kept(self):
        who = name("set")
        template = {"metadata": {"labels": {"app": who}}, "spec": pod(who)["spec"]}
        self.apps.create_namespaced_replica_set("default", {"metadata": {"name": who}, "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": who}}, "template": template}})
        until("both are ready", lambda: self.apps.read_namespaced_replica_set(who, "default").status.ready_replicas == 2)
        first = self.core.list_namespaced_pod("default", label_selector=f"app={who}").items[0]
        self.core.delete_namespaced_pod(first.metadata.name, "default", grace_period_seconds=0)

        def replaced():
            pods = self.core.list_namespaced_pod("default", label_selector=f"app={who}").items
            return len(pods) == 2 and first.metadata.uid not in [one.metadata.uid for one in pods]

        until("another is made", replaced)
        self.apps.delete_namespaced_replica_set(who, "default", propagation_policy="Foreground")
        until("all are gone", lambda: not self.core.list_namespaced_pod("default", label_selector=f"app={who}").items)

    def test_an_eviction(self):
        who = name("evicted")
        self.core.create_namespaced_pod("default", pod(who, terminationGracePeriodSeconds=1))
        self.running(who)
        eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=who, namespace="default"))
        self.core.create_namespaced_pod_eviction(who, "default", eviction)
        until("it goes", lambda: who not in [
            one.metadata.name for one in self.core.list_namespaced_pod("default").items if not one.metadata.deletion_timestamp])

    def test_the_nodes(self):
        nodes = until("both are there", lambda: len(found := self.core.list_node().items) == 2 and found)
        for node in nodes:
            self.assertTrue(node.metadata.labels["kubernetes.io/hostname"])
            self.assertTrue(node.status.allocatable["cpu"])

    def test_logs(self):
        who = name("log")
        self.core.create_namespaced_pod("default", pod(who))
        self.running(who)
        self.assertIsInstance(self.core.read_namespaced_pod_log(who, "default", tail_lines=1), str)
        error = self.refused(400, "Bad Request", self.core.read_namespaced_pod_log, who, "default", container="other")
        self.assertIn(f"container other is not valid for pod {who}", error.body)
