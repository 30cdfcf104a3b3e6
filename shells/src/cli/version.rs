//! `version`: the client's and the server's.

use crate::cli::Session;
use crate::cli::cluster::text;
use crate::cli::error::CliError;
use crate::cli::{print, yaml};
use crate::client::wire::HttpRequest;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::io::Write;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku version\n  miniku version --client -o json";

/// Which versions, and how.
#[derive(Args, Debug)]
pub struct VersionArgs {
    /// Do not ask the server
    #[arg(long)]
    pub client: bool,
    /// Lines if absent
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<Structured>,
}

/// How versions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Structured {
    Json,
    Yaml,
}

/// Prints versions. The client's is printed even if the server cannot be asked.
pub fn run(args: &VersionArgs, session: &mut Session) -> Result<(), CliError> {
    let mut versions = json!({"clientVersion": client()});
    let server = if args.client { Ok(Value::Null) } else { session.cluster.ask(&HttpRequest::get("/version")) };
    if let Ok(server @ Value::Object(_)) = &server {
        versions["serverVersion"] = server.clone();
    }
    match args.output {
        Some(Structured::Json) => print::json(&mut session.out, &versions)?,
        Some(Structured::Yaml) => write!(session.out, "{}", yaml::write(&versions)?)?,
        None => {
            writeln!(session.out, "Client Version: {}", text(&versions["clientVersion"]["gitVersion"]))?;
            if versions["serverVersion"].is_object() {
                writeln!(session.out, "Server Version: {}", text(&versions["serverVersion"]["gitVersion"]))?;
            }
        }
    }
    server.map(drop)
}

fn client() -> Value {
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    json!({
        "major": major, "minor": minor, "gitVersion": concat!("v", env!("CARGO_PKG_VERSION")),
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}
