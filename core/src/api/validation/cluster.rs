//! Rules for what a cluster itself is made of: namespaces, nodes, leases, events.
//!
//! Source: `pkg/apis/core/validation`, `ValidateNamespace`, `ValidateNode` and `ValidateEvent`;
//! `pkg/apis/coordination/validation`; release 1.32.

use super::at::At;
use super::{Rules, resources, text};
use crate::api::lease::{Lease, LeaseSpec};
use crate::api::object::Object;
use std::collections::BTreeSet;

/// Rules for namespaces.
pub const NAMESPACE: Rules = Rules { name: text::label, ..Rules::ANY };
/// Rules for nodes.
pub const NODE: Rules = Rules { content: node, change: Some(node_stays), status: Some(node_status), ..Rules::ANY };
/// Rules for leases.
pub const LEASE: Rules = Rules {
    content: |lease| {
        let spec = lease.field("spec");
        let holder = spec.field("holderIdentity");
        spec.field("leaseDurationSeconds").more_than_zero();
        spec.field("leaseTransitions").at_least(0);
        holder.must(!holder.text().is_empty() || spec.field("strategy").is_there(), "must not be empty");
    },
    same: is_renewed,
    ..Rules::ANY
};
/// Rules for events.
pub const EVENT: Rules = Rules { content: event, looks_at: |field| field == "involvedObject", ..Rules::ANY };

/// Whether only the times of a lease have changed, at which no rule looks. Most writes of all do no more.
fn is_renewed(new: &Object, old: &Object) -> bool {
    let (Some(new), Some(old)) = (new.get::<Lease>(), old.get::<Lease>()) else { return false };
    let LeaseSpec { holder_identity, lease_duration_seconds, lease_transitions, rest, acquire_time: _, renew_time: _ } =
        &new.spec;
    *holder_identity == old.spec.holder_identity
        && *lease_duration_seconds == old.spec.lease_duration_seconds
        && *lease_transitions == old.spec.lease_transitions
        && *rest == old.spec.rest
        && new.rest == old.rest
}

fn node(object: &At) {
    let spec = object.field("spec");
    let mut seen = BTreeSet::new();
    for taint in spec.items("taints") {
        let (key, value, effect) = (taint.field("key"), taint.field("value"), taint.field("effect"));
        key.must_be(text::qualified_name);
        value.must_be(text::label_value);
        if !seen.insert((key.text(), effect.text())) {
            taint.duplicate();
        }
    }
    spec.field("podCIDR").must_be(text::cidr);
    spec.items("podCIDRs").for_each(|range| range.must_be(text::cidr));
    node_status(object);
}

fn node_status(object: &At) {
    let status = object.field("status");
    for list in ["capacity", "allocatable"] {
        for (resource, amount) in status.entries(list) {
            resources::amount_of(&amount, resource);
        }
    }
}

fn node_stays(new: &At, old: &At) {
    let (new, old) = (new.field("spec"), old.field("spec"));
    for name in ["podCIDR", "providerID"] {
        let was = old.field(name);
        if !was.is_empty() && new.field(name).value() != was.value() {
            new.field(name).forbidden(format!("node updates may not change {name} except from \"\" to valid"));
        }
    }
}

fn event(object: &At) {
    let (metadata, about) = (object.field("metadata"), object.field("involvedObject"));
    let (namespace, of) = (metadata.field("namespace").text(), about.field("namespace"));
    if of.text() != namespace && !(of.text().is_empty() && namespace == "default") {
        of.invalid_value(&of.text().into(), "does not match event.namespace");
    }
}

#[cfg(test)]
mod tests {
    use crate::api::kinds::Kind;
    use crate::api::object::Object;
    use crate::api::validation::testing::{table, table_of_changes};
    use crate::api::validation::validate;
    use serde_json::json;

    #[test]
    fn nodes() {
        let node = json!({"metadata": {"name": "n"}, "spec": {"podCIDR": "10.0.0.0/24", "taints": [{"key": "a", "effect": "NoSchedule"}]},
            "status": {"capacity": {"cpu": "1"}}});
        table(
            Kind::Node,
            &node,
            &[
                ("/spec/taints/0/key", json!("a b"), &["spec.taints[0].key: Invalid value: \"a b\": name part must"]),
                (
                    "/spec/taints/0/effect",
                    json!("Some"),
                    &[
                        "spec.taints[0].effect: Unsupported value: \"Some\": supported values: \"NoExecute\", \"NoSchedule\", \"PreferNoSchedule\"",
                    ],
                ),
                ("/spec/taints/1", json!({"key": "a", "effect": "NoSchedule"}), &["spec.taints[1]: Duplicate value: "]),
                ("/spec/podCIDR", json!("a"), &["spec.podCIDR: Invalid value: \"a\": must be a valid CIDR value"]),
                (
                    "/status/capacity/cpu",
                    json!("-1"),
                    &["status.capacity[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"],
                ),
            ],
        );
        table_of_changes(
            Kind::Node,
            &node,
            &[
                (
                    "/spec/podCIDR",
                    json!("10.0.1.0/24"),
                    &["spec.podCIDR: Forbidden: node updates may not change podCIDR except from \"\" to valid"],
                ),
                ("/spec/unschedulable", json!(true), &[]),
            ],
        );
    }

    #[test]
    fn leases_and_events() {
        table(
            Kind::Lease,
            &json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}),
            &[
                (
                    "/spec/leaseDurationSeconds",
                    json!(0),
                    &["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
                ),
                (
                    "/spec/leaseTransitions",
                    json!(-1),
                    &["spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"],
                ),
            ],
        );
        table(
            Kind::Event,
            &json!({"metadata": {"name": "e", "namespace": "x"}, "involvedObject": {"namespace": "x"}}),
            &[(
                "/involvedObject/namespace",
                json!("y"),
                &["involvedObject.namespace: Invalid value: \"y\": does not match event.namespace"],
            )],
        );
    }

    #[test]
    fn what_a_renewal_leaves_as_it_was_is_not_looked_at_again() {
        let check = |is: (i64, &str), was: (i64, &str), want: usize| {
            let [is, was] = [is, was].map(|(secs, second)| {
                let spec = json!({"holderIdentity": "a", "leaseDurationSeconds": secs,
                    "renewTime": format!("2026-01-01T00:00:{second}.000000Z")});
                let lease = json!({"metadata": {"name": "l", "namespace": "x"}, "spec": spec});
                Object::from_value(Kind::Lease, lease).unwrap()
            });
            assert_eq!(validate(&is, Some(&was)).len(), want, "{is:?} was {was:?}");
        };
        check((0, "05"), (0, "00"), 0);
        check((-1, "05"), (0, "00"), 1);
        check((0, "00"), (1, "00"), 1);
    }

    #[test]
    fn of_an_event_rules_are_handed_what_they_look_at() {
        let event =
            json!({"metadata": {"name": "e", "namespace": "x"}, "involvedObject": {"name": "a"}, "reason": "R"});
        let metadata = json!({"name": "e", "namespace": "x", "uid": "", "annotations": {}});
        let event = Object::from_value(Kind::Event, event).unwrap();
        assert_eq!(event.to_ruled_value(), json!({"metadata": metadata, "involvedObject": {"name": "a"}}));
    }
}
