//! How endpoints are packed into slices: with few writes, and so that they stay where they are.
//!
//! Source: Kubernetes documentation, "EndpointSlices", distribution of EndpointSlices; `reconcileByPortMapping` of
//! `k8s.io/endpointslice`.

use crate::api::endpoints::Endpoint;
use crate::api::text::Text;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A slice has at most so many endpoints.
///
/// Source: Kubernetes, kube-controller-manager `--max-endpoints-per-slice`.
pub const SLICE_MAX: usize = 100;

/// A slice as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub endpoints: Vec<Endpoint>,
}

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed {
    /// These slices get these endpoints.
    pub change: Vec<Slice>,
    /// These slices are needed no more.
    pub remove: Vec<Text>,
    /// New slices with these endpoints.
    pub create: Vec<Vec<Endpoint>>,
}

/// What tells endpoints apart: the pod, and its address.
pub fn identity(endpoint: &Endpoint) -> (&str, &str) {
    let pod = endpoint.target_ref.as_ref().map_or("", |target| target.uid.as_str());
    (pod, endpoint.addresses.first().map_or("", Text::as_str))
}

/// Distributes endpoints that have their ports in common over slices. An endpoint stays in its slice. New ones fill the
/// slices that have to be written anyway, the fullest first; what is left goes into the one other slice that has just
/// enough room for it, or into new slices. Slices are not evened out: each write is sent to every node.
///
/// With slices of 3 and `[a b] [c]`, wanted `a c d e`: `b` goes and `d`, `e` come, which writes the first slice alone.
pub fn pack(slices: &[Slice], wanted: Vec<Endpoint>, max: usize) -> Packed {
    let mut packed = Packed::default();
    // The order in which they are given is kept.
    let mut open: BTreeMap<(String, String), (usize, Endpoint)> = BTreeMap::new();
    for (nth, endpoint) in wanted.into_iter().enumerate() {
        let (pod, address) = identity(&endpoint);
        open.insert((pod.to_owned(), address.to_owned()), (nth, endpoint));
    }
    let mut unchanged: Vec<&Slice> = Vec::new();
    for slice in slices {
        let keep: Vec<Endpoint> = slice
            .endpoints
            .iter()
            .filter_map(|one| {
                let (pod, address) = identity(one);
                open.remove(&(pod.to_owned(), address.to_owned())).map(|(_, endpoint)| endpoint)
            })
            .take(max)
            .collect();
        match () {
            () if keep == slice.endpoints && !keep.is_empty() => unchanged.push(slice),
            () if keep.is_empty() => packed.remove.push(slice.name.as_str().into()),
            () => packed.change.push(Slice { name: slice.name.clone(), endpoints: keep }),
        }
    }
    let mut rest: Vec<(usize, Endpoint)> = open.into_values().collect();
    rest.sort_by_key(|(nth, _)| *nth);
    let mut rest = rest.into_iter().map(|(_, endpoint)| endpoint).peekable();
    packed.change.sort_by_key(|slice| (Reverse(slice.endpoints.len()), slice.name.clone()));
    for slice in &mut packed.change {
        let room = max.saturating_sub(slice.endpoints.len());
        slice.endpoints.extend(rest.by_ref().take(room));
    }
    let mut rest: Vec<Endpoint> = rest.collect();
    let fits = |slice: &&&Slice| slice.endpoints.len() + rest.len() <= max;
    let tightest = unchanged.iter().filter(fits).max_by_key(|slice| (slice.endpoints.len(), Reverse(&slice.name)));
    if let Some(slice) = tightest.filter(|_| !rest.is_empty()) {
        let endpoints = slice.endpoints.iter().cloned().chain(rest.drain(..)).collect();
        packed.change.push(Slice { name: slice.name.clone(), endpoints });
    }
    packed.create.extend(rest.chunks(max.max(1)).map(<[Endpoint]>::to_vec));
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::event::ObjectReference;
    use quickcheck::quickcheck;

    fn endpoint(name: &str) -> Endpoint {
        let target = ObjectReference { uid: name.into(), name: name.into(), ..Default::default() };
        Endpoint { addresses: vec!["10.0.0.1".into()], target_ref: Some(target), ..Default::default() }
    }

    fn all(names: &str) -> Vec<Endpoint> {
        names.split_whitespace().map(endpoint).collect()
    }

    fn slices(names: &[&str]) -> Vec<Slice> {
        let slice = |(nth, names): (usize, &&str)| Slice { name: format!("s{nth}"), endpoints: all(names) };
        names.iter().enumerate().map(slice).collect()
    }

    fn shown(endpoints: &[Endpoint]) -> String {
        endpoints.iter().map(|one| identity(one).0.to_string()).collect::<Vec<_>>().join(" ")
    }

    /// `s0: a b | s1: - | +: c`.
    fn told(packed: &Packed) -> String {
        let change = packed.change.iter().map(|slice| format!("{}: {}", slice.name, shown(&slice.endpoints)));
        let remove = packed.remove.iter().map(|name| format!("{name}: -"));
        let create = packed.create.iter().map(|endpoints| format!("+: {}", shown(endpoints)));
        change.chain(remove).chain(create).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn few_slices_are_written() {
        let check = |held: &[&str], wanted: &str, want: &str| {
            assert_eq!(told(&pack(&slices(held), all(wanted), 3)), want, "{held:?} -> {wanted}");
        };
        check(&[], "", "");
        check(&[], "a b", "+: a b");
        check(&[], "a b c d", "+: a b c | +: d");
        check(&["a b", "c"], "c b a", "");
        check(&["a b", "c"], "a c", "s0: a");
        check(&["a b", "c"], "a c d e", "s0: a d e");
        check(&["a b", "c"], "a b", "s1: -");
        check(&["a b", "c"], "a b c d", "s0: a b d");
        check(&["a b", "c"], "a b c d e", "s1: c d e");
        check(&["a b", "c d"], "a b c d e f", "+: e f");
        check(&["a", "a"], "a", "s1: -");
        check(&["a b c d e"], "a b c d e", "s0: a b c | +: d e");
        let mut other = all("a b");
        other[1].node_name = "n".into();
        assert_eq!(told(&pack(&slices(&["a b"]), other, 3)), "s0: a b", "it is another, in its place");
    }

    fn apply(held: &[Slice], packed: &Packed) -> Vec<Slice> {
        let mut next: Vec<Slice> =
            held.iter().filter(|slice| !packed.remove.contains(&Text::from(&slice.name))).cloned().collect();
        for changed in &packed.change {
            let slice = next.iter_mut().find(|slice| slice.name == changed.name).expect("what is changed is there");
            *slice = changed.clone();
        }
        let new = (0..).zip(&packed.create).map(|(nth, endpoints): (u32, _)| Slice {
            name: format!("n{nth}-{}", held.len()),
            endpoints: endpoints.clone(),
        });
        next.extend(new);
        next
    }

    quickcheck! {
        /// Whatever there is: then each wanted endpoint is in one slice, no slice has too many, and nothing is left to
        /// do. One endpoint more or less is one write.
        fn one_packing_is_enough(held: Vec<Vec<u8>>, wanted: std::collections::BTreeSet<u8>, one: u8) -> bool {
            let names = |all: &[u8]| all.iter().map(|nth| endpoint(&format!("{nth}"))).collect::<Vec<_>>();
            let held: Vec<Slice> = (0..).zip(&held)
                .map(|(nth, all): (u32, _)| Slice { name: format!("s{nth}"), endpoints: names(all) }).collect();
            let want = |wanted: &std::collections::BTreeSet<u8>| names(&wanted.iter().copied().collect::<Vec<_>>());
            let next = apply(&held, &pack(&held, want(&wanted), 5));
            let mut found: Vec<String> = next.iter().flat_map(|slice| &slice.endpoints).map(|one| identity(one).0.to_string()).collect();
            found.sort();
            let mut expected: Vec<String> = wanted.iter().map(u8::to_string).collect();
            expected.sort();
            let mut other = wanted.clone();
            if !other.remove(&one) {
                other.insert(one);
            }
            let small = pack(&next, want(&other), 5);
            found == expected
                && next.iter().all(|slice| slice.endpoints.len() <= 5)
                && pack(&next, want(&wanted), 5) == Packed::default()
                && small.change.len() + small.remove.len() + small.create.len() == 1
        }
    }
}
