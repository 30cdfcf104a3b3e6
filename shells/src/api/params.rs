//! What a query means.

use crate::http::Asked;
use miniku_core::api::kinds::Kind;
use miniku_core::api::selector::{parse_field_selector, parse_label_selector};
use miniku_core::api::status::{Reason, Status};
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
    /// At most so many objects are listed at once.
    pub limit: Option<usize>,
    /// Where the page before ended.
    pub after: String,
    /// A watch begins with every object there is, and says when these end.
    pub initial_events: bool,
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
        Params::read(asked.query_pairs())
    }

    fn read<N: AsRef<str>, V: AsRef<str>>(pairs: impl Iterator<Item = (N, V)>) -> Result<Params, Status> {
        let mut params = Params::default();
        for (name, value) in pairs {
            let value = value.as_ref();
            match name.as_ref() {
                "watch" => params.watch = truth("watch", value)?,
                "allowWatchBookmarks" => params.bookmarks = truth("allowWatchBookmarks", value)?,
                "dryRun" => params.dry_run = dry_run(value)?,
                "labelSelector" => params.label_selector = value.into(),
                "fieldSelector" => params.field_selector = value.into(),
                "resourceVersion" => params.resource_version = value.into(),
                "resourceVersionMatch" => params.resource_version_match = value.into(),
                "limit" => params.limit = Some(count("limit", value)?).filter(|limit| *limit > 0),
                "continue" => params.after = value.into(),
                "sendInitialEvents" => params.initial_events = truth("sendInitialEvents", value)?,
                "fieldManager" => params.field_manager = field_manager(value)?,
                "fieldValidation" => params.field_validation = field_validation(value)?,
                "force" => params.force = truth("force", value)?,
                "includeObject" => params.include = value.into(),
                "nodeName" => params.node_name = Some(value.into()),
                "timeoutSeconds" => params.timeout = Some(Duration::from_secs(number(value)?)),
                "gracePeriodSeconds" => params.delete.grace_seconds = Some(grace(value)?),
                "propagationPolicy" => params.delete.propagation = Some(propagation(value)?),
                _ => {}
            }
        }
        Ok(params)
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
        let not_older_than = self.revision()?;
        match self.resource_version_match.as_str() {
            "" => {}
            "NotOlderThan" if !self.resource_version.is_empty() => {}
            "Exact" if not_older_than.is_some() => {}
            other => {
                let why =
                    format!("resourceVersionMatch: Invalid value: {other:?}: needs a resourceVersion that it fits");
                return Err(Status::failure(Reason::BadRequest, why));
            }
        }
        Ok(Query { not_older_than, ..self.query(kind, namespace)? })
    }

    /// The revision at which a list is to be, if it is to be at just that one.
    pub fn exactly(&self) -> Result<Option<Revision>, Status> {
        if self.resource_version_match == "Exact" { self.revision() } else { Ok(None) }
    }

    /// Where a watch begins.
    pub fn watch_from(&self) -> Result<WatchFrom, Status> {
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

fn dry_run(value: &str) -> Result<bool, Status> {
    match value {
        "All" => Ok(true),
        _ => {
            let message = format!("dryRun: Unsupported value: {value:?}: supported values: \"All\"");
            Err(Status::failure(Reason::BadRequest, message))
        }
    }
}

fn count(name: &str, value: &str) -> Result<usize, Status> {
    value
        .parse()
        .map_err(|_| Status::failure(Reason::BadRequest, format!("{name}: Invalid value: {value:?}: must be a number")))
}

fn field_validation(value: &str) -> Result<FieldValidation, Status> {
    match value {
        "" | "Warn" => Ok(FieldValidation::Warn),
        "Ignore" => Ok(FieldValidation::Ignore),
        "Strict" => Ok(FieldValidation::Strict),
        _ => {
            let known = "\"Ignore\", \"Strict\", \"Warn\"";
            let message = format!("fieldValidation: Unsupported value: {value:?}: supported values: {known}");
            Err(Status::failure(Reason::BadRequest, message))
        }
    }
}

/// Source: Kubernetes, `apimachinery/pkg/apis/meta/v1/validation`, `FieldManagerMaxLength`.
fn field_manager(value: &str) -> Result<String, Status> {
    match value {
        long if long.chars().count() > 128 => {
            let message = "fieldManager: Too long: may not be more than 128 bytes";
            Err(Status::failure(Reason::BadRequest, message))
        }
        odd if odd.chars().any(char::is_control) => {
            let message = format!("fieldManager: Invalid value: {odd:?}: should only contain printable characters");
            Err(Status::failure(Reason::BadRequest, message))
        }
        value => Ok(value.into()),
    }
}

fn number(value: &str) -> Result<u64, Status> {
    value.parse().map_err(|_| Status::failure(Reason::BadRequest, format!("{value:?} is not a number of seconds")))
}

fn grace(value: &str) -> Result<i64, Status> {
    i64::try_from(number(value)?).map_err(|_| Status::failure(Reason::BadRequest, format!("{value:?} is too long")))
}

fn propagation(value: &str) -> Result<Propagation, Status> {
    match value {
        "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        "Orphan" => Ok(Propagation::Orphan),
        _ => {
            let known = "\"Background\", \"Foreground\", \"Orphan\"";
            let message = format!("propagationPolicy: Unsupported value: {value:?}: supported values: {known}");
            Err(Status::failure(Reason::BadRequest, message))
        }
    }
}

/// `DeleteOptions` as clients send them in a body.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    grace_period_seconds: Option<i64>,
    propagation_policy: Option<String>,
    preconditions: Option<Preconditions>,
    dry_run: Vec<String>,
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
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok((options, dry));
    }
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| Status::failure(Reason::BadRequest, format!("the body is no DeleteOptions: {error}")))?;
    options.grace_seconds = body.grace_period_seconds.or(options.grace_seconds);
    if options.grace_seconds.is_some_and(|seconds| seconds < 0) {
        return Err(Status::failure(Reason::BadRequest, "gracePeriodSeconds: Invalid value: must not be negative"));
    }
    if let Some(policy) = body.propagation_policy {
        options.propagation = Some(propagation(&policy)?);
    }
    for value in &body.dry_run {
        dry = dry_run(value)?;
    }
    let only = body.preconditions.unwrap_or_default();
    (options.uid, options.resource_version) = (only.uid.map(Into::into), only.resource_version.map(Into::into));
    Ok((options, dry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Params, Status> {
        Params::read(pairs.iter().copied())
    }

    #[test]
    fn reads_what_clients_send() {
        let params =
            read(&[("watch", "True"), ("resourceVersion", "7"), ("pretty", "true"), ("timeoutSeconds", "5")]).unwrap();
        assert!(params.watch && params.timeout == Some(Duration::from_secs(5)));
        assert_eq!(params.watch_from().unwrap(), WatchFrom::After(Revision(7)));
        assert_eq!(read(&[("resourceVersion", "0")]).unwrap().watch_from().unwrap(), WatchFrom::Start);
        for wrong in [("watch", "maybe"), ("dryRun", "Some"), ("timeoutSeconds", "-1"), ("propagationPolicy", "x")] {
            assert_eq!(read(&[wrong]).unwrap_err().http_code(), 400, "{wrong:?}");
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
        check("0", "Exact", Err(400));
        check("", "NotOlderThan", Err(400));
        check("7", "Newest", Err(400));
        check("x", "", Err(400));
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
        assert!(delete_options(br#"{"gracePeriodSeconds":-1}"#, &params).is_err());
    }
}
