"""create_from_yaml, and manifests with more than one object."""

import os
import tempfile

from kubernetes import client, utils

from cluster import Test, name

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  replicas: 3
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      containers:
      - name: nginx
        image: nginx:1.15.4
        ports: [{{containerPort: 80}}]
"""

SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports: [{{protocol: TCP, port: 80, targetPort: 9376}}]
"""

API_SERVICE = """
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1alpha1.wardle.example.com}
spec:
  insecureSkipTLSVerify: true
  group: wardle.example.com
  groupPriorityMinimum: 1000
  versionPriority: 15
  service: {name: api, namespace: wardle}
  version: v1alpha1
"""


class Yaml(Test):
    def create(self, text, **more):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "it.yaml")
            with open(path, "w") as file:
                file.write(text)
            return utils.create_from_yaml(self.api, path, **more)

    def test_a_deployment_again_and_again(self):
        who = name("nginx")
        self.create(DEPLOYMENT.format(name=who))
        made = self.apps.read_namespaced_deployment(who, "default")
        self.assertEqual((made.spec.replicas, made.spec.template.spec.containers[0].ports[0].container_port), (3, 80))
        with self.assertRaises(utils.FailToCreateError):
            self.create(DEPLOYMENT.format(name=who))
        self.create(DEPLOYMENT.format(name=who), apply=True)
        self.create(DEPLOYMENT.format(name=who), apply=True)
        self.assertEqual(self.apps.read_namespaced_deployment(who, "default").metadata.generation, 1)

    def test_several_in_a_file(self):
        who = name("several")
        self.create(DEPLOYMENT.format(name=who) + "---" + SERVICE.format(name=who))
        self.assertEqual(self.core.read_namespaced_service(who, "default").spec.selector, {"app": who})

    def test_lists(self):
        who = name("list")
        items = [{"metadata": {"name": f"{who}-{number}"}} for number in (1, 2)]
        utils.create_from_dict(self.api, {"apiVersion": "v1", "kind": "NamespaceList", "items": items})
        self.assertEqual(self.core.read_namespace(f"{who}-2").status.phase, "Active")
        mixed = [item | {"apiVersion": "v1", "kind": "ConfigMap"} for item in items]
        utils.create_from_dict(self.api, {"apiVersion": "v1", "kind": "List", "items": mixed})
        self.assertEqual(self.core.read_namespaced_config_map(f"{who}-1", "default").metadata.name, f"{who}-1")

    def test_one_of_two_fails(self):
        who = name("half")
        self.core.create_namespaced_service("default", {"metadata": {"name": who}, "spec": {"ports": [{"port": 80}]}})
        with self.assertRaises(utils.FailToCreateError):
            self.create(DEPLOYMENT.format(name=who) + "---" + SERVICE.format(name=who))
        self.apps.read_namespaced_deployment(who, "default")

    def test_an_api_service_twice(self):
        self.create(API_SERVICE)
        with self.assertRaises(utils.FailToCreateError) as caught:
            self.create(API_SERVICE)
        self.assertEqual(str(caught.exception), (
            'Error from server (Conflict): {"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
            '"message":"apiservices.apiregistration.k8s.io \\"v1alpha1.wardle.example.com\\" already exists","reason":"AlreadyExists",'
            '"details":{"name":"v1alpha1.wardle.example.com","group":"apiregistration.k8s.io","kind":"apiservices"},"code":409}\n'))
        client.ApiregistrationV1Api(self.api).delete_api_service("v1alpha1.wardle.example.com", body={})

    def test_in_another_namespace(self):
        space = name("dep")
        self.core.create_namespace({"metadata": {"name": space}})
        self.create(DEPLOYMENT.format(name="x"), namespace=space)
        self.apps.read_namespaced_deployment("x", space)
        self.core.delete_namespace(space)
