//! How fast pods are evicted, and when not at all.
//!
//! Source: Kubernetes, `pkg/controller/nodelifecycle`, `ComputeZoneState`, `setLimiterInZone`, and
//! kube-controller-manager's `--unhealthy-zone-threshold`, `--large-cluster-size-threshold`, `--node-eviction-rate`,
//! `--secondary-node-eviction-rate`. All nodes are one zone here.

use crate::{decision_enum, decision_table};

decision_enum! {
    /// How many of all nodes are not ready.
    pub enum Zone {
        /// A few, or none.
        Normal,
        /// At least 55 %, and more than two.
        PartialDisruption,
        /// All there are.
        FullDisruption,
    }
}

decision_enum! {
    /// How many nodes there are.
    pub enum Size {
        /// At most 50.
        Small,
        /// More than 50.
        Large,
    }
}

decision_enum! {
    /// How fast nodes are emptied.
    pub enum Pace {
        /// One node in ten seconds.
        Steady,
        /// One node in a hundred seconds.
        Slow,
        /// No further node.
        Hold,
        /// No node: the taints by which pods have to go are taken away.
        Stop,
    }
}

decision_table! {
    /// How fast nodes are emptied. Pure and total. Page: `docs/decisions/eviction_pace.md`.
    pub fn eviction_pace(zone: Zone, size: Size) -> Pace, EVICTION_PACE;
    normal:  (Normal, _)                => Steady, "some machines fail at any time; their pods are replaced";
    partial: (PartialDisruption, Large) => Slow,   "many at once; there is room to replace some of it";
    small:   (PartialDisruption, Small) => Hold,   "the rest could not carry it";
    full:    (FullDisruption, _)        => Stop,   "nobody is left to take the pods, and the fault may be ours";
}

/// At least so many percent are not ready: a disruption.
pub const DISRUPTION_PERCENT: usize = 55;
/// So many may fail together without that being a disruption.
pub const DISRUPTION_MIN: usize = 2;
/// More nodes than this make a large cluster.
pub const LARGE: usize = 50;

/// The state of a zone with so many nodes ready, and so many not.
///
/// Of two nodes with one silent, the zone is `Normal`: `zone(1, 1)`. Of five with three silent it is
/// `PartialDisruption`: 60 %, and three are more than two. Without nodes nothing is disrupted.
pub fn zone(ready: usize, not_ready: usize) -> Zone {
    let many = (not_ready > DISRUPTION_MIN || planted!(SmallDisruption))
        && not_ready.saturating_mul(100) >= ready.saturating_add(not_ready).saturating_mul(DISRUPTION_PERCENT);
    match () {
        () if ready == 0 && not_ready > 0 => Zone::FullDisruption,
        () if many => Zone::PartialDisruption,
        () => Zone::Normal,
    }
}

/// The size of a cluster of so many nodes.
pub fn size(nodes: usize) -> Size {
    if nodes > LARGE { Size::Large } else { Size::Small }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::property;

    #[test]
    fn a_zone_is_judged_by_its_numbers() {
        let check = |ready, not_ready, want| assert_eq!(zone(ready, not_ready), want, "{ready} {not_ready}");
        check(0, 0, Zone::Normal);
        check(1, 0, Zone::Normal);
        check(0, 1, Zone::FullDisruption);
        check(1, 1, Zone::Normal);
        check(1, 2, Zone::Normal);
        check(2, 3, Zone::PartialDisruption);
        check(45, 54, Zone::Normal);
        check(45, 55, Zone::PartialDisruption);
        check(0, 100, Zone::FullDisruption);
        assert_eq!((size(50), size(51)), (Size::Small, Size::Large));
    }

    #[test]
    fn more_silent_nodes_never_evict_faster() {
        let speed = |pace: Pace| match pace {
            Pace::Steady => 3,
            Pace::Slow => 2,
            Pace::Hold => 1,
            Pace::Stop => 0,
        };
        property("one more node that is not ready, in place of one that is", |any| {
            let nodes = usize::from(u8::arbitrary(any)) + 1;
            let not_ready = usize::arbitrary(any) % nodes;
            let pace = |not_ready: usize| eviction_pace(zone(nodes - not_ready, not_ready), size(nodes)).then;
            assert!(speed(pace(not_ready + 1)) <= speed(pace(not_ready)), "{not_ready} of {nodes}");
            assert_eq!(pace(nodes), Pace::Stop);
            // A slow, obvious second version, with fractions.
            let share = not_ready as f64 / nodes as f64;
            assert_eq!(
                pace(not_ready) == Pace::Steady,
                not_ready <= 2 || share < 0.55 - 1e-9,
                "{not_ready} of {nodes}"
            );
        });
    }
    use quickcheck::Arbitrary;
}
