//! What the server gives to services: cluster IPs and ports of the nodes, each to one service at a time.
//!
//! What is given stands in the services themselves. [`Given`] is an index of that, which also knows of writes that are on
//! their way: an address is taken when its service is to be written, and free again when it turns out that it was not.
//!
//! Source: Kubernetes documentation, "Service", "Service ClusterIP allocation" (KEP-3070, the lower part of the range is
//! left to those who choose for themselves) and "Avoid collisions in NodePort" (KEP-3668).

use crate::api::object::{Key, Object};
use crate::api::plain::{items, text};
use crate::api::status::{FieldError, Reason, Status};
use crate::rng::Draw;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// From where it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The cluster IPs.
    pub cluster_ips: Network,
    /// The ports of the nodes.
    pub node_ports: PortRange,
}

impl Default for Options {
    /// What clusters that `kubeadm` sets up have.
    fn default() -> Self {
        Options {
            cluster_ips: Network { first: Ipv4Addr::new(10, 96, 0, 0), bits: 12 },
            node_ports: PortRange { first: 30000, last: 32767 },
        }
    }
}

/// A network of IPv4 addresses, written as `10.96.0.0/12` (RFC 4632, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    first: Ipv4Addr,
    bits: u8,
}

impl Network {
    /// How many addresses it has; at most 2²⁰, as in Kubernetes.
    fn len(self) -> u32 {
        1 << (32 - u32::from(self.bits))
    }

    fn contains(self, address: Ipv4Addr) -> bool {
        (u32::from(self.first)..=u32::from(self.first) + (self.len() - 1)).contains(&u32::from(address))
    }

    /// The address so far from its first one.
    pub(super) fn nth(self, nth: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.first) + nth)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, bits) = text.split_once('/').ok_or("a network is written as ADDRESS/BITS, such as 10.96.0.0/12")?;
        let first: Ipv4Addr = first.parse().map_err(|_| format!("{first:?} is not an IPv4 address"))?;
        let bits = bits.parse().ok().filter(|bits| (12..=28).contains(bits));
        let network = Network { first, bits: bits.ok_or("a network of services has between 12 and 28 bits")? };
        if u32::from(first) % network.len() != 0 {
            return Err(format!("{first} is not the first address of a network of {} bits", network.bits));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// Ports from one to another, both included, written as `30000-32767`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
        let ends = text.split_once('-').and_then(|(first, last)| Some((port(first)?, port(last)?)));
        match ends {
            Some((first, last)) if first <= last => Ok(PortRange { first, last }),
            _ => Err("a range of ports is written as FIRST-LAST, such as 30000-32767".into()),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

macro_rules! as_text {
    ($($name:ident)+) => {
        $(impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(one: $name) -> String {
                one.to_string()
            }
        })+
    };
}

as_text!(Network PortRange);

/// What services have.
#[derive(Debug, Default)]
pub struct Given {
    options: Options,
    ips: BTreeMap<Ipv4Addr, Key>,
    ports: BTreeMap<u16, Key>,
}

impl Given {
    /// Nothing is given yet.
    pub fn new(options: Options) -> Self {
        Given { options, ..Given::default() }
    }

    /// Takes in that a service is to be written like this.
    pub fn take(&mut self, service: &Object) {
        let key = service.key();
        self.ips.extend(ips(service).map(|ip| (ip, key.clone())));
        self.ports.extend(ports(service).map(|port| (port, key.clone())));
    }

    /// Takes in that a service was written: what it had before is free, unless it still has it. The same for a write that
    /// came to nothing.
    pub fn settle(&mut self, before: Option<&Object>, now: Option<&Object>) {
        if let Some(before) = before {
            let key = before.key();
            ips(before).for_each(|ip| release(&mut self.ips, &ip, &key));
            ports(before).for_each(|port| release(&mut self.ports, &port, &key));
        }
        if let Some(now) = now {
            self.take(now);
        }
    }

    /// The service with all that it needs. What it asks for by itself must be free.
    pub fn allotted(&self, mut service: Object, draw: Draw) -> Result<Object, Status> {
        let key = service.key();
        let kind = text(&service, &["spec", "type"]).to_owned();
        let mut wrong = Vec::new();
        let mut given: Vec<(&str, Value)> = Vec::new();
        if kind != "ExternalName" {
            let ip = self.cluster_ip(&key, &service, draw, &mut wrong)?;
            given.extend([("clusterIP", json!(ip)), ("clusterIPs", json!([ip]))]);
            self.families(&service, &mut given, &mut wrong);
        }
        let ports = self.node_ports(&key, &service, &kind, draw, &mut wrong)?;
        if !wrong.is_empty() {
            return Err(Status::invalid(key.kind, &key.name, &wrong));
        }
        service.edit_plain(|rest| {
            let Some(spec) = rest.get_mut("spec") else { return };
            for (field, value) in given {
                spec[field] = value;
            }
            if let Some(list) = spec.get_mut("ports").and_then(Value::as_array_mut) {
                for (port, number) in list.iter_mut().zip(ports) {
                    if let Some(number) = number {
                        port["nodePort"] = number.into();
                    }
                }
            }
        });
        Ok(service)
    }

    fn cluster_ip(
        &self,
        key: &Key,
        service: &Object,
        draw: Draw,
        wrong: &mut Vec<FieldError>,
    ) -> Result<String, Status> {
        let asked = text(service, &["spec", "clusterIP"]);
        let range = self.options.cluster_ips;
        if asked == "None" {
            return Ok(asked.into());
        }
        let Ok(ip) = asked.parse::<Ipv4Addr>() else {
            // The network's own address and that of the API server are never given, nor is the last one, which means all.
            let usable = 2..range.len() - 1;
            let own = (range.len() / 16).clamp(16, 256).min(usable.end - 1).max(usable.start);
            let nth =
                free(draw.key("cluster-ip"), own..usable.end, usable, |nth| !self.ips.contains_key(&range.nth(nth)));
            let full = || Status::failure(Reason::InternalError, "failed to allocate a serviceIP: range is full");
            return nth.map(|nth| range.nth(nth).to_string()).ok_or_else(full);
        };
        let refused = match self.ips.get(&ip) {
            _ if !range.contains(ip) => {
                format!("the provided IP ({ip}) is not in the valid range. The range of valid IPs is {range}")
            }
            Some(owner) if owner != key => "provided IP is already allocated".into(),
            _ => return Ok(asked.into()),
        };
        let shown = Listed(&[asked]);
        let rule = format!("failed to allocate IP {ip}: {refused}");
        wrong.push(FieldError::invalid("spec.clusterIPs", shown, rule));
        Ok(asked.into())
    }

    /// There is one kind of addresses.
    fn families(&self, service: &Object, given: &mut Vec<(&str, Value)>, wrong: &mut Vec<FieldError>) {
        for (nth, family) in items(service, &["spec", "ipFamilies"]).iter().enumerate() {
            if family.as_str() != Some("IPv4") {
                let field = format!("spec.ipFamilies[{nth}]");
                wrong.push(FieldError::invalid(field, family.as_str().unwrap_or(""), "not configured on this cluster"));
            }
        }
        let policy = text(service, &["spec", "ipFamilyPolicy"]);
        if policy == "RequireDualStack" {
            let rule = "this cluster is not configured for dual-stack services";
            wrong.push(FieldError::invalid("spec.ipFamilyPolicy", policy, rule));
        }
        given.push(("ipFamilies", json!(["IPv4"])));
        if policy.is_empty() {
            given.push(("ipFamilyPolicy", "SingleStack".into()));
        }
    }

    /// The port of the nodes for each of the service's ports that needs one.
    fn node_ports(
        &self,
        key: &Key,
        service: &Object,
        kind: &str,
        draw: Draw,
        wrong: &mut Vec<FieldError>,
    ) -> Result<Vec<Option<u16>>, Status> {
        let range = self.options.node_ports;
        let asks = match kind {
            "NodePort" => true,
            "LoadBalancer" => service.at(&["spec", "allocateLoadBalancerNodePorts"]) != Some(&false.into()),
            _ => false,
        };
        let mut own: BTreeMap<u16, i64> = BTreeMap::new();
        let mut numbers = Vec::new();
        for (nth, port) in items(service, &["spec", "ports"]).iter().enumerate() {
            let number = |field: &str| port.get(field).and_then(Value::as_i64).unwrap_or(0);
            let (asked, of_service) = (number("nodePort"), number("port"));
            let field = || format!("spec.ports[{nth}].nodePort");
            if asked == 0 {
                if !asks {
                    numbers.push(None);
                    continue;
                }
                // One number may do for TCP and UDP.
                let shared = own.iter().find(|(_, port)| **port == of_service).map(|(number, _)| *number);
                let usable = u32::from(range.first)..u32::from(range.last) + 1;
                let static_part = ((usable.end - usable.start) / 32).min(128);
                let static_part = if static_part < 16 { 0 } else { static_part };
                let is_free = |port: u32| {
                    let port = port as u16;
                    !self.ports.contains_key(&port) && !own.contains_key(&port)
                };
                let draw = draw.key("node-port").count(nth as u64);
                let chosen = shared
                    .map(u32::from)
                    .or_else(|| free(draw, usable.start + static_part..usable.end, usable.clone(), is_free));
                let full = || Status::failure(Reason::InternalError, "failed to allocate a nodePort: range is full");
                let chosen = chosen.ok_or_else(full)? as u16;
                own.insert(chosen, of_service);
                numbers.push(Some(chosen));
                continue;
            }
            let in_range = u16::try_from(asked).ok().filter(|port| (range.first..=range.last).contains(port));
            let taken = in_range.and_then(|port| self.ports.get(&port)).is_some_and(|owner| owner != key);
            match in_range {
                None => {
                    let rule = format!("provided port is not in the valid range. The range of valid ports is {range}");
                    wrong.push(FieldError::invalid(field(), asked, rule));
                }
                Some(_) if taken => {
                    wrong.push(FieldError::invalid(field(), asked, "provided port is already allocated"));
                }
                Some(port) => drop(own.insert(port, of_service)),
            }
            numbers.push(in_range);
        }
        Ok(numbers)
    }
}

fn release<T: Ord>(given: &mut BTreeMap<T, Key>, one: &T, key: &Key) {
    if given.get(one) == Some(key) {
        given.remove(one);
    }
}

/// A free number: of the preferred ones from a drawn one on, or else the first of all.
fn free(
    draw: Draw,
    preferred: std::ops::Range<u32>,
    all: std::ops::Range<u32>,
    is_free: impl Fn(u32) -> bool,
) -> Option<u32> {
    let begin = preferred.start + draw.below(u64::from(preferred.end - preferred.start)) as u32;
    (begin..preferred.end).chain(preferred.start..begin).chain(all).find(|one| is_free(*one))
}

fn ips(service: &Object) -> impl Iterator<Item = Ipv4Addr> {
    let is_external = text(service, &["spec", "type"]) == "ExternalName";
    text(service, &["spec", "clusterIP"]).parse().ok().filter(|_| !is_external).into_iter()
}

fn ports(service: &Object) -> impl Iterator<Item = u16> {
    let of_ports = items(service, &["spec", "ports"]).iter().filter_map(|port| port.get("nodePort")?.as_u64());
    of_ports.filter_map(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

/// A list of texts as Go shows it in an error.
struct Listed<'a>(&'a [&'a str]);

impl fmt::Debug for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(|one| format!("{one:?}")).collect();
        write!(f, "[]string{{{}}}", all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;

    fn service(name: &str, spec: Value) -> Object {
        let service = json!({"metadata": {"name": name, "namespace": "x"}, "spec": spec});
        Object::from_value(Kind::Service, service).unwrap()
    }

    #[test]
    fn ranges_are_read() {
        let network = |text: &str| text.parse::<Network>().map(|network| network.to_string());
        assert_eq!(network("10.96.0.0/12"), Ok("10.96.0.0/12".into()));
        for wrong in ["10.96.0.0", "10.96.0.0/8", "10.96.0.0/29", "10.96.0.1/16", "::/16", "x/16"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
        let ports = |text: &str| text.parse::<PortRange>().map(|range| range.to_string());
        assert_eq!(ports("1-65535"), Ok("1-65535".into()));
        for wrong in ["", "5", "0-5", "6-5", "1-65536", "a-b"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_service_has_an_address_of_its_own() {
        let options = Options { cluster_ips: "10.0.0.0/28".parse().unwrap(), ..Options::default() };
        let mut given = Given::new(options);
        let mut seen = std::collections::BTreeSet::new();
        for nth in 0..13 {
            let one = given.allotted(service(&format!("s{nth}"), json!({})), Draw::new(nth)).unwrap();
            given.take(&one);
            assert!(seen.insert(text(&one, &["spec", "clusterIP"]).to_owned()));
        }
        assert!(!seen.contains("10.0.0.0") && !seen.contains("10.0.0.1") && !seen.contains("10.0.0.15"));
        let full = given.allotted(service("s", json!({})), Draw::new(1)).unwrap_err();
        assert_eq!(full.message, "failed to allocate a serviceIP: range is full");
    }

    #[test]
    fn what_is_asked_for_must_be_free_and_in_range() {
        let mut given = Given::new(Options::default());
        let ports = |port: u16| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
        let first = given.allotted(service("a", json!({"clusterIP": "10.96.7.1"})), Draw::new(1)).unwrap();
        given.take(&first);
        given.take(&given.allotted(service("p", ports(30080)), Draw::new(1)).unwrap());
        let wrong = |name: &str, spec| given.allotted(service(name, spec), Draw::new(1)).unwrap_err().message;
        assert_eq!(
            wrong("b", json!({"clusterIP": "10.96.7.1"})),
            r#"Service "b" is invalid: spec.clusterIPs: Invalid value: []string{"10.96.7.1"}: failed to allocate IP 10.96.7.1: provided IP is already allocated"#
        );
        assert!(wrong("b", json!({"clusterIP": "1.2.3.4"})).ends_with("The range of valid IPs is 10.96.0.0/12"));
        assert_eq!(
            wrong("b", ports(30080)),
            r#"Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"#
        );
        assert!(wrong("b", ports(80)).ends_with("The range of valid ports is 30000-32767"));
        assert!(wrong("b", json!({"ipFamilies": ["IPv6"]})).ends_with("not configured on this cluster"));
        given.allotted(first.clone(), Draw::new(1)).expect("it is its own");
        given.settle(Some(&first), None);
        given.allotted(service("b", json!({"clusterIP": "10.96.7.1"})), Draw::new(1)).expect("it is free again");
    }

    #[test]
    fn ports_of_one_number_share_one_of_the_node() {
        let ports = json!([{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}, {"port": 80}]);
        let given = Given::new(Options::default());
        let one = given.allotted(service("dns", json!({"type": "NodePort", "ports": ports})), Draw::new(1)).unwrap();
        let numbers: Vec<u64> =
            items(&one, &["spec", "ports"]).iter().map(|port| port["nodePort"].as_u64().unwrap()).collect();
        assert!(numbers[0] == numbers[1] && numbers[0] != numbers[2], "{numbers:?}");
        assert!(numbers.iter().all(|number| (30000 + 86..=32767).contains(number)), "{numbers:?}");
    }
}
