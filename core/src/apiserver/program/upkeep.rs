//! What the server wants for itself: the objects that every cluster has, the status of quotas, and that events end.

use super::{ApiServer, OWN_RETRY, Then, event_name};
use crate::access;
use crate::api::event;
use crate::api::kinds::Kind;
use crate::api::meta::Time;
use crate::api::namespace::{self, Namespace};
use crate::api::object::{Key, Object, Resource};
use crate::api::text::Text;
use crate::apiserver::admission;
use crate::apiserver::own;
use crate::apiserver::pods;
use crate::program::{Effects, Level, Query, RequestId, Revision};
use crate::time::Now;

impl ApiServer {
    pub(super) fn start(&mut self, now: Now, out: &mut Effects) {
        self.started = true;
        self.complete(now, out);
        let events: Vec<Object> = self.store.list(&Query::all(Kind::Event)).cloned().collect();
        for event in events {
            self.expire_later(now, &event);
        }
    }

    /// Makes the namespaces and priority classes that every cluster has, and the service account that every namespace has.
    pub(super) fn complete(&mut self, now: Now, out: &mut Effects) {
        self.incomplete_until = None;
        let there: Vec<Text> =
            self.store.list(&Query::all(Kind::Namespace)).map(|namespace| (*namespace.meta().name).into()).collect();
        for namespace in there {
            self.complete_namespace(now, &namespace, out);
        }
        self.forget_undefined(out);
        for key in self.store.list(&Query::all(Kind::CustomResourceDefinition)).map(Object::key).collect::<Vec<_>>() {
            self.empty_definition(now, &key, out);
        }
        if self.options.rbac {
            access::defaults::all().into_iter().for_each(|object| self.make(now, object, out));
        }
        for name in namespace::BUILT_IN {
            let mut namespace = Namespace::default();
            namespace.metadata.name = (*name).into();
            self.make(now, namespace.into_object(), out);
        }
        pods::system_classes().for_each(|class| self.make(now, class, out));
        self.complete_services(now, out);
        self.quotas.look_at_all();
        self.tell_of_quotas(out);
    }

    /// Makes the service account `default` in a namespace that lives and has none, and in `default` what leads to the
    /// server itself.
    ///
    /// Source: Kubernetes documentation, "Service Accounts", default service accounts.
    pub(super) fn complete_namespace(&mut self, now: Now, namespace: &Text, out: &mut Effects) {
        let within = Key::new(Kind::Namespace, "", namespace);
        if self.busy.contains_key(&within) {
            // Perhaps its end is on its way to the disk.
            self.incomplete_until.get_or_insert(now.mono + OWN_RETRY);
            return;
        }
        let lives = |object: &Object| !object.meta().is_deleting();
        let needed = self.store.get(&within).is_some_and(lives);
        if !needed {
            return;
        }
        let account = Object::empty(Kind::ServiceAccount).with_meta(|meta| {
            (meta.namespace, meta.name) = ((**namespace).into(), namespace::DEFAULT_ACCOUNT.into());
        });
        self.make(now, account, out);
        if &**namespace == own::NAMESPACE
            && let Some(at) = self.options.advertise
        {
            own::all(self.options.services, at).into_iter().for_each(|object| self.keep(now, object, out));
        }
    }

    /// Says that it answers for metrics, if it does.
    pub(super) fn complete_services(&mut self, now: Now, out: &mut Effects) {
        if self.options.metrics {
            self.keep(now, own::metrics(), out);
        }
    }

    /// Writes an object that the server wants for itself, unless there is one of its name.
    fn make(&mut self, now: Now, object: Object, out: &mut Effects) {
        let key = object.key();
        if self.store.get(&key).is_some() || self.busy.contains_key(&key) {
            return;
        }
        let uid = self.draw("uid", &key).uuid();
        let created = admission::created(now, object, uid, None).and_then(|object| match key.kind {
            Kind::Service => self.given.allotted(object, self.draw("service", &key)),
            _ => Ok(object),
        });
        match created {
            Ok(object) => drop(self.commit(None, key, Revision(0), Some(object), Then::Created, out)),
            Err(status) => out.log(Level::Error, format!("apiserver: {key}: {status}")),
        }
    }

    /// Writes an object that the server wants to be like this, unless it is.
    fn keep(&mut self, now: Now, object: Object, out: &mut Effects) {
        let key = object.key();
        match self.store.get(&key) {
            None => self.make(now, object, out),
            // A service's address is fixed.
            Some(_) if key.kind == Kind::Service => {}
            Some(stored) if stored.same_but_for_meta(&object) || self.busy.contains_key(&key) => {}
            Some(stored) => {
                let (expect, meta) = (stored.revision(), stored.meta().clone());
                let object = object.with_meta(|new| *new = meta);
                self.commit(None, key, expect, Some(object), Then::Changed, out);
            }
        }
    }

    /// After a write that came to nothing: what the server wants for itself it still wants.
    pub(super) fn try_again_later(&mut self, now: Now, key: &Key, from: Option<RequestId>) {
        let later = now.mono + OWN_RETRY;
        match key.kind {
            Kind::Event if self.store.get(key).is_some() => self.expiring.set_if_absent(event_name(key), later),
            _ if from.is_none() => self.incomplete_until = Some(later),
            _ => {}
        }
    }

    /// Writes what is used into the status of quotas.
    pub(super) fn tell_of_quotas(&mut self, out: &mut Effects) {
        for quota in self.quotas.statuses(&self.store, |key| self.busy.contains_key(key)) {
            self.commit(None, quota.key(), quota.revision(), Some(quota), Then::Changed, out);
        }
    }

    /// After a restart, an event's own time is all there is to go by.
    fn expire_later(&mut self, now: Now, object: &Object) {
        let Some(event) = object.get::<event::Event>() else { return };
        let last = event.last_timestamp.or(event.metadata.creation_timestamp).map_or(now.wall, Time::wall);
        let left = event::TTL.saturating_sub(now.wall.since(last));
        self.expiring.set(event_name(&object.key()), now.mono + left);
    }

    pub(super) fn expire(&mut self, now: Now, out: &mut Effects) {
        while let Some((namespace, name)) = self.expiring.pop_due(now.mono) {
            let key = Key { kind: Kind::Event, namespace, name };
            let Some(stored) = self.store.get(&key) else { continue };
            if self.busy.contains_key(&key) {
                // Whatever becomes of what is being written now, it sets a new deadline.
                continue;
            }
            let expect = stored.revision();
            self.commit(None, key, expect, None, Then::Removed, out);
        }
    }
}
