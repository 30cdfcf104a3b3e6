//! The kinds that a server has: custom ones are known to it alone.
//!
//! The table of kinds is what every cluster has, so its kinds are known without asking; the server is asked for a word
//! that the table does not have, and for lists of all kinds. A server that does not tell leaves the table.
//!
//! Source: Kubernetes documentation, "The Kubernetes API", aggregated discovery.

use crate::cli::cluster::text;
use miniku_core::api::custom::CustomKind;
use miniku_core::api::kinds::Kind;
use serde_json::{Value, json};

/// The form of discovery in which one answer tells of all groups.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// One kind in one group and version.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The kind, in the version that is served here.
    pub kind: Kind,
    /// What can be done with its objects.
    pub verbs: Vec<String>,
    /// Whether its group prefers another version.
    pub other_version: bool,
}

/// All kinds of a server, in its order.
#[derive(Clone, Debug, Default)]
pub struct Catalog(pub Vec<Resource>);

impl Catalog {
    /// The kinds that every cluster has.
    pub fn of_table() -> Self {
        let resource = |(kind, _)| Resource { kind, verbs: Vec::new(), other_version: false };
        Catalog(Kind::rows().map(resource).collect())
    }

    /// Adds what an answer in the aggregated form tells. Anything else tells nothing.
    pub fn add(&mut self, discovered: &Value) {
        for group in items(&discovered["items"]) {
            let name = text(&group["metadata"]["name"]);
            for (nth, version) in items(&group["versions"]).enumerate() {
                let resources = items(&version["resources"]);
                self.0.extend(resources.filter_map(|resource| {
                    let verbs = items(&resource["verbs"]).map(text).collect();
                    let kind = kind(&name, &text(&version["version"]), resource)?;
                    Some(Resource { kind, verbs, other_version: nth > 0 })
                }));
            }
        }
    }

    /// The kind that a person means by a word.
    pub fn meant(&self, word: &str) -> Option<Kind> {
        self.0.iter().map(|one| one.kind).find(|kind| kind.row().answers_to(word))
    }

    /// The kind of an object that says this of itself.
    pub fn named(&self, api_version: &str, name: &str) -> Option<Kind> {
        let here = |kind: &Kind| kind.row().name == name && kind.row().api_version() == api_version;
        self.0.iter().map(|one| one.kind).find(here)
    }

    /// Those that can be listed with others under a name: `all`.
    pub fn category(&self, name: &str) -> Vec<Kind> {
        let listed = self.0.iter().filter(|one| !one.other_version && one.kind.row().categories.contains(&name));
        let mut kinds: Vec<Kind> = Vec::new();
        for one in listed {
            if !kinds.iter().any(|kind| is_same(*kind, one.kind)) {
                kinds.push(one.kind);
            }
        }
        kinds
    }

    /// What people may call these kinds, without the short names.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().flat_map(|one| [one.kind.row().plural, one.kind.row().singular])
    }
}

/// A row for what the server tells and the table does not know, or not in this version.
fn kind(group: &str, version: &str, resource: &Value) -> Option<Kind> {
    let (plural, name) = (text(&resource["resource"]), text(&resource["responseKind"]["kind"]));
    if plural.is_empty() || name.is_empty() || version.is_empty() {
        return None;
    }
    let in_table = |(_, row): &(Kind, &'static miniku_core::api::kinds::KindRow)| {
        (row.group, row.version, row.plural) == (group, version, plural.as_str())
    };
    if let Some((kind, _)) = Kind::rows().find(in_table) {
        return Some(kind);
    }
    let texts = |value: &Value| items(value).map(text).collect::<Vec<_>>();
    let singular = match text(&resource["singularResource"]) {
        empty if empty.is_empty() => name.to_lowercase(),
        singular => singular,
    };
    let has = |part: &str| items(&resource["subresources"]).any(|one| one["subresource"] == part);
    let said = json!({
        "group": group, "version": version, "plural": plural, "singular": singular, "kind": name,
        "short": texts(&resource["shortNames"]), "categories": texts(&resource["categories"]),
        "namespaced": resource["scope"] == "Namespaced", "has_status": has("status"), "has_scale": has("scale"),
    });
    serde_json::from_value::<CustomKind>(said).ok().map(Kind::Custom)
}

/// Whether two kinds are the same objects, in whatever version. Kinds of the table may be served as custom ones.
pub fn is_same(one: Kind, other: Kind) -> bool {
    one.row().group == other.row().group && one.row().plural == other.row().plural
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_kinds_are_known_by_all_their_names() {
        let custom = json!({"resource": "crontabs", "responseKind": {"group": "stable.example.com", "version": "v1", "kind": "CronTab"},
            "scope": "Namespaced", "singularResource": "crontab", "shortNames": ["ct"], "categories": ["all"],
            "verbs": ["get", "list"], "subresources": [{"subresource": "status"}]});
        let pods = json!({"resource": "pods", "responseKind": {"version": "v1", "kind": "Pod"}, "scope": "Namespaced",
            "singularResource": "pod", "verbs": ["list"]});
        let hpas = json!({"resource": "horizontalpodautoscalers", "scope": "Namespaced", "verbs": ["list"],
            "responseKind": {"kind": "HorizontalPodAutoscaler"}});
        let mut catalog = Catalog::default();
        catalog.add(&json!({"items": [
            {"metadata": {}, "versions": [{"version": "v1", "resources": [pods]}]},
            {"metadata": {"name": "autoscaling"}, "versions": [
                {"version": "v2", "resources": [hpas.clone()]}, {"version": "v1", "resources": [hpas]}]},
            {"metadata": {"name": "stable.example.com"}, "versions": [{"version": "v1", "resources": [custom]}]},
        ]}));
        for word in ["crontabs", "ct", "crontab", "CronTab", "crontabs.stable.example.com", "ct.v1.stable.example.com"]
        {
            let row = catalog.meant(word).unwrap_or_else(|| panic!("{word}")).row();
            assert_eq!((row.resource().as_str(), row.has_status), ("crontabs.stable.example.com", true));
        }
        assert_eq!((catalog.meant("po"), catalog.meant("tabs")), (Some(Kind::Pod), None));
        assert_eq!(catalog.named("stable.example.com/v1", "CronTab"), catalog.meant("ct"));
        assert_eq!(catalog.named("stable.example.com/v2", "CronTab"), None);
        assert_eq!(catalog.named("autoscaling/v2", "HorizontalPodAutoscaler"), Some(Kind::HorizontalPodAutoscaler));
        let other = catalog.named("autoscaling/v1", "HorizontalPodAutoscaler").unwrap();
        assert_eq!(other.row().api_version(), "autoscaling/v1");
        assert_eq!(catalog.category("all"), [Kind::Pod, Kind::HorizontalPodAutoscaler, catalog.meant("ct").unwrap()]);
    }

    #[test]
    fn nonsense_tells_nothing() {
        let mut catalog = Catalog::default();
        for nonsense in [json!(null), json!({"items": 1}), json!({"items": [1, {"versions": [{"resources": [2]}]}]})] {
            catalog.add(&nonsense);
        }
        assert!(catalog.0.is_empty());
    }
}
