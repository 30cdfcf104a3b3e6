//! Rules for what lets traffic in and out.
//!
//! Source: `pkg/apis/networking/validation/validation.go`, release 1.32.

use super::at::At;
use super::pod::port_or_name;
use super::selector::selector;
use super::{Rules, text};
use serde_json::Value;

/// Rules for ingresses.
pub const INGRESS: Rules = Rules { content: ingress, ..Rules::ANY };
/// Rules for ingress classes.
pub const INGRESS_CLASS: Rules = Rules {
    content: ingress_class,
    change: Some(|new, old| {
        let (new, old) = (new.field("spec"), old.field("spec"));
        new.field("controller").unchanged(&old.field("controller"));
    }),
    ..Rules::ANY
};
/// Rules for network policies.
pub const NETWORK_POLICY: Rules = Rules { content: network_policy, ..Rules::ANY };

/// The annotation that named a class before there was a field. Source: Kubernetes documentation, "Ingress".
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

fn ingress(object: &At) {
    let (metadata, spec) = (object.field("metadata"), object.field("spec"));
    let (class, default, rules) = (spec.field("ingressClassName"), spec.field("defaultBackend"), spec.field("rules"));
    let annotations = metadata.field("annotations");
    let note = annotations.field(CLASS_ANNOTATION);
    if class.is_there() && note.is_there() {
        note.invalid("can not be set when the class field is also set");
    }
    class.must_be(text::subdomain);
    if rules.is_empty() && !default.is_there() {
        rules.invalid("either `defaultBackend` or `rules` must be specified");
    }
    if default.is_there() {
        backend(&default);
    }
    for rule in spec.items("rules") {
        host(&rule.field("host"));
        let http = rule.field("http");
        if http.is_there() && http.field("paths").is_empty() {
            http.field("paths").required("");
        }
        http.items("paths").for_each(|one| path(&one));
    }
    for secret in spec.items("tls") {
        for name in secret.items("hosts") {
            host(&name);
        }
        secret.field("secretName").must_be(text::subdomain);
    }
}

fn host(at: &At) {
    if at.text().parse::<std::net::IpAddr>().is_ok() {
        at.invalid("must be a DNS name, not an IP address");
    }
    at.must_be(if at.text().contains('*') { text::wildcard_subdomain } else { text::subdomain });
}

/// What a path cannot have in it, and what it cannot end in.
///
/// Source: `pkg/apis/networking/validation`, `invalidPathSequences` and `invalidPathSuffixes`.
const NOT_IN_PATHS: &[&str] = &["//", "/./", "/../", "%2f", "%2F"];
const NOT_AT_ENDS: &[&str] = &["/..", "/."];

fn path(at: &At) {
    let (kind, path) = (at.field("pathType"), at.field("path"));
    let absolute = path.text().starts_with('/');
    match kind.text() {
        "" => kind.required("pathType must be specified"),
        "Exact" | "Prefix" => {
            path.invalid_unless(absolute, "must be an absolute path");
            for part in NOT_IN_PATHS.iter().filter(|part| path.text().contains(**part)) {
                path.invalid(format!("must not contain '{part}'"));
            }
            for end in NOT_AT_ENDS.iter().filter(|end| path.text().ends_with(**end)) {
                path.invalid(format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" => path.must(absolute || path.text().is_empty(), "must be an absolute path"),
        _ => kind.not_supported(&["Exact", "ImplementationSpecific", "Prefix"]),
    }
    backend(&at.field("backend"));
}

fn backend(at: &At) {
    let (service, resource) = (at.field("service"), at.field("resource"));
    let none = Value::from("");
    match (service.is_there(), resource.is_there()) {
        (true, true) => at.invalid_value(&none, "cannot set both resource and service backends"),
        (false, false) => at.invalid_value(&none, "resource or service backend is required"),
        (false, true) => {
            ["kind", "name"].iter().for_each(|name| resource.field(name).must_be_there_and(text::path_segment))
        }
        (true, false) => {
            service.field("name").must_be_there_and(text::word);
            let port = service.field("port");
            let (name, number) = (port.field("name"), port.field("number"));
            match (!name.text().is_empty(), number.number().unwrap_or(0) != 0) {
                (true, true) => at.invalid_value(&none, "cannot set both port name & port number"),
                (true, false) => name.must_be(text::port_name),
                (false, true) => number.between(1, 65535),
                (false, false) => at.required("port name or number is required"),
            }
        }
    }
}

/// Source: `pkg/apis/networking/validation`, `maxLenIngressClassController`.
const CONTROLLER_MAX: usize = 250;

fn ingress_class(object: &At) {
    let spec = object.field("spec");
    let (controller, parameters) = (spec.field("controller"), spec.field("parameters"));
    if controller.text().len() > CONTROLLER_MAX {
        controller.too_long(CONTROLLER_MAX as u64);
    }
    let fine = controller.text().split_once('/').is_some_and(|(domain, path)| {
        text::subdomain(domain).is_empty()
            && !path.is_empty()
            && !path.contains(|c: char| c.is_whitespace() || c.is_control())
    });
    if controller.text().is_empty() {
        controller.required("");
    } else if !fine {
        controller.invalid("must be a domain-prefixed path (such as \"acme.io/foo\")");
    }
    if parameters.is_there() {
        ["kind", "name"].iter().for_each(|name| parameters.field(name).must_be_there_and(text::path_segment));
        let (scope, namespace) = (parameters.field("scope"), parameters.field("namespace"));
        scope.one_of(&["Cluster", "Namespace"]);
        match (scope.text(), namespace.is_there()) {
            ("Namespace", false) => namespace.required("`parameters.scope` is set to 'Namespace'"),
            ("Cluster", true) => namespace.forbidden("`parameters.scope` is set to 'Cluster'"),
            _ => {}
        }
    }
}

fn network_policy(object: &At) {
    let spec = object.field("spec");
    selector(&spec.field("podSelector"));
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.items(rules) {
            rule.items("ports").for_each(|one| policy_port(&one));
            rule.items(peers).for_each(|one| peer(&one));
        }
    }
    if spec.items("policyTypes").count() > 2 {
        spec.field("policyTypes").invalid("may not specify more than two policyTypes");
    }
    spec.items("policyTypes").for_each(|kind| kind.one_of(&["Egress", "Ingress"]));
}

fn policy_port(at: &At) {
    let (port, end) = (at.field("port"), at.field("endPort"));
    if port.is_there() {
        port_or_name(&port);
    }
    let Some(last) = end.number() else { return };
    match (port.number(), port.is_there()) {
        (Some(first), _) if last < first => end.invalid("must be greater than or equal to `port`"),
        (Some(_), _) => end.between(1, 65535),
        (None, true) => end.invalid("may not be specified when `port` is non-numeric"),
        (None, false) => end.invalid("may not be specified when `port` is not specified"),
    }
}

fn peer(at: &At) {
    let (pods, namespaces, block) = (at.field("podSelector"), at.field("namespaceSelector"), at.field("ipBlock"));
    if !pods.is_there() && !namespaces.is_there() && !block.is_there() {
        return at.required("must specify a peer");
    }
    if block.is_there() && (pods.is_there() || namespaces.is_there()) {
        at.forbidden("may not specify both ipBlock and another peer");
    }
    selector(&pods);
    selector(&namespaces);
    if !block.is_there() {
        return;
    }
    let whole = block.field("cidr");
    whole.must_be_there_and(text::cidr);
    for except in block.items("except") {
        except.must_be_there_and(text::cidr);
        if let (Some((network, bits)), Some((part, of_part))) =
            (text::parse_cidr(whole.text()), text::parse_cidr(except.text()))
        {
            let within = text::parse_cidr(&format!("{part}/{bits}")).is_some_and(|(first, _)| first == network);
            except.invalid_unless(of_part > bits && within, "must be a strict subset of `cidr`");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::validation::testing::{table, table_of_changes};
    use serde_json::{Value, json};

    #[test]
    fn ingresses() {
        let path =
            json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}});
        let at = "spec.rules[0].http.paths[0]";
        let place = "/spec/rules/0/http/paths/0";
        let on = |path: &str| format!("{place}{path}");
        table(
            Kind::Ingress,
            &json!({"metadata": {"name": "i"}, "spec": {"rules": [{"host": "a.example.com", "http": {"paths": [path]}}]}}),
            &[
                (
                    &on("/pathType"),
                    Value::Null,
                    &[&format!("{at}.pathType: Required value: pathType must be specified")],
                ),
                (
                    &on("/pathType"),
                    json!("Some"),
                    &[&format!(
                        "{at}.pathType: Unsupported value: \"Some\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\""
                    )],
                ),
                (&on("/path"), json!("a"), &[&format!("{at}.path: Invalid value: \"a\": must be an absolute path")]),
                (
                    &on("/path"),
                    json!("/a//b"),
                    &[&format!("{at}.path: Invalid value: \"/a//b\": must not contain '//'")],
                ),
                (
                    &on("/path"),
                    json!("/a/.."),
                    &[&format!("{at}.path: Invalid value: \"/a/..\": cannot end with '/..'")],
                ),
                (
                    &on("/backend/service/port"),
                    json!({}),
                    &[&format!("{at}.backend: Required value: port name or number is required")],
                ),
                (
                    &on("/backend/service/port"),
                    json!({"number": 70000}),
                    &[&format!("{at}.backend.service.port.number: Invalid value: 70000: must be between")],
                ),
                (
                    &on("/backend/service/name"),
                    json!("1a"),
                    &[&format!("{at}.backend.service.name: Invalid value: \"1a\": a DNS-1035 label")],
                ),
                (
                    &on("/backend"),
                    json!({}),
                    &[&format!("{at}.backend: Invalid value: \"\": resource or service backend is required")],
                ),
                (
                    &on("/backend/resource"),
                    json!({"kind": "A", "name": "b"}),
                    &[&format!("{at}.backend: Invalid value: \"\": cannot set both resource and service backends")],
                ),
                (
                    "/spec/rules/0/host",
                    json!("10.0.0.1"),
                    &["spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address"],
                ),
                ("/spec/rules/0/host", json!("*.example.com"), &[]),
                (
                    "/spec/rules/0/host",
                    json!("a.*.com"),
                    &["spec.rules[0].host: Invalid value: \"a.*.com\": a wildcard DNS-1123 subdomain"],
                ),
                (
                    "/spec/rules",
                    json!([]),
                    &["spec.rules: Invalid value: []: either `defaultBackend` or `rules` must be specified"],
                ),
            ],
        );
    }

    #[test]
    fn ingress_classes() {
        let class = json!({"metadata": {"name": "i"}, "spec": {"controller": "example.com/ingress"}});
        table(
            Kind::IngressClass,
            &class,
            &[
                (
                    "/spec/controller",
                    json!("mine"),
                    &["spec.controller: Invalid value: \"mine\": must be a domain-prefixed path"],
                ),
                ("/spec/controller", Value::Null, &["spec.controller: Required value"]),
                (
                    "/spec/parameters",
                    json!({"kind": "A", "name": "b", "scope": "Namespace"}),
                    &["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
                ),
            ],
        );
        table_of_changes(
            Kind::IngressClass,
            &class,
            &[("/spec/controller", json!("example.com/other"), &["spec.controller: Invalid value: "])],
        );
    }

    #[test]
    fn network_policies() {
        table(
            Kind::NetworkPolicy,
            &json!({"metadata": {"name": "n"}, "spec": {"podSelector": {}, "ingress": [
                {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80}]}]}}),
            &[
                (
                    "/spec/ingress/0/from/0",
                    json!({}),
                    &["spec.ingress[0].from[0]: Required value: must specify a peer"],
                ),
                (
                    "/spec/ingress/0/from/0/podSelector",
                    json!({}),
                    &["spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"],
                ),
                (
                    "/spec/ingress/0/from/0/ipBlock/except/0",
                    json!("11.0.0.0/16"),
                    &[
                        "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
                    ],
                ),
                (
                    "/spec/ingress/0/from/0/ipBlock/except/0",
                    json!("10.0.0.0/8"),
                    &[
                        "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset",
                    ],
                ),
                (
                    "/spec/ingress/0/from/0/ipBlock/cidr",
                    json!("a"),
                    &["spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"a\": must be a valid CIDR value"],
                ),
                (
                    "/spec/ingress/0/ports/0/port",
                    json!(0),
                    &["spec.ingress[0].ports[0].port: Invalid value: 0: must be between"],
                ),
                (
                    "/spec/ingress/0/ports/0/endPort",
                    json!(79),
                    &["spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`"],
                ),
                ("/spec/policyTypes", json!(["Some"]), &["spec.policyTypes[0]: Unsupported value: \"Some\""]),
            ],
        );
    }
}
