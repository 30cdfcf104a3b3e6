use crate::api::kinds::Kind;
use crate::api::validation::testing::{table, table_of_changes};
use serde_json::{Value, json};

fn pod() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}})
}

#[test]
fn containers() {
    let at = "spec.containers[0]";
    table(
        Kind::Pod,
        &pod(),
        &[
            ("/spec/containers", json!([]), &["spec.containers: Required value"]),
            ("/spec/containers/0/image", Value::Null, &[&format!("{at}.image: Required value")]),
            (
                "/spec/containers/0/image",
                json!(" x"),
                &[&format!("{at}.image: Invalid value: \" x\": must not have leading or trailing")],
            ),
            ("/spec/containers/0/name", Value::Null, &[&format!("{at}.name: Required value")]),
            (
                "/spec/containers/0/name",
                json!("A_b"),
                &[&format!("{at}.name: Invalid value: \"A_b\": a lowercase RFC 1123 label must consist of")],
            ),
            (
                "/spec/containers/1",
                json!({"name": "c", "image": "y"}),
                &["spec.containers[1].name: Duplicate value: \"c\""],
            ),
            (
                "/spec/initContainers",
                json!([{"name": "c", "image": "y"}]),
                &["spec.initContainers[0].name: Duplicate value: \"c\""],
            ),
            (
                "/spec/initContainers",
                json!([{"name": "i", "image": "y", "livenessProbe": {"exec": {"command": ["a"]}}}]),
                &[
                    "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
                ],
            ),
            (
                "/spec/initContainers",
                json!([{"name": "i", "image": "y", "restartPolicy": "Always", "livenessProbe": {"exec": {"command": ["a"]}}}]),
                &[],
            ),
            (
                "/spec/containers/0/restartPolicy",
                json!("Always"),
                &[&format!("{at}.restartPolicy: Forbidden: may not be set for non-init containers")],
            ),
            (
                "/spec/containers/0/workingDir",
                json!("a"),
                &[&format!("{at}.workingDir: Invalid value: \"a\": must be an absolute path")],
            ),
            ("/spec/containers/0/command", json!(["a\u{0}"]), &[&format!("{at}.command[0]: Invalid value: ")]),
            (
                "/spec/containers/0/imagePullPolicy",
                json!("Some"),
                &[&format!(
                    "{at}.imagePullPolicy: Unsupported value: \"Some\": supported values: \"Always\", \"IfNotPresent\", \"Never\""
                )],
            ),
            (
                "/spec/containers/0/resources",
                json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
                &[&format!(
                    "{at}.resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"
                )],
            ),
            (
                "/spec/containers/0/securityContext",
                json!({"runAsUser": -1}),
                &[&format!(
                    "{at}.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"
                )],
            ),
            (
                "/spec/containers/0/securityContext",
                json!({"privileged": true, "allowPrivilegeEscalation": false}),
                &[&format!("{at}.securityContext: Invalid value: ")],
            ),
            (
                "/spec/containers/0/securityContext",
                json!({"seccompProfile": {"type": "Localhost"}}),
                &[&format!(
                    "{at}.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"
                )],
            ),
        ],
    );
}

#[test]
fn ports() {
    let at = "spec.containers[0].ports";
    let port = |port: Value| json!([port]);
    table(
        Kind::Pod,
        &pod(),
        &[
            (
                "/spec/containers/0/ports",
                port(json!({"containerPort": 80, "name": "http", "hostPort": 8080, "hostIP": "10.0.0.1"})),
                &[],
            ),
            (
                "/spec/containers/0/ports",
                port(json!({"containerPort": 70000})),
                &[&format!("{at}[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive")],
            ),
            (
                "/spec/containers/0/ports",
                port(json!({"containerPort": 0})),
                &[&format!("{at}[0].containerPort: Required value")],
            ),
            (
                "/spec/containers/0/ports",
                port(json!({"containerPort": 1, "protocol": "ICMP"})),
                &[&format!(
                    "{at}[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\""
                )],
            ),
            (
                "/spec/containers/0/ports",
                port(json!({"containerPort": 1, "name": "a-name-of-16-let"})),
                &[&format!("{at}[0].name: Invalid value: \"a-name-of-16-let\": must be no more than 15 bytes")],
            ),
            (
                "/spec/containers/0/ports",
                json!([{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]),
                &[&format!("{at}[1].name: Duplicate value: \"a\"")],
            ),
            (
                "/spec/containers/0/ports",
                json!([{"containerPort": 1, "hostPort": 3}, {"containerPort": 2, "hostPort": 3}]),
                &[&format!("{at}[1].hostPort: Duplicate value: \"TCP//3\"")],
            ),
        ],
    );
    let host = json!({"metadata": {"name": "p"}, "spec": {"hostNetwork": true, "containers": [
        {"name": "c", "image": "x", "ports": [{"containerPort": 80}]}]}});
    table(
        Kind::Pod,
        &host,
        &[(
            "/spec/containers/0/ports/0/hostPort",
            json!(81),
            &[&format!("{at}[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true")],
        )],
    );
}

#[test]
fn environment() {
    let at = "spec.containers[0].env[0]";
    let from = |from: Value| json!([{"name": "A", "valueFrom": from}]);
    table(
        Kind::Pod,
        &pod(),
        &[
            ("/spec/containers/0/env", json!([{"name": "a.b-c"}]), &[]),
            ("/spec/containers/0/env", json!([{"value": "a"}]), &[&format!("{at}.name: Required value")]),
            (
                "/spec/containers/0/env",
                json!([{"name": "a=b"}]),
                &[&format!(
                    "{at}.name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII"
                )],
            ),
            (
                "/spec/containers/0/env",
                from(json!({})),
                &[&format!(
                    "{at}.valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
                )],
            ),
            (
                "/spec/containers/0/env",
                json!([{"name": "A", "value": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
                &[&format!("{at}.valueFrom: Invalid value: \"\": may not be specified when `value` is not empty")],
            ),
            (
                "/spec/containers/0/env",
                from(json!({"fieldRef": {"fieldPath": "metadata.name"}, "secretKeyRef": {"name": "a", "key": "b"}})),
                &[&format!(
                    "{at}.valueFrom: Invalid value: \"\": may not have more than one field specified at a time"
                )],
            ),
            ("/spec/containers/0/env", from(json!({"fieldRef": {"fieldPath": "metadata.labels['app']"}})), &[]),
            (
                "/spec/containers/0/env",
                from(json!({"fieldRef": {"fieldPath": "metadata.labels"}})),
                &[&format!(
                    "{at}.valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\": supported values: \"metadata.name\","
                )],
            ),
            (
                "/spec/containers/0/env",
                from(json!({"fieldRef": {"fieldPath": "spec.mood"}})),
                &[&format!(
                    "{at}.valueFrom.fieldRef.fieldPath: Invalid value: \"spec.mood\": error converting fieldPath: field label not supported: spec.mood"
                )],
            ),
            (
                "/spec/containers/0/env",
                from(json!({"resourceFieldRef": {"resource": "limits.gpu"}})),
                &[&format!("{at}.valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.gpu\"")],
            ),
            (
                "/spec/containers/0/env",
                from(json!({"configMapKeyRef": {"name": "a", "key": "b/c"}})),
                &[&format!("{at}.valueFrom.configMapKeyRef.key: Invalid value: \"b/c\": a valid config key")],
            ),
            (
                "/spec/containers/0/envFrom",
                json!([{}]),
                &[
                    "spec.containers[0].envFrom[0]: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
                ],
            ),
            (
                "/spec/containers/0/envFrom",
                json!([{"secretRef": {}}]),
                &["spec.containers[0].envFrom[0].secretRef.name: Required value"],
            ),
        ],
    );
}

#[test]
fn probes() {
    let at = "spec.containers[0].livenessProbe";
    let probe = "/spec/containers/0/livenessProbe";
    table(
        Kind::Pod,
        &pod(),
        &[
            (probe, json!({"httpGet": {"port": "http"}, "periodSeconds": 5}), &[]),
            (probe, json!({}), &[&format!("{at}: Required value: must specify a handler type")]),
            (
                probe,
                json!({"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}),
                &[&format!("{at}.tcpSocket: Forbidden: may not specify more than 1 handler type")],
            ),
            (probe, json!({"exec": {}}), &[&format!("{at}.exec.command: Required value")]),
            (
                probe,
                json!({"tcpSocket": {"port": 0}}),
                &[&format!("{at}.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive")],
            ),
            (
                probe,
                json!({"tcpSocket": {"port": 1}, "initialDelaySeconds": -1}),
                &[&format!("{at}.initialDelaySeconds: Invalid value: -1: must be greater than or equal to 0")],
            ),
            (
                probe,
                json!({"tcpSocket": {"port": 1}, "successThreshold": 2}),
                &[&format!("{at}.successThreshold: Invalid value: 2: must be 1")],
            ),
            (
                probe,
                json!({"httpGet": {"port": 1, "httpHeaders": [{"name": "a b", "value": ""}]}}),
                &[&format!("{at}.httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header")],
            ),
            (
                "/spec/containers/0/readinessProbe",
                json!({"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 1}),
                &[
                    "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes",
                ],
            ),
            (
                "/spec/containers/0/lifecycle",
                json!({"preStop": {}}),
                &["spec.containers[0].lifecycle.preStop: Required value: must specify a handler type"],
            ),
        ],
    );
}

#[test]
fn volumes() {
    let with = |volumes: Value, mounts: Value| json!({"metadata": {"name": "p"}, "spec": {"volumes": volumes, "containers": [{"name": "c", "image": "x", "volumeMounts": mounts}]}});
    let fine = with(json!([{"name": "v", "emptyDir": {}}]), json!([{"name": "v", "mountPath": "/v"}]));
    let mount = "spec.containers[0].volumeMounts";
    table(
        Kind::Pod,
        &fine,
        &[
            ("/spec/volumes", json!([]), &[&format!("{mount}[0].name: Not found: \"v\"")]),
            (
                "/spec/volumes/0",
                json!({"name": "v", "hostPath": {"path": "/a"}, "emptyDir": {}}),
                &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
            ),
            (
                "/spec/volumes/0",
                json!({"name": "v", "hostPath": {"path": "/a/../b"}}),
                &["spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
            ),
            (
                "/spec/volumes/0",
                json!({"name": "v", "hostPath": {"path": "/a", "type": "Some"}}),
                &["spec.volumes[0].hostPath.type: Unsupported value: \"Some\""],
            ),
            (
                "/spec/volumes/0",
                json!({"name": "v", "secret": {}}),
                &["spec.volumes[0].secret.secretName: Required value"],
            ),
            (
                "/spec/volumes/0",
                json!({"name": "v", "configMap": {"name": "a", "defaultMode": 512}}),
                &[
                    "spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
                ],
            ),
            (
                "/spec/volumes/0",
                json!({"name": "v", "configMap": {"name": "a", "items": [{"key": "a", "path": "../b"}]}}),
                &["spec.volumes[0].configMap.items[0].path: Invalid value: \"../b\": must not contain '..'"],
            ),
            (
                "/spec/volumes/0",
                json!({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 60}}]}}),
                &[
                    "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes",
                ],
            ),
            (
                "/spec/volumes/0",
                json!({"name": "v", "downwardAPI": {"items": [{"path": "a"}]}}),
                &[
                    "spec.volumes[0].downwardAPI.items[0]: Required value: one of fieldRef and resourceFieldRef is required",
                ],
            ),
            (
                "/spec/volumes/0",
                json!({"name": "v", "persistentVolumeClaim": {}}),
                &["spec.volumes[0].persistentVolumeClaim.claimName: Required value"],
            ),
            (
                "/spec/volumes/0",
                json!({"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}),
                &["spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value"],
            ),
            ("/spec/volumes/1", json!({"name": "v"}), &["spec.volumes[1].name: Duplicate value: \"v\""]),
            (
                "/spec/containers/0/volumeMounts/1",
                json!({"name": "v", "mountPath": "/v"}),
                &[&format!("{mount}[1].mountPath: Invalid value: \"/v\": must be unique")],
            ),
            (
                "/spec/containers/0/volumeMounts/0/subPath",
                json!("/a"),
                &[&format!("{mount}[0].subPath: Invalid value: \"/a\": must be a relative path")],
            ),
            (
                "/spec/containers/0/volumeMounts/0/mountPath",
                Value::Null,
                &[&format!("{mount}[0].mountPath: Required value")],
            ),
            (
                "/spec/containers/0/volumeMounts/0/mountPropagation",
                json!("Bidirectional"),
                &[&format!(
                    "{mount}[0].mountPropagation: Forbidden: Bidirectional mount propagation is available only"
                )],
            ),
        ],
    );
}

#[test]
fn the_pod_itself() {
    let term = |term: Value| json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    let nodes = |one: Value| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [one]}]}}});
    let nodes_at = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    table(
        Kind::Pod,
        &pod(),
        &[
            (
                "/spec/restartPolicy",
                json!("Sometimes"),
                &[
                    "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
                ],
            ),
            (
                "/spec/terminationGracePeriodSeconds",
                json!(-1),
                &["spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (
                "/spec/activeDeadlineSeconds",
                json!(0),
                &["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
            ),
            ("/spec/hostname", json!("a.b"), &["spec.hostname: Invalid value: \"a.b\": a lowercase RFC 1123 label"]),
            ("/spec/nodeName", json!("A"), &["spec.nodeName: Invalid value: \"A\": a lowercase RFC 1123 subdomain"]),
            ("/spec/nodeSelector", json!({"a": "b c"}), &["spec.nodeSelector: Invalid value: \"b c\": a valid label"]),
            (
                "/spec/dnsPolicy",
                json!("None"),
                &["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
            ),
            (
                "/spec/dnsConfig",
                json!({"nameservers": ["a"]}),
                &["spec.dnsConfig.nameservers[0]: Invalid value: \"a\": must be a valid IP address"],
            ),
            (
                "/spec/tolerations",
                json!([{"key": "a", "operator": "Exists", "value": "b"}]),
                &["spec.tolerations[0].operator: Invalid value: "],
            ),
            (
                "/spec/tolerations",
                json!([{"operator": "Equal"}]),
                &[
                    "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty",
                ],
            ),
            (
                "/spec/tolerations",
                json!([{"key": "a", "operator": "Exists", "tolerationSeconds": 1}]),
                &[
                    "spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
                ],
            ),
            (
                "/spec/topologySpreadConstraints",
                json!([{"maxSkew": 0, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}]),
                &["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
            ),
            (
                "/spec/topologySpreadConstraints",
                json!([{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "Some"}]),
                &[
                    "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"Some\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
                ],
            ),
            (
                "/spec/affinity",
                term(json!({})),
                &[
                    "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty",
                ],
            ),
            (
                "/spec/affinity",
                nodes(json!({"key": "a", "operator": "Gt", "values": ["1", "2"]})),
                &[&format!(
                    "{nodes_at}[0].matchExpressions[0].values: Required value: must be specified single value when"
                )],
            ),
            (
                "/spec/affinity",
                nodes(json!({"key": "a", "operator": "In"})),
                &[&format!(
                    "{nodes_at}[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
                )],
            ),
            (
                "/spec/affinity",
                json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}),
                &[&format!("{nodes_at}: Required value: must have at least one node selector term")],
            ),
            (
                "/spec/affinity",
                json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101, "preference": {}}]}}),
                &[
                    "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100",
                ],
            ),
            (
                "/spec/securityContext",
                json!({"sysctls": [{"name": "A", "value": "1"}]}),
                &[
                    "spec.securityContext.sysctls[0].name: Invalid value: \"A\": must have at most 253 characters and match regex",
                ],
            ),
            (
                "/spec/schedulingGates",
                json!([{"name": "example.com/a"}, {"name": "example.com/a"}]),
                &["spec.schedulingGates[1]: Duplicate value: \"example.com/a\""],
            ),
            ("/spec/hostAliases", json!([{"ip": "a"}]), &["spec.hostAliases[0].ip: Invalid value: \"a\""]),
        ],
    );
}

#[test]
fn a_pod_stays_what_it_is() {
    let only = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
        `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
        tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n";
    let mut old = pod();
    old["spec"]["tolerations"] = json!([{"key": "a", "operator": "Exists", "effect": "NoExecute"}]);
    table_of_changes(
        Kind::Pod,
        &old,
        &[
            ("/spec/containers/0/image", json!("y:2"), &[]),
            ("/spec/containers/0/image", json!(""), &["spec.containers[0].image: Required value"]),
            ("/spec/activeDeadlineSeconds", json!(5), &[]),
            ("/spec/tolerations/1", json!({"key": "b", "operator": "Exists"}), &[]),
            ("/spec/tolerations/0/tolerationSeconds", json!(5), &[]),
            (
                "/spec/tolerations/0/key",
                json!("b"),
                &["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
            ),
            ("/spec/hostNetwork", json!(true), &[&format!("{only}+ hostNetwork: true")]),
            (
                "/spec/terminationGracePeriodSeconds",
                json!(5),
                &[&format!("{only}- terminationGracePeriodSeconds: 30\n+ terminationGracePeriodSeconds: 5")],
            ),
            (
                "/spec/containers/1",
                json!({"name": "d", "image": "x"}),
                &["spec.containers: Forbidden: pod updates may not add or remove containers"],
            ),
        ],
    );
    old["spec"]["activeDeadlineSeconds"] = json!(5);
    table_of_changes(
        Kind::Pod,
        &old,
        &[
            ("/spec/activeDeadlineSeconds", json!(4), &[]),
            (
                "/spec/activeDeadlineSeconds",
                json!(6),
                &["spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value"],
            ),
            (
                "/spec/activeDeadlineSeconds",
                Value::Null,
                &[
                    "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value",
                ],
            ),
        ],
    );
}

/// What says of required nodes that one of these terms must hold.
fn required_nodes(terms: Value) -> Value {
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}})
}

#[test]
fn a_gated_pod_may_get_fewer_nodes_to_choose_from() {
    let only = "spec: Forbidden: pod updates may not change fields other than ";
    let zone = |values: Value| json!({"key": "zone", "operator": "In", "values": values});
    let disk = json!({"key": "disk", "operator": "Exists"});
    let mut old = pod();
    let free = [("/spec/nodeSelector", json!({"disk": "ssd"})), ("/spec/affinity", required_nodes(json!([{}])))];
    for (path, to) in &free {
        table_of_changes(Kind::Pod, &old, &[(*path, to.clone(), &[only])]);
    }
    old["spec"]["schedulingGates"] = json!([{"name": "example.com/a"}]);
    for (path, to) in &free {
        table_of_changes(Kind::Pod, &old, &[(*path, to.clone(), &[])]);
    }
    let others =
        json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}});
    table_of_changes(Kind::Pod, &old, &[("/spec/affinity", others, &[only])]);

    old["spec"]["nodeSelector"] = json!({"disk": "ssd"});
    old["spec"]["affinity"] = required_nodes(json!([{"matchExpressions": [zone(json!(["a", "b"]))]}, {}]));
    let kept = "spec.nodeSelector: Invalid value: map[string]string{";
    let terms = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let expressions = |of: Value| required_nodes(json!([{"matchExpressions": of}, {}]));
    table_of_changes(
        Kind::Pod,
        &old,
        &[
            ("/spec/nodeSelector/zone", json!("a"), &[]),
            ("/spec/nodeSelector/disk", json!("hdd"), &[kept]),
            ("/spec/nodeSelector/disk", Value::Null, &[kept]),
            ("/spec/affinity", expressions(json!([zone(json!(["a", "b"])), disk])), &[]),
            (
                "/spec/affinity",
                expressions(json!([disk, zone(json!(["a", "b"]))])),
                &[&format!("{terms}[0]: Invalid value: ")],
            ),
            ("/spec/affinity", expressions(json!([zone(json!(["a"]))])), &[&format!("{terms}[0]: Invalid value: ")]),
            (
                "/spec/affinity",
                required_nodes(json!([{"matchExpressions": [zone(json!(["a", "b"]))]}, {"matchExpressions": [disk]}])),
                &[&format!("{terms}[1]: Invalid value: ")],
            ),
            (
                "/spec/affinity",
                required_nodes(json!([{"matchExpressions": [zone(json!(["a", "b"]))]}])),
                &[&format!("{terms}: Invalid value: ")],
            ),
            ("/spec/affinity", Value::Null, &[&format!("{terms}: Invalid value: ")]),
        ],
    );
}
