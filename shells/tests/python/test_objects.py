"""Objects of many kinds: made, read, changed, listed, removed."""

import base64

from kubernetes import client

from cluster import Test, deployment, name, pod


class Objects(Test):
    def test_a_default_service_account(self):
        self.assertEqual(self.core.read_namespaced_service_account("default", "default").metadata.name, "default")

    def test_a_pod(self):
        who = name("pod")
        made = self.core.create_namespaced_pod("default", pod(who))
        self.assertEqual((made.metadata.name, made.status.phase), (who, "Pending"))
        self.assertEqual((made.kind, made.api_version), ("Pod", "v1"))
        self.assertEqual(self.core.read_namespaced_pod(who, "default").metadata.uid, made.metadata.uid)
        self.core.patch_namespaced_pod(who, "default", {"metadata": {"labels": {"a": "b"}}})
        found = self.core.list_namespaced_pod("default", label_selector="a=b", field_selector=f"metadata.name={who}")
        self.assertEqual([one.metadata.name for one in found.items], [who])
        self.assertIn(who, [one.metadata.name for one in self.core.list_pod_for_all_namespaces().items])
        self.core.delete_namespaced_pod(who, "default", body={})
        self.refused(404, "Not Found", self.core.read_namespaced_pod, who, "default")

    def test_a_service(self):
        who = name("frontend")
        made = self.core.create_namespaced_service("default", {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": who, "labels": {"name": who}, "resourceversion": "v1"},
            "spec": {"ports": [{"name": "port", "port": 80, "protocol": "TCP", "targetPort": 80}], "selector": {"name": who}},
        })
        self.assertEqual(made.metadata.name, who)
        self.assertTrue(made.spec.cluster_ip)
        patched = self.core.patch_namespaced_service(who, "default", {
            "spec": {"ports": [{"name": "new", "port": 8080, "protocol": "TCP", "targetPort": 8080}]},
        })
        self.assertEqual(sorted(port.port for port in patched.spec.ports), [80, 8080])
        self.core.delete_namespaced_service(who, "default")

    def test_a_replication_controller(self):
        who = name("frontend")
        made = self.core.create_namespaced_replication_controller("default", {
            "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": who, "labels": {"name": who}},
            "spec": {"replicas": 2, "selector": {"name": who}, "template": {
                "metadata": {"name": who, "labels": {"name": who}},
                "spec": {"containers": [{"image": "nginx", "name": "nginx", "ports": [{"containerPort": 80}]}]}}},
        })
        self.assertEqual(made.spec.replicas, 2)
        self.core.delete_namespaced_replication_controller(who, "default", propagation_policy="Background")

    def test_configmaps(self):
        who = name("config")
        body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": who, "labels": {"e2e-tests": "true"}},
                "data": {"config.json": '{"command":"/usr/bin/mysqld_safe"}', "frontend.cnf": "[mysqld]\nbind-address = 10.0.0.3\n"}}
        made = self.core.create_namespaced_config_map("default", body)
        self.assertEqual(made.data, body["data"])
        body["data"]["config.json"] = "{}"
        self.core.patch_namespaced_config_map(who, "default", body)
        self.assertEqual(self.core.read_namespaced_config_map(who, "default").data["config.json"], "{}")
        replaced = self.core.replace_namespaced_config_map(who, "default", client.V1ConfigMap(
            metadata=client.V1ObjectMeta(name=who), binary_data={"blob": base64.b64encode(bytes(range(256))).decode()}))
        self.assertIsNone(replaced.data)
        self.assertEqual(base64.b64decode(replaced.binary_data["blob"]), bytes(range(256)))
        self.core.delete_namespaced_config_map(who, "default", body={})
        found = self.core.list_namespaced_config_map("default", pretty=True, label_selector="e2e-tests=true")
        self.assertEqual(found.items, [])

    def test_a_secret(self):
        who = name("secret")
        made = self.core.create_namespaced_secret("default", client.V1Secret(
            metadata=client.V1ObjectMeta(name=who), string_data={"password": "x"}))
        self.assertEqual((made.type, made.data, made.string_data), ("Opaque", {"password": "eA=="}, None))
        self.core.delete_namespaced_secret(who, "default")

    def test_nodes(self):
        who = name("node")
        self.core.create_node(client.V1Node(metadata=client.V1ObjectMeta(name=who, labels={"zone": "a"})))
        for item in self.core.list_node().items:
            self.assertIsNotNone(self.core.read_node(name=item.metadata.name).metadata.labels)
        patched = self.core.patch_node(who, {"spec": {"unschedulable": True}})
        self.assertTrue(patched.spec.unschedulable)
        status = self.core.patch_node_status(who, {"status": {"capacity": {"cpu": "2"}}})
        self.assertEqual(status.status.capacity, {"cpu": "2"})
        self.core.delete_node(who)

    def test_a_deployment(self):
        who = name("nginx")
        made = self.apps.create_namespaced_deployment("default", deployment(who))
        self.assertEqual((made.spec.replicas, made.metadata.generation), (3, 1))
        self.assertEqual(made.spec.strategy.rolling_update.max_surge, "25%")
        found = self.apps.list_namespaced_deployment("default")
        self.assertIn(who, [one.metadata.name for one in found.items])
        made.spec.template.spec.containers[0].image = "nginx:1.27"
        replaced = self.apps.replace_namespaced_deployment(who, "default", made)
        self.assertEqual((replaced.spec.template.spec.containers[0].image, replaced.metadata.generation), ("nginx:1.27", 2))
        scale = self.apps.read_namespaced_deployment_scale(who, "default")
        self.assertEqual((scale.kind, scale.spec.replicas, scale.status.selector), ("Scale", 3, f"app={who}"))
        scale.spec.replicas = 5
        self.assertEqual(self.apps.replace_namespaced_deployment_scale(who, "default", scale).spec.replicas, 5)
        self.apps.patch_namespaced_deployment_scale(who, "default", {"spec": {"replicas": 6}})
        self.assertEqual(self.apps.read_namespaced_deployment(who, "default").spec.replicas, 6)
        options = client.V1DeleteOptions(propagation_policy="Foreground", grace_period_seconds=5)
        self.apps.delete_namespaced_deployment(who, "default", body=options)

    def test_a_daemon_set(self):
        who = name("nginx-app")
        body = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"labels": {"app": "nginx"}, "name": who},
                "spec": {"selector": {"matchLabels": {"app": "nginx"}}, "template": {
                    "metadata": {"labels": {"app": "nginx"}, "name": "app"},
                    "spec": {"containers": [{"name": "nginx-app", "image": "nginx:1.15.4"}]}},
                    "updateStrategy": {"type": "RollingUpdate"}}}
        self.apps.create_namespaced_daemon_set("default", body)
        body["metadata"]["annotations"] = {"kubernetes.io/change-cause": "again"}
        patched = self.apps.patch_namespaced_daemon_set(who, "default", body)
        self.assertEqual(patched.metadata.annotations, {"kubernetes.io/change-cause": "again"})
        self.apps.delete_namespaced_daemon_set(who, "default", body={"propagationPolicy": "Background"})

    def test_a_stateful_set(self):
        who = name("web")
        made = self.apps.create_namespaced_stateful_set("default", {
            "metadata": {"name": who}, "spec": {"serviceName": who, "selector": {"matchLabels": {"a": "b"}}, "template": {
                "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}},
                "volumeClaimTemplates": [{"metadata": {"name": "www"}, "spec": {
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}})
        self.assertEqual((made.spec.replicas, made.spec.pod_management_policy), (1, "OrderedReady"))
        self.assertEqual(made.spec.volume_claim_templates[0].spec.volume_mode, "Filesystem")
        self.apps.delete_namespaced_stateful_set(who, "default")

    def test_a_job(self):
        batch = client.BatchV1Api(self.api)
        who = name("job")
        made = batch.create_namespaced_job("default", {"kind": "Job", "apiVersion": "batch/v1", "metadata": {"name": who},
            "spec": {"template": {"metadata": {"name": who}, "spec": {"containers": [
                {"image": "busybox", "name": who, "command": ["sh", "-c", "sleep 5"]}], "restartPolicy": "Never"}}}})
        self.assertEqual((made.spec.backoff_limit, made.spec.parallelism), (6, 1))
        batch.delete_namespaced_job(who, "default", propagation_policy="Background")

    def test_an_autoscaler_in_two_versions(self):
        v1, v2 = client.AutoscalingV1Api(self.api), client.AutoscalingV2Api(self.api)
        who = name("hpa")
        v1.create_namespaced_horizontal_pod_autoscaler("default", {"metadata": {"name": who}, "spec": {
            "maxReplicas": 4, "targetCPUUtilizationPercentage": 70, "scaleTargetRef": {"kind": "Deployment", "name": "x"}}})
        metric = v2.read_namespaced_horizontal_pod_autoscaler(who, "default").spec.metrics[0]
        self.assertEqual((metric.resource.name, metric.resource.target.average_utilization), ("cpu", 70))
        v1.delete_namespaced_horizontal_pod_autoscaler(who, "default")

    def test_the_other_kinds(self):
        net, policy, rbac = client.NetworkingV1Api(self.api), client.PolicyV1Api(self.api), client.RbacAuthorizationV1Api(self.api)
        storage, scheduling = client.StorageV1Api(self.api), client.SchedulingV1Api(self.api)
        coordination, discovery = client.CoordinationV1Api(self.api), client.DiscoveryV1Api(self.api)
        who = name("x")
        meta = {"metadata": {"name": who}}
        path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}
        net.create_namespaced_ingress("default", meta | {"spec": {"rules": [{"http": {"paths": [path]}}]}})
        net.create_namespaced_network_policy("default", meta | {"spec": {"podSelector": {}}})
        net.create_ingress_class(meta | {"spec": {"controller": "example.com/c"}})
        policy.create_namespaced_pod_disruption_budget("default", meta | {"spec": {"minAvailable": "50%", "selector": {}}})
        rbac.create_namespaced_role("default", meta | {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]})
        rbac.create_cluster_role(meta | {"rules": [{"nonResourceURLs": ["/healthz"], "verbs": ["get"]}]})
        storage.create_storage_class(meta | {"provisioner": "example.com/p"})
        scheduling.create_priority_class(meta | {"value": 7})
        coordination.create_namespaced_lease("default", meta | {"spec": {"holderIdentity": "me", "renewTime": "2026-01-02T03:04:05.000006Z"}})
        discovery.create_namespaced_endpoint_slice("default", meta | {"addressType": "IPv4", "endpoints": [], "ports": []})
        self.core.create_namespaced_persistent_volume_claim("default", meta | {"spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
        self.core.create_persistent_volume(meta | {"spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}})
        self.core.create_namespaced_resource_quota("default", meta | {"spec": {"hard": {"pods": "1k"}}})
        self.core.create_namespaced_limit_range("default", meta | {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}})
        self.assertEqual(policy.read_namespaced_pod_disruption_budget(who, "default").spec.min_available, "50%")
        self.assertEqual(scheduling.read_priority_class(who).value, 7)
        self.assertEqual(storage.read_storage_class(who).reclaim_policy, "Delete")
        self.assertEqual(coordination.read_namespaced_lease(who, "default").spec.renew_time.microsecond, 6)
        self.assertEqual(self.core.read_namespaced_resource_quota(who, "default").spec.hard, {"pods": "1k"})
        self.core.delete_namespaced_resource_quota(who, "default")

    def test_a_namespace(self):
        who = name("space")
        made = self.core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=who)))
        self.assertEqual(made.metadata.labels, {"kubernetes.io/metadata.name": who})
        self.assertEqual(made.status.phase, "Active")

    def test_generated_names(self):
        body = {"metadata": {"generateName": "drawn-"}}
        names = {self.core.create_namespaced_config_map("default", body).metadata.name for _ in range(5)}
        self.assertEqual(len(names), 5)
        self.assertTrue(all(len(one) == 11 and one.startswith("drawn-") for one in names), names)

    def test_a_dry_run(self):
        who = name("dry")
        self.core.create_namespaced_config_map("default", {"metadata": {"name": who}}, dry_run="All")
        self.refused(404, "Not Found", self.core.read_namespaced_config_map, who, "default")

    def test_a_warning_for_what_is_unknown(self):
        _, status, headers = self.core.create_namespaced_config_map_with_http_info(
            "default", {"metadata": {"name": name("warn")}, "dat": {}}, field_validation="Warn")
        self.assertEqual((status, headers.get("Warning")), (201, '299 - "unknown field \\"dat\\""'))

    def test_pages_are_of_one_moment(self):
        space = name("pages")
        self.core.create_namespace({"metadata": {"name": space}})
        for number in range(5):
            self.core.create_namespaced_secret(space, {"metadata": {"name": f"s{number}"}})
        first = self.core.list_namespaced_secret(space, limit=2)
        self.assertEqual((len(first.items), first.metadata.remaining_item_count), (2, 3))
        self.core.create_namespaced_secret(space, {"metadata": {"name": "s9"}})
        self.core.delete_namespaced_secret("s3", space)
        token, names = first.metadata._continue, []
        while token:
            page = self.core.list_namespaced_secret(space, limit=2, _continue=token)
            self.assertEqual(page.metadata.resource_version, first.metadata.resource_version)
            names += [one.metadata.name for one in page.items]
            token = page.metadata._continue
        self.assertEqual(names, ["s2", "s3", "s4"])

    def test_a_token(self):
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        made = self.core.create_namespaced_service_account_token("default", "default", body)
        self.assertTrue(made.status.token and made.status.expiration_timestamp)

    def test_reviews(self):
        spec = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
        review = client.AuthorizationV1Api(self.api).create_self_subject_access_review({"spec": spec})
        self.assertTrue(review.status.allowed)
        rules = client.AuthorizationV1Api(self.api).create_self_subject_rules_review({"spec": {"namespace": "default"}})
        self.assertTrue(rules.status.resource_rules)
        self.assertTrue(client.AuthenticationV1Api(self.api).create_self_subject_review({}).status.user_info.username)

    def test_the_version_and_the_apis(self):
        self.assertEqual(client.VersionApi(self.api).get_code().minor, "32")
        groups = {group.name for group in client.ApisApi(self.api).get_api_versions().groups}
        self.assertTrue({"apps", "batch", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io"} <= groups)
        self.assertEqual(client.CoreApi(self.api).get_api_versions().versions, ["v1"])
