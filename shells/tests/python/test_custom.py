"""Custom resources, and the client that knows no kinds."""

from kubernetes import client, dynamic

from cluster import Test, name, until

GROUP = "demo.example.com"


def definition(scope="Namespaced", plural="widgets", kind="Widget"):
    size = {"type": "integer", "minimum": 1, "default": 3}
    spec = {"type": "object", "properties": {"size": size, "colour": {"type": "string", "enum": ["red", "blue"]}}}
    status = {"type": "object", "properties": {"replicas": {"type": "integer"}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": scope, "names": {"plural": plural, "kind": kind, "singular": kind.lower(), "shortNames": [kind[:2].lower()]},
                 "versions": [{"name": "v1", "served": True, "storage": True,
                               "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.replicas"}},
                               "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}}}]},
    }


class Custom(Test):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.extensions = client.ApiextensionsV1Api(cls.api)
        cls.custom = client.CustomObjectsApi(cls.api)
        cls.extensions.create_custom_resource_definition(definition())

        def established():
            status = cls.extensions.read_custom_resource_definition(f"widgets.{GROUP}").status
            conditions = (status and status.conditions) or []
            return any(one.type == "Established" and one.status == "True" for one in conditions)

        until("it is established", established)

    def arguments(self):
        return {"group": GROUP, "version": "v1", "namespace": "default", "plural": "widgets"}

    def body(self, who, **spec):
        return {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": who}, "spec": spec}

    def test_the_life_of_one(self):
        who, at = name("w"), self.arguments()
        made = self.custom.create_namespaced_custom_object(body=self.body(who, colour="red"), **at)
        self.assertEqual((made["spec"], made["metadata"]["generation"]), ({"colour": "red", "size": 3}, 1))
        patched = self.custom.patch_namespaced_custom_object(name=who, body={"spec": {"size": 5}}, **at)
        self.assertEqual((patched["spec"]["size"], patched["metadata"]["generation"]), (5, 2))
        status = self.custom.patch_namespaced_custom_object_status(name=who, body={"status": {"replicas": 2}, "spec": {"size": 9}}, **at)
        self.assertEqual((status["spec"]["size"], status["status"], status["metadata"]["generation"]), (5, {"replicas": 2}, 2))
        scale = self.custom.get_namespaced_custom_object_scale(name=who, **at)
        self.assertEqual((scale["spec"]["replicas"], scale["status"]["replicas"]), (5, 2))
        listed = self.custom.list_namespaced_custom_object(**at)
        self.assertEqual((listed["kind"], listed["apiVersion"]), ("WidgetList", f"{GROUP}/v1"))
        self.custom.delete_namespaced_custom_object(name=who, **at)
        self.refused(404, "Not Found", self.custom.get_namespaced_custom_object, name=who, **at)

    def test_its_schema(self):
        at = self.arguments()
        error = self.refused(422, "Unprocessable Entity", self.custom.create_namespaced_custom_object, body=self.body("x", size=0), **at)
        self.assertIn("spec.size in body should be greater than or equal to 1", error.body)
        made = self.custom.create_namespaced_custom_object(body=self.body(name("w"), unknown=1), **at)
        self.assertEqual(made["spec"], {"size": 3})

    def test_the_dynamic_client(self):
        clients = dynamic.DynamicClient(self.api)
        pods = clients.resources.get(api_version="v1", kind="Pod")
        self.assertTrue(pods.namespaced)
        self.assertIsNotNone(pods.get(namespace="default").items)
        widgets = clients.resources.get(api_version=f"{GROUP}/v1", kind="Widget")
        who = name("d")
        made = widgets.create(body=self.body(who, size=2), namespace="default")
        self.assertEqual((made.spec.size, made.metadata.name), (2, who))
        changed = widgets.patch(name=who, namespace="default", body={"spec": {"size": 4}}, content_type="application/merge-patch+json")
        self.assertEqual(changed.spec.size, 4)
        changed.spec.size = 6
        self.assertEqual(widgets.replace(body=changed.to_dict(), namespace="default").spec.size, 6)
        self.assertEqual(len(widgets.get(namespace="default", field_selector=f"metadata.name={who}").items), 1)
        events = [event["type"] for event in widgets.watch(namespace="default", timeout=1)]
        self.assertEqual(set(events), {"ADDED"})
        widgets.delete(name=who, namespace="default")
        with self.assertRaises(dynamic.exceptions.NotFoundError):
            widgets.get(name=who, namespace="default")

    def test_a_definition_that_comes_and_goes(self):
        self.extensions.create_custom_resource_definition(definition("Cluster", "gadgets", "Gadget"))

        def served():
            try:
                return self.custom.list_cluster_custom_object(GROUP, "v1", "gadgets")
            except client.ApiException as error:
                self.assertEqual(error.status, 404)

        self.assertEqual(until("it is served", served)["items"], [])
        self.extensions.delete_custom_resource_definition(f"gadgets.{GROUP}")
        until("it is served no more", lambda: not served())
