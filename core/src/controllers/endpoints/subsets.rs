//! What Endpoints show: addresses in groups that have their ports in common, and not too many of them.
//!
//! Source: Kubernetes, `RepackSubsets` of `pkg/api/v1/endpoints`, and `truncateEndpoints` of `pkg/controller/endpoint`.

use crate::api::endpoints::{EndpointAddress, EndpointSubset};
use crate::controllers::endpoints::ports::Port;
use std::collections::BTreeMap;

/// Endpoints show at most so many addresses. Source: `maxCapacity`.
pub const ADDRESSES_MAX: usize = 1000;

/// An address and its ports. Without ports it is an address of a headless service that names none.
#[derive(Clone, Debug)]
pub struct Member {
    /// Whether it is ready.
    pub ready: bool,
    /// The address.
    pub address: EndpointAddress,
    /// Its ports.
    pub ports: Vec<Port>,
}

/// The subsets that show these members: each port stands in one place, with all addresses that have it.
///
/// `a` with ports 80 and 81 and `b` with 80: 80 of `a` and `b`, 81 of `a`.
pub fn subsets(mut members: Vec<Member>) -> Vec<EndpointSubset> {
    members.sort_by(|one, other| order(&one.address).cmp(&order(&other.address)));
    let mut having: BTreeMap<Option<&Port>, Vec<usize>> = BTreeMap::new();
    for (nth, member) in members.iter().enumerate() {
        let ports = member.ports.iter().map(Some).chain(member.ports.is_empty().then_some(None));
        for port in ports {
            let all = having.entry(port).or_default();
            // Two ports of a service may mean the same one.
            if all.last() != Some(&nth) {
                all.push(nth);
            }
        }
    }
    let mut together: BTreeMap<Vec<usize>, Vec<&Port>> = BTreeMap::new();
    for (port, of) in having {
        together.entry(of).or_default().extend(port);
    }
    let subset = |(of, ports): (Vec<usize>, Vec<&Port>)| {
        let which = |ready: bool| {
            let all = of.iter().map(|nth| &members[*nth]).filter(|member| member.ready == ready);
            all.map(|member| member.address.clone()).collect()
        };
        EndpointSubset {
            addresses: which(true),
            not_ready_addresses: which(false),
            ports: ports.into_iter().map(Port::shown).collect(),
            ..Default::default()
        }
    };
    let mut subsets: Vec<EndpointSubset> = together.into_iter().map(subset).collect();
    subsets.sort_by_key(|subset| subset.ports.iter().map(|port| (port.name.clone(), port.port)).collect::<Vec<_>>());
    subsets
}

fn order(address: &EndpointAddress) -> (Option<std::net::Ipv4Addr>, &str) {
    (address.ip.parse().ok(), address.target_ref.as_ref().map_or("", |target| &target.uid))
}

/// Takes away what is too much, and says whether it was. Those that are ready stay before those that are not; each
/// subset loses its share.
///
/// With at most 3, and 4 ready ones in a subset and 2 in another: 2 and 1.
pub fn truncate(subsets: &mut [EndpointSubset], max: usize) -> bool {
    let sum = |of: fn(&EndpointSubset) -> usize| subsets.iter().map(of).sum::<usize>();
    let (ready, not_ready) = (sum(|one| one.addresses.len()), sum(|one| one.not_ready_addresses.len()));
    if ready + not_ready <= max {
        return false;
    }
    let too_many_ready = ready > max;
    let (room, all) = if too_many_ready { (max, ready) } else { (max - ready, not_ready) };
    let mut left = room;
    for subset in subsets {
        if too_many_ready {
            subset.not_ready_addresses.clear();
        }
        let list = if too_many_ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        let share = (list.len() * room).div_ceil(all).min(left);
        list.truncate(share);
        left -= list.len();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(ip: &str, ready: bool, ports: &[i32]) -> Member {
        let port = |number: &i32| Port {
            name: format!("p{number}"),
            protocol: "TCP".into(),
            number: *number,
            app_protocol: String::new(),
        };
        let address = EndpointAddress { ip: ip.into(), ..Default::default() };
        Member { ready, address, ports: ports.iter().map(port).collect() }
    }

    fn told(subsets: &[EndpointSubset]) -> String {
        let ips = |all: &[EndpointAddress]| all.iter().map(|one| one.ip.as_str()).collect::<Vec<_>>().join(" ");
        let one = |subset: &EndpointSubset| {
            let ports: Vec<String> = subset.ports.iter().map(|port| port.port.to_string()).collect();
            format!("{} / {} : {}", ips(&subset.addresses), ips(&subset.not_ready_addresses), ports.join(" "))
        };
        subsets.iter().map(one).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn addresses_with_the_same_ports_stand_together() {
        let check = |members: &[Member], want: &str| assert_eq!(told(&subsets(members.to_vec())), want);
        check(&[], "");
        check(&[member("1.0.0.10", true, &[80]), member("1.0.0.9", true, &[80])], "1.0.0.9 1.0.0.10 /  : 80");
        check(&[member("1.0.0.1", true, &[80]), member("1.0.0.2", false, &[80])], "1.0.0.1 / 1.0.0.2 : 80");
        check(
            &[member("1.0.0.1", true, &[80, 81]), member("1.0.0.2", true, &[80])],
            "1.0.0.1 1.0.0.2 /  : 80 | 1.0.0.1 /  : 81",
        );
        check(&[member("1.0.0.1", true, &[80, 81])], "1.0.0.1 /  : 80 81");
        check(&[member("1.0.0.1", true, &[])], "1.0.0.1 /  : ");
    }

    #[test]
    fn too_many_are_cut_in_proportion() {
        let many = |count: usize, ready: bool, port: i32| {
            (0..count).map(move |nth| member(&format!("1.{port}.{}.{}", nth / 256, nth % 256), ready, &[port]))
        };
        let check = |members: Vec<Member>, max: usize, want: &[(usize, usize)]| {
            let mut all = subsets(members);
            let cut = truncate(&mut all, max);
            let got: Vec<(usize, usize)> =
                all.iter().map(|one| (one.addresses.len(), one.not_ready_addresses.len())).collect();
            assert_eq!((got.as_slice(), cut), (want, true));
        };
        check(many(4, true, 80).chain(many(2, true, 81)).collect(), 3, &[(2, 0), (1, 0)]);
        check(many(2, true, 80).chain(many(4, false, 81)).collect(), 3, &[(2, 0), (0, 1)]);
        check(many(1200, true, 80).chain(many(5, false, 80)).collect(), ADDRESSES_MAX, &[(1000, 0)]);
        assert!(!truncate(&mut subsets(many(1000, false, 80).collect()), ADDRESSES_MAX));
    }
}
