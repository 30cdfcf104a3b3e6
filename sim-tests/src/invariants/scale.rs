//! S-scale: No autoscaler writes a number beyond its bounds, or, within its window, lowers it below one to which it raised it.
//!
//! Catches: bounds that are not looked at, what was recommended lately forgotten, a number that follows each measurement.

use super::{Broken, Checker};
use crate::truth::{Fact, Role, Sight, Truth};
use miniku_core::api::autoscaler::HorizontalPodAutoscaler;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::controllers::horizontal::behaviour::DOWN_WINDOW;
use miniku_core::program::{Part, Verb};
use miniku_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// To what each program raised each target, and when; its memory of that is its own. A number to which it lowered one may
/// be older than its write.
#[derive(Default)]
pub struct Scale {
    wrote: BTreeMap<(String, Key), Vec<(Instant, i64)>>,
}

/// Who scales a target, and between which bounds. A bound that was changed a moment ago may not be known yet.
fn autoscalers<'a>(truth: &'a Truth, target: &'a Key) -> Vec<(&'a Object, HorizontalPodAutoscaler)> {
    let all = truth.disk.objects().within(Kind::HorizontalPodAutoscaler, &target.namespace);
    let bodies = all.filter_map(|object| Some((object, object.read::<HorizontalPodAutoscaler>()?)));
    let of = |(_, body): &(&Object, HorizontalPodAutoscaler)| {
        let of = &body.spec.scale_target_ref;
        of.kind == target.kind.row().name && of.name == *target.name
    };
    bodies.filter(of).collect()
}

impl Checker for Scale {
    fn sights(&self) -> &'static [Sight] {
        &[Sight::Sent]
    }

    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Sent { who, request, .. } = fact else { return Ok(()) };
        let Verb::Merge { key, patch, part: Part::Scale } = &request.verb else { return Ok(()) };
        let Some(to) = patch.pointer("/spec/replicas").and_then(|to| to.as_i64()) else { return Ok(()) };
        if who.role != Role::Horizontal {
            return Ok(());
        }
        let by = autoscalers(truth, key);
        let [(object, body)] = by.as_slice() else { return Ok(()) };
        let (least, most) = (body.spec.min_replicas.unwrap_or(1), body.spec.max_replicas);
        if !(i64::from(least)..=i64::from(most)).contains(&to) {
            let what = format!("{who} makes {key} {to}, between {least} and {most} are wished");
            return Err(Broken::by(what).with([*object]));
        }
        let down = body.spec.behavior.as_ref().and_then(|behavior| behavior.scale_down.as_ref());
        let seconds = down.and_then(|down| down.stabilization_window_seconds);
        let window = seconds.map_or(DOWN_WINDOW, |seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        let wrote = self.wrote.entry((who.to_string(), key.clone())).or_default();
        wrote.retain(|(at, _)| truth.now.since(*at) < window);
        let has = truth.object(key).and_then(|target| target.at(&["spec", "replicas"])?.as_i64()).unwrap_or(1);
        if let Some((at, more)) =
            wrote.iter().filter(|_| to < has).find(|(_, more)| *more > to && *more <= i64::from(most))
        {
            let ago = truth.now.since(*at).as_secs();
            let what = format!("{who} makes {key} {to}, and {ago} s ago {more}; its window is {} s", window.as_secs());
            return Err(Broken::by(what).with([*object]));
        }
        if to > has {
            wrote.push((truth.now, to));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forged::{Story, who};
    use super::*;
    use miniku_core::program::{Request, RequestId};
    use serde_json::json;

    #[test]
    fn fires_beyond_bounds_and_within_the_window() {
        let mut story = Story::<Scale>::new();
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        story
            .put(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
                "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 5}}))
            .unwrap();
        let write = |story: &mut Story<Scale>, has: i32, to: i32| {
            let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                "spec": {"replicas": has, "selector": {}, "template": {}}});
            story.put(web).unwrap();
            let key = Key::new(Kind::Deployment, "default", "web");
            let verb = Verb::Merge { key, patch: json!({"spec": {"replicas": to}}), part: Part::Scale };
            let (who, request) = (who(Role::Horizontal, "horizontal"), Request::from(verb));
            story.see(Fact::Sent { who: &who, id: RequestId(1), request: &request })
        };
        write(&mut story, 2, 4).unwrap();
        assert!(write(&mut story, 4, 6).unwrap_err().what.contains("between 2 and 5"));
        story.pass(100).unwrap();
        assert!(write(&mut story, 4, 3).unwrap_err().what.contains("100 s ago 4"));
        // Somebody else has lowered it below the least.
        write(&mut story, 1, 2).unwrap();
        story.pass(250).unwrap();
        write(&mut story, 4, 3).unwrap();
    }
}
