//! Rules for services and for the addresses behind them.
//!
//! Source: `pkg/apis/core/validation`, `ValidateService` and `ValidateEndpoints`; `pkg/apis/discovery/validation`; release
//! 1.32.

use super::at::At;
use super::pod::port_or_name;
use super::{Rules, selector, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Rules for services.
pub const SERVICE: Rules = Rules { name: text::word, content: service, change: Some(address_stays), ..Rules::ANY };
/// Rules for endpoints.
pub const ENDPOINTS: Rules = Rules { content: endpoints, ..Rules::ANY };
/// Rules for endpoint slices.
pub const ENDPOINT_SLICE: Rules = Rules {
    content: endpoint_slice,
    change: Some(|new, old| new.field("addressType").unchanged(&old.field("addressType"))),
    ..Rules::ANY
};

/// The kubelet's port, which no load balancer may carry to the world. Source: Kubernetes documentation, "Ports and Protocols".
const KUBELET_PORT: i64 = 10250;

/// A client stays with one pod for less than a day. Source: Kubernetes API reference, `ClientIPConfig.timeoutSeconds`.
const CLIENT_SECONDS_MAX: i64 = 86400;

fn service(object: &At) {
    let spec = object.field("spec");
    let (kind, address) = (spec.field("type"), spec.field("clusterIP"));
    let headless = address.text() == "None";
    let all = spec.field("ports");
    if all.is_empty() && !headless && kind.text() != "ExternalName" {
        all.required("");
    }
    if headless && matches!(kind.text(), "NodePort" | "LoadBalancer") {
        let rule = format!("may not be set to 'None' for {} services", kind.text());
        spec.below_item("clusterIPs", 0, address.value()).invalid(rule);
    }
    let addresses = spec.field("clusterIPs");
    if kind.text() == "ExternalName" {
        external_name(&spec);
    } else if address.text().is_empty() && !addresses.is_empty() {
        addresses.invalid("must be empty when `clusterIP` is not specified");
    }
    ports(&spec, kind.text());
    selector::labels(&spec.field("selector"));
    affinity(&spec);
    if !headless && !address.text().is_empty() {
        text::ip_address(address.text())
            .into_iter()
            .for_each(|wrong| spec.below_item("clusterIPs", 0, address.value()).invalid(wrong));
    }
    for outside in spec.items("externalIPs") {
        usable_address(&outside);
    }
    let ranges = spec.field("loadBalancerSourceRanges");
    if !ranges.is_empty() && kind.text() != "LoadBalancer" {
        ranges.forbidden("may only be used when `type` is 'LoadBalancer'");
    }
    for range in spec.items("loadBalancerSourceRanges") {
        text::cidr(range.text().trim()).into_iter().for_each(|wrong| range.invalid(wrong));
    }
    let outside = spec.field("externalTrafficPolicy");
    let reached = matches!(kind.text(), "NodePort" | "LoadBalancer") || !spec.field("externalIPs").is_empty();
    if !outside.text().is_empty() && !reached {
        outside.invalid("may only be set for externally-accessible services");
    }
}

fn external_name(spec: &At) {
    for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let field = spec.field(name);
        if !field.is_empty() {
            field.forbidden("may not be set for ExternalName services");
        }
    }
    let name = spec.field("externalName");
    // A full name may end in a dot.
    let text = name.text().strip_suffix('.').unwrap_or(name.text());
    if text.is_empty() {
        name.required("");
    } else {
        text::subdomain(text).into_iter().for_each(|wrong| name.invalid(wrong));
    }
}

fn ports(spec: &At, kind: &str) {
    let several = spec.items("ports").count() > 1;
    let (mut names, mut numbers, mut of_nodes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for at in spec.items("ports") {
        let (name, number, of_node) = (at.field("name"), at.field("port"), at.field("nodePort"));
        let protocol = at.field("protocol").text();
        if kind == "LoadBalancer" && number.number() == Some(KUBELET_PORT) {
            let rule = format!("may not expose port {KUBELET_PORT} externally since it is used by kubelet");
            at.invalid_value(number.value(), rule);
        }
        if name.text().is_empty() {
            if several {
                name.required("");
            }
        } else {
            name.must_be(text::label);
            if !names.insert(name.text()) {
                name.duplicate();
            }
        }
        number.between(1, 65535);
        // One that was not said is the same, and need not be told twice.
        let target = at.field("targetPort");
        if target.value() != number.value() {
            port_or_name(&target);
        }
        at.field("appProtocol").must_be(text::qualified_name);
        if number.number().is_some_and(|number| !numbers.insert((protocol, number))) {
            at.duplicate();
        }
        let Some(outside) = of_node.number().filter(|number| *number != 0) else { continue };
        if kind == "ClusterIP" {
            of_node.forbidden("may not be used when `type` is 'ClusterIP'");
        }
        if !of_nodes.insert((protocol, outside)) {
            of_node.duplicate();
        }
    }
}

fn affinity(spec: &At) {
    let config = spec.field("sessionAffinityConfig");
    match spec.field("sessionAffinity").text() {
        "ClientIP" => {
            let client = config.field("clientIP");
            let seconds = client.field("timeoutSeconds");
            let fine = seconds.number().is_none_or(|number| (1..=CLIENT_SECONDS_MAX).contains(&number));
            seconds.must(fine, &format!("must be greater than 0 and less than {CLIENT_SECONDS_MAX}"));
        }
        "None" if config.is_there() => config.forbidden("must not be set when session affinity is None"),
        _ => {}
    }
}

/// An address that something can be reached at.
fn usable_address(at: &At) {
    let Ok(address) = at.text().parse::<IpAddr>() else {
        return text::ip_address(at.text()).into_iter().for_each(|wrong| at.invalid(wrong));
    };
    let (link_local, link_local_multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.segments()[0] & 0xffc0 == 0xfe80, v6.segments()[0] == 0xff02),
    };
    for (wrong, rule) in [
        (address.is_unspecified(), "may not be unspecified (0.0.0.0 or ::)"),
        (address.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (link_local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ] {
        if wrong {
            at.invalid(rule);
        }
    }
}

/// An address inside the cluster stays, once there is one, as long as the service has one.
fn address_stays(new: &At, old: &At) {
    let (new, old) = (new.field("spec"), old.field("spec"));
    let is_name = |spec: &At| spec.field("type").text() == "ExternalName";
    let (is, was) = (new.field("clusterIP"), old.field("clusterIP"));
    let changed = !is.text().is_empty() && !was.text().is_empty() && is.text() != was.text();
    if changed && !is_name(&new) && !is_name(&old) {
        let both = Value::Array(vec![is.value().clone()]);
        new.below_item("clusterIPs", 0, &both).invalid("may not change once set");
    }
}

fn endpoints(object: &At) {
    for subset in object.items("subsets") {
        if subset.field("addresses").is_empty() && subset.field("notReadyAddresses").is_empty() {
            subset.required("must specify `addresses` or `notReadyAddresses`");
        }
        for list in ["addresses", "notReadyAddresses"] {
            for address in subset.items(list) {
                usable_address(&address.field("ip"));
                address.field("hostname").must_be(text::label);
                address.field("nodeName").must_be(text::subdomain);
            }
        }
        let several = subset.items("ports").count() > 1;
        for port in subset.items("ports") {
            let name = port.field("name");
            if several && name.text().is_empty() {
                name.required("");
            }
            name.must_be(text::label);
            between_ports(&port.field("port"));
            port.field("appProtocol").must_be(text::qualified_name);
        }
    }
}

/// A port, which must be there.
fn between_ports(at: &At) {
    at.invalid_unless(
        at.number().is_some_and(|port| (1..=65535).contains(&port)),
        "must be between 1 and 65535, inclusive",
    );
}

/// Source: `pkg/apis/discovery/validation`, `maxEndpoints` and its neighbours.
const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const SLICE_PORTS_MAX: usize = 20_000;

fn endpoint_slice(object: &At) {
    let kind = object.field("addressType");
    kind.one_of(&["FQDN", "IPv4", "IPv6"]);
    at_most_items(object, "endpoints", ENDPOINTS_MAX);
    for endpoint in object.items("endpoints") {
        let addresses = endpoint.field("addresses");
        if addresses.is_empty() {
            addresses.required("must contain at least 1 address");
        }
        at_most_items(&endpoint, "addresses", ADDRESSES_MAX);
        for address in endpoint.items("addresses") {
            let is = address.text().parse::<IpAddr>().ok();
            match kind.text() {
                "IPv4" if !is.is_some_and(|ip| ip.is_ipv4()) => address.invalid("must be a valid IPv4 address"),
                "IPv6" if !is.is_some_and(|ip| ip.is_ipv6()) => address.invalid("must be a valid IPv6 address"),
                "IPv4" | "IPv6" => usable_address(&address),
                "FQDN" => address.must_be(text::subdomain),
                _ => {}
            }
        }
        endpoint.field("nodeName").must_be(text::subdomain);
        endpoint.field("hostname").must_be(text::label);
    }
    at_most_items(object, "ports", SLICE_PORTS_MAX);
    let mut names = BTreeSet::new();
    for port in object.items("ports") {
        let name = port.field("name");
        name.must_be(text::label);
        if !names.insert(name.text()) {
            name.duplicate();
        }
        port.field("port").between(1, 65535);
        port.field("appProtocol").must_be(text::qualified_name);
    }
}

fn at_most_items(at: &At, name: &str, most: usize) {
    let count = at.items(name).count();
    if count > most {
        at.field(name).too_many(count, most as u64);
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::validation::testing::{table, table_of_changes};
    use serde_json::{Value, json};

    fn service() -> Value {
        json!({"metadata": {"name": "s"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}})
    }

    #[test]
    fn services() {
        table(
            Kind::Service,
            &service(),
            &[
                ("/spec/ports", json!([]), &["spec.ports: Required value"]),
                (
                    "/spec/ports/0/port",
                    json!(70000),
                    &["spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive"],
                ),
                (
                    "/spec/ports/0/targetPort",
                    json!("Web!"),
                    &["spec.ports[0].targetPort: Invalid value: \"Web!\": must contain only alpha-numeric"],
                ),
                (
                    "/spec/ports/1",
                    json!({"port": 81}),
                    &["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
                ),
                (
                    "/spec/ports",
                    json!([{"name": "a", "port": 1}, {"name": "a", "port": 2}]),
                    &["spec.ports[1].name: Duplicate value: \"a\""],
                ),
                (
                    "/spec/ports",
                    json!([{"name": "a", "port": 1}, {"name": "b", "port": 1}]),
                    &["spec.ports[1]: Duplicate value: "],
                ),
                ("/spec/ports", json!([{"name": "a", "port": 1}, {"name": "b", "port": 1, "protocol": "UDP"}]), &[]),
                (
                    "/spec/ports/0/nodePort",
                    json!(30001),
                    &["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
                ),
                (
                    "/spec/type",
                    json!("Some"),
                    &[
                        "spec.type: Unsupported value: \"Some\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
                    ],
                ),
                ("/spec/clusterIP", json!("None"), &[]),
                (
                    "/spec/clusterIP",
                    json!("10.0.0"),
                    &["spec.clusterIPs[0]: Invalid value: \"10.0.0\": must be a valid IP address"],
                ),
                (
                    "/spec/clusterIPs",
                    json!(["10.96.0.9"]),
                    &[
                        "spec.clusterIPs: Invalid value: []string{\"10.96.0.9\"}: must be empty when `clusterIP` is not specified",
                    ],
                ),
                ("/spec/selector", json!({"a": "b c"}), &["spec.selector: Invalid value: \"b c\": a valid label"]),
                (
                    "/spec/sessionAffinityConfig",
                    json!({}),
                    &["spec.sessionAffinityConfig: Forbidden: must not be set when session affinity is None"],
                ),
                (
                    "/spec/externalIPs",
                    json!(["127.0.0.1"]),
                    &["spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range"],
                ),
                (
                    "/spec/loadBalancerSourceRanges",
                    json!(["10.0.0.0/8"]),
                    &["spec.loadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"],
                ),
                (
                    "/spec/externalTrafficPolicy",
                    json!("Local"),
                    &[
                        "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
                    ],
                ),
            ],
        );
        table(
            Kind::Service,
            &json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}}),
            &[(
                "/spec/clusterIP",
                json!("None"),
                &["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
            )],
        );
        table(
            Kind::Service,
            &json!({"metadata": {"name": "s"}, "spec": {"type": "ExternalName", "externalName": "db.example.com."}}),
            &[
                ("/spec/externalName", Value::Null, &["spec.externalName: Required value"]),
                (
                    "/spec/externalName",
                    json!("A b"),
                    &["spec.externalName: Invalid value: \"A b\": a lowercase RFC 1123 subdomain"],
                ),
                (
                    "/spec/clusterIP",
                    json!("10.0.0.1"),
                    &["spec.clusterIP: Forbidden: may not be set for ExternalName services"],
                ),
            ],
        );
        let mut stored = service();
        stored["spec"]["clusterIP"] = json!("10.96.0.1");
        table_of_changes(
            Kind::Service,
            &stored,
            &[
                (
                    "/spec/clusterIP",
                    json!("10.96.0.2"),
                    &["spec.clusterIPs[0]: Invalid value: []string{\"10.96.0.2\"}: may not change once set"],
                ),
                ("/spec/clusterIP", Value::Null, &[]),
                ("/spec/ports/0/port", json!(81), &[]),
            ],
        );
    }

    #[test]
    fn what_is_behind_services() {
        table(
            Kind::Endpoints,
            &json!({"metadata": {"name": "e"}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}),
            &[
                (
                    "/subsets/0/addresses",
                    json!([]),
                    &["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"],
                ),
                (
                    "/subsets/0/addresses/0/ip",
                    json!("a"),
                    &["subsets[0].addresses[0].ip: Invalid value: \"a\": must be a valid IP address"],
                ),
                (
                    "/subsets/0/ports/0/port",
                    json!(0),
                    &["subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535"],
                ),
                (
                    "/subsets/0/ports/1",
                    json!({"port": 81}),
                    &["subsets[0].ports[0].name: Required value", "subsets[0].ports[1].name: Required value"],
                ),
            ],
        );
        let slice = json!({"metadata": {"name": "e"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]});
        table(
            Kind::EndpointSlice,
            &slice,
            &[
                ("/addressType", Value::Null, &["addressType: Required value"]),
                (
                    "/addressType",
                    json!("IPv5"),
                    &["addressType: Unsupported value: \"IPv5\": supported values: \"FQDN\", \"IPv4\", \"IPv6\""],
                ),
                (
                    "/endpoints/0/addresses",
                    json!([]),
                    &["endpoints[0].addresses: Required value: must contain at least 1 address"],
                ),
                (
                    "/endpoints/0/addresses",
                    json!(["::1"]),
                    &["endpoints[0].addresses[0]: Invalid value: \"::1\": must be a valid IPv4 address"],
                ),
                ("/ports/1", json!({"port": 81}), &["ports[1].name: Duplicate value: \"\""]),
            ],
        );
        table_of_changes(
            Kind::EndpointSlice,
            &slice,
            &[("/addressType", json!("FQDN"), &["addressType: Invalid value: \"FQDN\": field is immutable"])],
        );
    }
}
