//! `port-forward`: ports of this machine that lead to ports of a pod.

use crate::cli::Session;
use crate::cli::cluster::{name, text};
use crate::cli::error::CliError;
use crate::cli::logs::pod;
use crate::cli::streams;
use crate::client::paths;
use crate::streams::tunnel::{self, Ends, Tunnel};
use clap::Args;
use miniku_core::api::kinds::Kind;
use serde_json::Value;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::str::FromStr;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku port-forward web-1 8081:80\n  miniku port-forward rs/web :80 5000";

/// From where to where.
#[derive(Args, Debug)]
pub struct PortForwardArgs {
    /// POD, pod/POD or TYPE/NAME
    #[arg(value_name = "POD")]
    pub pod: String,
    /// LOCAL:REMOTE, one PORT for both, or :REMOTE for any free one here
    #[arg(required = true, value_name = "LOCAL:REMOTE")]
    pub ports: Vec<Ports>,
}

/// A port here and one of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    local: u16,
    remote: u16,
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("{text:?} is no port")),
        };
        match text.split_once(':') {
            Some(("" | "0", remote)) => Ok(Ports { local: 0, remote: port(remote)? }),
            Some((local, remote)) => Ok(Ports { local: port(local)?, remote: port(remote)? }),
            None => port(text).map(|both| Ports { local: both, remote: both }),
        }
    }
}

/// This machine's end.
struct Here(Vec<(TcpListener, u16)>);

impl Ends for Here {
    fn connect(&mut self, _port: u16) -> Result<TcpStream, String> {
        Err("nothing is forwarded in this direction".into())
    }

    fn listeners(&self) -> &[(TcpListener, u16)] {
        &self.0
    }

    fn failed(&mut self, port: u16, why: &str) {
        eprintln!("an error occurred forwarding to port {port}: {why}");
    }
}

/// Forwards until it is interrupted or the server leaves.
pub fn run(args: &PortForwardArgs, session: &mut Session) -> Result<(), CliError> {
    let pod = pod(&args.pod, session)?;
    if pod["status"]["phase"] != "Running" {
        let phase = text(&pod["status"]["phase"]);
        let message = format!("error: unable to forward port because pod is not running. Current status={phase}");
        return Err(CliError::Plain(message));
    }
    let mut here = Here(Vec::new());
    let mut lines = Vec::new();
    let service = service(&args.pod, session)?;
    for Ports { local, remote } in &args.ports {
        let remote = match &service {
            Some(service) => &target_port(service, &pod, *remote)?,
            None => remote,
        };
        let failed = |error| CliError::Plain(format!("error: unable to listen on port {local}: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, *local)).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        lines.push(format!("Forwarding from {bound} -> {remote}"));
        // A machine without version 6 is content with version 4.
        let other = TcpListener::bind((Ipv6Addr::LOCALHOST, bound.port())).ok();
        lines.extend(other.iter().map(|_| format!("Forwarding from [::1]:{} -> {remote}", bound.port())));
        for listener in [Some(listener), other].into_iter().flatten() {
            listener.set_nonblocking(true).map_err(failed)?;
            here.0.push((listener, *remote));
        }
    }
    let target = paths::object(&session.cluster.key(Kind::Pod, name(&pod)), Some("portforward"));
    let (mut stream, socket, _) = streams::dial(session, &target, &[tunnel::PROTOCOL])?;
    for line in lines {
        writeln!(session.out, "{line}")?;
    }
    session.out.flush()?;
    let ended = Tunnel::new(socket, true, &mut here).run(&mut stream);
    let why = ended.err().map_or("the server has ended it".to_owned(), |error| error.to_string());
    Err(CliError::Plain(format!("error: lost connection to pod: {why}")))
}

/// The service whose ports are meant, if it is one's.
fn service(word: &str, session: &Session) -> Result<Option<Value>, CliError> {
    let Some((kind, name)) = word.split_once('/') else { return Ok(None) };
    match session.cluster.kind(kind)? {
        Kind::Service => session.cluster.get(&session.cluster.key(Kind::Service, name)).map(Some),
        _ => Ok(None),
    }
}

/// Which port of a pod a service's port leads to: it may have a name there.
fn target_port(service: &Value, pod: &Value, port: u16) -> Result<u16, CliError> {
    let mut ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let missing = || CliError::Usage(format!("Service {} does not have a service port {port}", name(service)));
    let found = ports.find(|one| one["port"] == port).ok_or_else(missing)?;
    let number = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let named = match &found["targetPort"] {
        Value::String(named) => named,
        target => return Ok(number(target).unwrap_or(port)),
    };
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let mut ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    let of_pod = ports.find(|one| one["name"] == named.as_str()).and_then(|one| number(&one["containerPort"]));
    of_pod.ok_or_else(|| CliError::Usage(format!("Pod {} does not have a named port {named:?}", name(pod))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_services_port_is_a_pods() {
        let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [
            {"port": 80, "targetPort": 8080}, {"port": 81, "targetPort": "web"}, {"port": 82}, {"port": 83, "targetPort": "none"}]}});
        let pod = json!({"spec": {"containers": [{"ports": [{"name": "web", "containerPort": 9000}]}]}});
        let got = [80, 81, 82, 83, 84].map(|port| target_port(&service, &pod, port).ok());
        assert_eq!(got, [Some(8080), Some(9000), Some(82), None, None]);
    }

    #[test]
    fn ports_are_named_as_for_kubectl() {
        let check = |text: &str, want: Option<(u16, u16)>| {
            let got = text.parse::<Ports>().ok().map(|ports| (ports.local, ports.remote));
            assert_eq!(got, want, "{text}");
        };
        check("80", Some((80, 80)));
        check("8080:80", Some((8080, 80)));
        check(":80", Some((0, 80)));
        check("0:80", Some((0, 80)));
        for wrong in ["", "0", "x", "80:", "80:0", "70000", "1:2:3"] {
            check(wrong, None);
        }
    }
}
