//! The table of kinds: routing, discovery, the CLI and all printing follow from its rows.
//!
//! To add a kind: a type of its own in this folder, a line in [`resources!`](crate::api::object), a row here.

use crate::api::object::Object;
use crate::api::status::FieldError;
use crate::api::{defaults, event, lease, namespace, node, pod, replicaset, validation};
use crate::time::{Human, Now};

pub use crate::api::object::Kind;

/// All that is said about a kind.
pub struct KindRow {
    /// Which kind this is.
    pub kind: Kind,
    /// Its name: `Pod`.
    pub name: &'static str,
    /// Its API group; empty for the core group.
    pub group: &'static str,
    /// The version served.
    pub version: &'static str,
    /// Its name in paths: `pods`.
    pub plural: &'static str,
    /// `pod`.
    pub singular: &'static str,
    /// What kubectl users type: `po`.
    pub short: &'static [&'static str],
    /// Groups of kinds it is listed with: `all`.
    pub categories: &'static [&'static str],
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether `status` is written by itself, and ignored in ordinary writes.
    pub has_status: bool,
    /// Whether `metadata.generation` counts changes of `spec`.
    pub has_generation: bool,
    /// Whether PUT creates what is not there.
    pub create_on_update: bool,
    /// What else can be asked of one object, beside `status`.
    pub subresources: &'static [&'static str],
    /// What kubectl shows.
    pub columns: &'static [Column],
    /// What a field selector can ask for, beside name and namespace.
    pub fields: &'static [FieldLabel],
    /// Fills in what the author left out, on every write.
    pub set_defaults: fn(&mut Object),
    /// What is wrong with a new object, or with an old one's next version. Metadata is checked for all kinds alike.
    pub validate: fn(new: &Object, old: Option<&Object>) -> Vec<FieldError>,
}

/// A field that can be selected by: its path and its value in an object.
pub type FieldLabel = (&'static str, fn(&Object) -> &str);

impl KindRow {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.into() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods` or `replicasets.apps`: how messages name the resource.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.into() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether a person may mean this kind by `word`: kind, plural, singular, short name, with or without group.
    pub fn answers_to(&self, word: &str) -> bool {
        let word = word.to_ascii_lowercase();
        let (word, group) = word.split_once('.').map_or((word.as_str(), None), |(word, group)| (word, Some(group)));
        let named = word == self.plural || word == self.singular || self.short.contains(&word);
        named && group.is_none_or(|group| group == self.group || group == format!("{}.{}", self.version, self.group))
    }
}

/// One column of a table of objects.
pub struct Column {
    /// Its header, before kubectl raises it.
    pub name: &'static str,
    /// 0 is always shown, more only with `-o wide`.
    pub priority: u8,
    /// Its text for one object.
    pub cell: fn(&Object, Now) -> String,
}

impl Column {
    /// A column.
    pub const fn new(name: &'static str, priority: u8, cell: fn(&Object, Now) -> String) -> Self {
        Column { name, priority, cell }
    }

    /// The object's name.
    pub const fn name(header: &'static str) -> Self {
        Column::name_with_priority(header, 0)
    }

    /// The object's name, shown only with `-o wide` if `priority` is more than 0.
    pub const fn name_with_priority(header: &'static str, priority: u8) -> Self {
        Column::new(header, priority, |object, _| object.meta().name.clone())
    }

    /// How long ago the object was created.
    pub const fn age() -> Self {
        Column::new("Age", 0, |object, now| match object.meta().creation_timestamp {
            Some(created) => Human(now.wall.since(created.wall())).to_string(),
            None => "<unknown>".into(),
        })
    }
}

impl Kind {
    /// This kind's row.
    pub fn row(self) -> &'static KindRow {
        &KINDS[self as usize]
    }

    /// The kind served at this place: `("", "v1", "pods")`.
    pub fn served(group: &str, version: &str, plural: &str) -> Option<Kind> {
        let row = KINDS.iter().find(|row| row.group == group && row.version == version && row.plural == plural);
        row.map(|row| row.kind)
    }

    /// The kind of an object that says this of itself: `("apps/v1", "ReplicaSet")`.
    pub fn named(api_version: &str, name: &str) -> Option<Kind> {
        KINDS.iter().find(|row| row.name == name && row.api_version() == api_version).map(|row| row.kind)
    }

    /// The kind that a person means by `word`.
    pub fn meant(word: &str) -> Option<Kind> {
        KINDS.iter().find(|row| row.answers_to(word)).map(|row| row.kind)
    }
}

fn get<T: crate::api::object::Resource>(object: &Object) -> &T {
    object.get().expect("a row's functions are handed objects of its kind only")
}

/// The table of kinds, in the order of [`Kind`].
pub const KINDS: &[KindRow] = &[
    KindRow {
        kind: Kind::Namespace,
        name: "Namespace",
        group: "",
        version: "v1",
        plural: "namespaces",
        singular: "namespace",
        short: &["ns"],
        categories: &[],
        namespaced: false,
        has_status: true,
        has_generation: false,
        create_on_update: false,
        subresources: &["finalize"],
        columns: namespace::COLUMNS,
        fields: &[("status.phase", |object| get::<namespace::Namespace>(object).status.phase.as_str())],
        set_defaults: defaults::namespace,
        validate: |_, _| Vec::new(),
    },
    KindRow {
        kind: Kind::Node,
        name: "Node",
        group: "",
        version: "v1",
        plural: "nodes",
        singular: "node",
        short: &["no"],
        categories: &[],
        namespaced: false,
        has_status: true,
        has_generation: false,
        create_on_update: false,
        subresources: &[],
        columns: node::COLUMNS,
        fields: &[(
            "spec.unschedulable",
            |object| if get::<node::Node>(object).spec.unschedulable { "true" } else { "false" },
        )],
        set_defaults: defaults::node,
        validate: validation::node,
    },
    KindRow {
        kind: Kind::Pod,
        name: "Pod",
        group: "",
        version: "v1",
        plural: "pods",
        singular: "pod",
        short: &["po"],
        categories: &["all"],
        namespaced: true,
        has_status: true,
        has_generation: false,
        create_on_update: false,
        subresources: &["binding", "log", "exec", "attach", "portforward"],
        columns: pod::COLUMNS,
        fields: &[
            ("spec.nodeName", |object| &get::<pod::Pod>(object).spec.node_name),
            ("spec.restartPolicy", |object| get::<pod::Pod>(object).spec.restart_policy.as_str()),
            ("spec.schedulerName", |object| &get::<pod::Pod>(object).spec.scheduler_name),
            ("status.phase", |object| get::<pod::Pod>(object).status.phase.as_str()),
            ("status.podIP", |object| &get::<pod::Pod>(object).status.pod_ip),
        ],
        set_defaults: defaults::pod,
        validate: validation::pod,
    },
    KindRow {
        kind: Kind::ReplicaSet,
        name: "ReplicaSet",
        group: "apps",
        version: "v1",
        plural: "replicasets",
        singular: "replicaset",
        short: &["rs"],
        categories: &["all"],
        namespaced: true,
        has_status: true,
        has_generation: true,
        create_on_update: false,
        subresources: &[],
        columns: replicaset::COLUMNS,
        fields: &[],
        set_defaults: defaults::replica_set,
        validate: validation::replica_set,
    },
    KindRow {
        kind: Kind::Lease,
        name: "Lease",
        group: "coordination.k8s.io",
        version: "v1",
        plural: "leases",
        singular: "lease",
        short: &[],
        categories: &[],
        namespaced: true,
        has_status: false,
        has_generation: false,
        create_on_update: true,
        subresources: &[],
        columns: lease::COLUMNS,
        fields: &[],
        set_defaults: |_| {},
        validate: validation::lease,
    },
    KindRow {
        kind: Kind::Event,
        name: "Event",
        group: "",
        version: "v1",
        plural: "events",
        singular: "event",
        short: &["ev"],
        categories: &[],
        namespaced: true,
        has_status: false,
        has_generation: false,
        create_on_update: true,
        subresources: &[],
        columns: event::COLUMNS,
        fields: &[
            ("involvedObject.kind", |object| &get::<event::Event>(object).involved_object.kind),
            ("involvedObject.namespace", |object| &get::<event::Event>(object).involved_object.namespace),
            ("involvedObject.name", |object| &get::<event::Event>(object).involved_object.name),
            ("involvedObject.uid", |object| &get::<event::Event>(object).involved_object.uid),
            ("involvedObject.apiVersion", |object| &get::<event::Event>(object).involved_object.api_version),
            ("involvedObject.fieldPath", |object| &get::<event::Event>(object).involved_object.field_path),
            ("reason", |object| &get::<event::Event>(object).reason),
            ("type", |object| &get::<event::Event>(object).kind),
            ("source", |object| &get::<event::Event>(object).source.component),
            ("reportingComponent", |object| &get::<event::Event>(object).reporting_component),
        ],
        set_defaults: |_| {},
        validate: validation::event,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_where_their_kind_looks_for_them() {
        for (at, row) in KINDS.iter().enumerate() {
            assert_eq!(row.kind as usize, at, "{}", row.name);
            assert_eq!(Kind::served(row.group, row.version, row.plural), Some(row.kind));
            assert_eq!(Kind::named(&row.api_version(), row.name), Some(row.kind));
            assert_eq!(Kind::meant(row.name), Some(row.kind));
            assert!(!row.columns.is_empty(), "{}", row.name);
            let example = Object::empty(row.kind);
            for column in row.columns {
                (column.cell)(&example, Now::default());
            }
            for (_, value) in row.fields {
                value(&example);
            }
        }
        assert_eq!(KINDS.len(), Kind::ALL.len());
    }

    #[test]
    fn people_may_say_it_in_several_ways() {
        for word in ["rs", "ReplicaSets", "replicaset", "replicasets.apps", "rs.v1.apps"] {
            assert_eq!(Kind::meant(word), Some(Kind::ReplicaSet), "{word}");
        }
        assert_eq!(Kind::meant("rs.extensions"), None);
        assert_eq!(Kind::meant("gizmo"), None);
    }
}
