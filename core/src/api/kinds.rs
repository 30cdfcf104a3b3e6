//! The table of kinds: routing, discovery, the CLI and all printing follow from its rows.
//!
//! To add a kind: its name in [`resources!`](crate::api::object), a row here, and its columns. Its fields stand in the
//! schema. Once something in core acts on them, it gets a type of its own in this folder.

use crate::api::object::Object;
use crate::api::plain::{count, text};
use crate::api::validation::Rules;
use crate::api::{
    access, core_v1, custom, defaults, definition, event, lease, namespace, node, pod, replicaset, service, validation,
    workloads,
};
use crate::schema::{MessageId, Schema};
use crate::time::{Human, Now};
use std::sync::LazyLock;

pub use crate::api::custom::CustomKind;
pub use crate::api::object::Kind;

/// All that is said about a kind.
pub struct KindRow {
    /// Its name: `Pod`.
    pub name: &'static str,
    /// Its API group; empty for the core group.
    pub group: &'static str,
    /// The version it is kept and preferably served in.
    pub version: &'static str,
    /// Other places where the same objects are served.
    pub also: &'static [Also],
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
    /// Whether `metadata.generation` counts changes of what is wished.
    pub has_generation: bool,
    /// Whether PUT creates what is not there.
    pub create_on_update: bool,
    /// Whether PUT may leave out on which version it is based.
    pub blind_updates: bool,
    /// Whether DELETE of a list deletes all that is in it.
    pub deleted_together: bool,
    /// What else can be asked of one object, beside `status`.
    pub subresources: &'static [&'static str],
    /// The message of [`crate::schema`] that lists its fields; empty for custom kinds, whose definition has a schema.
    pub message: &'static str,
    /// What kubectl shows.
    pub columns: &'static [Column],
    /// What a field selector can ask for, beside name and namespace.
    pub fields: &'static [FieldLabel],
    /// The same of fields that are numbers.
    pub counts: &'static [CountLabel],
    /// Whether anything acts on its objects.
    pub effect: Effect,
    /// Fills in what the author left out and no constant of the schema does, on every write.
    pub set_defaults: fn(&mut Object),
    /// What an object's next version has from it though its author does not say so: what the server gave it.
    pub carry_over: fn(new: &mut Object, old: &Object),
    /// What its objects must be like. Metadata is checked for all kinds alike.
    pub rules: Rules,
}

/// Another group and version in which a kind's objects are served.
pub struct Also {
    /// Its API group; empty for the core group.
    pub group: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The message of [`crate::schema`] that lists the fields there.
    pub message: &'static str,
    /// What becomes of an object that is written there.
    pub to_kept: fn(&mut serde_json::Value),
    /// What is shown of a kept object there.
    pub from_kept: fn(&mut serde_json::Value),
}

/// Whether anything acts on a kind's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Programs of miniku act on them.
    Acts,
    /// They are only read; so it is in all of Kubernetes, or their programs are somebody else's.
    None,
    /// Nothing acts on them yet: who would.
    NotYet(&'static str),
}

/// A field that can be selected by: its path and its value in an object.
pub type FieldLabel = (&'static str, fn(&Object) -> &str);

/// The same, of a number.
pub type CountLabel = (&'static str, fn(&Object) -> i64);

impl KindRow {
    /// A row that says nothing, for what a row leaves out.
    pub const EMPTY: KindRow = KindRow {
        name: "",
        group: "",
        version: "v1",
        also: &[],
        plural: "",
        singular: "",
        short: &[],
        categories: &[],
        namespaced: true,
        has_status: false,
        has_generation: false,
        create_on_update: false,
        blind_updates: true,
        deleted_together: true,
        subresources: &[],
        message: "",
        columns: &[],
        fields: &[],
        counts: &[],
        effect: Effect::None,
        set_defaults: |_| {},
        carry_over: |_, _| {},
        rules: Rules::ANY,
    };

    /// A row of a kind without namespaces, for what it leaves out.
    const CLUSTER: KindRow = KindRow { namespaced: false, ..KindRow::EMPTY };

    /// Whether how many there are to be can be read and written by itself.
    pub fn has_scale(&self) -> bool {
        self.subresources.contains(&"scale")
    }

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
        Column::new(header, priority, |object, _| object.meta().name.to_string())
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
        match self.nth() {
            Ok(nth) => &KINDS[nth],
            Err(custom) => custom.row(),
        }
    }

    /// A number that tells it apart, the same in every run: FNV-1a of its resource where it stands in no table.
    pub fn number(self) -> u64 {
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        match self.nth() {
            Ok(nth) => nth as u64,
            Err(custom) => custom.row().resource().bytes().fold(0xcbf2_9ce4_8422_2325, mix),
        }
    }

    /// What its fields are, in the table that every cluster has; nothing of a custom kind.
    pub fn message(self) -> Option<MessageId> {
        static MESSAGES: LazyLock<Vec<Option<MessageId>>> =
            LazyLock::new(|| KINDS.iter().map(|row| Schema::kubernetes().named(row.message)).collect());
        MESSAGES[self.nth().ok()?]
    }

    /// The kinds that every cluster has, with their rows.
    pub fn rows() -> impl Iterator<Item = (Kind, &'static KindRow)> {
        Kind::BUILT_IN.iter().copied().zip(KINDS)
    }

    /// The kind that every cluster serves at this place: `("", "v1", "pods")`.
    pub fn served(group: &str, version: &str, plural: &str) -> Option<Kind> {
        let here = |row: &KindRow| {
            let also = || row.also.iter().any(|also| also.group == group && also.version == version);
            row.plural == plural && (row.group == group && row.version == version || also())
        };
        Kind::rows().find(|(_, row)| here(row)).map(|(kind, _)| kind)
    }

    /// The kind of an object that says this of itself: `("apps/v1", "ReplicaSet")`. Custom ones are known in any version.
    pub fn named(api_version: &str, name: &str) -> Option<Kind> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let here = |row: &KindRow| row.name == name && row.group == group && row.version == version;
        let built_in = Kind::rows().find(|(_, row)| here(row)).map(|(kind, _)| kind);
        built_in.or_else(|| CustomKind::named(group, name).map(Kind::Custom))
    }

    /// The kind of a resource: `replicasets.apps`.
    pub fn of_resource(resource: &str) -> Option<Kind> {
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        let built_in = Kind::rows().find(|(_, row)| row.plural == plural && row.group == group);
        built_in.map(|(kind, _)| kind).or_else(|| CustomKind::of_resource(resource).map(Kind::Custom))
    }

    /// The kind that a person means by `word`, of those that every cluster has.
    pub fn meant(word: &str) -> Option<Kind> {
        Kind::rows().find(|(_, row)| row.answers_to(word)).map(|(kind, _)| kind)
    }
}

fn get<T: crate::api::object::Resource>(object: &Object) -> &T {
    object.get().expect("a row's functions are handed objects of its kind only")
}

/// The table of kinds, in the order of [`Kind`].
pub const KINDS: &[KindRow] = &[
    KindRow {
        name: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short: &["ns"],
        has_status: true,
        // Each takes with it all that is in it.
        deleted_together: false,
        subresources: &["finalize"],
        message: "core/v1.Namespace",
        columns: namespace::COLUMNS,
        fields: &[("status.phase", |object| get::<namespace::Namespace>(object).status.phase.as_str())],
        effect: Effect::Acts,
        set_defaults: defaults::namespace,
        rules: validation::NAMESPACE,
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "Node",
        plural: "nodes",
        singular: "node",
        short: &["no"],
        has_status: true,
        message: "core/v1.Node",
        columns: node::COLUMNS,
        fields: &[(
            "spec.unschedulable",
            |object| if get::<node::Node>(object).spec.unschedulable { "true" } else { "false" },
        )],
        effect: Effect::Acts,
        set_defaults: defaults::node,
        rules: validation::NODE,
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "Pod",
        plural: "pods",
        singular: "pod",
        short: &["po"],
        categories: &["all"],
        has_status: true,
        subresources: &["attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward"],
        message: "core/v1.Pod",
        columns: pod::COLUMNS,
        fields: &[
            ("spec.nodeName", |object| &get::<pod::Pod>(object).spec.node_name),
            ("spec.restartPolicy", |object| get::<pod::Pod>(object).spec.restart_policy.as_str()),
            ("spec.schedulerName", |object| &get::<pod::Pod>(object).spec.scheduler_name),
            ("spec.serviceAccountName", |object| &get::<pod::Pod>(object).spec.service_account_name),
            ("spec.hostNetwork", |object| {
                let on_host = get::<pod::Pod>(object).spec.rest.get("hostNetwork");
                if on_host == Some(&serde_json::Value::Bool(true)) { "true" } else { "false" }
            }),
            ("status.phase", |object| get::<pod::Pod>(object).status.phase.as_str()),
            ("status.podIP", |object| &get::<pod::Pod>(object).status.pod_ip),
            ("status.nominatedNodeName", |object| &get::<pod::Pod>(object).status.nominated_node_name),
        ],
        effect: Effect::Acts,
        set_defaults: defaults::pod,
        carry_over: defaults::given_to_pod,
        rules: validation::POD,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "ReplicaSet",
        group: "apps",
        plural: "replicasets",
        singular: "replicaset",
        short: &["rs"],
        categories: &["all"],
        has_status: true,
        has_generation: true,
        subresources: &["scale"],
        message: "apps/v1.ReplicaSet",
        columns: replicaset::COLUMNS,
        counts: &[("status.replicas", |object| get::<replicaset::ReplicaSet>(object).status.replicas.into())],
        effect: Effect::Acts,
        set_defaults: defaults::replica_set,
        rules: validation::REPLICA_SET,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "Lease",
        group: "coordination.k8s.io",
        plural: "leases",
        singular: "lease",
        create_on_update: true,
        message: "coordination/v1.Lease",
        columns: lease::COLUMNS,
        effect: Effect::Acts,
        rules: validation::LEASE,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "Event",
        also: &[event::EVENTS_V1],
        plural: "events",
        singular: "event",
        short: &["ev"],
        create_on_update: true,
        message: "core/v1.Event",
        columns: event::COLUMNS,
        fields: &[
            ("involvedObject.kind", |object| &get::<event::Event>(object).involved_object.kind),
            ("involvedObject.namespace", |object| &get::<event::Event>(object).involved_object.namespace),
            ("involvedObject.name", |object| &get::<event::Event>(object).involved_object.name),
            ("involvedObject.uid", |object| &get::<event::Event>(object).involved_object.uid),
            ("involvedObject.resourceVersion", |object| &get::<event::Event>(object).involved_object.resource_version),
            ("involvedObject.apiVersion", |object| &get::<event::Event>(object).involved_object.api_version),
            ("involvedObject.fieldPath", |object| &get::<event::Event>(object).involved_object.field_path),
            ("reason", |object| &get::<event::Event>(object).reason),
            ("type", |object| &get::<event::Event>(object).kind),
            ("source", |object| &get::<event::Event>(object).source.component),
            ("reportingComponent", |object| &get::<event::Event>(object).reporting_component),
        ],
        effect: Effect::Acts,
        rules: validation::EVENT,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "CustomResourceDefinition",
        group: "apiextensions.k8s.io",
        plural: "customresourcedefinitions",
        singular: "customresourcedefinition",
        short: &["crd", "crds"],
        categories: &["api-extensions"],
        has_status: true,
        has_generation: true,
        blind_updates: false,
        message: "apiextensions/v1.CustomResourceDefinition",
        columns: custom::COLUMNS,
        effect: Effect::Acts,
        set_defaults: definition::set_defaults,
        rules: definition::RULES,
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short: &["cm"],
        message: "core/v1.ConfigMap",
        columns: core_v1::CONFIG_MAP,
        rules: validation::CONFIG_MAP,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "Secret",
        plural: "secrets",
        singular: "secret",
        message: "core/v1.Secret",
        columns: core_v1::SECRET,
        fields: &[("type", |object| text(object, &["type"]))],
        rules: validation::SECRET,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "Service",
        plural: "services",
        singular: "service",
        short: &["svc"],
        categories: &["all"],
        has_status: true,
        message: "core/v1.Service",
        columns: core_v1::SERVICE,
        fields: &[
            ("spec.clusterIP", |object| text(object, &["spec", "clusterIP"])),
            ("spec.type", |object| text(object, &["spec", "type"])),
        ],
        effect: Effect::NotYet("no proxy carries traffic to pods"),
        carry_over: service::carry_over,
        rules: validation::SERVICE,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "Endpoints",
        plural: "endpoints",
        singular: "endpoints",
        short: &["ep"],
        create_on_update: true,
        message: "core/v1.Endpoints",
        columns: core_v1::ENDPOINTS,
        rules: validation::ENDPOINTS,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short: &["sa"],
        subresources: &["token"],
        message: "core/v1.ServiceAccount",
        columns: core_v1::SERVICE_ACCOUNT,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "ReplicationController",
        plural: "replicationcontrollers",
        singular: "replicationcontroller",
        short: &["rc"],
        categories: &["all"],
        has_status: true,
        has_generation: true,
        subresources: &["scale"],
        message: "core/v1.ReplicationController",
        columns: core_v1::REPLICATION_CONTROLLER,
        counts: &[("status.replicas", |object| count(object, &["status", "replicas"]))],
        effect: Effect::Acts,
        rules: validation::REPLICATION_CONTROLLER,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "PodTemplate",
        plural: "podtemplates",
        singular: "podtemplate",
        has_generation: true,
        message: "core/v1.PodTemplate",
        columns: core_v1::POD_TEMPLATE,
        rules: validation::POD_TEMPLATE,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "ResourceQuota",
        plural: "resourcequotas",
        singular: "resourcequota",
        short: &["quota"],
        has_status: true,
        message: "core/v1.ResourceQuota",
        columns: core_v1::RESOURCE_QUOTA,
        effect: Effect::Acts,
        rules: validation::RESOURCE_QUOTA,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "LimitRange",
        plural: "limitranges",
        singular: "limitrange",
        short: &["limits"],
        create_on_update: true,
        message: "core/v1.LimitRange",
        columns: core_v1::LIMIT_RANGE,
        effect: Effect::Acts,
        rules: validation::LIMIT_RANGE,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "PersistentVolume",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short: &["pv"],
        has_status: true,
        message: "core/v1.PersistentVolume",
        columns: core_v1::PERSISTENT_VOLUME,
        effect: Effect::NotYet("no claim is bound to it"),
        rules: validation::PERSISTENT_VOLUME,
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short: &["pvc"],
        has_status: true,
        message: "core/v1.PersistentVolumeClaim",
        columns: core_v1::PERSISTENT_VOLUME_CLAIM,
        effect: Effect::NotYet("no volume is bound to it"),
        rules: validation::PERSISTENT_VOLUME_CLAIM,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "EndpointSlice",
        group: "discovery.k8s.io",
        plural: "endpointslices",
        singular: "endpointslice",
        has_generation: true,
        message: "discovery/v1.EndpointSlice",
        columns: access::ENDPOINT_SLICE,
        rules: validation::ENDPOINT_SLICE,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "Deployment",
        group: "apps",
        plural: "deployments",
        singular: "deployment",
        short: &["deploy"],
        categories: &["all"],
        has_status: true,
        has_generation: true,
        subresources: &["scale"],
        message: "apps/v1.Deployment",
        columns: workloads::DEPLOYMENT,
        effect: Effect::Acts,
        rules: validation::DEPLOYMENT,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "DaemonSet",
        group: "apps",
        plural: "daemonsets",
        singular: "daemonset",
        short: &["ds"],
        categories: &["all"],
        has_status: true,
        has_generation: true,
        message: "apps/v1.DaemonSet",
        columns: workloads::DAEMON_SET,
        effect: Effect::Acts,
        rules: validation::DAEMON_SET,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "StatefulSet",
        group: "apps",
        plural: "statefulsets",
        singular: "statefulset",
        short: &["sts"],
        categories: &["all"],
        has_status: true,
        has_generation: true,
        subresources: &["scale"],
        message: "apps/v1.StatefulSet",
        columns: workloads::STATEFUL_SET,
        effect: Effect::Acts,
        rules: validation::STATEFUL_SET,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "ControllerRevision",
        group: "apps",
        plural: "controllerrevisions",
        singular: "controllerrevision",
        message: "apps/v1.ControllerRevision",
        columns: workloads::CONTROLLER_REVISION,
        rules: validation::CONTROLLER_REVISION,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "Job",
        group: "batch",
        plural: "jobs",
        singular: "job",
        categories: &["all"],
        has_status: true,
        has_generation: true,
        message: "batch/v1.Job",
        columns: workloads::JOB,
        counts: &[("status.successful", |object| count(object, &["status", "succeeded"]))],
        effect: Effect::Acts,
        set_defaults: defaults::job,
        rules: validation::JOB,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "CronJob",
        group: "batch",
        plural: "cronjobs",
        singular: "cronjob",
        short: &["cj"],
        categories: &["all"],
        has_status: true,
        has_generation: true,
        message: "batch/v1.CronJob",
        columns: workloads::CRON_JOB,
        effect: Effect::Acts,
        rules: validation::CRON_JOB,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "HorizontalPodAutoscaler",
        group: "autoscaling",
        version: "v2",
        also: &[workloads::AUTOSCALING_V1],
        plural: "horizontalpodautoscalers",
        singular: "horizontalpodautoscaler",
        short: &["hpa"],
        categories: &["all"],
        has_status: true,
        message: "autoscaling/v2.HorizontalPodAutoscaler",
        columns: workloads::HORIZONTAL_POD_AUTOSCALER,
        effect: Effect::Acts,
        rules: validation::HORIZONTAL_POD_AUTOSCALER,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "PodDisruptionBudget",
        group: "policy",
        plural: "poddisruptionbudgets",
        singular: "poddisruptionbudget",
        short: &["pdb"],
        has_status: true,
        has_generation: true,
        blind_updates: false,
        message: "policy/v1.PodDisruptionBudget",
        columns: workloads::POD_DISRUPTION_BUDGET,
        effect: Effect::Acts,
        rules: validation::POD_DISRUPTION_BUDGET,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "PriorityClass",
        group: "scheduling.k8s.io",
        plural: "priorityclasses",
        singular: "priorityclass",
        short: &["pc"],
        has_generation: true,
        message: "scheduling/v1.PriorityClass",
        columns: workloads::PRIORITY_CLASS,
        effect: Effect::Acts,
        rules: validation::PRIORITY_CLASS,
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "Ingress",
        group: "networking.k8s.io",
        plural: "ingresses",
        singular: "ingress",
        short: &["ing"],
        has_status: true,
        has_generation: true,
        message: "networking/v1.Ingress",
        columns: access::INGRESS,
        effect: Effect::NotYet("no proxy routes by it"),
        rules: validation::INGRESS,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "IngressClass",
        group: "networking.k8s.io",
        plural: "ingressclasses",
        singular: "ingressclass",
        has_generation: true,
        message: "networking/v1.IngressClass",
        columns: access::INGRESS_CLASS,
        rules: validation::INGRESS_CLASS,
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "NetworkPolicy",
        group: "networking.k8s.io",
        plural: "networkpolicies",
        singular: "networkpolicy",
        short: &["netpol"],
        has_generation: true,
        message: "networking/v1.NetworkPolicy",
        columns: access::NETWORK_POLICY,
        effect: Effect::NotYet("no traffic is refused by it"),
        rules: validation::NETWORK_POLICY,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "StorageClass",
        group: "storage.k8s.io",
        plural: "storageclasses",
        singular: "storageclass",
        short: &["sc"],
        message: "storage/v1.StorageClass",
        columns: access::STORAGE_CLASS,
        rules: validation::STORAGE_CLASS,
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "Role",
        group: "rbac.authorization.k8s.io",
        plural: "roles",
        singular: "role",
        create_on_update: true,
        message: "rbac/v1.Role",
        columns: access::ROLE,
        effect: Effect::Acts,
        rules: validation::ROLE,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "RoleBinding",
        group: "rbac.authorization.k8s.io",
        plural: "rolebindings",
        singular: "rolebinding",
        create_on_update: true,
        message: "rbac/v1.RoleBinding",
        columns: access::ROLE_BINDING,
        effect: Effect::Acts,
        rules: validation::ROLE_BINDING,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "ClusterRole",
        group: "rbac.authorization.k8s.io",
        plural: "clusterroles",
        singular: "clusterrole",
        create_on_update: true,
        message: "rbac/v1.ClusterRole",
        columns: access::ROLE,
        effect: Effect::Acts,
        rules: validation::CLUSTER_ROLE,
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "ClusterRoleBinding",
        group: "rbac.authorization.k8s.io",
        plural: "clusterrolebindings",
        singular: "clusterrolebinding",
        create_on_update: true,
        message: "rbac/v1.ClusterRoleBinding",
        columns: access::ROLE_BINDING,
        effect: Effect::Acts,
        rules: validation::CLUSTER_ROLE_BINDING,
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "APIService",
        group: "apiregistration.k8s.io",
        plural: "apiservices",
        singular: "apiservice",
        categories: &["api-extensions"],
        has_status: true,
        message: "apiregistration/v1.APIService",
        columns: access::API_SERVICE,
        effect: Effect::NotYet("no request is passed on by it"),
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "Hpa",
        group: "miniku.dev",
        plural: "hpas",
        // `hpa` means Kubernetes' own to everybody.
        singular: "minik8s-hpa",
        has_status: true,
        has_generation: true,
        message: "miniku/v1.Hpa",
        columns: workloads::HPA,
        effect: Effect::Acts,
        ..KindRow::EMPTY
    },
    KindRow {
        name: "Dns",
        group: "miniku.dev",
        plural: "dnses",
        singular: "dns",
        has_status: true,
        has_generation: true,
        message: "miniku/v1.Dns",
        columns: access::DNS,
        effect: Effect::NotYet("no name is served by it"),
        ..KindRow::EMPTY
    },
    KindRow {
        name: "ValidatingAdmissionPolicy",
        group: "admissionregistration.k8s.io",
        plural: "validatingadmissionpolicies",
        singular: "validatingadmissionpolicy",
        categories: &["api-extensions"],
        has_status: true,
        has_generation: true,
        message: "admissionregistration/v1.ValidatingAdmissionPolicy",
        columns: access::ADMISSION_POLICY,
        effect: Effect::NotYet("no object is refused by it"),
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "ValidatingAdmissionPolicyBinding",
        group: "admissionregistration.k8s.io",
        plural: "validatingadmissionpolicybindings",
        singular: "validatingadmissionpolicybinding",
        categories: &["api-extensions"],
        has_generation: true,
        message: "admissionregistration/v1.ValidatingAdmissionPolicyBinding",
        columns: access::ADMISSION_POLICY_BINDING,
        effect: Effect::NotYet("no object is refused by it"),
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "ValidatingWebhookConfiguration",
        group: "admissionregistration.k8s.io",
        plural: "validatingwebhookconfigurations",
        singular: "validatingwebhookconfiguration",
        categories: &["api-extensions"],
        has_generation: true,
        message: "admissionregistration/v1.ValidatingWebhookConfiguration",
        columns: access::WEBHOOKS,
        effect: Effect::NotYet("no webhook is asked"),
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "MutatingWebhookConfiguration",
        group: "admissionregistration.k8s.io",
        plural: "mutatingwebhookconfigurations",
        singular: "mutatingwebhookconfiguration",
        categories: &["api-extensions"],
        has_generation: true,
        message: "admissionregistration/v1.MutatingWebhookConfiguration",
        columns: access::WEBHOOKS,
        effect: Effect::NotYet("no webhook is asked"),
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "RuntimeClass",
        group: "node.k8s.io",
        plural: "runtimeclasses",
        singular: "runtimeclass",
        message: "node/v1.RuntimeClass",
        columns: access::RUNTIME_CLASS,
        effect: Effect::NotYet("all pods are run in one way"),
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "CSIDriver",
        group: "storage.k8s.io",
        plural: "csidrivers",
        singular: "csidriver",
        message: "storage/v1.CSIDriver",
        columns: access::CSI_DRIVER,
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "CSINode",
        group: "storage.k8s.io",
        plural: "csinodes",
        singular: "csinode",
        message: "storage/v1.CSINode",
        columns: access::CSI_NODE,
        ..KindRow::CLUSTER
    },
    KindRow {
        name: "VolumeAttachment",
        group: "storage.k8s.io",
        plural: "volumeattachments",
        singular: "volumeattachment",
        has_status: true,
        message: "storage/v1.VolumeAttachment",
        columns: access::VOLUME_ATTACHMENT,
        ..KindRow::CLUSTER
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Query;
    use serde_json::{Value, json};

    #[test]
    fn rows_stand_where_their_kind_looks_for_them() {
        assert_eq!(KINDS.len(), Kind::BUILT_IN.len());
        for (kind, row) in Kind::rows() {
            assert_eq!(format!("{kind:?}"), row.name);
            assert_eq!(Kind::served(row.group, row.version, row.plural), Some(kind));
            assert_eq!(Kind::named(&row.api_version(), row.name), Some(kind));
            assert_eq!(Kind::of_resource(&row.resource()), Some(kind));
            assert_eq!(Kind::meant(&row.resource()), Some(kind));
            assert!(!row.columns.is_empty(), "{}", row.name);
            let example = Object::empty(kind);
            for column in row.columns {
                (column.cell)(&example, Now::default());
            }
            for (_, value) in row.fields {
                value(&example);
            }
            for (_, value) in row.counts {
                value(&example);
            }
        }
    }

    #[test]
    fn some_numbers_can_be_selected_by() {
        let check = |kind: Kind, field: &str, status: Value| {
            let object = Object::from_value(kind, json!({"metadata": {"name": "a"}, "status": status})).unwrap();
            let selects = |value: &str, object: &Object| {
                let query = Query::all(kind).with_field(field, value);
                assert_eq!(query.unknown_field(), None, "{kind:?}");
                query.selects(object)
            };
            assert!(selects("2", &object) && !selects("0", &object), "{kind:?}");
            assert!(selects("0", &Object::empty(kind)), "{kind:?}");
        };
        check(Kind::ReplicaSet, "status.replicas", json!({"replicas": 2}));
        check(Kind::ReplicationController, "status.replicas", json!({"replicas": 2}));
        check(Kind::Job, "status.successful", json!({"succeeded": 2}));
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
