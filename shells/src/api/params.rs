//! What a query means.

use crate::http::Asked;
use miniku_core::api::kinds::Kind;
use miniku_core::api::selector::{parse_field_selector, parse_label_selector};
use miniku_core::api::status::{FieldError, Reason, Status};
use miniku_core::program::{DeleteOptions, Propagation, Query, Revision, WatchFrom};
use serde::Deserialize;
use std::time::Duration;

/// What is said of fields that Kubernetes does not have.
///
/// Source: KEP-2885, server-side field validation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Nothing; they are dropped.
    Ignore,
    /// They are dropped, with a warning.
    #[default]
    Warn,
    /// The request is refused.
    Strict,
}

/// The parameters that requests of any kind may have. Unknown ones are ignored, as Kubernetes does.
#[derive(Debug, Default)]
pub struct Params {
    pub watch: bool,
    pub bookmarks: bool,
    pub dry_run: bool,
    pub label_selector: String,
    pub field_selector: String,
    pub resource_version: String,
    pub resource_version_match: String,
    pub timeout: Option<Duration>,
    pub delete: DeleteOptions,
    /// The old way to say what becomes of dependents.
    pub orphan_dependents: Option<bool>,
    /// At most so many objects are listed at once.
    pub limit: Option<usize>,
    /// Where the page before ended.
    pub after: String,
    /// A watch begins with every object there is, and says when these end; or it begins with none of them.
    pub initial_events: Option<bool>,
    /// Who writes.
    pub field_manager: String,
    /// What is said of fields that are none.
    pub field_validation: FieldValidation,
    /// An apply takes fields from others.
    pub force: bool,
    /// How much of an object goes with its row in a table.
    pub include: String,
    /// Of GoKube: only pods of this node.
    pub node_name: Option<String>,
}

impl Params {
    /// Reads a request's query.
    pub fn of(asked: Asked) -> Result<Params, Status> {
        Params::read(asked.method, asked.query_pairs())
    }

    fn read<N: AsRef<str>, V: AsRef<str>>(method: &str, pairs: impl Iterator<Item = (N, V)>) -> Result<Params, Status> {
        let mut params = Params::default();
        let mut wrong = Vec::new();
        for (name, value) in pairs {
            let value = value.as_ref();
            match name.as_ref() {
                "watch" => params.watch = truth("watch", value)?,
                "allowWatchBookmarks" => params.bookmarks = truth("allowWatchBookmarks", value)?,
                "dryRun" => dry_run(value).map_or_else(|error| wrong.push(error), |dry| params.dry_run = dry),
                "labelSelector" => params.label_selector = value.into(),
                "fieldSelector" => params.field_selector = value.into(),
                "resourceVersion" => params.resource_version = value.into(),
                "resourceVersionMatch" => params.resource_version_match = value.into(),
                "limit" => params.limit = Some(count("limit", value)?).filter(|limit| *limit > 0),
                "continue" => params.after = value.into(),
                "sendInitialEvents" => params.initial_events = Some(truth("sendInitialEvents", value)?),
                "fieldManager" => {
                    wrong.extend(wrong_manager(value));
                    params.field_manager = value.into();
                }
                "fieldValidation" => {
                    field_validation(value).map_or_else(|error| wrong.push(error), |how| params.field_validation = how);
                }
                "force" => params.force = truth("force", value)?,
                "includeObject" => params.include = value.into(),
                "nodeName" => params.node_name = Some(value.into()),
                "timeoutSeconds" => {
                    // None at all is what a client says that leaves the time to the server.
                    params.timeout = Some(number(value)?).filter(|seconds| *seconds > 0).map(Duration::from_secs);
                }
                "gracePeriodSeconds" => params.delete.grace_seconds = Some(grace(value)?),
                "orphanDependents" => params.orphan_dependents = Some(truth("orphanDependents", value)?),
                "propagationPolicy" => {
                    propagation(value)
                        .map_or_else(|error| wrong.push(error), |how| params.delete.propagation = Some(how));
                }
                _ => {}
            }
        }
        let options = match method {
            "POST" => "CreateOptions",
            "PUT" => "UpdateOptions",
            "PATCH" => "PatchOptions",
            "DELETE" => "DeleteOptions",
            // They are options of writes.
            _ => return Ok(params),
        };
        if wrong.is_empty() { Ok(params) } else { Err(Status::invalid_options(options, &wrong)) }
    }

    /// Whether the options of a list or a watch go together.
    ///
    /// Source: Kubernetes, `apimachinery/pkg/apis/meta/internalversion/validation`, `ValidateListOptions`.
    fn together(&self) -> Result<(), Status> {
        let (how, version) = (self.resource_version_match.as_str(), self.resource_version.as_str());
        let mut wrong = Vec::new();
        let mut forbid = |field: &str, why: &str| wrong.push(FieldError::forbidden(field, why));
        let continued = "resourceVersionMatch is forbidden when continue is provided";
        match (self.watch, self.initial_events) {
            (true, Some(_)) => {
                if how != "NotOlderThan" {
                    let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
                    forbid("resourceVersionMatch", why);
                }
                if !self.after.is_empty() {
                    forbid("resourceVersionMatch", continued);
                }
            }
            (true, None) if !how.is_empty() => {
                forbid(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                );
            }
            (true, None) => {}
            (false, initial) => {
                if !how.is_empty() && version.is_empty() {
                    forbid(
                        "resourceVersionMatch",
                        "resourceVersionMatch is forbidden unless resourceVersion is provided",
                    );
                }
                if !how.is_empty() && !self.after.is_empty() {
                    forbid("resourceVersionMatch", continued);
                }
                if how == "Exact" && version == "0" {
                    forbid(
                        "resourceVersionMatch",
                        "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                    );
                }
                if initial.is_some() {
                    forbid("sendInitialEvents", "sendInitialEvents is forbidden for list");
                }
                if !matches!(how, "" | "Exact" | "NotOlderThan") {
                    let known = ["", "Exact", "NotOlderThan"].map(Into::into);
                    wrong.push(FieldError::not_supported("resourceVersionMatch", how, known));
                }
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(Status::invalid_options("ListOptions", &wrong)) }
    }

    /// The objects that are meant.
    pub fn query(&self, kind: Kind, namespace: Option<&str>) -> Result<Query, Status> {
        let wrong = |message: String| Status::failure(Reason::BadRequest, message);
        let mut fields = parse_field_selector(&self.field_selector).map_err(wrong)?;
        if let Some(node) = self.node_name.as_ref().filter(|_| kind == Kind::Pod) {
            fields.0.extend(miniku_core::api::selector::FieldSelector::equal("spec.nodeName", node).0);
        }
        let labels = parse_label_selector(&self.label_selector).map_err(wrong)?;
        Ok(Query { labels, fields, namespace: namespace.map(Into::into), ..Query::all(kind) })
    }

    /// The objects that are to be listed, and how old the list may be.
    ///
    /// Source: Kubernetes API concepts, "Semantics for get and list": a revision alone means `NotOlderThan`.
    pub fn list_query(&self, kind: Kind, namespace: Option<&str>) -> Result<Query, Status> {
        self.together()?;
        let not_older_than = self.revision()?;
        Ok(Query { not_older_than, ..self.query(kind, namespace)? })
    }

    /// The revision at which a list is to be, if it is to be at just that one.
    pub fn exactly(&self) -> Result<Option<Revision>, Status> {
        if self.resource_version_match == "Exact" { self.revision() } else { Ok(None) }
    }

    /// Where a watch begins.
    pub fn watch_from(&self) -> Result<WatchFrom, Status> {
        self.together()?;
        Ok(self.revision()?.map_or(WatchFrom::Start, WatchFrom::After))
    }

    /// The revision that is named; none is named by `0` either, which means any.
    fn revision(&self) -> Result<Option<Revision>, Status> {
        match self.resource_version.as_str() {
            "" | "0" => Ok(None),
            text => text.parse().map(|revision| Some(Revision(revision))).map_err(|_| {
                let rule = format!("resourceVersion: Invalid value: {text:?}: must be a decimal number");
                Status::failure(Reason::BadRequest, rule)
            }),
        }
    }
}

/// What Go's `strconv.ParseBool` takes: clients send `true`, `1` and `True`.
fn truth(name: &str, value: &str) -> Result<bool, Status> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => {
            Err(Status::failure(Reason::BadRequest, format!("{name}: Invalid value: {value:?}: must be true or false")))
        }
    }
}

fn dry_run(value: &str) -> Result<bool, FieldError> {
    match value {
        "All" => Ok(true),
        _ => Err(FieldError::not_supported("dryRun", value, ["All".to_owned()])),
    }
}

fn count(name: &str, value: &str) -> Result<usize, Status> {
    value
        .parse()
        .map_err(|_| Status::failure(Reason::BadRequest, format!("{name}: Invalid value: {value:?}: must be a number")))
}

fn field_validation(value: &str) -> Result<FieldValidation, FieldError> {
    match value {
        "" | "Warn" => Ok(FieldValidation::Warn),
        "Ignore" => Ok(FieldValidation::Ignore),
        "Strict" => Ok(FieldValidation::Strict),
        _ => Err(FieldError::not_supported("fieldValidation", value, ["Ignore", "Strict", "Warn"].map(Into::into))),
    }
}

/// Source: Kubernetes, `apimachinery/pkg/apis/meta/v1/validation`, `FieldManagerMaxLength`.
fn wrong_manager(value: &str) -> Option<FieldError> {
    match value {
        long if long.chars().count() > 128 => Some(FieldError::too_long("fieldManager", 128)),
        odd if odd.chars().any(char::is_control) => {
            Some(FieldError::invalid("fieldManager", odd, "should only contain printable characters"))
        }
        _ => None,
    }
}

fn number(value: &str) -> Result<u64, Status> {
    value.parse().map_err(|_| Status::failure(Reason::BadRequest, format!("{value:?} is not a number of seconds")))
}

fn grace(value: &str) -> Result<i64, Status> {
    let wrong = || Status::failure(Reason::BadRequest, format!("{value:?} is not a number of seconds"));
    value.parse().map_err(|_| wrong())
}

/// How long a deletion may take that is asked for with so many seconds. Less than nothing is the least that there is but
/// for an end at once, which somebody must mean.
///
/// Source: Kubernetes, `k8s.io/apiserver/pkg/registry/rest`, `BeforeDelete`.
fn meant_grace(seconds: i64) -> i64 {
    if seconds < 0 { 1 } else { seconds }
}

fn propagation(value: &str) -> Result<Propagation, FieldError> {
    match value {
        "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        "Orphan" => Ok(Propagation::Orphan),
        _ => {
            let known = ["Background", "Foreground", "Orphan"].map(Into::into);
            Err(FieldError::not_supported("propagationPolicy", value, known))
        }
    }
}

/// `DeleteOptions` as clients send them in a body.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    grace_period_seconds: Option<i64>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    preconditions: Option<Preconditions>,
    dry_run: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

/// The options of a deletion: those in the body come before those in the query. Also whether it is a dry run.
pub fn delete_options(body: &[u8], params: &Params) -> Result<(DeleteOptions, bool), Status> {
    let mut options = params.delete.clone();
    let mut dry = params.dry_run;
    let body: Option<Body> = match body.iter().all(u8::is_ascii_whitespace) {
        true => None,
        false => serde_json::from_slice(body)
            .map_err(|error| Status::failure(Reason::BadRequest, format!("the body is no DeleteOptions: {error}")))?,
    };
    let body = body.unwrap_or_default();
    let refused = |error| Status::invalid_options("DeleteOptions", &[error]);
    options.grace_seconds = body.grace_period_seconds.or(options.grace_seconds).map(meant_grace);
    if let Some(policy) = body.propagation_policy {
        options.propagation = Some(propagation(&policy).map_err(refused)?);
    }
    if let Some(orphan) = body.orphan_dependents.or(params.orphan_dependents) {
        // Source: Kubernetes, `apimachinery/pkg/apis/meta/v1/validation`, `ValidateDeleteOptions`.
        if let Some(policy) = options.propagation {
            let rule = "orphanDependents and deletionPropagation cannot be both set";
            return Err(refused(FieldError::invalid("propagationPolicy", format!("{policy:?}"), rule)));
        }
        options.propagation = Some(if orphan { Propagation::Orphan } else { Propagation::Background });
    }
    for value in body.dry_run.iter().flatten() {
        dry = dry_run(value).map_err(refused)?;
    }
    let only = body.preconditions.unwrap_or_default();
    (options.uid, options.resource_version) = (only.uid.map(Into::into), only.resource_version.map(Into::into));
    Ok((options, dry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Params, Status> {
        Params::read("DELETE", pairs.iter().copied())
    }

    #[test]
    fn reads_what_clients_send() {
        let params =
            read(&[("watch", "True"), ("resourceVersion", "7"), ("pretty", "true"), ("timeoutSeconds", "5")]).unwrap();
        assert!(params.watch && params.timeout == Some(Duration::from_secs(5)));
        assert_eq!(read(&[("timeoutSeconds", "0")]).unwrap().timeout, None);
        assert_eq!(params.watch_from().unwrap(), WatchFrom::After(Revision(7)));
        assert_eq!(read(&[("resourceVersion", "0")]).unwrap().watch_from().unwrap(), WatchFrom::Start);
        for (wrong, code) in [
            (("watch", "maybe"), 400),
            (("timeoutSeconds", "-1"), 400),
            (("dryRun", "Some"), 422),
            (("propagationPolicy", "x"), 422),
            (("fieldValidation", "x"), 422),
        ] {
            assert_eq!(read(&[wrong]).unwrap_err().http_code(), code, "{wrong:?}");
        }
        assert!(read(&[("resourceVersion", "x")]).unwrap().watch_from().is_err());
        assert!(read(&[("labelSelector", "a in b")]).unwrap().query(Kind::Pod, None).is_err());
    }

    #[test]
    fn a_list_may_be_as_old_as_it_is_said() {
        let check = |version: &str, how: &str, want: Result<Option<u64>, u16>| {
            let params = read(&[("resourceVersion", version), ("resourceVersionMatch", how)]).unwrap();
            let got = params.list_query(Kind::Pod, None);
            let got = got.map(|query| query.not_older_than.map(|one| one.0)).map_err(|status| status.http_code());
            assert_eq!(got, want, "{version:?} {how:?}");
        };
        check("", "", Ok(None));
        check("0", "", Ok(None));
        check("0", "NotOlderThan", Ok(None));
        check("7", "", Ok(Some(7)));
        check("7", "NotOlderThan", Ok(Some(7)));
        check("7", "Exact", Ok(Some(7)));
        check("0", "Exact", Err(422));
        check("", "NotOlderThan", Err(422));
        check("7", "Newest", Err(422));
        check("x", "", Err(400));
    }

    #[test]
    fn options_of_a_watch_go_together() {
        let check = |how: &str, initial: Option<&str>, want: &str| {
            let mut pairs = vec![("watch", "true"), ("resourceVersionMatch", how)];
            pairs.extend(initial.map(|initial| ("sendInitialEvents", initial)));
            let got = read(&pairs).unwrap().watch_from().map_or_else(|status| status.message, |_| String::new());
            assert!(got.ends_with(want) && got.is_empty() == want.is_empty(), "{how:?} {initial:?}: {got}");
        };
        check("", None, "");
        check("NotOlderThan", Some("true"), "");
        check("NotOlderThan", None, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
        check("", Some("true"), "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }

    #[test]
    fn options_of_a_deletion_come_in_the_body_or_in_the_query() {
        let params = read(&[("gracePeriodSeconds", "3"), ("propagationPolicy", "Orphan")]).unwrap();
        let (options, dry) = delete_options(b"", &params).unwrap();
        assert_eq!((options.grace_seconds, options.propagation, dry), (Some(3), Some(Propagation::Orphan), false));
        let body = br#"{"gracePeriodSeconds":0,"preconditions":{"uid":"u"},"dryRun":["All"]}"#;
        let (options, dry) = delete_options(body, &params).unwrap();
        assert_eq!((options.grace_seconds, options.uid.as_deref(), dry), (Some(0), Some("u"), true));
        assert!(delete_options(b"[", &params).is_err());
        let nothing = br#"{"gracePeriodSeconds":null,"preconditions":null,"dryRun":null,"propagationPolicy":null}"#;
        let (options, dry) = delete_options(nothing, &params).unwrap();
        assert_eq!((options.grace_seconds, options.propagation, dry), (Some(3), Some(Propagation::Orphan), false));
        // As an eviction says `deleteOptions`, or a client of no options at all.
        assert_eq!(delete_options(b"null", &params).unwrap().0.grace_seconds, Some(3));
    }

    #[test]
    fn less_time_than_none_is_a_second() {
        let seconds =
            |body: &[u8], query: &[(&str, &str)]| delete_options(body, &read(query).unwrap()).unwrap().0.grace_seconds;
        assert_eq!(seconds(br#"{"gracePeriodSeconds":-1}"#, &[]), Some(1));
        assert_eq!(seconds(b"", &[("gracePeriodSeconds", "-1")]), Some(1));
        assert_eq!(seconds(b"", &[("gracePeriodSeconds", "0")]), Some(0));
        assert_eq!(read(&[("gracePeriodSeconds", "soon")]).unwrap_err().http_code(), 400);
    }

    #[test]
    fn the_old_way_to_keep_dependents_is_understood() {
        let check = |body: &str, query: &[(&str, &str)], want: Result<Propagation, u16>| {
            let got = delete_options(body.as_bytes(), &read(query).unwrap());
            let got = got.map(|(options, _)| options.propagation).map_err(|status| status.http_code());
            assert_eq!(got, want.map(Some), "{body} {query:?}");
        };
        check(r#"{"orphanDependents":true}"#, &[], Ok(Propagation::Orphan));
        check(r#"{"orphanDependents":false}"#, &[], Ok(Propagation::Background));
        check("", &[("orphanDependents", "true")], Ok(Propagation::Orphan));
        check(r#"{"orphanDependents":true,"propagationPolicy":"Orphan"}"#, &[], Err(422));
    }
}
