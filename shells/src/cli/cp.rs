//! `cp`: files between this machine and a container, by its `tar`.

use crate::cli::Session;
use crate::cli::cluster::Parameters;
use crate::cli::error::CliError;
use crate::cli::logs::pod;
use crate::cli::streams::{self, Wish};
use crate::cli::tar;
use clap::Args;
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku cp ./site web-1:/www\n  miniku cp team-a/web-1:/var/log/app.log app.log\n  \
    miniku cp notes.txt web-1:/tmp -c sidecar";

/// From where to where.
#[derive(Args, Debug)]
pub struct CpArgs {
    /// A path here, or POD:PATH or NAMESPACE/POD:PATH
    #[arg(value_name = "FROM")]
    pub from: String,
    /// The same; one of both is here
    #[arg(value_name = "TO")]
    pub to: String,
    /// Which container; the first if none is named
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
}

/// One side.
#[derive(Debug, PartialEq, Eq)]
enum Side<'a> {
    Here(&'a str),
    There { namespace: Option<&'a str>, pod: &'a str, path: &'a str },
}

fn side(text: &str) -> Result<Side<'_>, CliError> {
    // A path with a colon is written ./a:b.
    match text.split_once(':') {
        Some((pod, path)) if !pod.starts_with(['.', '/']) && !pod.is_empty() => {
            let (namespace, pod) = pod.split_once('/').map_or((None, pod), |(namespace, pod)| (Some(namespace), pod));
            match path.trim_end_matches('/') {
                _ if pod.is_empty() || pod.contains('/') => Err(CliError::Usage(format!("{text:?} names no pod"))),
                "" if path.is_empty() => Err(CliError::Usage("filepath can not be empty".into())),
                path => Ok(Side::There { namespace, pod, path }),
            }
        }
        _ if text.is_empty() => Err(CliError::Usage("filepath can not be empty".into())),
        _ => Ok(Side::Here(text)),
    }
}

/// Copies.
pub fn run(args: &CpArgs, session: &mut Session) -> Result<(), CliError> {
    match (side(&args.from)?, side(&args.to)?) {
        (Side::Here(from), Side::There { namespace, pod: name, path }) => {
            let pod = meant(namespace, name, session)?;
            upload(Path::new(from), &pod, path, args, session)
        }
        (Side::There { namespace, pod: name, path }, Side::Here(to)) => {
            let pod = meant(namespace, name, session)?;
            download(&pod, path, Path::new(to), args, session)
        }
        (Side::Here(_), Side::Here(_)) => {
            Err(CliError::Usage("one of src or dest must be a local file specification".into()))
        }
        (Side::There { .. }, Side::There { .. }) => {
            Err(CliError::Usage("one of src or dest must be a remote file specification".into()))
        }
    }
}

fn meant(namespace: Option<&str>, name: &str, session: &mut Session) -> Result<Value, CliError> {
    if let Some(namespace) = namespace {
        session.cluster.namespace = namespace.to_owned();
    }
    let pod = pod(name, session)?;
    streams::not_completed(&pod, "exec into")?;
    Ok(pod)
}

fn io_error(what: &str, path: &Path) -> impl FnOnce(io::Error) -> CliError {
    let (what, path) = (what.to_owned(), path.to_owned());
    move |source| CliError::Io { what, path, source }
}

fn exec(
    command: &[&str],
    pod: &Value,
    args: &CpArgs,
    session: &mut Session,
    input: Option<&dyn AsFd>,
    output: &mut dyn Write,
) -> Result<i32, CliError> {
    let wish = Wish { stdin: input.is_some(), tty: false };
    let command: Parameters = command.iter().map(|word| ("command", (*word).to_owned())).collect();
    let target = streams::target(session, pod, "exec", args.container.as_deref(), &wish, command);
    match input {
        Some(input) => streams::run_between(session, &target, &wish, input.as_fd(), output),
        None => streams::run_between(session, &target, &wish, io::stdin().as_fd(), output),
    }
}

fn upload(from: &Path, pod: &Value, path: &str, args: &CpArgs, session: &mut Session) -> Result<(), CliError> {
    std::fs::metadata(from).map_err(io_error("read", from))?;
    let own = from.canonicalize().map_err(io_error("read", from))?;
    let own_name = own.file_name().and_then(|name| name.to_str()).unwrap_or("").to_owned();
    // Into a directory that is there, under its own name; else it gets the new name.
    let path = if path.is_empty() { "/" } else { path };
    let is_directory = exec(&["test", "-d", path], pod, args, session, None, &mut io::sink())? == 0;
    let target = if is_directory { format!("{}/{own_name}", path.trim_end_matches('/')) } else { path.to_owned() };
    let (directory, name) = target.rsplit_once('/').unwrap_or((".", &target));
    let directory = if directory.is_empty() { "/" } else { directory };
    let (input, to_there) = io::pipe().map_err(io_error("open", Path::new("a pipe")))?;
    let (name, source) = (name.to_owned(), own.clone());
    let packing = thread::spawn(move || tar::pack(&source, &name, &mut BufWriter::new(to_there)));
    let code = exec(&["tar", "-xmf", "-", "-C", directory], pod, args, session, Some(&input), &mut io::stderr());
    // Whoever still packs must not wait for a reader that has left.
    drop(input);
    let packed = packing.join().unwrap_or_else(|_| Err(io::Error::other("packing ended early")));
    match code? {
        0 => packed.map_err(io_error("read", from)),
        code => Err(CliError::Ended(code)),
    }
}

fn download(pod: &Value, path: &str, to: &Path, args: &CpArgs, session: &mut Session) -> Result<(), CliError> {
    let name = Path::new(path).file_name().map(PathBuf::from).unwrap_or_default();
    let to = if to.is_dir() { to.join(&name) } else { to.to_owned() };
    let (from_there, output) = io::pipe().map_err(io_error("open", Path::new("a pipe")))?;
    let (root, into) = (path.to_owned(), to.clone());
    let unpacking = thread::spawn(move || {
        let mut from_there = BufReader::new(from_there);
        let unpacked = tar::unpack(&mut from_there, &root, &into);
        // The rest is read, so that nobody waits for us to take it.
        let _ = io::copy(&mut from_there, &mut io::sink());
        unpacked
    });
    let path = if path.is_empty() { "/" } else { path };
    let mut output = BufWriter::new(File::from(std::os::fd::OwnedFd::from(output)));
    let code = exec(&["tar", "cf", "-", path], pod, args, session, None, &mut output);
    let flushed = output.flush();
    drop(output);
    let unpacked = unpacking.join().unwrap_or_else(|_| Err(io::Error::other("unpacking ended early")));
    match code? {
        0 => flushed.and(unpacked).map(drop).map_err(io_error("write", &to)),
        code => Err(CliError::Ended(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_told_apart() {
        let check = |text: &str, want: Option<Side>| assert_eq!(side(text).ok(), want, "{text}");
        check("a/b", Some(Side::Here("a/b")));
        check("./a:b", Some(Side::Here("./a:b")));
        check("/a:b", Some(Side::Here("/a:b")));
        check("web:/tmp/", Some(Side::There { namespace: None, pod: "web", path: "/tmp" }));
        check("web:/", Some(Side::There { namespace: None, pod: "web", path: "" }));
        check("x/web:a", Some(Side::There { namespace: Some("x"), pod: "web", path: "a" }));
        for wrong in ["", "web:", "x/y/web:a", "x/:a"] {
            check(wrong, None);
        }
    }
}
