//! `create`: objects from files, or one from flags.

use crate::cli::Session;
use crate::cli::cluster::{name, text};
use crate::cli::error::CliError;
use crate::cli::manifest::{self, FileArgs, Manifest};
use crate::cli::print::{self, Format};
use crate::client::paths;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, ValueEnum};
use miniku_core::api::kinds::Kind;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku create -f pod.yaml\n  \
    miniku create pod web --image=busybox -- sh -c 'while true; do sleep 1; done'\n  \
    miniku create deployment web --image=busybox --replicas=3\n  miniku create namespace team-a\n  \
    miniku create configmap settings --from-literal=colour=red --from-file=app.conf\n  \
    miniku create secret generic keys --from-file=id=./key.pem\n  \
    miniku create role reader --verb=get,list,watch --resource=pods,pods/log\n  \
    miniku create rolebinding readers --role=reader --user=jane\n  \
    miniku create token robot --duration=1h > robot.token\n  \
    miniku create pod --name=mypod1 --image=nginx:latest";

/// What can be made from flags.
pub const MADE: &[&str] = &[
    "configmap",
    "clusterrole",
    "clusterrolebinding",
    "cronjob",
    "deployment",
    "job",
    "namespace",
    "pod",
    "replicaset",
    "role",
    "rolebinding",
    "secret",
    "serviceaccount",
    "token",
];

/// What to create.
#[derive(Args, Debug, Default)]
pub struct CreateArgs {
    /// pod, replicaset, deployment, job, cronjob, namespace, configmap, secret generic, serviceaccount, role, clusterrole,
    /// rolebinding, clusterrolebinding or token, and a name; or a kind whose objects are in -f
    #[arg(value_name = "KIND NAME", num_args = 0..=3)]
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
    /// How many pods a replica set or deployment wants
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
    /// A key and its value in a config map or secret; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub from_literal: Vec<String>,
    /// A file, or a directory of files, whose content is a value; may be repeated
    #[arg(long, value_name = "[KEY=]FILE")]
    pub from_file: Vec<String>,
    /// When a cron job runs: minute, hour, day, month, weekday
    #[arg(long, value_name = "SCHEDULE")]
    pub schedule: Option<String>,
    /// What a role allows: get, list, watch, create, ... or *
    #[arg(long, value_name = "VERBS", value_delimiter = ',')]
    pub verb: Vec<String>,
    /// To what: pods, pods/log, deployments.apps
    #[arg(long, value_name = "RESOURCES", value_delimiter = ',')]
    pub resource: Vec<String>,
    /// To which objects only
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub resource_name: Vec<String>,
    /// The role that a binding gives
    #[arg(long, conflicts_with = "clusterrole")]
    pub role: Option<String>,
    /// The cluster role that a binding gives
    #[arg(long)]
    pub clusterrole: Option<String>,
    /// A user who gets it; may be repeated
    #[arg(long)]
    pub user: Vec<String>,
    /// A group that gets it; may be repeated
    #[arg(long)]
    pub group: Vec<String>,
    /// A service account that gets it; may be repeated
    #[arg(long, value_name = "NAMESPACE:NAME")]
    pub serviceaccount: Vec<String>,
    /// How long a token counts
    #[arg(long, value_parser = miniku_core::durations::parse, value_name = "DURATION")]
    pub duration: Option<std::time::Duration>,
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
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct DryArgs {
    /// Only try: `client` asks nobody, `server` does all but the writing
    #[arg(long, value_enum, default_value_t = Dry::None, default_missing_value = "client", num_args = 0..=1)]
    #[arg(require_equals = true, value_name = "HOW")]
    pub dry_run: Dry,
}

/// How far a write goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Dry {
    /// It is done
    #[default]
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
        ([kind], false) => from_files(args, Some(session.cluster.kind(kind)?), session),
        ([_, _, ..], false) => Err(CliError::Usage("an object is named on the command line or in -f, not both".into())),
        ([kind, rest @ ..], true) if kind == "token" => token(args, rest.first(), session),
        // kubectl tells kinds of secrets apart; those with keys and values are generic.
        ([kind, generic, rest @ ..], true) if generic == "generic" && session.cluster.kind(kind)? == Kind::Secret => {
            from_flags(args, Kind::Secret, rest.first(), session)
        }
        ([_, _, _, ..], true) => Err(CliError::Usage("exactly one NAME is required".into())),
        ([kind, rest @ ..], true) => from_flags(args, session.cluster.kind(kind)?, rest.first(), session),
    }
}

fn from_files(args: &CreateArgs, only: Option<Kind>, session: &mut Session) -> Result<(), CliError> {
    let manifests = manifest::read(&args.files, &session.cluster)?;
    // `hpa` means Kubernetes' own, and a file of Minik8s' has another kind of that name.
    let meant = |one: &Manifest| {
        Some(one.kind) == only || args.what.first().is_some_and(|word| one.kind.row().name.eq_ignore_ascii_case(word))
    };
    if let (Some(kind), Some(other)) = (only, manifests.iter().find(|one| !meant(one))) {
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
    print::outcome(&mut session.out, &args.output, kind, object, &done)
}

fn from_flags(args: &CreateArgs, kind: Kind, word: Option<&String>, session: &mut Session) -> Result<(), CliError> {
    let name = match (word, &args.name) {
        (Some(_), Some(_)) => return Err(CliError::Usage("the name is given twice".into())),
        (word, flag) => word.or(flag.as_ref()),
    };
    let namespace = session.cluster.namespace.clone();
    let object = match kind {
        Kind::Pod => pod(args, name, &namespace)?,
        Kind::ReplicaSet | Kind::Deployment => replicated(args, kind, name, &namespace)?,
        Kind::Job | Kind::CronJob => job(args, kind, name, &namespace)?,
        Kind::ConfigMap | Kind::Secret => with_data(args, kind, name, &namespace)?,
        Kind::Role | Kind::ClusterRole => role(args, kind, name, session)?,
        Kind::RoleBinding | Kind::ClusterRoleBinding => role_binding(args, kind, name, &namespace)?,
        Kind::ServiceAccount => {
            let name = required(name)?;
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})
        }
        Kind::Namespace => {
            let name = required(name)?;
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

fn required(name: Option<&String>) -> Result<&String, CliError> {
    name.ok_or_else(|| CliError::Usage("exactly one NAME is required, got 0".into()))
}

fn replicated(args: &CreateArgs, kind: Kind, name: Option<&String>, namespace: &str) -> Result<Value, CliError> {
    let row = kind.row();
    let (Some(name), Some(_)) = (name, &args.image) else {
        return Err(CliError::Usage(format!("a name and --image are required for creating a {}", row.singular)));
    };
    let mut labels = labels(args)?;
    if labels.is_empty() {
        labels.insert("app".into(), name.as_str().into());
    }
    Ok(json!({
        "apiVersion": row.api_version(), "kind": row.name,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": args.replicas.unwrap_or(1),
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec(args, name)?},
        },
    }))
}

fn job(args: &CreateArgs, kind: Kind, name: Option<&String>, namespace: &str) -> Result<Value, CliError> {
    let row = kind.row();
    let (Some(name), Some(_)) = (name, &args.image) else {
        return Err(CliError::Usage(format!("a name and --image are required for creating a {}", row.singular)));
    };
    let mut pod = pod_spec(args, name)?;
    if args.restart.is_none() {
        // Source: kubectl; `Always` is refused for jobs.
        pod["restartPolicy"] = if kind == Kind::Job { "Never" } else { "OnFailure" }.into();
    }
    let job = json!({"template": {"spec": pod}});
    let spec = match (kind, &args.schedule) {
        (Kind::CronJob, Some(schedule)) => json!({"schedule": schedule, "jobTemplate": {"spec": job}}),
        (Kind::CronJob, None) => return Err(CliError::Usage("--schedule is required for creating a cronjob".into())),
        _ => job,
    };
    let metadata = json!({"name": name, "namespace": namespace});
    Ok(json!({"apiVersion": row.api_version(), "kind": row.name, "metadata": metadata, "spec": spec}))
}

fn with_data(args: &CreateArgs, kind: Kind, name: Option<&String>, namespace: &str) -> Result<Value, CliError> {
    let (mut texts, mut bytes) = (Map::new(), Map::new());
    let mut put = |key: &str, value: Vec<u8>| {
        let there = texts.contains_key(key) || bytes.contains_key(key);
        if there {
            return Err(CliError::Usage(format!("cannot add key {key:?}, another key by that name already exists")));
        }
        match (kind, String::from_utf8(value)) {
            (Kind::ConfigMap, Ok(text)) => texts.insert(key.into(), text.into()),
            (_, Ok(text)) => bytes.insert(key.into(), BASE64_STANDARD.encode(text).into()),
            (_, Err(error)) => bytes.insert(key.into(), BASE64_STANDARD.encode(error.as_bytes()).into()),
        };
        Ok(())
    };
    for literal in &args.from_literal {
        let wrong = || CliError::Usage(format!("invalid literal source {literal}, expected key=value"));
        let (key, value) = literal.split_once('=').ok_or_else(wrong)?;
        put(key, value.as_bytes().to_vec())?;
    }
    for source in &args.from_file {
        let (key, path) = source.split_once('=').map_or((None, source.as_str()), |(key, path)| (Some(key), path));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CliError::Io { what: "read".into(), path, source }
        };
        let path = Path::new(path);
        let mut files = vec![path.to_owned()];
        if path.is_dir() {
            if key.is_some() {
                return Err(CliError::Usage("cannot give a key name for a directory path".into()));
            }
            let entries = fs::read_dir(path).map_err(failed(path))?.collect::<Result<Vec<_>, _>>();
            files =
                entries.map_err(failed(path))?.iter().map(fs::DirEntry::path).filter(|path| path.is_file()).collect();
            files.sort();
        }
        for file in files {
            let own = file.file_name().and_then(|name| name.to_str()).unwrap_or("");
            put(key.unwrap_or(own), fs::read(&file).map_err(failed(&file))?)?;
        }
    }
    let row = kind.row();
    let metadata = json!({"name": required(name)?, "namespace": namespace});
    let mut object = json!({"apiVersion": "v1", "kind": row.name, "metadata": metadata});
    match kind {
        Kind::Secret => {
            object["type"] = "Opaque".into();
            object["data"] = bytes.into();
        }
        _ => {
            for (field, values) in [("data", texts), ("binaryData", bytes)] {
                if !values.is_empty() {
                    object[field] = values.into();
                }
            }
        }
    }
    Ok(object)
}

/// The metadata of an object that may be in a namespace.
fn metadata(kind: Kind, name: &str, namespace: &str) -> Value {
    match kind.row().namespaced {
        true => json!({"name": name, "namespace": namespace}),
        false => json!({"name": name}),
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

fn role(args: &CreateArgs, kind: Kind, name: Option<&String>, session: &Session) -> Result<Value, CliError> {
    if args.verb.is_empty() || args.resource.is_empty() {
        return Err(CliError::Usage(
            "at least one verb and one resource must be specified: --verb and --resource".into(),
        ));
    }
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for word in &args.resource {
        let (word, part) =
            word.split_once('/').map_or((word.as_str(), String::new()), |(word, part)| (word, format!("/{part}")));
        let (group, plural) = match word {
            "*" => ("*".to_owned(), "*".to_owned()),
            word => {
                let kind = session.cluster.kind(word)?;
                (kind.row().group.to_owned(), kind.row().plural.to_owned())
            }
        };
        groups.entry(group).or_default().push(plural + &part);
    }
    let rules = groups.into_iter().map(|(group, resources)| {
        let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": args.verb});
        if !args.resource_name.is_empty() {
            rule["resourceNames"] = json!(args.resource_name);
        }
        rule
    });
    let rules: Vec<Value> = rules.collect();
    let metadata = metadata(kind, required(name)?, &session.cluster.namespace);
    Ok(json!({"apiVersion": format!("{RBAC}/v1"), "kind": kind.row().name, "metadata": metadata, "rules": rules}))
}

fn role_binding(args: &CreateArgs, kind: Kind, name: Option<&String>, namespace: &str) -> Result<Value, CliError> {
    let role = match (&args.role, &args.clusterrole, kind) {
        (Some(role), _, Kind::RoleBinding) => json!({"kind": "Role", "name": role, "apiGroup": RBAC}),
        (_, Some(role), _) => json!({"kind": "ClusterRole", "name": role, "apiGroup": RBAC}),
        _ => return Err(CliError::Usage("the role must be specified: --role or --clusterrole".into())),
    };
    let named = |kind: &'static str| move |name: &String| json!({"kind": kind, "name": name, "apiGroup": RBAC});
    let mut subjects: Vec<Value> = args.user.iter().map(named("User")).collect();
    subjects.extend(args.group.iter().map(named("Group")));
    for account in &args.serviceaccount {
        let (namespace, name) = account
            .split_once(':')
            .ok_or_else(|| CliError::Usage("serviceaccount must be <namespace>:<name>".into()))?;
        subjects.push(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}));
    }
    let metadata = metadata(kind, required(name)?, namespace);
    Ok(json!({"apiVersion": format!("{RBAC}/v1"), "kind": kind.row().name, "metadata": metadata, "roleRef": role,
        "subjects": subjects}))
}

/// `create token ACCOUNT`: what a program brings along that is this service account.
fn token(args: &CreateArgs, name: Option<&String>, session: &mut Session) -> Result<(), CliError> {
    let key = session.cluster.key(Kind::ServiceAccount, required(name.or(args.name.as_ref()))?);
    let mut request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    if let Some(duration) = args.duration {
        request["spec"]["expirationSeconds"] = duration.as_secs().into();
    }
    let answer = session.cluster.post(&paths::object(&key, Some("token")), &request)?;
    match args.output {
        Format::Table => writeln!(session.out, "{}", text(&answer["status"]["token"]))?,
        ref other => print::objects(&mut session.out, other, vec![(Kind::ServiceAccount, answer)], true, true)?,
    }
    Ok(())
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
