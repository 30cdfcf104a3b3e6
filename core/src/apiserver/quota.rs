//! What of a namespace's quotas is used, and whether there is room for one object more.
//!
//! Use is a sum over what is stored and what is on its way to the disk. It is kept as the store changes, so that asking
//! costs nothing and no two writes can spend the same room. A quota's status says what is stored; nothing is decided by it.
//! `docs/why/quotas.md` says why.
//!
//! Source: Kubernetes documentation, "Resource Quotas"; `pkg/quota/v1/evaluator/core`,
//! `apiserver/pkg/admission/plugin/resourcequota`.

use crate::api::kinds::Kind;
use crate::api::object::{Key, Object};
use crate::api::pod::Pod;
use crate::api::quantity::Quantity;
use crate::api::resources::{of_containers, of_pod};
use crate::api::status::Status;
use crate::api::text::Text;
use crate::pages::Page;
use crate::store::Store;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Amounts by resource, as quotas name them: `requests.cpu`, `pods`, `count/deployments.apps`.
type Use = BTreeMap<String, Quantity>;

/// Pods that a quota with this scope counts.
pub struct Scope {
    /// As quotas name it.
    pub name: &'static str,
    /// Whether a pod is one.
    holds: fn(&Pod) -> bool,
    /// Which pods these are.
    why: &'static str,
}

fn has_deadline(pod: &Pod) -> bool {
    pod.spec.rest.get("activeDeadlineSeconds").and_then(Value::as_i64).is_some_and(|secs| secs >= 0)
}

fn looks_beyond(pod: &Pod) -> bool {
    let affinity = pod.spec.affinity.as_deref();
    let both = affinity.into_iter().flat_map(|one| [&one.pod_affinity, &one.pod_anti_affinity]).flatten();
    let mut terms = both.flat_map(|one| one.required.iter().chain(one.preferred.iter().map(|one| &one.term)));
    terms.any(|term| !term.namespaces.is_empty() || term.namespace_selector.is_some())
}

/// All scopes.
pub const SCOPES: &[Scope] = &[
    Scope { name: "Terminating", holds: has_deadline, why: "`activeDeadlineSeconds` is set" },
    Scope { name: "NotTerminating", holds: |pod| !has_deadline(pod), why: "it is not" },
    Scope {
        name: "BestEffort",
        holds: |pod| pod.spec.qos_class() == "BestEffort",
        why: "no container requests or limits anything",
    },
    Scope { name: "NotBestEffort", holds: |pod| pod.spec.qos_class() != "BestEffort", why: "one does" },
    Scope {
        name: "PriorityClass",
        holds: |pod| !pod.spec.priority_class_name.is_empty(),
        why: "it has a priority class; with `scopeSelector`, one of these",
    },
    Scope {
        name: "CrossNamespacePodAffinity",
        holds: looks_beyond,
        why: "a term of its affinity to pods names other namespaces",
    },
];

/// What a selector of scopes asks.
#[derive(Clone, Debug, PartialEq)]
struct Selector {
    scope: String,
    operator: String,
    values: Vec<String>,
}

impl Selector {
    fn holds(&self, pod: &Pod) -> bool {
        let class = pod.spec.priority_class_name.as_str();
        let named = || self.values.iter().any(|value| value == class);
        match (self.scope.as_str(), self.operator.as_str()) {
            ("PriorityClass", "In") => !class.is_empty() && named(),
            ("PriorityClass", "NotIn") => !named(),
            ("PriorityClass", "DoesNotExist") => class.is_empty(),
            (scope, _) => SCOPES.iter().find(|one| one.name == scope).is_some_and(|one| (one.holds)(pod)),
        }
    }
}

/// What one object uses, of everything that can be limited.
fn used_by(object: &Object) -> Use {
    let (kind, row) = (object.kind(), object.kind().row());
    let one = || Quantity::whole(1);
    let mut used = Use::from([(format!("count/{}", row.resource()), one())]);
    match kind {
        Kind::ConfigMap
        | Kind::Secret
        | Kind::ReplicationController
        | Kind::ResourceQuota
        | Kind::Service
        | Kind::PersistentVolumeClaim => drop(used.insert(row.plural.into(), one())),
        _ => {}
    }
    match (kind, object.get::<Pod>()) {
        // What has ended uses nothing but its place in the store.
        (_, Some(pod)) if !pod.status.phase.is_final() => {
            used.insert("pods".into(), one());
            let resources = of_pod(&pod.spec);
            for (name, amount) in &resources.requests {
                used.insert(format!("requests.{name}"), amount.clone());
                if is_also_said_plainly(name) {
                    used.insert(name.into(), amount.clone());
                }
            }
            for (name, amount) in &resources.limits {
                used.insert(format!("limits.{name}"), amount.clone());
            }
        }
        (Kind::Service, _) => {
            let (kind, ports) = (object.at(&["spec", "type"]), object.at(&["spec", "ports"]).and_then(Value::as_array));
            let kind = kind.and_then(Value::as_str).unwrap_or_default();
            let asks = object.at(&["spec", "allocateLoadBalancerNodePorts"]) != Some(&Value::Bool(false));
            let has_port = |port: &&Value| asks || port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) != 0;
            let on_nodes = ports.into_iter().flatten().filter(has_port).count() as u64;
            if matches!(kind, "NodePort" | "LoadBalancer") {
                used.insert("services.nodeports".into(), Quantity::whole(on_nodes));
            }
            if kind == "LoadBalancer" {
                used.insert("services.loadbalancers".into(), one());
            }
        }
        (Kind::PersistentVolumeClaim, _) => {
            let storage = object.at(&["spec", "resources", "requests", "storage"]);
            let storage = storage.and_then(|amount| Quantity::deserialize(amount).ok());
            let class = object.at(&["spec", "storageClassName"]).and_then(Value::as_str).unwrap_or_default();
            let of_class = |what: &str| format!("{class}.storageclass.storage.k8s.io/{what}");
            if !class.is_empty() {
                used.insert(of_class("persistentvolumeclaims"), one());
            }
            if let Some(storage) = storage {
                if !class.is_empty() {
                    used.insert(of_class("requests.storage"), storage.clone());
                }
                used.insert("requests.storage".into(), storage);
            }
        }
        _ => {}
    }
    used
}

/// Whether a quota may name a request without saying that it is one.
fn is_also_said_plainly(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

/// Resources of which, if they are limited, each container has to say how much it wants.
///
/// Source: `validationSet`.
const MUST_BE_SAID: &[&str] = &["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// A quota, and what of it is used.
#[derive(Debug, Default)]
struct Account {
    hard: Use,
    scopes: Vec<Selector>,
    /// By what is stored.
    used: Use,
    /// By what is on its way to the disk.
    reserved: Use,
}

impl Account {
    fn of(quota: &Object) -> Self {
        let hard = quota.at(&["spec", "hard"]).and_then(|hard| Use::deserialize(hard).ok()).unwrap_or_default();
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let list = |path: &[&str]| quota.at(path).and_then(Value::as_array).into_iter().flatten();
        let plain = list(&["spec", "scopes"]).filter_map(Value::as_str).map(|scope| Selector {
            scope: scope.into(),
            operator: "Exists".into(),
            values: Vec::new(),
        });
        let selected = list(&["spec", "scopeSelector", "matchExpressions"]).map(|one| Selector {
            scope: text(one, "scopeName"),
            operator: text(one, "operator"),
            values: one.get("values").and_then(|values| Vec::deserialize(values).ok()).unwrap_or_default(),
        });
        Account { hard, scopes: plain.chain(selected).collect(), ..Account::default() }
    }

    /// What an object uses of it.
    fn charge(&self, object: &Object) -> Use {
        // Only pods have what scopes ask about.
        let counts = |scope: &Selector| object.get::<Pod>().is_some_and(|pod| scope.holds(pod));
        if !self.scopes.iter().all(counts) {
            return Use::new();
        }
        let mut used = used_by(object);
        used.retain(|name, _| self.hard.contains_key(name));
        used
    }

    /// What an object uses more than it did.
    fn more(&self, old: Option<&Object>, new: &Object) -> Use {
        let before = old.map(|old| self.charge(old)).unwrap_or_default();
        let mut more = self.charge(new);
        for (name, amount) in &mut more {
            if let Some(before) = before.get(name) {
                *amount = amount.minus(before);
            }
        }
        more.retain(|_, amount| !amount.is_negative() && !amount.is_zero());
        more
    }

    /// Containers that do not say how much they want of what is limited: `cpu for: a,b; memory for: a`.
    fn unsaid(&self, pod: &Pod) -> Option<String> {
        let containers = of_containers(&pod.spec);
        let lacking = |name: &&str| {
            let says = |resources: &crate::api::resources::Resources| match name.strip_prefix("limits.") {
                Some(name) => resources.limits.contains_key(name),
                None => resources.requests.contains_key(name.strip_prefix("requests.").unwrap_or(name)),
            };
            let names: BTreeSet<&str> =
                containers.iter().filter(|one| !says(&one.resources)).map(|one| one.name.as_str()).collect();
            (!names.is_empty()).then(|| format!("{name} for: {}", names.into_iter().collect::<Vec<_>>().join(",")))
        };
        let mut limited: Vec<&str> =
            MUST_BE_SAID.iter().copied().filter(|name| self.hard.contains_key(*name)).collect();
        limited.sort_unstable();
        let lacking: Vec<String> = limited.iter().filter_map(lacking).collect();
        (!lacking.is_empty()).then(|| format!("must specify {}", lacking.join("; ")))
    }

    /// What is used or about to be.
    fn taken(&self, name: &str) -> Quantity {
        let nothing = Quantity::whole(0);
        let used = self.used.get(name).unwrap_or(&nothing);
        match self.reserved.get(name).filter(|_| !planted!(QuotaUncharged)) {
            Some(reserved) => used.plus(reserved),
            None => used.clone(),
        }
    }
}

fn add(to: &mut Use, more: &Use) {
    for (name, amount) in more {
        let has = to.entry(name.clone()).or_default();
        *has = has.plus(amount);
    }
}

fn subtract(from: &mut Use, less: &Use) {
    for (name, amount) in less {
        let has = from.entry(name.clone()).or_default();
        *has = has.minus(amount);
    }
}

/// `cpu=1,pods=3`.
fn listed<'a>(names: &[&'a String], amount: impl Fn(&'a str) -> String) -> String {
    names.iter().map(|name| format!("{name}={}", amount(name))).collect::<Vec<_>>().join(",")
}

/// All quotas, and what of them is used.
#[derive(Debug, Default)]
pub struct Quotas {
    /// By namespace and name.
    accounts: BTreeMap<Text, BTreeMap<Text, Account>>,
    /// What writes on their way will use more, by their object and the quota's name.
    reserved: BTreeMap<Key, BTreeMap<Text, Use>>,
    /// Quotas whose status may be another now.
    changed: BTreeSet<Key>,
}

impl Quotas {
    /// Those of a store.
    pub fn load(store: &Store) -> Self {
        let mut quotas = Quotas::default();
        let all = crate::program::Query::all(Kind::ResourceQuota);
        for quota in store.list(&all) {
            quotas.open(store, [], quota);
        }
        quotas
    }

    /// Counts what a quota limits, of what is stored and of what is on its way to the disk: what was decided before there
    /// was the quota takes its room, too.
    fn open<'a>(&mut self, store: &Store, on_their_way: impl IntoIterator<Item = &'a Object>, quota: &Object) {
        let key = quota.key();
        let mut account = Account::of(quota);
        for kind in store.kinds().filter(|kind| kind.row().namespaced) {
            for object in store.of_namespace(kind, &key.namespace) {
                let charge = account.charge(object);
                add(&mut account.used, &charge);
            }
        }
        for object in on_their_way.into_iter().filter(|one| one.meta().namespace == key.namespace) {
            let more = account.more(store.get(&object.key()), object);
            add(&mut account.reserved, &more);
            self.reserved.entry(object.key()).or_default().insert(key.name.clone(), more);
        }
        self.accounts.entry(key.namespace.clone()).or_default().insert(key.name.clone(), account);
        self.changed.insert(key);
    }

    fn in_namespace(&self, namespace: &Text) -> impl Iterator<Item = (&Text, &Account)> {
        self.accounts.get(namespace).into_iter().flatten()
    }

    /// Refuses an object for which there is no room. `called` is its name, as far as that is known.
    pub fn check(&self, called: &str, old: Option<&Object>, new: &Object) -> Result<(), Status> {
        let key = new.key();
        let refused = |why: String| Err(Status::forbidden(key.kind, called, &why));
        for (quota, account) in self.in_namespace(&key.namespace) {
            if let (None, Some(pod)) = (old, new.get::<Pod>())
                && account.scopes.iter().all(|scope| scope.holds(pod))
                && let Some(unsaid) = account.unsaid(pod)
            {
                return refused(format!("failed quota: {quota}: {unsaid}"));
            }
            let more = account.more(old, new);
            let is_too_much = |name: &&String| account.taken(name).plus(&more[*name]) > account.hard[*name];
            let exceeded: Vec<&String> = more.keys().filter(is_too_much).collect();
            if !exceeded.is_empty() {
                let (requested, used, limited) = (
                    listed(&exceeded, |name| more[name].to_string()),
                    listed(&exceeded, |name| account.taken(name).to_string()),
                    listed(&exceeded, |name| account.hard[name].to_string()),
                );
                return refused(format!(
                    "exceeded quota: {quota}, requested: {requested}, used: {used}, limited: {limited}"
                ));
            }
        }
        Ok(())
    }

    /// A write is on its way to the disk.
    pub fn reserve(&mut self, key: &Key, old: Option<&Object>, new: Option<&Object>) {
        let (Some(accounts), Some(new)) = (self.accounts.get_mut(&key.namespace), new) else { return };
        for (quota, account) in accounts {
            let more = account.more(old, new);
            if !more.is_empty() {
                add(&mut account.reserved, &more);
                self.reserved.entry(key.clone()).or_default().insert(quota.clone(), more);
            }
        }
    }

    /// It has arrived there, or has not.
    pub fn settle(&mut self, key: &Key) {
        for (quota, more) in self.reserved.remove(key).unwrap_or_default() {
            let accounts = self.accounts.get_mut(&key.namespace);
            if let Some(account) = accounts.and_then(|accounts| accounts.get_mut(&quota)) {
                subtract(&mut account.reserved, &more);
            }
        }
    }

    /// Whether anything is counted where this object is.
    pub fn concern(&self, key: &Key) -> bool {
        key.kind == Kind::ResourceQuota || self.accounts.contains_key(&key.namespace)
    }

    /// The store has changed. Other objects are on their way to it.
    pub fn changed<'a>(
        &mut self,
        store: &Store,
        on_their_way: impl Iterator<Item = &'a Object>,
        key: &Key,
        old: Option<&Object>,
        new: Option<&Object>,
    ) {
        if let Some(accounts) = self.accounts.get_mut(&key.namespace) {
            for (quota, account) in accounts {
                let before = old.map(|old| account.charge(old)).unwrap_or_default();
                let after = new.map(|new| account.charge(new)).unwrap_or_default();
                if before != after {
                    add(&mut account.used, &after);
                    subtract(&mut account.used, &before);
                    if !after.is_empty() || !planted!(QuotaNotTold) {
                        self.changed.insert(Key::new(Kind::ResourceQuota, &key.namespace, quota));
                    }
                }
            }
        }
        if key.kind == Kind::ResourceQuota {
            let spec = |quota: Option<&Object>| quota.and_then(|quota| quota.at(&["spec"]).cloned());
            match new {
                Some(quota) if old.is_none() || spec(old) != spec(new) && !planted!(QuotaChangeUnheard) => {
                    self.open(store, on_their_way, quota)
                }
                Some(_) => drop(self.changed.insert(key.clone())),
                None => {
                    self.changed.remove(key);
                    if let Some(accounts) = self.accounts.get_mut(&key.namespace) {
                        accounts.remove(&key.name);
                        if accounts.is_empty() {
                            self.accounts.remove(&key.namespace);
                        }
                    }
                }
            }
        }
    }

    /// All statuses may be others than is stored.
    pub fn look_at_all(&mut self) {
        for (namespace, accounts) in &self.accounts {
            self.changed.extend(accounts.keys().map(|name| Key::new(Kind::ResourceQuota, namespace, name)));
        }
    }

    /// Takes out the quotas whose status is to be another, each as it is to be. Those that are busy are left for later.
    pub fn statuses(&mut self, store: &Store, is_busy: impl Fn(&Key) -> bool) -> Vec<Object> {
        let due: Vec<Key> = self.changed.iter().filter(|key| !is_busy(key)).cloned().collect();
        let status = |key: &Key| {
            let account = self.accounts.get(&key.namespace)?.get(&key.name)?;
            let stored = store.get(key)?;
            let nothing = || Quantity::whole(0);
            let used: Use = account
                .hard
                .keys()
                .map(|name| (name.clone(), account.used.get(name).cloned().unwrap_or_else(nothing)))
                .collect();
            let status = json!({"hard": account.hard, "used": used});
            (stored.at(&["status"]) != Some(&status)).then(|| stored.with_status(&status))
        };
        let statuses = due.iter().filter_map(status).collect();
        for key in due {
            self.changed.remove(&key);
        }
        statuses
    }
}

/// The page of what quotas count.
pub fn page() -> Page {
    let row = |what: &str, counts: &str| vec![format!("`{what}`"), counts.to_owned()];
    Page::new("quota", "What a resource quota counts", "the API server")
        .says(
            "What a quota limits and a new object would exceed is refused with 403: what is stored counts, and what is on \
             its way to the disk. A quota's status follows what is stored. Of `cpu` and `memory`, if they are limited, \
             each container has to say how much it wants, unless a limit range says it.",
        )
        .lists(
            "core/src/apiserver/quota.rs",
            &["resource", "what is counted"],
            [
                row("pods", "pods that have not ended"),
                row("requests.R, limits.R", "what these ask for of each resource R"),
                row("cpu, memory, ephemeral-storage, hugepages-SIZE", "the same as with `requests.`"),
                row("services.nodeports, services.loadbalancers", "ports on nodes, and services with a load balancer"),
                row("requests.storage", "what claims ask for"),
                row("CLASS.storageclass.storage.k8s.io/R", "the same, and claims, of one storage class"),
                row("configmaps, secrets, services, …", "objects of that kind"),
                row("count/RESOURCE.GROUP", "objects of any kind that has a namespace, pods that have ended too"),
            ],
        )
        .says("With a scope a quota counts pods only, and of these:")
        .lists(
            "core/src/apiserver/quota.rs",
            &["scope", "pods"],
            SCOPES.iter().map(|scope| row(scope.name, scope.why)),
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::World;
    use crate::program::{Answer, Part, Verb};

    fn pod(name: &str, spec: Value) -> Object {
        let mut all = json!({"containers": [{"name": "c", "image": "busybox"}]});
        crate::patch::merge::merge(&mut all, &spec);
        let pod = json!({"metadata": {"name": name, "namespace": "default"}, "spec": all});
        Object::from_value(Kind::Pod, pod).unwrap()
    }

    fn asks(request: &str, limit: &str) -> Value {
        json!({"containers": [{"name": "c", "image": "busybox",
            "resources": {"requests": {"cpu": request}, "limits": {"cpu": limit}}}]})
    }

    fn quota(world: &mut World, name: &str, spec: Value) {
        world.create(Kind::ResourceQuota, json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec}));
    }

    /// Makes it; says why not.
    fn make(world: &mut World, object: Object) -> Result<(), String> {
        match world.answer(Verb::Create { object }) {
            Answer::Object { .. } => Ok(()),
            Answer::Refused(status) => Err(format!("{} {}", status.http_code(), status.message)),
            other => panic!("{other:?}"),
        }
    }

    fn used(world: &World, quota: &str, resource: &str) -> String {
        let quota = world.get(Kind::ResourceQuota, "default", quota).unwrap().to_value();
        quota["status"]["used"][resource].as_str().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_exceeds_a_quota_is_refused() {
        let mut world = World::new(1);
        quota(&mut world, "compute", json!({"hard": {"pods": "3", "requests.cpu": "1", "limits.cpu": "2"}}));
        assert_eq!(
            make(&mut world, pod("a", json!({}))),
            Err("403 pods \"a\" is forbidden: failed quota: compute: must specify limits.cpu for: c; requests.cpu for: c"
                .into())
        );
        make(&mut world, pod("a", asks("400m", "500m"))).unwrap();
        make(&mut world, pod("b", asks("400m", "500m"))).unwrap();
        assert_eq!(
            make(&mut world, pod("c", asks("400m", "1500m"))),
            Err(
                "403 pods \"c\" is forbidden: exceeded quota: compute, requested: limits.cpu=1500m,requests.cpu=400m, \
                 used: limits.cpu=1,requests.cpu=800m, limited: limits.cpu=2,requests.cpu=1"
                    .into()
            )
        );
        assert_eq!(
            (used(&world, "compute", "pods"), used(&world, "compute", "requests.cpu")),
            ("2".into(), "800m".into())
        );
        let ended = json!({"status": {"phase": "Succeeded"}});
        world.merge(Key::new(Kind::Pod, "default", "a"), ended, Part::Status);
        assert_eq!(used(&world, "compute", "requests.cpu"), "400m");
        world.delete_at_once(Key::new(Kind::Pod, "default", "b"));
        assert_eq!((used(&world, "compute", "pods"), used(&world, "compute", "limits.cpu")), ("0".into(), "0".into()));
        make(&mut world, pod("c", asks("1", "2"))).unwrap();
        // Room that is taken away takes nothing away.
        let smaller = json!({"spec": {"hard": {"pods": "0"}}});
        world.merge(Key::new(Kind::ResourceQuota, "default", "compute"), smaller, Part::Main);
        assert_eq!(used(&world, "compute", "pods"), "1");
        assert!(make(&mut world, pod("d", asks("0", "0"))).unwrap_err().contains("used: pods=1, limited: pods=0"));
    }

    #[test]
    fn objects_of_every_kind_are_counted() {
        let mut world = World::new(2);
        let map = |name: &str| {
            Object::from_value(Kind::ConfigMap, json!({"metadata": {"name": name, "namespace": "default"}})).unwrap()
        };
        make(&mut world, map("before")).unwrap();
        quota(
            &mut world,
            "objects",
            json!({"hard": {"configmaps": "2", "count/configmaps": 3, "count/replicasets.apps": "1",
            "requests.storage": "3Gi", "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1", "services.nodeports": "1"}}),
        );
        assert_eq!(used(&world, "objects", "configmaps"), "1", "what was there is counted");
        make(&mut world, map("a")).unwrap();
        let why = make(&mut world, map("b")).unwrap_err();
        assert_eq!(
            why,
            "403 configmaps \"b\" is forbidden: exceeded quota: objects, requested: configmaps=1, used: configmaps=2, \
             limited: configmaps=2"
        );
        world.set("web", json!([]));
        assert_eq!(used(&world, "objects", "count/replicasets.apps"), "1");
        let claim = |name: &str, storage: &str, class: &str| {
            let claim = json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"storageClassName": class,
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}});
            Object::from_value(Kind::PersistentVolumeClaim, claim).unwrap()
        };
        make(&mut world, claim("a", "1Gi", "gold")).unwrap();
        assert!(make(&mut world, claim("b", "1Gi", "gold")).unwrap_err().contains("limited: gold.storageclass"));
        make(&mut world, claim("b", "512Mi", "")).unwrap();
        assert_eq!(used(&world, "objects", "requests.storage"), "1536Mi");
        let service = |name: &str| {
            let service = json!({"metadata": {"name": name, "namespace": "default"},
                "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
            Object::from_value(Kind::Service, service).unwrap()
        };
        make(&mut world, service("a")).unwrap();
        assert!(make(&mut world, service("b")).unwrap_err().contains("limited: services.nodeports=1"));
    }

    #[test]
    fn scopes_choose_pods() {
        let check = |spec: Value, pods: &[(Value, bool)]| {
            let mut world = World::new(3);
            let class = json!({"metadata": {"name": "high"}, "value": 7});
            world.create(Kind::PriorityClass, class);
            let mut all = json!({"hard": {"pods": "0"}});
            crate::patch::merge::merge(&mut all, &spec);
            quota(&mut world, "q", all);
            for (nth, (pod_spec, refused)) in pods.iter().enumerate() {
                let made = make(&mut world, pod(&format!("p{nth}"), pod_spec.clone()));
                assert_eq!(made.is_err(), *refused, "{spec} {pod_spec} {made:?}");
            }
        };
        let deadline = || json!({"activeDeadlineSeconds": 5});
        check(json!({"scopes": ["Terminating"]}), &[(deadline(), true), (json!({}), false)]);
        check(json!({"scopes": ["NotTerminating"]}), &[(deadline(), false), (json!({}), true)]);
        check(json!({"scopes": ["BestEffort"]}), &[(json!({}), true), (asks("1", "1"), false)]);
        check(json!({"scopes": ["NotBestEffort"]}), &[(json!({}), false), (asks("1", "1"), true)]);
        let classes = |operator: &str, values: Value| json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}});
        let high = || json!({"priorityClassName": "high"});
        check(classes("In", json!(["high"])), &[(high(), true), (json!({}), false)]);
        check(classes("NotIn", json!(["high"])), &[(high(), false), (json!({}), true)]);
        check(classes("Exists", json!(null)), &[(high(), true), (json!({}), false)]);
        check(classes("DoesNotExist", json!(null)), &[(high(), false), (json!({}), true)]);
        let term = json!({"topologyKey": "zone", "namespaces": ["a"]});
        let beyond = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
        check(json!({"scopes": ["CrossNamespacePodAffinity"]}), &[(beyond, true), (json!({}), false)]);
    }

    #[test]
    fn what_is_on_its_way_takes_room() {
        use crate::apiserver::{ApiServer, Options};
        use crate::program::{CommitId, Committed, Effect, Effects, Input, Program, RequestId, Revision};
        use crate::time::Now;
        let mut server = ApiServer::new(Options::with_seed(1), Store::default());
        let (mut revision, mut answers, mut held) = (0, Vec::new(), Vec::<CommitId>::new());
        let mut step = |server: &mut ApiServer, input: Input, hold: bool, held: &mut Vec<CommitId>| {
            let mut todo = std::collections::VecDeque::from([input]);
            while let Some(input) = todo.pop_front() {
                let mut out = Effects::default();
                server.step(Now::default(), input, &mut out);
                for effect in out.list {
                    match effect {
                        Effect::Commit { commit, .. } if hold => held.push(commit),
                        Effect::Commit { commit, .. } => {
                            revision += 1;
                            todo.push_back(Input::Committed { commit, outcome: Committed::At(Revision(revision)) });
                        }
                        Effect::Answer { answer, .. } => answers.push(answer),
                        _ => {}
                    }
                }
            }
            std::mem::take(&mut answers)
        };
        let ask = |verb: Verb| Input::Request { from: RequestId(1), request: verb.into() };
        step(&mut server, Input::Wake, false, &mut held);
        let limit = json!({"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": {"pods": "1"}}});
        let limit = Object::from_value(Kind::ResourceQuota, limit).unwrap();
        step(&mut server, ask(Verb::Create { object: limit }), false, &mut held);
        assert!(step(&mut server, ask(Verb::Create { object: pod("a", json!({})) }), true, &mut held).is_empty());
        let told = step(&mut server, ask(Verb::Create { object: pod("b", json!({})) }), true, &mut held);
        assert!(
            matches!(&told[..], [Answer::Refused(status)] if status.message.contains("exceeded quota: q")),
            "{told:?}"
        );
        // What could not be stored takes none.
        let failed = Input::Committed { commit: held.remove(0), outcome: Committed::Failed("full".into()) };
        step(&mut server, failed, false, &mut held);
        let told = step(&mut server, ask(Verb::Create { object: pod("b", json!({})) }), false, &mut held);
        assert!(matches!(&told[..], [Answer::Object { .. }]), "{told:?}");
    }
}
