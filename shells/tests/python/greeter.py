"""An operator as people write them with the official client: it makes what Greetings ask for, and knows nothing of miniku.

A Greeting becomes a ConfigMap and a Deployment that it owns. It lists, then watches from there; when a watch ends it goes
on where it was, and lists anew only if the server has forgotten that place. What somebody changes by hand is put right.
Before a Greeting goes, it says farewell: in a ConfigMap of its own, which a finalizer guards.
"""

import queue
import threading
import time

from kubernetes import client, config, dynamic, watch

GROUP, VERSION, PLURAL = "demo.example.com", "v1", "greetings"
FINALIZER = f"{GROUP}/farewell"
MANAGER = "greeter"
# Short, so that a test sees watches end and go on.
WATCH_SECONDS = 1


class Greeter:
    def __init__(self):
        config.load_kube_config()
        self.core, self.custom = client.CoreV1Api(), client.CustomObjectsApi()
        clients = dynamic.DynamicClient(client.ApiClient())
        self.maps = clients.resources.get(api_version="v1", kind="ConfigMap")
        self.deployments = clients.resources.get(api_version="apps/v1", kind="Deployment")
        self.queue = queue.Queue()

    def run(self):
        """Reconciles for ever, one Greeting at a time."""
        greetings = lambda **more: self.custom.list_cluster_custom_object(GROUP, VERSION, PLURAL, **more)
        maps = lambda **more: self.core.list_config_map_for_all_namespaces(label_selector=f"app.kubernetes.io/managed-by={MANAGER}", **more)
        for source in [(greetings, self.greeting_changed), (maps, self.map_changed)]:
            threading.Thread(target=self.follow, args=source, daemon=True).start()
        while True:
            namespace, name, attempt = self.queue.get()
            try:
                self.reconcile(namespace, name)
            except client.ApiException as error:
                # Somebody else was faster, or the server is away: again, later.
                print(f"{namespace}/{name}: {error.status} {error.reason}", flush=True)
                threading.Timer(min(0.05 * 2**attempt, 5), self.queue.put, [(namespace, name, attempt + 1)]).start()

    def follow(self, listing, changed):
        """Tells of every object there is, and of every change."""
        version = None
        while True:
            try:
                if version is None:
                    listed = listing()
                    raw = listed if isinstance(listed, dict) else client.ApiClient().sanitize_for_serialization(listed)
                    for item in raw["items"]:
                        changed(item)
                    version = raw["metadata"]["resourceVersion"]
                    print("listed", flush=True)
                stream = watch.Watch()
                for event in stream.stream(listing, resource_version=version, timeout_seconds=WATCH_SECONDS, allow_watch_bookmarks=True):
                    raw = event["raw_object"]
                    version = raw["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        changed(raw)
                print("resumed", flush=True)
            except client.ApiException as error:
                # 410: what happened since is not known any more.
                version = None
                print(f"lists again: {error.status}", flush=True)
                time.sleep(0.1)
            except Exception as error:
                # The connection broke.
                print(f"lost: {error!r}", flush=True)
                time.sleep(0.1)

    def greeting_changed(self, greeting):
        meta = greeting["metadata"]
        self.queue.put((meta["namespace"], meta["name"], 0))

    def map_changed(self, config_map):
        meta = config_map["metadata"]
        for owner in meta.get("ownerReferences") or []:
            if owner["kind"] == "Greeting":
                self.queue.put((meta["namespace"], owner["name"], 0))

    def reconcile(self, namespace, name):
        at = {"group": GROUP, "version": VERSION, "namespace": namespace, "plural": PLURAL, "name": name}
        try:
            greeting = self.custom.get_namespaced_custom_object(**at)
        except client.ApiException as error:
            if error.status == 404:
                return
            raise
        meta = greeting["metadata"]
        finalizers = meta.get("finalizers", [])
        if "deletionTimestamp" in meta:
            if FINALIZER in finalizers:
                self.farewell(namespace, name, greeting["spec"]["text"])
                meta["finalizers"] = [one for one in finalizers if one != FINALIZER]
                self.custom.replace_namespaced_custom_object(body=greeting, **at)
            return
        if FINALIZER not in finalizers:
            patch = {"metadata": {"finalizers": finalizers + [FINALIZER], "resourceVersion": meta["resourceVersion"]}}
            greeting = self.custom.patch_namespaced_custom_object(body=patch, **at)
        self.children(greeting)
        status = {"observedGeneration": greeting["metadata"]["generation"], "configMap": name,
                  "conditions": [{"type": "Ready", "status": "True", "reason": "Greeted", "message": greeting["spec"]["text"]}]}
        if greeting.get("status") != status:
            self.custom.patch_namespaced_custom_object_status(body={"status": status}, **at)

    def children(self, greeting):
        """Server-side apply: says what is wished, and leaves to others what is theirs."""
        meta, spec = greeting["metadata"], greeting["spec"]
        namespace, name = meta["namespace"], meta["name"]
        owner = {"apiVersion": greeting["apiVersion"], "kind": greeting["kind"], "name": name, "uid": meta["uid"],
                 "controller": True, "blockOwnerDeletion": True}
        labels = {"app": name, "app.kubernetes.io/managed-by": MANAGER}
        own = {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": [owner]}
        apply = {"namespace": namespace, "field_manager": MANAGER, "force_conflicts": True}
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": own, "data": {"text": spec["text"]}}
        self.maps.server_side_apply(body=config_map, **apply)
        container = {"name": "greeter", "image": "busybox", "envFrom": [{"configMapRef": {"name": name}}]}
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": own,
                      "spec": {"replicas": spec.get("replicas", 1), "selector": {"matchLabels": {"app": name}}, "template": template}}
        self.deployments.server_side_apply(body=deployment, **apply)

    def farewell(self, namespace, name, text):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "farewells", "namespace": namespace}, "data": {name: text}}
        self.maps.server_side_apply(body=body, namespace=namespace, field_manager=f"{MANAGER}-{name}")


if __name__ == "__main__":
    Greeter().run()
