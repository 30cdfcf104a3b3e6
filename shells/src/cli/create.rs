//! `create`: objects from files, or one from flags.

use crate::cli::Session;
use crate::cli::cluster::name;
use crate::cli::error::CliError;
use crate::cli::manifest::{self, FileArgs};
use crate::cli::print::{self, Format};
use crate::cli::resource::one_kind;
use clap::{Args, ValueEnum};
use miniku_core::api::kinds::Kind;
use serde_json::{Map, Value, json};
use std::io::Write;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku create -f pod.yaml\n  \
    miniku create pod web --image=busybox -- sh -c 'while true; do sleep 1; done'\n  \
    miniku create replicaset web --image=busybox --replicas=3\n  miniku create namespace team-a\n  \
    miniku create pod --name=mypod1 --image=nginx:latest";

/// What to create.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// pod, replicaset or namespace, and its name; or a kind whose objects are in -f
    #[arg(value_name = "KIND NAME", num_args = 0..=2)]
    pub what: Vec<String>,
    /// Where the objects are.
    #[command(flatten)]
    pub files: FileArgs,
    /// The object's name, if it is not given after the kind
    #[arg(long)]
    pub name: Option<String>,
    /// What the container runs from
    #[arg(long)]
    pub image: Option<String>,
    /// How many pods a replica set wants
    #[arg(long, value_name = "N")]
    pub replicas: Option<u32>,
    /// Labels: a=b,c=d
    #[arg(long, value_name = "LABELS")]
    pub labels: Option<String>,
    /// An environment variable of the container; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// When ended containers are started again
    #[arg(long, value_name = "POLICY", value_parser = ["Always", "OnFailure", "Never"])]
    pub restart: Option<String>,
    /// json, yaml, wide or name; a line if absent
    #[arg(short, long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub output: Format,
    /// How the writing is done.
    #[command(flatten)]
    pub dry: DryArgs,
    /// What the container runs instead of its image's command
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Whether to write at all.
#[derive(Args, Clone, Copy, Debug)]
pub struct DryArgs {
    /// Only try: `client` asks nobody, `server` does all but the writing
    #[arg(long, value_enum, default_value_t = Dry::None, default_missing_value = "client", num_args = 0..=1)]
    #[arg(require_equals = true, value_name = "HOW")]
    pub dry_run: Dry,
}

/// How far a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dry {
    /// It is done
    None,
    /// Nobody is asked
    Client,
    /// The server does all but the writing
    Server,
}

impl Dry {
    /// What is said after what was done.
    pub fn note(self) -> &'static str {
        match self {
            Dry::None => "",
            Dry::Client => " (dry run)",
            Dry::Server => " (server dry run)",
        }
    }
}

/// Creates objects.
pub fn run(args: &CreateArgs, session: &mut Session) -> Result<(), CliError> {
    match (args.what.as_slice(), args.files.filename.is_empty()) {
        ([], true) => Err(CliError::Usage("must specify one of -f and a kind\nSee 'miniku create --help'.".into())),
        ([], false) => from_files(args, None, session),
        ([kind], false) => from_files(args, Some(one_kind(kind)?), session),
        ([_, _, ..], false) => Err(CliError::Usage("an object is named on the command line or in -f, not both".into())),
        ([kind, rest @ ..], true) => from_flags(args, one_kind(kind)?, rest.first(), session),
    }
}

fn from_files(args: &CreateArgs, only: Option<Kind>, session: &mut Session) -> Result<(), CliError> {
    let manifests = manifest::read(&args.files, &session.cluster)?;
    if let (Some(kind), Some(other)) = (only, manifests.iter().find(|one| Some(one.kind) != only)) {
        let (want, got) = (kind.row().name, other.kind.row().name);
        return Err(CliError::Usage(format!("{}: it holds a {got}, not a {want}", other.source)));
    }
    let mut errors = Vec::new();
    for manifest in manifests {
        let created = match args.dry.dry_run {
            Dry::Client => Ok(manifest.object.clone()),
            dry => session.cluster.create(manifest.kind, manifest.namespace(), &manifest.object, dry == Dry::Server),
        };
        match created {
            // `create pod -f FILE` is Minik8s' way, and so is its answer; its test scripts compare it.
            Ok(object) if only.is_some() && args.output == Format::Table => {
                writeln!(session.out, "{} created: {}", manifest.kind.row().name, name(&object))?;
            }
            Ok(object) => told(args, manifest.kind, object, session)?,
            Err(error) => errors.push(error.when(format!("creating {:?}", manifest.source))),
        }
    }
    session.out.flush()?;
    CliError::all(errors)
}

fn told(args: &CreateArgs, kind: Kind, object: Value, session: &mut Session) -> Result<(), CliError> {
    let done = format!("created{}", args.dry.dry_run.note());
    print::outcome(&mut session.out, args.output, kind, object, &done)
}

fn from_flags(args: &CreateArgs, kind: Kind, word: Option<&String>, session: &mut Session) -> Result<(), CliError> {
    let name = match (word, &args.name) {
        (Some(_), Some(_)) => return Err(CliError::Usage("the name is given twice".into())),
        (word, flag) => word.or(flag.as_ref()),
    };
    let namespace = session.cluster.namespace.clone();
    let object = match kind {
        Kind::Pod => pod(args, name, &namespace)?,
        Kind::ReplicaSet => replica_set(args, name, &namespace)?,
        Kind::Namespace => {
            let name = name.ok_or_else(|| CliError::Usage("exactly one NAME is required, got 0".into()))?;
            if args.image.is_some() || args.replicas.is_some() || !args.command.is_empty() {
                return Err(CliError::Usage("a namespace has no image, replicas or command".into()));
            }
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        }
        other => {
            let name = other.row().singular;
            return Err(CliError::Usage(format!("a {name} is created from a file: miniku create -f FILE")));
        }
    };
    let created = match args.dry.dry_run {
        Dry::Client => object,
        dry => session.cluster.create(kind, &namespace, &object, dry == Dry::Server)?,
    };
    // `--name` is k8s-lite's way, and so is its answer.
    if kind == Kind::Pod && word.is_none() && args.output == Format::Table && args.dry.dry_run == Dry::None {
        writeln!(session.out, "Pod {namespace}/{} created", crate::cli::cluster::name(&created))?;
        return Ok(());
    }
    told(args, kind, created, session)
}

fn pod(args: &CreateArgs, name: Option<&String>, namespace: &str) -> Result<Value, CliError> {
    let (Some(name), Some(_)) = (name, &args.image) else {
        // k8s-lite's words.
        return Err(CliError::Plain("Error: --name and --image are required for creating a pod".into()));
    };
    if args.replicas.is_some() {
        return Err(CliError::Usage("--replicas is for a replicaset; a pod is one".into()));
    }
    let mut metadata = json!({"name": name, "namespace": namespace});
    let labels = labels(args)?;
    if !labels.is_empty() {
        metadata["labels"] = labels.into();
    }
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(args, name)?}))
}

fn replica_set(args: &CreateArgs, name: Option<&String>, namespace: &str) -> Result<Value, CliError> {
    let (Some(name), Some(_)) = (name, &args.image) else {
        return Err(CliError::Usage("a name and --image are required for creating a replicaset".into()));
    };
    let mut labels = labels(args)?;
    if labels.is_empty() {
        labels.insert("app".into(), name.as_str().into());
    }
    Ok(json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": args.replicas.unwrap_or(1),
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec(args, name)?},
        },
    }))
}

fn pod_spec(args: &CreateArgs, name: &str) -> Result<Value, CliError> {
    let mut container = json!({"name": name, "image": args.image});
    if !args.command.is_empty() {
        container["command"] = json!(args.command);
    }
    if !args.env.is_empty() {
        let variable = |text: &String| {
            let (name, value) = text
                .split_once('=')
                .ok_or_else(|| CliError::Usage(format!("--env: {text:?} is not of the form NAME=VALUE")))?;
            Ok(json!({"name": name, "value": value}))
        };
        container["env"] = args.env.iter().map(variable).collect::<Result<Vec<_>, CliError>>()?.into();
    }
    let mut spec = json!({"containers": [container]});
    if let Some(restart) = &args.restart {
        spec["restartPolicy"] = restart.as_str().into();
    }
    Ok(spec)
}

fn labels(args: &CreateArgs) -> Result<Map<String, Value>, CliError> {
    let texts = args.labels.iter().flat_map(|labels| labels.split(',')).filter(|text| !text.is_empty());
    let label = |text: &str| match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.into())),
        None => Err(CliError::Usage(format!("--labels: {text:?} is not of the form key=value"))),
    };
    texts.map(label).collect()
}
