"""Server-side apply, and patches of each type."""

from kubernetes import dynamic

from cluster import Test, deployment, name


class Apply(Test):
    def setUp(self):
        self.dynamic = dynamic.DynamicClient(self.api)
        self.configmaps = self.dynamic.resources.get(api_version="v1", kind="ConfigMap")

    def apply(self, body, manager, **more):
        return self.configmaps.server_side_apply(body=body, namespace="default", field_manager=manager, **more)

    def body(self, who, **data):
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": who}, "data": data}

    def test_it_creates_and_changes(self):
        who = name("applied")
        self.assertEqual(self.apply(self.body(who, a="1", b="1"), "one").data.to_dict(), {"a": "1", "b": "1"})
        self.assertEqual(self.apply(self.body(who, a="2"), "one").data.to_dict(), {"a": "2"})

    def test_a_conflict_and_force(self):
        who = name("fought")
        self.apply(self.body(who, a="1"), "one")
        with self.assertRaises(dynamic.exceptions.ConflictError) as caught:
            self.apply(self.body(who, a="2"), "two")
        self.assertIn('Apply failed with 1 conflict: conflict with \\"one\\": .data.a', caught.exception.body.decode())
        self.assertIn('"causes":[{"reason":"FieldManagerConflict","message":"conflict with \\"one\\"","field":".data.a"}]',
                      caught.exception.body.decode())
        forced = self.apply(self.body(who, a="2"), "two", force_conflicts=True)
        self.assertEqual([entry.manager for entry in forced.metadata.managedFields], ["two"])

    def test_the_same_again_changes_nothing(self):
        who = name("same")
        first = self.apply(self.body(who, a="1"), "one")
        self.assertEqual(self.apply(self.body(who, a="1"), "one").metadata.resourceVersion, first.metadata.resourceVersion)

    def test_a_deployment(self):
        who = name("applied")
        deployments = self.dynamic.resources.get(api_version="apps/v1", kind="Deployment")
        made = deployments.server_side_apply(body=deployment(who), namespace="default", field_manager="me")
        entry = made.metadata.managedFields[0]
        self.assertEqual((made.spec.replicas, entry.manager, entry.operation), (3, "me", "Apply"))
        self.apps.patch_namespaced_deployment_scale(who, "default", {"spec": {"replicas": 5}})
        with self.assertRaises(dynamic.exceptions.ConflictError):
            deployments.server_side_apply(body=deployment(who), namespace="default", field_manager="me")

    def test_patches(self):
        who = name("patched")
        self.core.create_namespaced_config_map("default", self.body(who, a="1"))
        # A list is a JSON patch, a map a strategic one: the client says so.
        patched = self.core.patch_namespaced_config_map(who, "default", [{"op": "replace", "path": "/data/a", "value": "2"}])
        self.assertEqual(patched.data, {"a": "2"})
        patched = self.core.patch_namespaced_config_map(who, "default", {"data": {"a": None, "b": "3"}})
        self.assertEqual(patched.data, {"b": "3"})
        merged = self.configmaps.patch(
            name=who, namespace="default", body={"data": {"c": "4"}}, content_type="application/merge-patch+json")
        self.assertEqual(merged.data.to_dict(), {"b": "3", "c": "4"})

    def test_who_wrote_what(self):
        who = name("written")
        made = self.core.create_namespaced_config_map("default", self.body(who, a="1"), field_manager="maker")
        entry = made.metadata.managed_fields[0]
        self.assertEqual((entry.manager, entry.operation, entry.fields_type), ("maker", "Update", "FieldsV1"))
        self.assertEqual(entry.fields_v1, {"f:data": {".": {}, "f:a": {}}})
        patched = self.core.patch_namespaced_config_map(who, "default", {"data": {"b": "1"}})
        self.assertEqual([entry.manager for entry in patched.metadata.managed_fields], ["maker", "OpenAPI-Generator"])
