//! `expose`: a service for the pods that something selects.

use crate::cli::Session;
use crate::cli::create::{Dry, DryArgs};
use crate::cli::error::CliError;
use crate::cli::print::{self, Format};
use crate::cli::resource;
use clap::Args;
use miniku_core::api::kinds::Kind;
use serde_json::{Value, json};

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku expose deployment/web --port=80 --target-port=8080\n  \
    miniku expose pod web-1 --port=80 --name=web --type=NodePort";

/// What to expose, and how.
#[derive(Args, Debug)]
pub struct ExposeArgs {
    /// TYPE NAME, or TYPE/NAME
    #[arg(required = true, value_name = "WHAT")]
    pub what: Vec<String>,
    /// The service's port; the containers' own if absent
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// The pods' port, or its name; the service's if absent
    #[arg(long, value_name = "PORT")]
    pub target_port: Option<String>,
    /// TCP, UDP or SCTP
    #[arg(long, default_value = "TCP", value_name = "PROTOCOL")]
    pub protocol: String,
    /// The service's name; the object's if absent
    #[arg(long)]
    pub name: Option<String>,
    /// How it is reached
    #[arg(long = "type", default_value = "ClusterIP", value_parser = ["ClusterIP", "NodePort", "LoadBalancer"])]
    pub kind: String,
    /// json, yaml, wide or name; a line if absent
    #[arg(short, long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub output: Format,
    /// How the writing is done.
    #[command(flatten)]
    pub dry: DryArgs,
}

/// Makes services.
pub fn run(args: &ExposeArgs, session: &mut Session) -> Result<(), CliError> {
    for key in resource::named(&args.what, &session.cluster)? {
        let object = session.cluster.get(&key)?;
        let service = service(args, key.kind, &object)?;
        let created = match args.dry.dry_run {
            Dry::Client => service,
            dry => session.cluster.create(Kind::Service, &key.namespace, &service, dry == Dry::Server)?,
        };
        let done = format!("exposed{}", args.dry.dry_run.note());
        print::outcome(&mut session.out, &args.output, Kind::Service, created, &done)?;
    }
    Ok(())
}

fn service(args: &ExposeArgs, kind: Kind, object: &Value) -> Result<Value, CliError> {
    let (metadata, spec) = (&object["metadata"], &object["spec"]);
    let template = if kind == Kind::Pod { spec } else { &spec["template"]["spec"] };
    let selector = match kind {
        Kind::Pod => &metadata["labels"],
        Kind::Service | Kind::ReplicationController => &spec["selector"],
        _ => &spec["selector"]["matchLabels"],
    };
    if selector.as_object().is_none_or(serde_json::Map::is_empty) {
        let what = kind.row().singular;
        return Err(CliError::Usage(format!(
            "couldn't retrieve selectors via --selector flag or introspection: the {what} has none"
        )));
    }
    let number = |text: &String| text.parse::<u16>().map_or_else(|_| Value::from(text.as_str()), Value::from);
    let containers = template["containers"].as_array().into_iter().flatten();
    let own = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    let own: Vec<Value> = own.map(|port| port["containerPort"].clone()).collect();
    let ports: Vec<Value> = match (args.port, own.as_slice()) {
        (Some(port), _) => {
            let target = args.target_port.as_ref().map_or(Value::from(port), number);
            vec![json!({"port": port, "protocol": args.protocol, "targetPort": target})]
        }
        (None, []) => {
            let message = "couldn't find port via --port flag or introspection";
            return Err(CliError::Usage(message.into()));
        }
        (None, own) => {
            let named = own.len() > 1;
            let port = |(nth, port): (usize, &Value)| {
                let target = args.target_port.as_ref().map_or(port.clone(), number);
                let mut port = json!({"port": port, "protocol": args.protocol, "targetPort": target});
                if named {
                    port["name"] = format!("port-{}", nth + 1).into();
                }
                port
            };
            own.iter().enumerate().map(port).collect()
        }
    };
    let name = args.name.as_ref().map_or(metadata["name"].clone(), |name| name.as_str().into());
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": metadata["namespace"]},
        "spec": {"selector": selector, "ports": ports, "type": args.kind},
    });
    if metadata["labels"].is_object() {
        service["metadata"]["labels"] = metadata["labels"].clone();
    }
    Ok(service)
}
