//! Status: how the API server says that something went wrong, or was removed.
//!
//! Source: Kubernetes API conventions, "Response Status Kind".

use crate::api::kinds::{Kind, KindRow};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An answer that is no object. The order of the fields is the one clients' tests compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    kind: String,
    api_version: String,
    #[serde(default)]
    metadata: Empty,
    /// `Success` or `Failure`.
    pub status: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What a program would act on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// About which object, and which of its fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
    /// The HTTP status code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Empty {}

/// Why a request failed. Each has one HTTP status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Reason {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    AlreadyExists,
    Conflict,
    Expired,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    Invalid,
    TooManyRequests,
    InternalError,
    ServiceUnavailable,
    Timeout,
    /// Any other word, from another server.
    #[serde(other)]
    Unknown,
}

impl Reason {
    /// The HTTP status code. Source: `k8s.io/apimachinery/pkg/apis/meta/v1`, `StatusReason`.
    pub const fn code(self) -> u16 {
        match self {
            Reason::BadRequest => 400,
            Reason::Unauthorized => 401,
            Reason::Forbidden => 403,
            Reason::NotFound => 404,
            Reason::MethodNotAllowed => 405,
            Reason::NotAcceptable => 406,
            Reason::AlreadyExists | Reason::Conflict => 409,
            Reason::Expired => 410,
            Reason::RequestEntityTooLarge => 413,
            Reason::UnsupportedMediaType => 415,
            Reason::Invalid => 422,
            Reason::TooManyRequests => 429,
            Reason::InternalError | Reason::Unknown => 500,
            Reason::ServiceUnavailable => 503,
            Reason::Timeout => 504,
        }
    }
}

/// About which object a [`Status`] speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its API group; empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The plural resource, or the kind where its content is invalid.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its uid.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One a field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// In so many seconds it may be asked again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired` and the like.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The field's path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// What is wrong with one field of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's path, for example `spec.containers[0].name`.
    pub field: String,
    /// Which rule it breaks.
    pub kind: FieldErrorKind,
}

/// Which rule a field breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// It must be there.
    Required(String),
    /// The value cannot be: the value, and the rule.
    Invalid(String, String),
    /// The value is none of those that can be.
    NotSupported(String, Vec<String>),
    /// The value must differ from all others.
    Duplicate(String),
    /// It must not be there.
    Forbidden(String),
    /// What it names does not exist.
    NotFound(String),
    /// It has more bytes than this.
    TooLong(u64),
    /// It has so many items, and may have so many.
    TooMany(usize, u64),
}

impl FieldError {
    /// The field must be there; `why` may add what for.
    pub fn required(field: impl Into<String>, why: impl Into<String>) -> Self {
        FieldError { field: field.into(), kind: FieldErrorKind::Required(why.into()) }
    }

    /// The value cannot be.
    pub fn invalid(field: impl Into<String>, value: impl fmt::Debug, rule: impl Into<String>) -> Self {
        FieldError { field: field.into(), kind: FieldErrorKind::Invalid(format!("{value:?}"), rule.into()) }
    }

    /// The value has more bytes than this.
    pub fn too_long(field: impl Into<String>, most: u64) -> Self {
        FieldError { field: field.into(), kind: FieldErrorKind::TooLong(most) }
    }

    /// The value is none of those that can be.
    pub fn not_supported(
        field: impl Into<String>,
        value: impl Into<String>,
        supported: impl IntoIterator<Item = String>,
    ) -> Self {
        let kind = FieldErrorKind::NotSupported(value.into(), supported.into_iter().collect());
        FieldError { field: field.into(), kind }
    }

    /// The value occurs twice.
    pub fn duplicate(field: impl Into<String>, value: impl fmt::Debug) -> Self {
        FieldError { field: field.into(), kind: FieldErrorKind::Duplicate(format!("{value:?}")) }
    }

    /// The field must not be there, or must not change.
    pub fn forbidden(field: impl Into<String>, rule: impl Into<String>) -> Self {
        FieldError { field: field.into(), kind: FieldErrorKind::Forbidden(rule.into()) }
    }

    fn cause(&self) -> Cause {
        let (reason, message) = match &self.kind {
            FieldErrorKind::Required(why) if why.is_empty() => ("FieldValueRequired", "Required value".to_owned()),
            FieldErrorKind::Required(why) => ("FieldValueRequired", format!("Required value: {why}")),
            FieldErrorKind::Invalid(value, rule) => ("FieldValueInvalid", format!("Invalid value: {value}: {rule}")),
            FieldErrorKind::NotSupported(value, values) => {
                let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
                let message = format!("Unsupported value: {value:?}: supported values: {}", values.join(", "));
                ("FieldValueNotSupported", message)
            }
            FieldErrorKind::Duplicate(value) => ("FieldValueDuplicate", format!("Duplicate value: {value}")),
            FieldErrorKind::NotFound(value) => ("FieldValueNotFound", format!("Not found: {value}")),
            FieldErrorKind::Forbidden(rule) => ("FieldValueForbidden", format!("Forbidden: {rule}")),
            FieldErrorKind::TooLong(most) => {
                ("FieldValueTooLong", format!("Too long: may not be more than {most} bytes"))
            }
            FieldErrorKind::TooMany(has, most) => {
                ("FieldValueTooMany", format!("Too many: {has}: must have at most {most} items"))
            }
        };
        Cause { reason: reason.into(), message, field: self.field.clone() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.cause().message)
    }
}

impl Status {
    /// A failure without an object.
    pub fn failure(reason: Reason, message: impl Into<String>) -> Self {
        Status {
            kind: "Status".into(),
            api_version: "v1".into(),
            metadata: Empty {},
            status: "Failure".into(),
            message: message.into(),
            reason: Some(reason),
            details: None,
            code: Some(reason.code()),
        }
    }

    /// Something was made that has no object to show: a binding.
    pub fn created() -> Self {
        Status { status: "Success".into(), reason: None, code: Some(201), ..Status::failure(Reason::Unknown, "") }
    }

    /// A failure for which Kubernetes has no reason.
    pub fn unexplained(message: impl Into<String>) -> Self {
        Status { reason: None, ..Status::failure(Reason::InternalError, message) }
    }

    /// There is nothing of the kind at this path. The words are Kubernetes'.
    pub fn no_such_path() -> Self {
        Status::nothing_about(Reason::NotFound, "the server could not find the requested resource")
    }

    /// This cannot be done at this path. The words are Kubernetes'.
    pub fn no_such_method() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Status::nothing_about(Reason::MethodNotAllowed, message)
    }

    /// Nothing of a kind is created whose definition is deleted. The words are Kubernetes'.
    pub fn definition_goes(kind: Kind) -> Self {
        let message = "create not allowed while custom resource definition is terminating";
        Status::about(Reason::MethodNotAllowed, kind, "", message.into())
    }

    /// A failure whose details say nothing, and are there.
    fn nothing_about(reason: Reason, message: &str) -> Self {
        Status { details: Some(Box::default()), ..Status::failure(reason, message) }
    }

    /// The parameters of a request break rules; `kind` names them: `PatchOptions`.
    pub fn invalid_options(kind: &str, errors: &[FieldError]) -> Self {
        Status::breaks_rules(kind, "meta.k8s.io", "", errors)
    }

    /// A write of a kind that may not be written blindly does not say on which version it is based.
    ///
    /// Source: Kubernetes, `k8s.io/apiserver/pkg/registry/generic/registry/store.go`, which names the resource, and prints
    /// a version 0 as Go does.
    pub fn says_no_version(kind: Kind, name: &str) -> Self {
        let missing = FieldErrorKind::Invalid("0x0".into(), "must be specified for an update".into());
        let error = FieldError { field: "metadata.resourceVersion".into(), kind: missing };
        Status::breaks_rules(kind.row().plural, kind.row().group, name, &[error])
    }

    /// A patch makes no object.
    pub fn invalid_patch(error: &FieldError) -> Self {
        Status::breaks_rules("", "", "", std::slice::from_ref(error))
    }

    /// An object was removed.
    pub fn removed(kind: Kind, name: &str, uid: &str) -> Self {
        Status {
            status: "Success".into(),
            message: String::new(),
            reason: None,
            details: Some(Box::new(Details { uid: uid.into(), ..details(kind.row(), name) })),
            code: None,
            ..Status::failure(Reason::Unknown, "")
        }
    }

    fn about(reason: Reason, kind: Kind, name: &str, message: String) -> Self {
        Status { details: Some(Box::new(details(kind.row(), name))), ..Status::failure(reason, message) }
    }

    /// There is no such object.
    pub fn not_found(kind: Kind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", kind.row().resource());
        Status::about(Reason::NotFound, kind, name, message)
    }

    /// There is such an object already.
    pub fn already_exists(kind: Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.row().resource());
        Status::about(Reason::AlreadyExists, kind, name, message)
    }

    /// A condition of the request does not hold any more.
    pub fn conflict(kind: Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.row().resource());
        Status::about(Reason::Conflict, kind, name, message)
    }

    /// The object's revision is not the one the request names.
    pub fn stale(kind: Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Status::conflict(kind, name, why)
    }

    /// Who writes does not lead any more.
    pub fn fenced(kind: Kind, name: &str, why: &str) -> Self {
        Status::conflict(kind, name, why).because(FENCED, why.to_owned())
    }

    /// Whether it says that who wrote does not lead any more.
    pub fn is_fenced(&self) -> bool {
        self.details.as_ref().is_some_and(|details| details.causes.iter().any(|cause| cause.reason == FENCED))
    }

    /// What is asked for is to be newer than all the server knows.
    ///
    /// Source: `k8s.io/apiserver/pkg/storage`, `NewTooLargeResourceVersionError`.
    pub fn too_large_revision(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        let short = "Too large resource version".to_owned();
        Status::failure(Reason::Timeout, message).because(TOO_LARGE, short)
    }

    /// Whether it says that the server knows less than who asked.
    pub fn is_too_large_revision(&self) -> bool {
        self.details.as_ref().is_some_and(|details| details.causes.iter().any(|cause| cause.reason == TOO_LARGE))
    }

    /// The object's content breaks rules.
    pub fn invalid(kind: Kind, name: &str, errors: &[FieldError]) -> Self {
        Status::breaks_rules(kind.row().name, kind.row().group, name, errors)
    }

    fn breaks_rules(kind: &str, group: &str, name: &str, errors: &[FieldError]) -> Self {
        let qualified = if group.is_empty() { kind.into() } else { format!("{kind}.{group}") };
        let told: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        let told = if told.len() == 1 { told[0].clone() } else { format!("[{}]", told.join(", ")) };
        let message = format!("{qualified} {name:?} is invalid: {told}");
        let causes = errors.iter().map(FieldError::cause).collect();
        let details =
            Details { name: name.into(), group: group.into(), kind: kind.into(), causes, ..Details::default() };
        Status { details: Some(Box::new(details)), ..Status::failure(Reason::Invalid, message) }
    }

    /// Who asks may not do this to an object, or to all of a kind if no name is given.
    pub fn forbidden_to(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let qualified = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        let message = match name {
            "" => format!("{qualified} is forbidden: {why}"),
            name => format!("{qualified} {name:?} is forbidden: {why}"),
        };
        let details = Details { name: name.into(), group: group.into(), kind: resource.into(), ..Details::default() };
        Status { details: Some(Box::new(details)), ..Status::failure(Reason::Forbidden, message) }
    }

    /// This must not be done to an object.
    pub fn forbidden(kind: Kind, name: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", kind.row().resource());
        Status::about(Reason::Forbidden, kind, name, message)
    }

    /// It may be asked again, in so many seconds or when the client likes.
    pub fn too_many_requests(message: &str, retry_after: u32) -> Self {
        let details = Details { retry_after_seconds: retry_after, ..Details::default() };
        Status { details: Some(Box::new(details)), ..Status::failure(Reason::TooManyRequests, message) }
    }

    /// The same, for this cause among others.
    pub fn because(mut self, reason: &str, message: impl Into<String>) -> Self {
        let cause = Cause { reason: reason.into(), message: message.into(), field: String::new() };
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// Whether what was asked for may have been done all the same, or may still be: the server failed in the midst of it, or
    /// had no time for it just then. Something on the way may have asked twice, and this says nothing of the other time.
    pub fn leaves_open(&self) -> bool {
        match self.reason {
            None
            | Some(
                Reason::TooManyRequests
                | Reason::InternalError
                | Reason::ServiceUnavailable
                | Reason::Timeout
                | Reason::Unknown,
            ) => true,
            Some(
                Reason::BadRequest
                | Reason::Unauthorized
                | Reason::Forbidden
                | Reason::NotFound
                | Reason::MethodNotAllowed
                | Reason::NotAcceptable
                | Reason::AlreadyExists
                | Reason::Conflict
                | Reason::Expired
                | Reason::RequestEntityTooLarge
                | Reason::UnsupportedMediaType
                | Reason::Invalid,
            ) => false,
        }
    }

    /// The HTTP status code.
    pub fn http_code(&self) -> u16 {
        self.code.unwrap_or(if self.status == "Success" { 200 } else { 500 })
    }
}

/// Source: `k8s.io/apimachinery/pkg/apis/meta/v1`, `CauseTypeResourceVersionTooLarge`.
const TOO_LARGE: &str = "ResourceVersionTooLarge";

/// miniku's own: Kubernetes has no word for a writer that does not lead any more.
const FENCED: &str = "LeaseNotHeld";

fn details(row: &KindRow, name: &str) -> Details {
    Details { name: name.into(), group: row.group.into(), kind: row.plural.into(), ..Default::default() }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
