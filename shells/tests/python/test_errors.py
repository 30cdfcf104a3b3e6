"""Errors, byte by byte: what programs compare."""

from kubernetes import client

from cluster import Test, deployment, name, pod


class Errors(Test):
    def same(self, error, text):
        self.assertEqual(error.body, text + "\n")

    def test_not_found(self):
        error = self.refused(404, "Not Found", self.core.read_namespaced_pod, "absent", "default")
        self.same(error, '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \\"absent\\" not found",'
                  '"reason":"NotFound","details":{"name":"absent","kind":"pods"},"code":404}')

    def test_not_found_in_a_group(self):
        error = self.refused(404, "Not Found", self.apps.read_namespaced_deployment, "absent", "default")
        self.same(error, '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
                  '"message":"deployments.apps \\"absent\\" not found","reason":"NotFound",'
                  '"details":{"name":"absent","group":"apps","kind":"deployments"},"code":404}')

    def test_already_exists(self):
        who = name("twice")
        self.apps.create_namespaced_deployment("default", deployment(who))
        error = self.refused(409, "Conflict", self.apps.create_namespaced_deployment, "default", deployment(who))
        self.same(error, '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
                  f'"message":"deployments.apps \\"{who}\\" already exists","reason":"AlreadyExists",'
                  f'"details":{{"name":"{who}","group":"apps","kind":"deployments"}},"code":409}}')

    def test_a_namespace_that_is_not_there(self):
        error = self.refused(404, "Not Found", self.core.create_namespaced_pod, "absent", pod("x"))
        self.same(error, '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
                  '"message":"namespaces \\"absent\\" not found","reason":"NotFound",'
                  '"details":{"name":"absent","kind":"namespaces"},"code":404}')

    def test_a_conflict(self):
        who = name("old")
        made = self.core.create_namespaced_config_map("default", {"metadata": {"name": who}})
        self.core.patch_namespaced_config_map(who, "default", {"data": {"a": "1"}})
        made.data = {"a": "2"}
        error = self.refused(409, "Conflict", self.core.replace_namespaced_config_map, who, "default", made)
        self.same(error, '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
                  f'"message":"Operation cannot be fulfilled on configmaps \\"{who}\\": the object has been modified; please apply your '
                  f'changes to the latest version and try again","reason":"Conflict","details":{{"name":"{who}","kind":"configmaps"}},"code":409}}')

    def test_invalid(self):
        error = self.refused(422, "Unprocessable Entity", self.core.create_namespaced_pod, "default", pod("x", containers=[]))
        self.same(error, '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
                  '"message":"Pod \\"x\\" is invalid: spec.containers: Required value","reason":"Invalid",'
                  '"details":{"name":"x","kind":"Pod","causes":[{"reason":"FieldValueRequired","message":"Required value",'
                  '"field":"spec.containers"}]},"code":422}')

    def test_invalid_twice(self):
        containers = [{"name": "a"}, {"name": "a", "image": "b"}]
        error = self.refused(422, "Unprocessable Entity", self.core.create_namespaced_pod, "default", pod("x", containers=containers))
        self.same(error, '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
                  '"message":"Pod \\"x\\" is invalid: [spec.containers[0].image: Required value, spec.containers[1].name: Duplicate value: \\"a\\"]",'
                  '"reason":"Invalid","details":{"name":"x","kind":"Pod","causes":['
                  '{"reason":"FieldValueRequired","message":"Required value","field":"spec.containers[0].image"},'
                  '{"reason":"FieldValueDuplicate","message":"Duplicate value: \\"a\\"","field":"spec.containers[1].name"}]},"code":422}')

    def test_a_strict_field(self):
        error = self.refused(400, "Bad Request", self.core.create_namespaced_config_map, "default",
                             {"metadata": {"name": "x"}, "dat": {}}, field_validation="Strict")
        self.same(error, '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
                  '"message":"ConfigMap in version \\"v1\\" cannot be handled as a ConfigMap: strict decoding error: unknown field \\"dat\\"",'
                  '"reason":"BadRequest","code":400}')

    def test_deletion_says_what_went(self):
        who = name("gone")
        made = self.core.create_namespaced_config_map("default", {"metadata": {"name": who}})
        done = self.core.delete_namespaced_config_map(who, "default")
        self.assertEqual((done.status, done.details.name, done.details.kind, done.details.uid),
                         ("Success", who, "configmaps", made.metadata.uid))

    def test_preconditions(self):
        who = name("held")
        self.core.create_namespaced_config_map("default", {"metadata": {"name": who}})
        options = client.V1DeleteOptions(preconditions=client.V1Preconditions(resource_version="1"))
        self.refused(409, "Conflict", self.core.delete_namespaced_config_map, who, "default", body=options)
        self.core.read_namespaced_config_map(who, "default")

    def test_unsupported_selectors(self):
        error = self.refused(400, "Bad Request", self.core.list_namespaced_pod, "default", field_selector="spec.image=x")
        self.assertIn("field label not supported: spec.image", error.body)
        error = self.refused(400, "Bad Request", self.core.list_namespaced_pod, "default", label_selector="a in (b")
        self.assertIn('"reason":"BadRequest"', error.body)

    def test_an_old_page(self):
        self.refused(400, "Bad Request", self.core.list_namespaced_pod, "default", limit=1, _continue="nonsense")
