//! What can go wrong for someone at a terminal, in kubectl's words.

use crate::cli::similar::hint;
use miniku_core::api::status::{Reason, Status};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a command failed. Its text is whole lines, ready for standard error.
#[derive(Debug)]
pub enum CliError {
    /// The server said no; while it was asked to do what (`creating "pod.yaml"`), if that helps.
    Server { status: Box<Status>, when: Option<String> },
    /// Nobody listens at the server's address.
    NobodyThere(String),
    /// No answer came, or none that makes sense.
    Lost(String),
    /// The command line asks for something that cannot be.
    Usage(String),
    /// A complaint that is no error of usage, printed as it is.
    Plain(String),
    /// No kind is called this.
    NoSuchKind { word: String, meant: Option<&'static str> },
    /// A recording is damaged, or is none.
    BadRecording(String),
    /// A file or a stream.
    Io { what: String, path: PathBuf, source: io::Error },
    /// A manifest cannot be read: which file, and what is wrong at which line and column.
    Manifest { source: String, what: String },
    /// A manifest's kind is not served.
    NoMatch { name: String, namespace: String, source: String, kind: String, api_version: String },
    /// What was waited for did not happen in time.
    TimedOut(String),
    /// The command that was run in a container ended so; so do we.
    Ended(i32),
    /// It was told already; what the process ends with.
    Told(u8),
    /// Whoever read our output has had enough.
    OutputClosed,
    /// Several, each for something else.
    Several(Vec<CliError>),
}

impl CliError {
    /// A refusal.
    pub fn server(status: Status) -> Self {
        CliError::Server { status: Box::new(status), when: None }
    }

    /// The same, saying what was tried: `creating "pod.yaml"`.
    pub fn when(self, doing: impl Into<String>) -> Self {
        match self {
            CliError::Server { status, .. } => CliError::Server { status, when: Some(doing.into()) },
            other => other,
        }
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_status())
    }

    /// The same as a number.
    pub fn exit_status(&self) -> u8 {
        match self {
            // Whoever replays in a script must tell it from a replay that differs.
            CliError::BadRecording(_) => 2,
            CliError::Ended(code) => u8::try_from(*code).unwrap_or(1),
            CliError::Told(code) => *code,
            _ => 1,
        }
    }

    /// Whether the server knows no such object.
    pub fn is_not_found(&self) -> bool {
        self.has_reason(Reason::NotFound)
    }

    /// Whether the server refused for this reason.
    pub fn has_reason(&self, reason: Reason) -> bool {
        matches!(self, CliError::Server { status, .. } if status.reason == Some(reason))
    }

    /// Nothing, the only one, or all of them.
    pub fn all(mut errors: Vec<CliError>) -> Result<(), CliError> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(CliError::Several(errors)),
        }
    }
}

/// Writing to standard output failed: most likely its reader has gone.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::OutputClosed,
            _ => CliError::Io { what: "write".into(), path: "standard output".into(), source: error },
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Server { status, when } => server(f, status, when.as_deref()),
            CliError::NobodyThere(server) => {
                write!(f, "The connection to the server {server} was refused - did you specify the right host or port?")
            }
            CliError::Lost(what) => write!(f, "Unable to connect to the server: {what}"),
            CliError::Usage(what) => write!(f, "error: {what}"),
            CliError::Plain(what) | CliError::BadRecording(what) => f.write_str(what),
            CliError::NoSuchKind { word, meant } => {
                write!(f, "error: the server doesn't have a resource type {word:?}{}", hint(*meant))
            }
            CliError::Io { what, path, source } if source.kind() == io::ErrorKind::NotFound && what == "read" => {
                write!(f, "error: the path {:?} does not exist", path.display().to_string())
            }
            CliError::Io { what, path, source } => write!(f, "error: {what} {}: {source}", path.display()),
            CliError::Manifest { source, what } => write!(f, "error: error parsing {source}: {what}"),
            CliError::NoMatch { name, namespace, source, kind, api_version } => write!(
                f,
                "error: resource mapping not found for name: {name:?} namespace: {namespace:?} from {source:?}: \
                 no matches for kind {kind:?} in version {api_version:?}"
            ),
            CliError::TimedOut(what) => write!(f, "error: timed out waiting for the condition on {what}"),
            CliError::Ended(code) => write!(f, "command terminated with exit code {code}"),
            CliError::Told(_) => Ok(()),
            CliError::OutputClosed => f.write_str("error: standard output was closed"),
            CliError::Several(errors) => {
                for (at, error) in errors.iter().enumerate() {
                    write!(f, "{}{error}", if at == 0 { "" } else { "\n" })?;
                }
                Ok(())
            }
        }
    }
}

/// Source: kubectl, `pkg/cmd/util/helpers.go`, `StandardErrorMessage` and `statusCausesToAggrError`.
fn server(f: &mut fmt::Formatter<'_>, status: &Status, when: Option<&str>) -> fmt::Result {
    let reason = status.reason.unwrap_or(Reason::Unknown);
    if let (Reason::Invalid, Some(details)) = (reason, &status.details) {
        if details.causes.is_empty() {
            return f.write_str(&status.message);
        }
        write!(f, "The {} {:?} is invalid: ", details.kind, details.name)?;
        let causes = details.causes.iter().map(|cause| match cause.field.as_str() {
            "" => cause.message.clone(),
            field => format!("{field}: {}", cause.message),
        });
        let causes: Vec<String> = causes.collect();
        return match causes.as_slice() {
            [one] => f.write_str(one),
            many => many.iter().try_for_each(|cause| write!(f, "\n* {cause}")),
        };
    }
    match reason {
        Reason::Unauthorized => {
            return write!(f, "error: You must be logged in to the server ({})", status.message);
        }
        Reason::Unknown => f.write_str("Error from server: ")?,
        known => write!(f, "Error from server ({known:?}): ")?,
    }
    match when {
        Some(doing) => write!(f, "error when {doing}: {}", status.message),
        None => f.write_str(&status.message),
    }
}

impl std::error::Error for CliError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CliError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniku_core::api::kinds::Kind;
    use miniku_core::api::status::FieldError;

    #[test]
    fn reads_as_kubectl_does() {
        let check = |error: CliError, want: &str| assert_eq!(error.to_string(), want);
        let missing = || CliError::server(Status::not_found(Kind::Pod, "x"));
        check(missing(), "Error from server (NotFound): pods \"x\" not found");
        check(
            missing().when("creating \"a.yaml\""),
            "Error from server (NotFound): error when creating \"a.yaml\": pods \"x\" not found",
        );
        let wrong = FieldError::required("spec.containers", "");
        let invalid = |errors: &[FieldError]| CliError::server(Status::invalid(Kind::Pod, "x", errors));
        check(invalid(std::slice::from_ref(&wrong)), "The Pod \"x\" is invalid: spec.containers: Required value");
        check(
            invalid(&[wrong.clone(), wrong]),
            "The Pod \"x\" is invalid: \n* spec.containers: Required value\n* spec.containers: Required value",
        );
        let unknown = CliError::NoSuchKind { word: "x".into(), meant: None };
        check(unknown, "error: the server doesn't have a resource type \"x\"");
    }
}
