"""The same operator in a framework: run it with `kopf run`."""

import kopf
from kubernetes import client, config

WHERE = ("demo.example.com", "v1", "greetings")


@kopf.on.startup()
def begin(settings, **_):
    config.load_kube_config()
    # A test does not wait for what a cluster saves itself.
    settings.batching.batch_window = 0.05


@kopf.on.create(*WHERE)
@kopf.on.update(*WHERE, field="spec.text")
@kopf.on.resume(*WHERE)
def greet(spec, body, name, namespace, reason, **_):
    """Makes the ConfigMap, or makes it right. What is returned becomes a part of the status."""
    wished = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": spec["text"]}}
    kopf.adopt(wished)
    kopf.label(wished, {"made-by": "kopf"})
    core = client.CoreV1Api()
    try:
        core.create_namespaced_config_map(namespace, wished)
    except client.ApiException as error:
        if error.status != 409:
            raise
        core.patch_namespaced_config_map(name, namespace, {"data": wished["data"]})
    kopf.info(body, reason="Greeted", message=spec["text"])
    return {"configMap": name, "because": str(reason)}


@kopf.on.delete(*WHERE)
def farewell(spec, name, namespace, **_):
    body = {"metadata": {"name": f"farewell-{name}"}, "data": {"text": spec["text"]}}
    client.CoreV1Api().create_namespaced_config_map(namespace, body)


@kopf.timer(*WHERE, interval=0.2, when=lambda spec, **_: spec.get("counts", False))
def count(status, patch, **_):
    patch.status["counted"] = status.get("counted", 0) + 1
