//! Whether a write that is made under a lease may still be made.
//!
//! A program that leads was elected some time ago, and a request may have been on its way for long: its process stood still,
//! or the network did. So a write of such a program says by which lease it leads, and the API server compares that with the
//! lease in the same step in which it admits the write. A write to the lease that is on its way to the disk is waited
//! for, as it is durable before this one would be.

use crate::api::kinds::Kind;
use crate::api::lease::{Fence, Lease};
use crate::api::object::Object;
use crate::api::status::Status;
use crate::decision::Because;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// Who holds the lease, as it is stored.
    pub enum Holder {
        /// Whom the write names.
        Sender,
        /// Another.
        Another,
        /// Nobody.
        Nobody,
        /// There is no such lease.
        NoLease,
    }
}

decision_enum! {
    /// Whether it is the lease that the write names: by its uid and its term.
    pub enum Term {
        /// It is.
        Same,
        /// It was taken again since, or made again.
        Other,
    }
}

decision_enum! {
    /// What becomes of the write.
    pub enum Verdict {
        /// It is looked at as any other.
        Admit,
        /// It is refused with a conflict, whose cause is `LeaseNotHeld`.
        Refuse,
    }
}

decision_table! {
    /// Whether a write may still be made that says under which lease it is. Pure and total. Page: `docs/decisions/fencing.md`.
    pub fn fencing(holder: Holder, term: Term) -> Verdict, FENCING;
    held:    (Sender, Same)  => Admit,  "who writes leads";
    again:   (Sender, Other) => Refuse, "it was sent in an earlier time of leading, of which nothing is known any more";
    taken:   (Another, _)    => Refuse, "another leads";
    left:    (Nobody, _)     => Refuse, "its sender leads no more, and another may at any moment";
    deleted: (NoLease, _)    => Refuse, "nobody can tell who leads";
}

/// Reduces the stored lease.
fn stored(fence: &Fence, lease: Option<&Lease>) -> (Holder, Term) {
    let Some(lease) = lease else { return (Holder::NoLease, Term::Other) };
    let now = Fence::of(lease);
    let holder = match &now {
        None => Holder::Nobody,
        Some(now) if now.holder == fence.holder => Holder::Sender,
        Some(_) => Holder::Another,
    };
    let same = planted!(TermIgnored) || now.is_some_and(|now| (&now.uid, now.term) == (&fence.uid, fence.term));
    (holder, if same { Term::Same } else { Term::Other })
}

/// Refuses a write whose sender does not lead by this lease, as it is stored; and tells by which row.
pub fn refusal(fence: &Fence, lease: Option<&Object>) -> Option<(Because, Status)> {
    if planted!(FenceIgnored) {
        return None;
    }
    let lease = lease.and_then(Object::get::<Lease>);
    let (holder, term) = stored(fence, lease);
    let row = fencing(holder, term);
    if row.then == Verdict::Admit {
        return None;
    }
    sometimes!(WriteFenced);
    let now = lease
        .and_then(Fence::of)
        .map_or("is held by nobody".into(), |now| format!("is held by {}, term {}", now.holder, now.term));
    let why = format!("it was written by {} in term {}, and the lease {now}: {}", fence.holder, fence.term, row.why);
    let status = Status::fenced(Kind::Lease, &fence.lease.name, &why);
    Some((Because::of(&FENCING, row).as_seen(&*status.message), status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::object::Resource;

    #[test]
    fn a_write_is_admitted_under_the_very_lease_it_names() {
        let lease = |uid: &str, holder: &str, term: i32| {
            let mut lease = Lease::default();
            (lease.metadata.namespace, lease.metadata.name) = ("kube-system".into(), "kube-scheduler".into());
            lease.metadata.uid = uid.into();
            (lease.spec.holder_identity, lease.spec.lease_transitions) = (Some(holder.into()), Some(term));
            lease
        };
        let fence = Fence::of(&lease("u", "a", 3)).unwrap();
        let check = |now: Option<Lease>, want: (Holder, Term)| {
            assert_eq!(stored(&fence, now.as_ref()), want);
            let object = now.map(Resource::into_object);
            let answer = super::refusal(&fence, object.as_ref());
            assert_eq!(answer.is_none(), want == (Holder::Sender, Term::Same));
            assert!(answer.is_none_or(|(_, status)| status.is_fenced()));
        };
        check(Some(lease("u", "a", 3)), (Holder::Sender, Term::Same));
        check(Some(lease("u", "a", 4)), (Holder::Sender, Term::Other));
        check(Some(lease("v", "a", 3)), (Holder::Sender, Term::Other));
        check(Some(lease("u", "b", 4)), (Holder::Another, Term::Other));
        check(Some(lease("u", "", 3)), (Holder::Nobody, Term::Other));
        check(None, (Holder::NoLease, Term::Other));
        let told = super::refusal(&fence, Some(&lease("u", "b", 4).into_object())).unwrap();
        let want = "Operation cannot be fulfilled on leases.coordination.k8s.io \"kube-scheduler\": it was written by a in \
                    term 3, and the lease is held by b, term 4: another leads";
        assert_eq!(told.1.message, want);
    }
}
