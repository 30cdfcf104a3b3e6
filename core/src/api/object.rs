//! Any object: one type for the store, for requests and answers, and for caches.
//!
//! An [`Object`] is cheap to clone and never changes; a changed one is a new one. Its JSON form is made when it is first
//! asked for, and shared by every list and watcher as long as the object is news: see [`Object::is_no_news`].

use crate::api::cronjob::CronJob;
use crate::api::custom::{CustomKind, CustomResourceDefinition};
use crate::api::daemonset::DaemonSet;
use crate::api::deployment::Deployment;
use crate::api::event::Event;
use crate::api::job::Job;
use crate::api::lease::Lease;
use crate::api::meta::{Labels, ObjectMeta};
use crate::api::namespace::{self, Namespace};
use crate::api::node::Node;
use crate::api::pod::Pod;
use crate::api::replicaset::ReplicaSet;
use crate::api::replication::ReplicationController;
use crate::api::statefulset::StatefulSet;
use crate::api::structs::{Field, Rest, VisitRest};
use crate::api::text::Text;
use crate::api_struct;
use crate::program::Revision;
use crate::schema::{MessageId, Schema, Type};
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};

/// An object of some kind.
#[derive(Clone)]
pub struct Object(Body);

/// What is asked of every object again and again stands beside the body.
struct Inner<T> {
    kind: Kind,
    revision: Revision,
    json: Kept,
    body: T,
}

/// What is kept of an object's JSON form.
#[derive(Default)]
#[expect(clippy::disallowed_types, reason = "an object is shared by threads; what it shows does not depend on this")]
struct Kept(std::sync::Mutex<News>);

/// Whether many will ask for the same text.
#[derive(Default)]
enum News {
    /// Yes, and nobody has yet.
    #[default]
    Unasked,
    /// Yes, and this is it.
    Asked(Arc<[u8]>),
    /// No: it is made anew for each.
    Old,
}

impl Kept {
    fn news(&self) -> impl DerefMut<Target = News> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get_or_make(&self, make: impl FnOnce() -> Vec<u8>) -> Arc<[u8]> {
        if let News::Asked(text) = &*self.news() {
            return text.clone();
        }
        // Two who ask at once both make it, and nobody waits.
        let text: Arc<[u8]> = make().into();
        let mut news = self.news();
        if let News::Unasked = *news {
            *news = News::Asked(text.clone());
        }
        text
    }
}

/// An object's JSON text, or its end.
#[derive(Clone, Debug)]
pub struct Json {
    text: Arc<[u8]>,
    from: usize,
}

impl Json {
    /// A text that nobody else has.
    pub fn of(text: Vec<u8>) -> Self {
        Json { text: text.into(), from: 0 }
    }

    /// Without its first bytes.
    pub fn without(self, bytes: usize) -> Self {
        Json { from: self.from + bytes, ..self }
    }
}

impl Deref for Json {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text[self.from..]
    }
}

impl From<Json> for Arc<[u8]> {
    fn from(json: Json) -> Self {
        match json.from {
            0 => json.text,
            _ => (*json).into(),
        }
    }
}

api_struct! {
    /// The body of an object on whose fields nothing in core acts by name: its metadata, and all else as it came.
    ///
    /// [`crate::schema`] knows its fields.
    pub struct Plain {
        /// Names, identity, versions, ownership.
        metadata "metadata" always: ObjectMeta,
    }
}

/// What every body has.
trait Content: Clone + Default + fmt::Debug + PartialEq + Serialize + for<'de> Deserialize<'de> {
    fn metadata(&self) -> &ObjectMeta;
    fn metadata_mut(&mut self) -> &mut ObjectMeta;
    fn rest_mut(&mut self) -> &mut Rest;
    /// As an object of this kind, which is the type's own if it has one.
    fn into_object_of(self, kind: Kind) -> Object;
}

/// A type that has a row in the table of kinds.
#[expect(private_bounds, reason = "what is in every body is changed through objects only")]
pub trait Resource: Content + Send + Sync + 'static {
    /// Its kind.
    const KIND: Kind;
    /// Its metadata.
    fn meta(&self) -> &ObjectMeta;
    /// The object, if it is of this type.
    fn of(object: &Object) -> Option<&Self>;
    /// As an object.
    fn into_object(self) -> Object;
    /// Replaces its `status`, if it has one, by another's.
    fn take_status(&mut self, from: &Self);
    #[doc(hidden)]
    fn edit(object: &mut Object, change: impl FnOnce(&mut Self));
}

macro_rules! resources {
    (
        typed { $($kind:ident $(($status:ident))?),+ $(,)? }
        plain { $($plain:ident),+ $(,)? }
    ) => {
        /// A kind of object; its row says the rest.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[allow(missing_docs)]
        pub enum Kind {
            $($kind,)+
            $($plain,)+
            /// One that a CustomResourceDefinition defines.
            Custom(CustomKind),
        }

        impl Kind {
            /// All kinds that every cluster has, in the order of their rows.
            pub const BUILT_IN: &'static [Kind] = &[$(Kind::$kind,)+ $(Kind::$plain),+];

            /// Where its row stands in the table, if it stands there.
            pub(super) fn nth(self) -> Result<usize, CustomKind> {
                enum Nth { $($kind,)+ $($plain),+ }
                Ok(match self {
                    $(Kind::$kind => Nth::$kind as usize,)+
                    $(Kind::$plain => Nth::$plain as usize,)+
                    Kind::Custom(custom) => return Err(custom),
                })
            }
        }

        /// One size each: a lease must not take the room of a node.
        #[derive(Clone)]
        enum Body { $($kind(Arc<Inner<$kind>>),)+ Plain(Arc<Inner<Plain>>) }

        /// Does the same with the body, whatever its type.
        macro_rules! each_body {
            ($body:expr, $one:ident => $do:expr) => {
                match $body { $(Body::$kind($one) => $do,)+ Body::Plain($one) => $do }
            };
        }

        /// Does the same with two bodies of one type.
        macro_rules! both_bodies {
            ($body:expr, $other:expr, ($one:ident, $two:ident) => $do:expr, else $else:expr) => {
                match ($body, $other) {
                    $((Body::$kind($one), Body::$kind($two)) => $do,)+
                    (Body::Plain($one), Body::Plain($two)) => $do,
                    _ => $else,
                }
            };
        }

        /// Does something with the type of a kind's bodies.
        macro_rules! of_kind {
            ($of:expr, $type:ident => $do:expr) => {
                match $of {
                    $(Kind::$kind => { type $type = $kind; $do })+
                    _ => { type $type = Plain; $do }
                }
            };
        }

        impl Body {
            fn take_status(&mut self, from: &Body) {
                match (self, from) {
                    $((Body::$kind(one), Body::$kind(from)) => edit(one, |body| body.take_status(&from.body)),)+
                    (Body::Plain(one), Body::Plain(from)) => edit(one, |body| body.take_status(&from.body)),
                    _ => {}
                }
            }
        }

        $(impl Content for $kind {
            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
            fn rest_mut(&mut self) -> &mut Rest {
                &mut self.rest
            }
            fn into_object_of(self, _: Kind) -> Object {
                self.into_object()
            }
        }

        impl Resource for $kind {
            const KIND: Kind = Kind::$kind;
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn of(object: &Object) -> Option<&Self> {
                match &object.0 {
                    Body::$kind(one) => Some(&one.body),
                    _ => None,
                }
            }
            fn into_object(self) -> Object {
                Object(Body::$kind(Arc::new(Inner::of(Kind::$kind, self))))
            }
            fn take_status(&mut self, _from: &Self) {
                $(self.$status.clone_from(&_from.$status);)?
            }
            fn edit(object: &mut Object, change: impl FnOnce(&mut Self)) {
                if let Body::$kind(one) = &mut object.0 {
                    edit(one, change);
                }
            }
        })+
    };
}

resources! {
    typed {
        Namespace(status), Node(status), Pod(status), ReplicaSet(status), Lease, Event, CustomResourceDefinition(status),
    }
    plain {
        ConfigMap, Secret, Service, Endpoints, ServiceAccount, ReplicationController, PodTemplate, ResourceQuota,
        LimitRange, PersistentVolume, PersistentVolumeClaim, EndpointSlice, Deployment, DaemonSet, StatefulSet,
        ControllerRevision, Job, CronJob, HorizontalPodAutoscaler, PodDisruptionBudget, PriorityClass, Ingress,
        IngressClass, NetworkPolicy, StorageClass, Role, RoleBinding, ClusterRole, ClusterRoleBinding, APIService,
        Hpa, Dns, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
        MutatingWebhookConfiguration, RuntimeClass, CSIDriver, CSINode, VolumeAttachment,
    }
}

impl Content for Plain {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
    fn rest_mut(&mut self) -> &mut Rest {
        &mut self.rest
    }
    fn into_object_of(self, kind: Kind) -> Object {
        Object(Body::Plain(Arc::new(Inner::of(kind, self))))
    }
}

impl Plain {
    fn take_status(&mut self, from: &Plain) {
        match from.rest.get("status") {
            Some(status) => self.rest.insert("status", status.clone()),
            None => drop(self.rest.remove("status")),
        }
    }
}

/// Why JSON is no object of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// It is no JSON.
    Syntax(String),
    /// A field has the wrong type: its path, and what is wrong.
    Field(String, String),
    /// It says of itself that it is something else: its `apiVersion` and `kind`.
    Other(String, String),
}

impl DecodeError {
    fn of(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data if path != "." => DecodeError::Field(path, inner.to_string()),
            _ => DecodeError::Syntax(inner.to_string()),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Syntax(what) => f.write_str(what),
            DecodeError::Field(path, what) => write!(f, "{path}: {what}"),
            DecodeError::Other(api_version, kind) => {
                write!(f, "the object provided says it is a {kind} of {api_version}")
            }
        }
    }
}

fn decode<T: Content>(kind: Kind, json: &[u8]) -> Result<Object, DecodeError> {
    // Text that is known to be UTF-8 as a whole is not looked at again, string by string.
    let text = std::str::from_utf8(json).unwrap_or_default();
    match serde_json::from_str::<T>(text) {
        Ok(body) => checked(kind, body),
        // Read again, slowly, for the path of the field that is wrong.
        Err(_) => {
            let mut from = serde_json::Deserializer::from_slice(json);
            let body = serde_path_to_error::deserialize::<_, T>(&mut from).map_err(DecodeError::of)?;
            from.end().map_err(|error| DecodeError::Syntax(error.to_string()))?;
            checked(kind, body)
        }
    }
}

/// Takes `kind` and `apiVersion` out, which the kind itself implies, after comparing them.
fn checked<T: Content>(kind: Kind, mut body: T) -> Result<Object, DecodeError> {
    let row = kind.row();
    let (api_version, name) = (body.rest_mut().remove("apiVersion"), body.rest_mut().remove("kind"));
    // Items of a list say neither.
    if api_version.is_none() && name.is_none() {
        return Ok(made(kind, body));
    }
    let said = |value: Option<Value>, implied: &str| match value {
        None => implied.to_owned(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    };
    let (api_version, name) = (said(api_version, &row.api_version()), said(name, row.name));
    // A custom object may be of any of its kind's versions, which differ in nothing but their names.
    let same_group =
        || matches!(kind, Kind::Custom(_)) && api_version.split_once('/').is_some_and(|(group, _)| group == row.group);
    if name != row.name || api_version != row.api_version() && !same_group() {
        return Err(DecodeError::Other(api_version, name));
    }
    Ok(made(kind, body))
}

/// An object that was read. A definition that is established makes its kind known: objects of it may follow.
fn made<T: Content>(kind: Kind, body: T) -> Object {
    let object = body.into_object_of(kind);
    if let Some(definition) = object.get::<CustomResourceDefinition>().filter(|one| one.is_established()) {
        definition.kind();
    }
    object
}

/// Reads the items of a list, which are objects of this kind. `null` is a list without items.
pub struct ItemsOf(pub Kind);

struct Items<T>(Kind, PhantomData<T>);

impl<'de, T: Content> Visitor<'de> for Items<T> {
    type Value = Vec<Object>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_unit<E>(self) -> Result<Vec<Object>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Object>, A::Error> {
        let mut items = Vec::new();
        while let Some(body) = seq.next_element::<T>()? {
            items.push(checked(self.0, body).map_err(serde::de::Error::custom)?);
        }
        Ok(items)
    }
}

impl<'de> DeserializeSeed<'de> for ItemsOf {
    type Value = Vec<Object>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<Object>, D::Error> {
        of_kind!(self.0, T => from.deserialize_any(Items::<T>(self.0, PhantomData)))
    }
}

impl Object {
    /// An object of this kind with nothing in it.
    pub fn empty(kind: Kind) -> Object {
        of_kind!(kind, T => T::default().into_object_of(kind))
    }

    /// Reads an object of this kind from JSON text.
    pub fn decode(kind: Kind, json: &[u8]) -> Result<Object, DecodeError> {
        of_kind!(kind, T => decode::<T>(kind, json))
    }

    /// Reads an object of this kind from a JSON value.
    pub fn from_value(kind: Kind, value: Value) -> Result<Object, DecodeError> {
        of_kind!(kind, T => {
            let body = serde_path_to_error::deserialize::<_, T>(value).map_err(DecodeError::of)?;
            checked(kind, body)
        })
    }

    /// Reads the fields of an object of this kind.
    fn of_fields<'de, A: MapAccess<'de>>(kind: Kind, fields: A) -> Result<Object, A::Error> {
        of_kind!(kind, T => Ok(made(kind, T::deserialize(MapAccessDeserializer::new(fields))?)))
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        each_body!(&self.0, one => one.kind)
    }

    /// Its metadata.
    pub fn meta(&self) -> &ObjectMeta {
        each_body!(&self.0, one => one.body.metadata())
    }

    /// Its fields beside metadata, if nothing in core acts on them by name.
    pub fn plain(&self) -> Option<&Rest> {
        match &self.0 {
            Body::Plain(one) => Some(&one.body.rest),
            _ => None,
        }
    }

    /// The same object with other fields beside metadata, if nothing in core acts on them by name.
    pub fn edit_plain(&mut self, change: impl FnOnce(&mut Rest)) {
        if let Body::Plain(one) = &mut self.0 {
            edit(one, |body| change(&mut body.rest));
        }
    }

    /// The value at a path such as `["spec", "type"]`, if nothing in core acts on its fields by name.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, below) = path.split_first()?;
        below.iter().try_fold(self.plain()?.get(first)?, |value, name| value.get(name))
    }

    /// Its fields beside metadata as `T` knows them, if nothing in the API server acts on them by name: what a
    /// controller reads an object as. `None` if they are otherwise, which the schema does not let through.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        let fields = self.plain()?.iter().map(|(name, value)| (name.as_str(), value));
        T::deserialize(MapDeserializer::<_, serde_json::Error>::new(fields)).ok()
    }

    /// Its fields as those who act on it know them, where that is a controller.
    pub fn as_acted_on(&self) -> Option<Box<dyn Field>> {
        fn read<'a, T: Deserialize<'a> + Field + 'static>(object: &'a Object) -> Option<Box<dyn Field>> {
            object.read::<T>().map(|body| Box::new(body) as Box<dyn Field>)
        }
        match self.kind() {
            Kind::Deployment => read::<Deployment>(self),
            Kind::DaemonSet => read::<DaemonSet>(self),
            Kind::StatefulSet => read::<StatefulSet>(self),
            Kind::ReplicationController => read::<ReplicationController>(self),
            Kind::Job => read::<Job>(self),
            Kind::CronJob => read::<CronJob>(self),
            _ => None,
        }
    }

    /// The same object with another `status`. Only objects that can be [read](Object::read) have one to replace so.
    pub fn with_status(&self, status: &impl Serialize) -> Object {
        let mut object = self.clone();
        let status = serde_json::to_value(status).expect("API structs have string keys and finite numbers");
        object.edit_plain(|rest| rest.insert("status", status));
        object
    }

    /// The same object with these fields beside metadata, and no others. Only objects that can be [read](Object::read)
    /// have them replaced so.
    pub fn with_fields(&self, fields: &impl Serialize) -> Object {
        let fields = serde_json::to_value(fields).expect("API structs have string keys and finite numbers");
        let mut object = self.clone();
        object.edit_plain(|rest| {
            *rest = match fields {
                Value::Object(fields) => fields.into_iter().map(|(name, value)| (name.into(), value)).collect(),
                _ => Rest::default(),
            };
        });
        object
    }

    /// Its body, if it is of this type.
    pub fn get<T: Resource>(&self) -> Option<&T> {
        T::of(self)
    }

    /// Which object this is.
    pub fn key(&self) -> Key {
        each_body!(&self.0, one => {
            let meta = one.body.metadata();
            Key { kind: one.kind, namespace: meta.namespace.clone(), name: meta.name.clone() }
        })
    }

    /// The same object with other metadata.
    pub fn with_meta(&self, change: impl FnOnce(&mut ObjectMeta)) -> Object {
        let mut object = self.clone();
        object.edit_meta(change);
        object
    }

    /// Changes the metadata. Costs no copy if nobody else has this object.
    pub fn edit_meta(&mut self, change: impl FnOnce(&mut ObjectMeta)) {
        each_body!(&mut self.0, one => edit(one, |body| change(body.metadata_mut())));
    }

    /// The same object with another body, if it is of this type; else as it is.
    pub fn with<T: Resource>(&self, change: impl FnOnce(&mut T)) -> Object {
        let mut object = self.clone();
        object.edit_as(change);
        object
    }

    /// Changes the body, if it is of this type. Costs no copy if nobody else has this object.
    pub fn edit_as<T: Resource>(&mut self, change: impl FnOnce(&mut T)) {
        T::edit(self, change);
    }

    /// The same object with the `status` of another of its kind.
    pub fn with_status_of(&self, other: &Object) -> Object {
        let mut object = self.clone();
        object.0.take_status(&other.0);
        object
    }

    /// Whether this is not only equal but the same copy in memory.
    pub fn is_same_copy(&self, other: &Object) -> bool {
        both_bodies!(&self.0, &other.0, (one, two) => Arc::ptr_eq(one, two), else false)
    }

    /// Whether another object of its kind differs in metadata only.
    pub fn same_but_for_meta(&self, other: &Object) -> bool {
        both_bodies!(&self.0, &other.0, (one, two) => {
            let mut copy = one.body.clone();
            copy.metadata_mut().clone_from(two.body.metadata());
            copy == two.body
        }, else false)
    }

    /// The revision of its last write; 0 if it was never stored.
    pub fn revision(&self) -> Revision {
        each_body!(&self.0, one => one.revision)
    }

    /// Its JSON text, compact, `kind` and `apiVersion` first.
    pub fn json(&self) -> Json {
        let make = || serde_json::to_vec(self).expect("API structs have string keys and finite numbers");
        Json { text: each_body!(&self.0, one => &one.json).get_or_make(make), from: 0 }
    }

    /// From now on its JSON text is made anew for each who asks: those who watch have seen it. Of a hundred thousand
    /// objects the texts would take half as much again as the objects.
    pub fn is_no_news(&self) {
        *each_body!(&self.0, one => &one.json).news() = News::Old;
    }

    /// Its JSON text without `kind` and `apiVersion`, as items of a list are written, but for the opening brace.
    pub fn json_as_item(&self) -> Json {
        let row = self.kind().row();
        self.json().without(r#"{"kind":"","apiVersion":"","#.len() + row.name.len() + row.api_version().len())
    }

    /// As a JSON value.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("API structs have string keys and finite numbers")
    }

    /// As the rules of its kind look at it: without the fields at which none looks, and of its metadata only the names, the
    /// uid and the annotations. To write all of it costs more than the rest of a small object, and each write is judged.
    pub fn to_ruled_value(&self) -> Value {
        serde_json::to_value(Ruled(self)).expect("API structs have string keys and finite numbers")
    }

    /// Calls `visit` with the fields of each of its structs on which nothing acts by name. `message` is its own.
    pub fn each_rest(&mut self, schema: &Schema, message: MessageId, visit: &mut VisitRest) {
        let kind = Type::Message(message);
        each_body!(&mut self.0, one => edit(one, |body| body.each_rest(schema, &kind, &mut String::new(), visit)));
    }

    /// The paths of the fields that are kept but have no effect here.
    pub fn fields_without_effect(&self) -> Vec<String> {
        let mut paths = Vec::new();
        each_body!(&self.0, one => one.body.visit_rest(&mut String::new(), &mut |path| paths.push(path.to_owned())));
        let (prefix, spec) = match &self.0 {
            Body::Pod(pod) => ("spec", &pod.body.spec),
            Body::ReplicaSet(set) => ("spec.template.spec", &set.body.spec.template.spec),
            // Nothing is said of single fields where none has an effect.
            Body::Plain(_) => {
                paths.clear();
                if let Some(body) = self.as_acted_on() {
                    body.visit_rest(&mut String::new(), &mut |path| paths.push(path.to_owned()));
                }
                return paths;
            }
            Body::Namespace(_)
            | Body::Node(_)
            | Body::Lease(_)
            | Body::Event(_)
            | Body::CustomResourceDefinition(_) => {
                return paths;
            }
        };
        // Stored objects have the usual one, so that who writes them back asks for nothing by it.
        if !matches!(&*spec.service_account_name, "" | namespace::DEFAULT_ACCOUNT) {
            paths.push(format!("{prefix}.serviceAccountName"));
        }
        for (at, container) in spec.containers.iter().enumerate() {
            let policy = container.image_pull_policy.as_str();
            if !policy.is_empty() && policy != container.usual_pull_policy() {
                paths.push(format!("{prefix}.containers[{at}].imagePullPolicy"));
            }
        }
        paths
    }
}

impl<T: Content> Inner<T> {
    fn of(kind: Kind, body: T) -> Self {
        let revision = revision_of(body.metadata());
        Inner { kind, revision, json: Kept::default(), body }
    }
}

/// Changes a body: in place, if nobody else has it.
fn edit<T: Content>(one: &mut Arc<Inner<T>>, change: impl FnOnce(&mut T)) {
    let kind = one.kind;
    match Arc::get_mut(one) {
        Some(inner) => {
            change(&mut inner.body);
            inner.json = Kept::default();
            inner.revision = revision_of(inner.body.metadata());
        }
        None => {
            let mut body = one.body.clone();
            change(&mut body);
            *one = Arc::new(Inner::of(kind, body));
        }
    }
}

fn revision_of(meta: &ObjectMeta) -> Revision {
    Revision(meta.resource_version.parse().unwrap_or(0))
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        let row = self.kind().row();
        map.serialize_entry("kind", row.name)?;
        map.serialize_entry("apiVersion", &row.api_version())?;
        each_body!(&self.0, one => one.body.serialize_fields(&mut map, |_| true))?;
        map.end()
    }
}

/// See [`Object::to_ruled_value`].
struct Ruled<'a>(&'a Object);

impl Serialize for Ruled<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Metadata<'a> {
            name: &'a Text,
            namespace: &'a Text,
            uid: &'a Text,
            annotations: &'a Labels,
        }
        let ObjectMeta { name, namespace, uid, annotations, .. } = self.0.meta();
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("metadata", &Metadata { name, namespace, uid, annotations })?;
        let looks_at = self.0.kind().row().rules.looks_at;
        let wanted = |name: &str| name != "metadata" && looks_at(name);
        each_body!(&self.0.0, one => one.body.serialize_fields(&mut map, wanted))?;
        map.end()
    }
}

/// Reads what [`Object`] writes: `kind` and `apiVersion` come first, so that the rest is read once, as what it is.
impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with its kind and apiVersion first")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut first = |wanted: &'static str| match map.next_entry::<String, String>()? {
                    Some((name, value)) if name == wanted => Ok(value),
                    _ => Err(A::Error::missing_field(wanted)),
                };
                let (name, api_version) = (first("kind")?, first("apiVersion")?);
                let kind = Kind::named(&api_version, &name)
                    .ok_or_else(|| A::Error::custom(format!("there is no {name} of {api_version}")))?;
                Object::of_fields(kind, map)
            }
        }
        from.deserialize_map(Fields)
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        both_bodies!(&self.0, &other.0, (one, two) => {
            Arc::ptr_eq(one, two) || one.kind == two.kind && one.body == two.body
        }, else false)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.json()))
    }
}

/// Which object: its kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for kinds without.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
}

impl Key {
    /// The key of an object.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Key { kind, namespace: namespace.into(), name: name.into() }
    }
}

/// `replicasets.apps/default/web`, or without a namespace `nodes/node-1`: also its place in the durable store.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = self.kind.row().resource();
        match &*self.namespace {
            "" => write!(f, "{resource}/{}", self.name),
            namespace => write!(f, "{resource}/{namespace}/{}", self.name),
        }
    }
}

impl std::str::FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no key of an object");
        let (resource, rest) = text.split_once('/').ok_or_else(wrong)?;
        let kind = Kind::of_resource(resource).ok_or_else(wrong)?;
        match rest.split_once('/') {
            Some((namespace, name)) if kind.row().namespaced => Ok(Key::new(kind, namespace, name)),
            None if !kind.row().namespaced => Ok(Key::new(kind, "", rest)),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"busybox","resources":{},"lifecycle":true}],"restartPolicy":"Never","affinity":{"x":1}},"status":{"phase":"Pending"}}"#;

    #[test]
    fn what_is_read_is_written() {
        let pod = Object::decode(Kind::Pod, POD.as_bytes()).unwrap();
        assert_eq!(String::from_utf8_lossy(&pod.json()), POD);
        assert_eq!(pod.fields_without_effect(), ["spec.containers[0].lifecycle", "spec.affinity.x"]);
        assert!(pod.json_as_item().starts_with(b"\"metadata\""));
        assert_eq!(Object::from_value(Kind::Pod, pod.to_value()).unwrap(), pod);
    }

    #[test]
    fn a_text_is_shared_while_it_is_news() {
        let pod = Object::decode(Kind::Pod, POD.as_bytes()).unwrap();
        let (one, two) = (pod.json(), pod.clone().json());
        assert_eq!(one.as_ptr(), two.as_ptr());
        pod.is_no_news();
        let (three, four) = (pod.json(), pod.json());
        assert!(three.as_ptr() != four.as_ptr() && three.as_ptr() != one.as_ptr());
        assert!(*one == *three && *one == *four);
    }

    #[test]
    fn of_what_has_an_effect_nothing_is_said() {
        let spec = json!({"tolerations": [{"key": "a", "operator": "Exists"}], "nodeSelector": {"a": "b"},
            "containers": [{"name": "c", "image": "busybox"}]});
        let pod = Object::from_value(Kind::Pod, json!({"spec": spec})).unwrap();
        assert_eq!(pod.fields_without_effect(), [""; 0]);
    }

    #[test]
    fn a_pull_policy_decides_nothing() {
        let check = |image: &str, policy: &str, named: bool| {
            let pod = json!({"containers": [{"name": "c", "image": image, "imagePullPolicy": policy}]});
            let set = json!({"spec": {"template": {"spec": pod}}});
            let told = |kind, value| Object::from_value(kind, value).unwrap().fields_without_effect();
            let path = ["spec.containers[0].imagePullPolicy", "spec.template.spec.containers[0].imagePullPolicy"];
            let want = path.map(|path| if named { vec![path.to_owned()] } else { Vec::new() });
            assert_eq!([told(Kind::Pod, json!({"spec": pod})), told(Kind::ReplicaSet, set)], want, "{image} {policy}");
        };
        check("busybox", "", false);
        check("busybox", "Always", false);
        check("busybox:latest", "Always", false);
        check("busybox", "IfNotPresent", true);
        check("busybox:1.36", "IfNotPresent", false);
        check("busybox:1.36", "Always", true);
        check("busybox:1.36", "Never", true);
        check("registry:5000/busybox", "Always", false);
        check("busybox@sha256:00", "Always", true);
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let check = |text: &str, want: &str| {
            let error = Object::decode(Kind::Pod, text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        };
        check("{", "EOF while parsing");
        check("[]", "invalid type: sequence, expected an object (Pod)");
        check(
            r#"{"spec":{"containers":"none"}}"#,
            "spec.containers: invalid type: string \"none\", expected a sequence",
        );
        check(r#"{"spec":{"containers":[{"name":7}]}}"#, "spec.containers[0].name: invalid type: integer `7`");
        check(r#"{"kind":"Node","apiVersion":"v1"}"#, "the object provided says it is a Node of v1");
        check(r#"{"spec":{"restartPolicy":"Sometimes"}}"#, "spec.restartPolicy: unknown variant");
    }

    #[test]
    fn keys_read_back() {
        for key in
            [Key::new(Kind::Pod, "default", "a"), Key::new(Kind::Node, "", "n"), Key::new(Kind::ReplicaSet, "x", "y.z")]
        {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        assert!("pods/a".parse::<Key>().is_err() && "gizmos/a/b".parse::<Key>().is_err());
    }
}
