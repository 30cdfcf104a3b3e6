//! How large each replica set of a deployment is to be.
//!
//! Source: Kubernetes documentation, "Deployments", rolling update and proportional scaling;
//! `pkg/controller/deployment`, `rolling.go` and `sync.go`.

use crate::api::deployment::MAX_REPLICAS;
use crate::controllers::deployment::BY;
use crate::controllers::deployment::sets::Set;
use crate::pages::Page;
use std::cmp::Reverse;

/// Everything the decisions may look at.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// `spec.replicas`.
    pub wanted: i64,
    /// So many pods may exist: the wanted ones and the surge.
    pub max_total: i64,
    /// So many pods fewer than wanted may be available.
    pub max_unavailable: i64,
    /// `status.replicas`: how many pods there were.
    pub counted: i64,
    /// The set of the newest template, if there is one.
    pub new: Option<Set<'a>>,
    /// The others, oldest first.
    pub old: Vec<Set<'a>>,
}

/// A set, and how many pods it is to want.
#[derive(Clone, Copy, Debug)]
pub struct Size<'a> {
    /// The set.
    pub set: Set<'a>,
    /// How many pods.
    pub to: i64,
}

impl<'a> View<'a> {
    fn all(&self) -> impl Iterator<Item = Set<'a>> {
        self.old.iter().copied().chain(self.new)
    }

    fn asked_for(&self) -> i64 {
        self.all().map(|one| one.wanted()).sum()
    }

    /// Who serves and stays. What a set says is available may be of before it shrank: it is no more than the set wants.
    fn available(&self) -> i64 {
        self.all().map(|one| one.available().min(one.wanted())).sum()
    }
}

/// How many pods the newest set may have, which wants `has` now: as many as are wanted, as far as the surge allows.
///
/// 4 wanted and 5 allowed, 4 old ones: 1.
pub fn room_for_new(view: &View<'_>, has: i64) -> i64 {
    let room = view.max_total - view.asked_for();
    if room <= 0 { has } else { has + room.min(view.wanted - has) }
}

/// The sizes of a rolling update's next step: the newest set first, and when that has its size, the old ones.
///
/// Of the old ones those pods go first that are not available; they serve nobody. Then as many as may be spared.
pub fn roll<'a>(view: &View<'a>) -> Vec<Size<'a>> {
    let Some(new) = view.new else { return Vec::new() };
    let to = if new.wanted() > view.wanted { view.wanted } else { room_for_new(view, new.wanted()) };
    if to != new.wanted() {
        return vec![Size { set: new, to }];
    }
    let min_available = view.wanted - view.max_unavailable;
    // Those of the newest set that are not available yet may still become so; they are no reason to take old ones away.
    let mut removable = view.asked_for() - min_available - (new.wanted() - new.available());
    if removable <= 0 {
        return Vec::new();
    }
    let mut sizes: Vec<Size<'a>> = view.old.iter().map(|set| Size { set: *set, to: set.wanted() }).collect();
    for size in &mut sizes {
        let take = (size.to - size.set.available()).min(removable).max(0);
        size.to -= take;
        removable -= take;
    }
    let available = if planted!(RollsByWishes) { view.asked_for() } else { view.available() };
    let mut spare = available - min_available;
    for size in &mut sizes {
        let take = size.to.min(spare).max(0);
        size.to -= take;
        spare -= take;
    }
    sizes.retain(|size| size.to != size.set.wanted());
    sizes
}

/// The sizes of a replacement's next step: the old sets are emptied, and when their pods are gone, the newest set gets
/// all.
pub fn recreate<'a>(view: &View<'a>, old_pods: bool) -> Vec<Size<'a>> {
    let waiting: Vec<Size<'a>> =
        view.old.iter().filter(|one| one.wanted() > 0).map(|set| Size { set: *set, to: 0 }).collect();
    if !waiting.is_empty() {
        return waiting;
    }
    let new = view.new.filter(|new| !old_pods && new.wanted() != view.wanted);
    new.map(|set| Size { set, to: view.wanted }).into_iter().collect()
}

/// The sizes of the sets when only the number of pods is another: one set gets all; several share in proportion to
/// their sizes, so that a rollout that stands still is as far as it was.
pub fn resize<'a>(view: &View<'a>, rolling: bool) -> Vec<Size<'a>> {
    let active: Vec<Set<'a>> = view.all().filter(|one| one.wanted() > 0).collect();
    let only = match active.as_slice() {
        [] => view.new.or(view.old.last().copied()),
        [one] => Some(*one),
        _ => None,
    };
    if let Some(set) = only {
        return vec![Size { set, to: view.wanted }];
    }
    let is_new = |one: &Set<'_>| view.new.is_some_and(|new| new.object.key() == one.object.key());
    if view.new.is_some_and(|new| is_saturated(&new, view.wanted)) {
        return active.into_iter().filter(|one| !is_new(one)).map(|set| Size { set, to: 0 }).collect();
    }
    if rolling { shares(view, active) } else { Vec::new() }
}

/// Whether a set has all pods that are wanted, and they are available.
fn is_saturated(set: &Set<'_>, wanted: i64) -> bool {
    let said = set.set.metadata.annotations.get(crate::api::deployment::DESIRED_REPLICAS);
    let desired = said.and_then(|text| text.parse::<i64>().ok());
    set.wanted() == wanted && desired == Some(wanted) && set.available() == wanted
}

fn shares<'a>(view: &View<'a>, mut active: Vec<Set<'a>>) -> Vec<Size<'a>> {
    let allowed = if view.wanted > 0 { view.max_total } else { 0 };
    let mut more = allowed - active.iter().map(|one| one.wanted()).sum::<i64>();
    let age = |one: &Set<'a>| (one.set.metadata.creation_timestamp, one.object.key());
    // The largest come first. Of those alike, the newest get more and the oldest lose more.
    if more > 0 {
        active.sort_by_key(|one| Reverse((one.wanted(), age(one))));
    } else {
        active.sort_by_key(|one| (Reverse(one.wanted()), age(one)));
    }
    let mut sizes: Vec<Size<'a>> = active.iter().map(|set| Size { set: *set, to: set.wanted() }).collect();
    for size in &mut sizes {
        let share = share(view, &size.set);
        let share = if more > 0 { share.clamp(0, more) } else { share.clamp(more, 0) };
        size.to += share;
        more -= share;
    }
    // What rounding left over.
    if let Some(first) = sizes.first_mut() {
        first.to = (first.to + more).max(0);
    }
    sizes
}

/// How many pods a set gets more than it has, in proportion to how much more may exist than did when it was last sized.
fn share(view: &View<'_>, set: &Set<'_>) -> i64 {
    let has = set.wanted();
    if view.wanted == 0 {
        return -has;
    }
    let said = set.set.metadata.annotations.get(MAX_REPLICAS).and_then(|text| text.parse::<i64>().ok());
    let before = said.filter(|before| *before > 0).unwrap_or(view.counted);
    if before <= 0 {
        return 0;
    }
    // Rounded to the nearest, halves up.
    (2 * has * view.max_total + before).div_euclid(2 * before) - has
}

/// The page of a rollout, computed.
pub fn page() -> Page {
    let rows = walk(10, 3, 2).into_iter().enumerate().map(|(nth, [new, new_ready, old])| {
        vec![(nth + 1).to_string(), new.to_string(), new_ready.to_string(), old.to_string(), (new + old).to_string()]
    });
    Page::new("rollout", "How a rolling update goes on", BY)
        .says(
            "The set of the newest template grows as far as the surge allows. When it cannot, the old sets shrink: first \
             by their pods that are not available, for these serve nobody, then by as many as may be spared. Nothing is \
             taken away for pods that are only made yet. The next step comes when the sets' counts change.",
        )
        .says(
            "10 pods wanted, `maxSurge` and `maxUnavailable` 25 %: at most 13 pods, at least 8 available. Here all new \
             pods become available between two steps:",
        )
        .lists(file!(), &["step", "new set", "of it available", "old set", "together"], rows)
}

/// The sizes of both sets after each step of an update of `wanted` pods, all of which become available in between.
fn walk(wanted: i64, surge: i64, max_unavailable: i64) -> Vec<[i64; 3]> {
    let (mut new, mut available, mut old) = (0, 0, wanted);
    let mut steps = vec![[new, available, old]];
    for _ in 0..4 * wanted {
        let sets = [example("old", old, old), example("new", new, available)];
        let of = |nth: usize| Set::of(&sets[nth]).expect("examples are replica sets");
        let max_total = wanted + surge;
        let view = View { wanted, max_total, max_unavailable, counted: new + old, new: Some(of(1)), old: vec![of(0)] };
        let sizes = roll(&view);
        if sizes.is_empty() && available == new {
            break;
        }
        available = new;
        for size in sizes {
            if size.set.set.metadata.name == "new" { new = size.to } else { old = size.to }
        }
        available = available.min(new);
        steps.push([new, available, old]);
    }
    steps
}

/// A set of this size, of which so many pods are available.
fn example(name: &str, wanted: i64, available: i64) -> crate::api::object::Object {
    use crate::api::object::Resource;
    use crate::api::replicaset::ReplicaSet;
    let count = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    let mut set = ReplicaSet::default();
    set.metadata.name = name.into();
    set.spec.replicas = Some(count(wanted));
    set.status.replicas = count(wanted);
    set.status.available_replicas = Some(count(available));
    set.into_object()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::object::Object;
    use crate::controllers::testing::property;
    use quickcheck::Arbitrary;

    /// Sets as `(wanted, available)`, the old ones oldest first.
    struct Case {
        wanted: i64,
        surge: i64,
        max_unavailable: i64,
        new: Option<(i64, i64)>,
        old: Vec<(i64, i64)>,
    }

    impl Case {
        fn sizes(&self, of: impl Fn(&View<'_>) -> Vec<(String, i64)>) -> Vec<(String, i64)> {
            let old: Vec<Object> =
                (0..).zip(&self.old).map(|(nth, (w, a)): (u32, _)| example(&format!("old-{nth}"), *w, *a)).collect();
            let new = self.new.map(|(wanted, available)| example("new", wanted, available));
            let view = View {
                wanted: self.wanted,
                max_total: self.wanted + self.surge,
                max_unavailable: self.max_unavailable,
                counted: self.old.iter().map(|(wanted, _)| wanted).sum::<i64>()
                    + self.new.map_or(0, |(wanted, _)| wanted),
                new: new.as_ref().and_then(Set::of),
                old: old.iter().filter_map(Set::of).collect(),
            };
            of(&view)
        }
    }

    fn named(sizes: Vec<Size<'_>>) -> Vec<(String, i64)> {
        sizes.iter().map(|size| (size.set.set.metadata.name.to_string(), size.to)).collect()
    }

    fn check(got: Vec<(String, i64)>, want: &[(&str, i64)]) {
        let got: Vec<(&str, i64)> = got.iter().map(|(name, to)| (name.as_str(), *to)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn new_pods_come_first_and_old_ones_go_when_they_can_be_spared() {
        let roll_of = |wanted, surge, max_unavailable, new, old: &[(i64, i64)]| {
            Case { wanted, surge, max_unavailable, new: Some(new), old: old.to_vec() }.sizes(|view| named(roll(view)))
        };
        check(roll_of(4, 1, 1, (0, 0), &[(4, 4)]), &[("new", 1)]);
        check(roll_of(4, 1, 1, (1, 0), &[(4, 4)]), &[("old-0", 3)]);
        check(roll_of(4, 1, 0, (1, 0), &[(4, 4)]), &[]);
        check(roll_of(4, 1, 0, (1, 1), &[(4, 4)]), &[("old-0", 3)]);
        check(roll_of(4, 0, 1, (0, 0), &[(4, 4)]), &[("old-0", 3)]);
        // Broken old pods go whatever is available.
        check(roll_of(4, 1, 1, (1, 0), &[(4, 1)]), &[("old-0", 3)]);
        check(roll_of(4, 1, 1, (1, 1), &[(2, 0), (2, 2)]), &[("old-0", 0)]);
        // It has shrunk, and does not say so yet.
        check(roll_of(4, 0, 1, (2, 2), &[(2, 4)]), &[("old-0", 1)]);
        check(roll_of(2, 1, 1, (3, 3), &[]), &[("new", 2)]);
        check(roll_of(0, 1, 1, (0, 0), &[(2, 2)]), &[("old-0", 0)]);
    }

    #[test]
    fn old_pods_end_before_new_ones_begin() {
        let of = |new, old: &[(i64, i64)], pods| {
            Case { wanted: 3, surge: 0, max_unavailable: 0, new, old: old.to_vec() }
                .sizes(|view| named(recreate(view, pods)))
        };
        check(of(Some((0, 0)), &[(3, 3)], true), &[("old-0", 0)]);
        check(of(Some((0, 0)), &[(0, 0)], true), &[]);
        check(of(Some((0, 0)), &[(0, 0)], false), &[("new", 3)]);
        check(of(Some((3, 3)), &[(0, 0)], false), &[]);
        check(of(None, &[(0, 0)], false), &[]);
    }

    #[test]
    fn sets_are_resized_in_proportion() {
        let of = |wanted, surge, new, old: &[(i64, i64)]| {
            Case { wanted, surge, max_unavailable: 0, new, old: old.to_vec() }.sizes(|view| named(resize(view, true)))
        };
        check(of(5, 1, Some((3, 3)), &[]), &[("new", 5)]);
        check(of(5, 1, None, &[(3, 3)]), &[("old-0", 5)]);
        check(of(5, 1, Some((0, 0)), &[(0, 0)]), &[("new", 5)]);
        // 10 + 3 pods, of 8 + 5: with 15 wanted and 18 allowed it is 11 + 7.
        check(of(15, 3, Some((5, 0)), &[(8, 8)]), &[("old-0", 11), ("new", 7)]);
        check(of(5, 1, Some((5, 0)), &[(8, 8)]), &[("old-0", 4), ("new", 2)]);
        check(of(0, 1, Some((5, 0)), &[(8, 8)]), &[("old-0", 0), ("new", 0)]);
    }

    #[test]
    fn nothing_is_exceeded() {
        property("a step neither exceeds the surge nor takes away what is needed", |any| {
            let small = |any: &mut quickcheck::Gen| i64::from(u8::arbitrary(any) % 12);
            let set = |any: &mut quickcheck::Gen| {
                let wanted = small(any);
                (wanted, small(any).min(wanted))
            };
            let old: Vec<(i64, i64)> = (0..small(any) % 4).map(|_| set(any)).collect();
            let (wanted, surge) = (small(any), small(any) % 4);
            let max_unavailable = if surge == 0 { 1 } else { small(any) % 4 }.min(wanted);
            let case = Case { wanted, surge, max_unavailable, new: Some(set(any)), old };
            let before: i64 = case.old.iter().chain(&case.new).map(|(wanted, _)| wanted).sum();
            let available: i64 = case.old.iter().chain(&case.new).map(|(_, available)| available).sum();
            let sizes = case.sizes(|view| named(roll(view)));
            let old_and_new = || case.old.iter().chain(&case.new).enumerate();
            let name = |nth: usize| if nth == case.old.len() { "new".to_owned() } else { format!("old-{nth}") };
            let size = |nth: usize, has: i64| sizes.iter().find(|(of, _)| *of == name(nth)).map_or(has, |(_, to)| *to);
            let after: i64 = old_and_new().map(|(nth, (has, _))| size(nth, *has)).sum();
            assert!(after <= before.max(wanted + surge), "{before} to {after} of {wanted}+{surge}");
            // Of each set those that are not available go first.
            let left: i64 = old_and_new().map(|(nth, (has, ready))| size(nth, *has).min(*ready)).sum();
            assert!(
                left >= available.min(wanted - max_unavailable),
                "{left} of {available}, {wanted}-{max_unavailable}"
            );
        });
    }

    #[test]
    fn an_update_comes_to_an_end() {
        for (wanted, surge, max_unavailable) in [(10, 3, 2), (1, 1, 0), (1, 0, 1), (7, 0, 1), (3, 1, 0), (100, 25, 25)]
        {
            let steps = walk(wanted, surge, max_unavailable);
            assert_eq!(steps.last(), Some(&[wanted, wanted, 0]), "{steps:?}");
        }
    }
}
