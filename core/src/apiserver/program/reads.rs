//! What is read: objects, lists, parts of lists, and watches.

use super::ApiServer;
use crate::api::object::Object;
use crate::api::status::{Reason, Status};
use crate::api::text::Text;
use crate::program::{Answer, Effect, Effects, Query, RequestId, Revision, Verb, WatchEvent, WatchFrom};
use crate::time::Now;

/// A part of a list.
pub struct Page {
    /// The revision at which all parts are.
    pub revision: Revision,
    /// This part.
    pub items: Vec<Object>,
    /// How many objects follow it.
    pub left: usize,
}

impl ApiServer {
    /// The answer to a read, which changes nothing; absent if something else is asked.
    pub fn read(&self, verb: &Verb) -> Option<Answer> {
        match verb {
            Verb::Get { key } => Some(match self.store.get(key) {
                Some(object) => Answer::Object { object: object.clone(), created: false },
                None => Answer::Refused(Status::not_found(key.kind, &key.name)),
            }),
            Verb::List(query) => Some(match unknown_field(query).or_else(|| self.unknown_revision(query)) {
                Some(status) => Answer::Refused(status),
                None => {
                    Answer::List { revision: self.store.revision(), items: self.store.list(query).cloned().collect() }
                }
            }),
            _ => None,
        }
    }

    /// A part of a list: at most `limit` objects after the one with this namespace and name, all at one revision; the
    /// newest, if none is named.
    ///
    /// Source: Kubernetes API concepts, "Retrieving large results sets in chunks".
    pub fn page(
        &self,
        query: &Query,
        revision: Option<Revision>,
        after: Option<&(Text, Text)>,
        limit: Option<usize>,
    ) -> Result<Page, Status> {
        if let Some(status) = unknown_field(query).or_else(|| self.unknown_revision(query)) {
            return Err(status);
        }
        let revision = revision.unwrap_or(self.store.revision());
        let mut items = self.store.list_at(query, revision).ok_or_else(|| {
            if revision > self.store.revision() {
                return Status::too_large_revision(revision.0, self.store.revision().0);
            }
            let what = if after.is_some() {
                "The provided continue parameter is too old to display a consistent list result."
            } else {
                "The resourceVersion for the provided list is too old."
            };
            Status::failure(Reason::Expired, what)
        })?;
        if let Some((namespace, name)) = after {
            let done = items.partition_point(|object| {
                let meta = object.meta();
                let (is, last) = ((meta.namespace.as_str(), meta.name.as_str()), (&**namespace, &**name));
                is < last || is == last && !planted!(PageRepeatsLast)
            });
            items.drain(..done);
        }
        let left = limit.map_or(0, |limit| items.len().saturating_sub(limit));
        items.truncate(items.len() - left);
        Ok(Page { revision, items, left })
    }

    pub(super) fn watch(&mut self, to: RequestId, query: Query, from: WatchFrom, bookmarks: bool, out: &mut Effects) {
        if let Some(status) = unknown_field(&query) {
            return out.push(Effect::Answer { to, answer: Answer::Refused(status) });
        }
        out.push(Effect::Answer { to, answer: Answer::Watching });
        // A revision that is still to come was given by a store that knew more than this one.
        let unknown = matches!(from, WatchFrom::After(revision) if revision > self.store.revision());
        match self.store.backlog(&query, from).filter(|_| !unknown) {
            Some(backlog) => {
                if matches!(from, WatchFrom::After(_)) && !backlog.is_empty() {
                    sometimes!(WatchCaughtUp);
                }
                out.list.extend(backlog.into_iter().map(|event| Effect::Event { to, event }));
                self.watchers.add(to, query, bookmarks);
            }
            None => {
                let (is, oldest) = if let WatchFrom::After(is) = from { (is, self.store.oldest()) } else { return };
                let why = if unknown {
                    sometimes!(WatchOfFuture);
                    format!("too large resource version: {is}, current: {}", self.store.revision())
                } else {
                    sometimes!(WatchExpired);
                    format!("too old resource version: {is} ({oldest})")
                };
                let status = Status::failure(Reason::Expired, why);
                out.push(Effect::Event { to, event: WatchEvent::Expired(status) });
                out.push(Effect::End { to });
            }
        }
    }

    /// A list that is to be at least as new as a store that knew more than this one.
    fn unknown_revision(&self, query: &Query) -> Option<Status> {
        let current = self.store.revision();
        let asked = query.not_older_than.filter(|asked| *asked > current)?;
        Some(Status::too_large_revision(asked.0, current.0))
    }

    pub(super) fn bookmark(&mut self, now: Now, out: &mut Effects) {
        let due = self.bookmark_at.is_some_and(|at| at <= now.mono);
        if due {
            sometimes!(BookmarkSent);
            let ahead = if planted!(BookmarkAhead) { self.on_their_way.len() as u64 } else { 0 };
            let event = WatchEvent::Bookmark(Revision(self.store.revision().0 + ahead));
            out.list.extend(self.watchers.with_bookmarks().map(|to| Effect::Event { to, event: event.clone() }));
        }
        if self.watchers.is_empty() {
            self.bookmark_at = None;
        } else if due || self.bookmark_at.is_none() {
            self.bookmark_at = Some(now.mono + self.options.bookmark_every);
        }
    }
}

fn unknown_field(query: &Query) -> Option<Status> {
    let field = query.unknown_field()?;
    // Kinds that have fields of their own say less.
    let row = query.kind.row();
    let why = match (row.fields, row.counts) {
        ([], []) => format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""),
        _ => format!("field label not supported: {field}"),
    };
    Some(Status::failure(Reason::BadRequest, why))
}
