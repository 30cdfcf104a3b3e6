//! Rules for pods and for the templates that pods are made of.
//!
//! Source: `pkg/apis/core/validation/validation.go`, `ValidatePodSpec` and what it calls, release 1.32.

use super::at::{At, Rule};
use super::selector::{label_name, labels, selector};
use super::{Rules, meta, resources, text, volume};
use crate::api::meta::Labels;
use crate::api::pod::START_RETRIES;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Rules for pods.
pub const POD: Rules = Rules {
    content: |pod| {
        start_retries(&pod.field("metadata"));
        spec(&pod.field("spec"), Of::Pod, &BTreeSet::new());
    },
    change: Some(|new, old| change(&new.field("spec"), &old.field("spec"))),
    ..Rules::ANY
};

/// Rules for pod templates that stand for themselves.
pub const POD_TEMPLATE: Rules = Rules { content: |object| template(&object.field("template")), ..Rules::ANY };

/// Whose spec it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A pod's own.
    Pod,
    /// That of pods to come, where some things need not be said yet.
    Template,
}

/// Rules for a pod template.
pub fn template(at: &At) {
    let metadata = at.field("metadata");
    template_metadata(&metadata);
    start_retries(&metadata);
    let spec_of = at.field("spec");
    spec(&spec_of, Of::Template, &BTreeSet::new());
    let guests = spec_of.field("ephemeralContainers");
    if !guests.is_empty() {
        guests.forbidden("ephemeral containers not allowed in pod template");
    }
}

/// Rules for the labels and annotations of pods to come.
pub fn template_metadata(at: &At) {
    labels(&at.field("labels"));
    let annotations = at.field("annotations");
    if let Ok(map) = Labels::deserialize(annotations.value()) {
        let mut errors = Vec::new();
        meta::annotations(&annotations.path(), &map, &mut errors);
        annotations.add(errors);
    }
}

/// Miniku's own rule: how often a start is tried.
fn start_retries(metadata: &At) {
    let retries = metadata.entry("annotations", START_RETRIES);
    let fine = || retries.text().parse::<i32>().is_ok_and(|retries| (0..=100).contains(&retries));
    retries.must(!retries.is_there() || fine(), "must be a number in 0..=100");
}

/// Rules for a pod's spec. `claims` are volumes that it may use without naming them.
pub fn spec(at: &At, of: Of, claims: &BTreeSet<&str>) {
    let mut volumes = claims.clone();
    volumes.extend(volume::volumes(at));
    containers(at, of, &volumes);
    at.field("restartPolicy").one_of(&["Always", "OnFailure", "Never"]);
    at.field("dnsPolicy").one_of(&["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    at.field("preemptionPolicy").one_of(&["PreemptLowerPriority", "Never"]);
    at.field("terminationGracePeriodSeconds").at_least(0);
    at.field("activeDeadlineSeconds").between(1, i64::from(i32::MAX));
    labels(&at.field("nodeSelector"));
    for (name, rule) in NAMES {
        at.field(name).must_be(*rule);
    }
    pod_security(at);
    affinity(&at.field("affinity"));
    dns(at);
    gates(at, of);
    tolerations(at);
    spread(at);
    for alias in at.items("hostAliases") {
        alias.field("ip").must_be_there_and(text::ip_address);
        alias.items("hostnames").for_each(|name| name.must_be(text::subdomain));
    }
    for (resource, overhead) in at.entries("overhead") {
        resources::amount_of(&overhead, resource);
    }
}

/// Fields of a pod's spec that are names.
const NAMES: &[(&str, Rule)] = &[
    ("serviceAccountName", text::subdomain),
    ("nodeName", text::subdomain),
    ("hostname", text::label),
    ("subdomain", text::label),
    ("priorityClassName", text::subdomain),
    ("runtimeClassName", text::subdomain),
];

/// What a container is to its pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It runs as long as the pod does.
    Main,
    /// It runs before the others.
    Init,
    /// It begins before the others and stays.
    Sidecar,
}

fn containers(at: &At, of: Of, volumes: &BTreeSet<&str>) {
    let (mut names, mut ports) = (BTreeSet::new(), BTreeSet::new());
    let host_network = at.field("hostNetwork").is_true();
    let main = at.items("containers").map(|one| (one, false));
    for (one, first) in main.chain(at.items("initContainers").map(|one| (one, true))) {
        let role = match (first, one.field("restartPolicy").text()) {
            (false, _) => Role::Main,
            (true, "Always") => Role::Sidecar,
            (true, _) => Role::Init,
        };
        let name = one.field("name");
        // One that is not there at all is told by the schema.
        name.must_be(text::label);
        if !name.text().is_empty() && !names.insert(name.text()) {
            name.duplicate();
        }
        container(&one, of, volumes);
        only_of(&one, role);
        let mut seen_here = BTreeSet::new();
        for port in one.items("ports") {
            self::port(&port, &mut seen_here);
            host_port(&port, of, host_network, role, &mut ports);
        }
    }
}

fn container(at: &At, of: Of, volumes: &BTreeSet<&str>) {
    let image = at.field("image");
    if image.text().is_empty() {
        image.required("");
    } else if of == Of::Pod && image.text().trim() != image.text() {
        image.invalid("must not have leading or trailing whitespace");
    }
    no_zero_bytes(at);
    environment(at);
    volume::mounts(at, volumes);
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        probe(&at.field(name), name);
    }
    let lifecycle = at.field("lifecycle");
    for when in ["postStart", "preStop"] {
        let handler = lifecycle.field(when);
        if handler.is_there() {
            handle(&handler, &["exec", "httpGet", "tcpSocket", "sleep"]);
        }
    }
    resources::requirements(&at.field("resources"));
    security(&at.field("securityContext"));
}

/// Miniku's own rules: a program could not be started so.
fn no_zero_bytes(at: &At) {
    let directory = at.field("workingDir");
    let text = directory.text();
    directory.must(text.is_empty() || text.starts_with('/'), "must be an absolute path");
    for name in ["command", "args"] {
        at.items(name).for_each(|word| word.must(!word.text().contains('\0'), "must not contain a zero byte"));
    }
}

/// Rules that only some containers have, by their role.
fn only_of(at: &At, role: Role) {
    let policy = at.field("restartPolicy");
    match role {
        Role::Main if policy.is_there() => policy.forbidden("may not be set for non-init containers"),
        Role::Init => {
            policy.one_of(&["Always"]);
            for name in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                let field = at.field(name);
                if field.is_there() {
                    field.forbidden("may not be set for init containers without restartPolicy=Always");
                }
            }
        }
        Role::Main | Role::Sidecar => {}
    }
}

fn port<'v>(at: &At<'_, 'v>, names: &mut BTreeSet<&'v str>) {
    let (name, number) = (at.field("name"), at.field("containerPort"));
    if !name.text().is_empty() {
        let wrong = text::port_name(name.text());
        if wrong.is_empty() && !names.insert(name.text()) {
            name.duplicate();
        }
        wrong.into_iter().for_each(|wrong| name.invalid(wrong));
    }
    match number.number() {
        Some(0) => number.required(""),
        _ => number.between(1, 65535),
    }
}

fn host_port(at: &At, of: Of, host_network: bool, role: Role, taken: &mut BTreeSet<String>) {
    let (port, field) = (at.field("containerPort"), at.field("hostPort"));
    let number = field.number().unwrap_or(0);
    if number != 0 {
        field.between(1, 65535);
        // Init containers run one after the other.
        let place = format!("{}/{}/{number}", at.field("protocol").text(), at.field("hostIP").text());
        if role != Role::Init && !taken.insert(place.clone()) {
            field.duplicate_of(&place.into());
        }
    }
    if host_network && (of == Of::Pod || number != 0) && number != port.number().unwrap_or(0) {
        field.invalid_value(&number.into(), "must match `containerPort` when `hostNetwork` is true");
    }
    at.field("hostIP").must_be(text::ip_address);
}

/// Fields of a pod that a variable can have the value of.
///
/// Source: `pkg/apis/core/validation`, `validEnvDownwardAPIFieldPathExpressions`.
const FOR_VARIABLES: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Further fields that have names, but that a variable cannot have.
const NAMED: &[&str] =
    &["metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase"];

fn environment(at: &At) {
    for variable in at.items("env") {
        variable.field("name").must_be(text::env_name);
        let from = variable.field("valueFrom");
        if !from.is_there() {
            continue;
        }
        let sources = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef"];
        field_ref(&from.field("fieldRef"), FOR_VARIABLES);
        resource_ref(&from.field("resourceFieldRef"), false);
        for name in ["configMapKeyRef", "secretKeyRef"] {
            let entry = from.field(name);
            if entry.is_there() {
                entry.field("name").must_be_there_and(|_| Vec::new());
                entry.field("key").must_be(text::config_key);
            }
        }
        let none = Value::from("");
        match sources.iter().filter(|name| from.field(name).is_there()).count() {
            0 => from.invalid_value(
                &none,
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
            ),
            _ if !variable.field("value").text().is_empty() => {
                from.invalid_value(&none, "may not be specified when `value` is not empty");
            }
            1 => {}
            _ => from.invalid_value(&none, "may not have more than one field specified at a time"),
        }
    }
    for source in at.items("envFrom") {
        source.field("prefix").must_be(text::env_name);
        let there: Vec<At> =
            ["configMapRef", "secretRef"].iter().map(|name| source.field(name)).filter(At::is_there).collect();
        there.iter().for_each(|one| one.field("name").must_be_there_and(|_| Vec::new()));
        match there.len() {
            0 => source.invalid_value(&"".into(), "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => source.invalid_value(&"".into(), "may not have more than one field specified at a time"),
        }
    }
}

/// A reference to a field of the pod.
pub fn field_ref(at: &At, supported: &[&str]) {
    let path = at.field("fieldPath");
    let text = path.text();
    if text.is_empty() {
        return;
    }
    let (name, key) = match text.strip_suffix("']").and_then(|text| text.split_once("['")) {
        Some((name, key)) => (name, Some(key)),
        None => (text, None),
    };
    match key {
        Some(key) if matches!(name, "metadata.annotations" | "metadata.labels") => {
            let key = if name.ends_with("annotations") { key.to_lowercase() } else { key.to_owned() };
            text::qualified_name(&key).into_iter().for_each(|wrong| path.invalid(wrong));
        }
        Some(_) => path.invalid("does not support subscript"),
        None if supported.contains(&name) => {}
        None if NAMED.contains(&name) || FOR_VARIABLES.contains(&name) => path.not_supported(supported),
        None => path.invalid(format!("error converting fieldPath: field label not supported: {name}")),
    }
}

/// A reference to what a container may use.
pub fn resource_ref(at: &At, must_name: bool) {
    if !at.is_there() {
        return;
    }
    let supported = [
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    if must_name && at.field("containerName").is_empty() {
        at.field("containerName").required("");
    }
    let resource = at.field("resource");
    let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.text().starts_with(prefix));
    if !huge {
        resource.one_of(&supported);
    }
}

fn probe(at: &At, name: &str) {
    if !at.is_there() {
        return;
    }
    handle(at, &["exec", "httpGet", "tcpSocket", "grpc"]);
    for number in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        at.field(number).at_least(0);
    }
    let (grace, successes) = (at.field("terminationGracePeriodSeconds"), at.field("successThreshold"));
    if name == "readinessProbe" {
        grace.must(!grace.is_there(), "must not be set for readinessProbes");
    } else {
        grace.more_than_zero();
        // Less than none was told above.
        successes.must(successes.number().is_none_or(|number| number <= 1 && number != 0), "must be 1");
    }
}

/// What is done, which must be one of several things.
fn handle(at: &At, ways: &[&str]) {
    let Some(way) = at.exactly_one(ways, "may not specify more than 1 handler type", "must specify a handler type")
    else {
        return;
    };
    if at.field("exec").is_there() {
        let command = way.field("command");
        if command.is_empty() {
            command.required("");
        }
    } else if at.field("httpGet").is_there() {
        port_or_name(&way.field("port"));
        for header in way.items("httpHeaders") {
            let name = header.field("name").text();
            text::header_name(name)
                .into_iter()
                .for_each(|wrong| way.field("httpHeaders").invalid_value(&name.into(), wrong));
        }
    } else if at.field("sleep").is_there() {
        way.field("seconds").at_least(0);
    } else {
        port_or_name(&way.field("port"));
    }
}

/// A port's number, or its name.
pub fn port_or_name(at: &At) {
    match at.value() {
        Value::String(name) => text::port_name(name).into_iter().for_each(|wrong| at.invalid(wrong)),
        _ => at.between(1, 65535),
    }
}

fn security(at: &At) {
    ids(at);
    let escalation = at.field("allowPrivilegeEscalation");
    if escalation.value() == &Value::Bool(false) {
        if at.field("privileged").is_true() {
            at.invalid("cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        if at.field("capabilities").items("add").any(|one| one.text() == "CAP_SYS_ADMIN") {
            at.invalid("cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
        }
    }
    at.field("procMount").one_of(&["Default", "Unmasked"]);
}

fn ids(at: &At) {
    for name in ["runAsUser", "runAsGroup", "fsGroup"] {
        at.field(name).between(0, i64::from(i32::MAX));
    }
    for (name, what) in [("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")] {
        let profile = at.field(name);
        let (kind, file) = (profile.field("type"), profile.field("localhostProfile"));
        match (kind.text(), file.is_there()) {
            _ if !profile.is_there() => {}
            ("", _) => kind.required(&format!("type is required when {name} is set")),
            ("Localhost", false) => file.required(&format!("must be set when {what} type is Localhost")),
            ("Localhost", true) | (_, false) => {}
            (_, true) => file.invalid(format!("can only be set when {what} type is Localhost")),
        }
    }
}

fn pod_security(spec: &At) {
    let at = spec.field("securityContext");
    ids(&at);
    at.items("supplementalGroups").for_each(|group| group.between(0, i64::from(i32::MAX)));
    let mut names = BTreeSet::new();
    for setting in at.items("sysctls") {
        let name = setting.field("name");
        let part = |part: &str| {
            let bytes = part.as_bytes();
            let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            bytes.first().is_some_and(inner)
                && bytes.last().is_some_and(inner)
                && bytes.iter().all(|byte| inner(byte) || b"-_".contains(byte))
        };
        if name.text().is_empty() {
            name.required("");
        } else if name.text().len() > 253 || !name.text().split(['.', '/']).all(part) {
            name.invalid(
                "must have at most 253 characters and match regex \
                ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
            );
        } else if !names.insert(name.text()) {
            name.duplicate();
        }
    }
    let shared = spec.field("shareProcessNamespace");
    if shared.is_true() && spec.field("hostPID").is_true() {
        shared.invalid("ShareProcessNamespace and HostPID cannot both be enabled");
    }
    spec.field("os").field("name").one_of(&["linux", "windows"]);
}

fn affinity(at: &At) {
    let nodes = at.field("nodeAffinity");
    let required = nodes.field("requiredDuringSchedulingIgnoredDuringExecution");
    node_selector(&required);
    for preferred in nodes.items("preferredDuringSchedulingIgnoredDuringExecution") {
        weight(&preferred);
        node_selector_term(&preferred.field("preference"));
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        let pods = at.field(name);
        pods.items("requiredDuringSchedulingIgnoredDuringExecution").for_each(|term| pod_affinity_term(&term));
        for preferred in pods.items("preferredDuringSchedulingIgnoredDuringExecution") {
            weight(&preferred);
            pod_affinity_term(&preferred.field("podAffinityTerm"));
        }
    }
}

fn weight(at: &At) {
    let weight = at.field("weight");
    weight.must(weight.number().is_none_or(|number| (1..=100).contains(&number)), "must be in the range 1-100");
}

/// Rules for what selects nodes.
pub fn node_selector(at: &At) {
    if !at.is_there() {
        return;
    }
    let terms = at.field("nodeSelectorTerms");
    if terms.is_empty() {
        terms.required("must have at least one node selector term");
    }
    at.items("nodeSelectorTerms").for_each(|term| node_selector_term(&term));
}

fn node_selector_term(at: &At) {
    for one in at.items("matchExpressions") {
        let (operator, values) = (one.field("operator"), one.field("values"));
        let count = one.items("values").count();
        match operator.text() {
            "In" | "NotIn" if count == 0 => values.required("must be specified when `operator` is 'In' or 'NotIn'"),
            "Exists" | "DoesNotExist" if count > 0 => {
                values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "Gt" | "Lt" if count != 1 => {
                values.required("must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            _ => operator.invalid("not a valid selector operator"),
        }
        label_name(&one.field("key"));
    }
    for one in at.items("matchFields") {
        let (operator, key, values) = (one.field("operator"), one.field("key"), one.field("values"));
        match operator.text() {
            "In" | "NotIn" => {
                if one.items("values").count() != 1 {
                    values
                        .required("must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
                }
            }
            _ => operator.invalid("not a valid selector operator"),
        }
        match key.text() {
            "metadata.name" => one.items("values").for_each(|name| name.must_be(text::subdomain)),
            _ => key.invalid("not a valid field selector key"),
        }
    }
}

fn pod_affinity_term(at: &At) {
    selector(&at.field("labelSelector"));
    selector(&at.field("namespaceSelector"));
    at.items("namespaces").for_each(|namespace| namespace.must_be_there_and(text::label));
    let key = at.field("topologyKey");
    if key.text().is_empty() {
        key.required("can not be empty");
    }
    label_name(&key);
}

/// Limits of a resolver. Source: resolv.conf(5); `pkg/apis/core/validation`, `MaxDNSNameservers` and its neighbours.
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;

fn dns(spec: &At) {
    let at = spec.field("dnsConfig");
    let servers = at.field("nameservers");
    if spec.field("dnsPolicy").text() == "None" {
        if !at.is_there() {
            return at.required("must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            servers.required("must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    if at.items("nameservers").count() > NAMESERVERS_MAX {
        servers.invalid(format!("must not have more than {NAMESERVERS_MAX} nameservers"));
    }
    at.items("nameservers").for_each(|server| server.must_be_there_and(text::ip_address));
    if at.items("searches").count() > SEARCHES_MAX {
        at.field("searches").invalid(format!("must not have more than {SEARCHES_MAX} search paths"));
    }
    for option in at.items("options") {
        let name = option.field("name");
        if name.text().is_empty() {
            name.required("must not be empty");
        }
    }
}

fn gates(spec: &At, of: Of) {
    for gate in spec.items("readinessGates") {
        gate.field("conditionType").must_be_there_and(text::qualified_name);
    }
    let mut names = BTreeSet::new();
    for gate in spec.items("schedulingGates") {
        let name = gate.field("name");
        text::qualified_name(name.text()).into_iter().for_each(|wrong| gate.invalid_value(name.value(), wrong));
        if !names.insert(name.text()) {
            gate.duplicate_of(name.value());
        }
    }
    let node = spec.field("nodeName");
    if of == Of::Pod && !names.is_empty() && !node.text().is_empty() {
        node.forbidden("cannot be set until all schedulingGates have been cleared");
    }
}

fn tolerations(spec: &At) {
    for at in spec.items("tolerations") {
        let (key, operator, value) = (at.field("key"), at.field("operator"), at.field("value"));
        let (effect, seconds) = (at.field("effect"), at.field("tolerationSeconds"));
        label_name(&key);
        if key.text().is_empty() && operator.text() != "Exists" {
            let rule = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            operator.invalid_value(&operator.text().into(), rule);
        }
        if seconds.is_there() && effect.text() != "NoExecute" {
            let rule = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            effect.invalid_value(&effect.text().into(), rule);
        }
        match operator.text() {
            "Equal" | "" => {
                text::label_value(value.text())
                    .into_iter()
                    .for_each(|wrong| operator.invalid_value(value.value(), wrong));
            }
            "Exists" if !value.text().is_empty() => {
                operator.invalid_value(at.value(), "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            _ => operator.not_supported(&["Equal", "Exists"]),
        }
    }
}

fn spread(spec: &At) {
    let mut seen = BTreeSet::new();
    for at in spec.items("topologySpreadConstraints") {
        let (skew, domains, key, action) =
            (at.field("maxSkew"), at.field("minDomains"), at.field("topologyKey"), at.field("whenUnsatisfiable"));
        for number in [&skew, &domains] {
            number.must(number.number().is_none_or(|number| number > 0), "must be greater than zero");
        }
        if key.text().is_empty() {
            key.required("can not be empty");
        }
        label_name(&key);
        if domains.is_there() && action.text() == "ScheduleAnyway" {
            domains.invalid(
                "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not whenUnsatisfiable=ScheduleAnyway",
            );
        }
        if !seen.insert((key.text(), action.text())) {
            let both = format!("{{{}, {}}}", key.text(), action.text());
            at.field("{topologyKey, whenUnsatisfiable}").duplicate_of(&both.into());
        }
        selector(&at.field("labelSelector"));
    }
}

/// What may not become of a pod's spec.
fn change(new: &At, old: &At) {
    for list in ["containers", "initContainers"] {
        if new.items(list).count() != old.items(list).count() {
            return new.field(list).forbidden("pod updates may not add or remove containers");
        }
    }
    deadline(&new.field("activeDeadlineSeconds"), &old.field("activeDeadlineSeconds"));
    added_tolerations(new, old);
    if is_gated(old.value()) {
        only_narrowed(new, old);
    }
    let (changed, was) = (without_changeable(new, old), old.value());
    let differences = differences(&changed, was);
    if !differences.is_empty() {
        new.forbidden(format!("{ONLY}\n{}", differences.join("\n")));
    }
}

const ONLY: &str = "pod updates may not change fields other than \
    `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only \
    additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
    previously negative)";

/// A deadline may come nearer, and may not vanish.
fn deadline(new: &At, old: &At) {
    match (new.number(), old.number()) {
        (Some(is), Some(was)) if is > was => new.invalid("must be less than or equal to previous value"),
        (None, Some(_)) => new.invalid("must not update from a positive integer to nil value"),
        _ => {}
    }
}

/// What a toleration says, but for its seconds.
fn tolerated<'v>(one: &At<'_, 'v>) -> [&'v str; 4] {
    ["key", "operator", "value", "effect"].map(|name| one.value().get(name).and_then(Value::as_str).unwrap_or(""))
}

fn added_tolerations(new: &At, old: &At) {
    let there: BTreeSet<[&str; 4]> = new.items("tolerations").map(|is| tolerated(&is)).collect();
    if !old.items("tolerations").all(|was| there.contains(&tolerated(&was))) {
        new.field("tolerations").forbidden("existing toleration can not be modified except its tolerationSeconds");
    }
}

/// Whether a pod is not to be scheduled yet.
fn is_gated(spec: &Value) -> bool {
    spec.get("schedulingGates").and_then(Value::as_array).is_some_and(|gates| !gates.is_empty())
}

/// While a pod has gates, others may choose among the nodes that it can run on, but add none.
///
/// Source: KEP-3838; `pkg/apis/core/validation`, `validateNodeSelectorMutation` and `validateNodeAffinityMutation`.
fn only_narrowed(new: &At, old: &At) {
    let selector = "nodeSelector";
    if !old.entries(selector).all(|(label, was)| new.entry(selector, label).value() == was.value()) {
        let rule = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        new.field(selector).invalid_map(rule);
    }
    let (affinity, affinity_was) = (new.field("affinity"), old.field("affinity"));
    let (nodes, nodes_were) = (affinity.field("nodeAffinity"), affinity_was.field("nodeAffinity"));
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let (required, required_was) = (nodes.field(required), nodes_were.field(required));
    let list = "nodeSelectorTerms";
    let before = required_was.items(list).count();
    if before > 0 && required.items(list).count() != before {
        let rule = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return required.field(list).invalid(rule);
    }
    for (term, was) in required.items(list).zip(required_was.items(list)) {
        term.invalid_unless(adds_requirements(&term, &was), "only additions are allowed (no mutations or deletions)");
    }
}

/// Whether a term that selects nodes begins as it was. One that has no requirements selects none, and stays so.
fn adds_requirements(new: &At, old: &At) -> bool {
    let lists = ["matchExpressions", "matchFields"];
    let selects = |term: &At| lists.iter().any(|list| term.items(list).next().is_some());
    let kept = |list: &&str| {
        let mut now = new.items(list);
        old.items(list).all(|was| now.next().is_some_and(|is| is.value() == was.value()))
    };
    (selects(old) || !selects(new)) && lists.iter().all(kept)
}

/// The new spec, with all that may change as it was.
fn without_changeable(new: &At, old: &At) -> Value {
    let mut spec = new.value().clone();
    let was = old.value();
    for name in ["activeDeadlineSeconds", "tolerations"] {
        put(&mut spec, name, was.get(name));
    }
    let grace = "terminationGracePeriodSeconds";
    let number = |spec: &Value| spec.get(grace).and_then(Value::as_i64);
    if number(was).is_some_and(|seconds| seconds < 0) && number(&spec) == Some(1) {
        put(&mut spec, grace, was.get(grace));
    }
    // Gates may only be opened.
    let gates = |spec: &Value| spec.get("schedulingGates").and_then(Value::as_array).cloned().unwrap_or_default();
    let had: BTreeSet<String> = gates(was).iter().map(Value::to_string).collect();
    if gates(&spec).iter().all(|gate| had.contains(&gate.to_string())) {
        put(&mut spec, "schedulingGates", was.get("schedulingGates"));
    }
    if is_gated(was) {
        put(&mut spec, "nodeSelector", was.get("nodeSelector"));
        put_node_affinity(&mut spec, was);
    }
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        let before = was.get(list).and_then(Value::as_array).into_iter().flatten();
        for (container, was) in containers.zip(before) {
            for name in ["image", "imagePullPolicy"] {
                put(container, name, was.get(name));
            }
        }
    }
    spec
}

fn put_node_affinity(spec: &mut Value, was: &Value) {
    let at = "/affinity/nodeAffinity";
    if spec.pointer(at) == was.pointer(at) {
        return;
    }
    let mut affinity = spec.get("affinity").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    put(&mut affinity, "nodeAffinity", was.pointer(at));
    // Who brought the first affinity brought this one for its nodes.
    let brought = was.get("affinity").is_none() && affinity.as_object().is_some_and(Map::is_empty);
    put(spec, "affinity", Some(&affinity).filter(|_| !brought));
}

fn put(object: &mut Value, name: &str, to: Option<&Value>) {
    let Some(fields) = object.as_object_mut() else { return };
    match to {
        Some(value) => drop(fields.insert(name.into(), value.clone())),
        None => drop(fields.remove(name)),
    }
}

/// The fields that differ, one a line and version: what was after a minus, what is after a plus.
fn differences(new: &Value, old: &Value) -> Vec<String> {
    let (empty, mut lines) = (Map::new(), Vec::new());
    let (new, old) = (new.as_object().unwrap_or(&empty), old.as_object().unwrap_or(&empty));
    let names: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    for name in names.into_iter().filter(|name| new.get(*name) != old.get(*name)) {
        for (sign, value) in [('-', old.get(name)), ('+', new.get(name))] {
            lines.extend(value.map(|value| format!("{sign} {name}: {value}")));
        }
    }
    lines
}

#[cfg(test)]
mod tests;
