//! The daemons' flags. What they do is elsewhere; [`run`] is where it is called.
//!
//! The spellings of the programs before miniku are taken too: `--api-server` and its like for `--server`, `--db`,
//! `--root-dir`, `--node-name`, and Go's single dash (see [`argv`](crate::cli::argv)).

use crate::cli::error::CliError;
use crate::cli::target::ServerArgs;
use crate::client::connection::ServerUrl;
use crate::daemons;
use clap::{Arg, Args, Subcommand, ValueEnum};
use miniku_core::api::names::{NOT_A_SUBDOMAIN, is_dns_subdomain};
use miniku_core::api::quantity::Quantity;
use miniku_core::apiserver::services;
use miniku_core::durations;
use miniku_core::scheduler::Strategy;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What runs until it is stopped, and what stops it.
#[derive(Debug, Subcommand)]
pub enum Daemon {
    /// Run a whole cluster in this process
    #[command(arg = no_server(), args = nobody_asks(), arg = no_namespace(), after_help = "Examples:\n  sudo miniku up\n  miniku up --nodes 3 --runtime fake --store memory")]
    Up(UpArgs),
    /// Stop the cluster that `up` started on this machine, and all of its pods
    #[command(arg = no_server(), args = nobody_asks(), arg = no_namespace(), after_help = "Example:\n  sudo miniku down")]
    Down(DownArgs),
    /// Run the API server alone
    #[command(arg = no_server(), args = nobody_asks(), arg = no_namespace(), after_help = "Examples:\n  miniku apiserver --port 8080 --data-dir /var/lib/miniku\n  miniku apiserver --store memory --port 0 --ready-file ready")]
    Apiserver(ApiserverArgs),
    /// Run the scheduler alone
    #[command(arg = no_namespace(), after_help = "Example:\n  miniku scheduler --server http://127.0.0.1:8080 --strategy round-robin")]
    Scheduler(SchedulerArgs),
    /// Run the controllers alone
    #[command(arg = no_namespace(), after_help = "Example:\n  miniku controller --server http://127.0.0.1:8080")]
    Controller(ControllerArgs),
    /// Run a node: its kubelet and its containers
    #[command(arg = no_namespace(), after_help = "Example:\n  sudo miniku kubelet --name node-1 --server http://10.0.0.1:8080")]
    Kubelet(KubeletArgs),
}

/// The verbs' `--server`, of which a daemon that asks no server knows only that it means nothing.
fn no_server() -> Arg {
    Arg::new("server").short('s').long("server").value_parser(clap::value_parser!(ServerUrl)).hide(true)
}

/// The verbs' flags about who asks, of which a daemon that asks no server knows only that they mean nothing.
fn nobody_asks() -> [Arg; 4] {
    let flag = |id: &'static str, long: &'static str| Arg::new(id).long(long).hide(true);
    [
        flag("token", "token"),
        flag("token_file", "token-file").value_parser(clap::value_parser!(PathBuf)),
        flag("kubeconfig", "kubeconfig").value_parser(clap::value_parser!(PathBuf)),
        flag("context", "context"),
    ]
}

/// The verbs' `--namespace`, of which a daemon knows only that it means nothing.
fn no_namespace() -> Arg {
    Arg::new("namespace").short('n').long("namespace").hide(true)
}

/// A whole cluster in one process.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct UpArgs {
    /// How many nodes: node-1, node-2 and so on
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub nodes: u32,
    /// Where the API server listens.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Where state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// What services get.
    #[command(flatten)]
    pub services: ServiceArgs,
    /// Who may ask.
    #[command(flatten)]
    pub access: AccessArgs,
    /// Which node a pod goes to, among those it fits on: least-allocated, most-allocated, requested-to-capacity, round-robin, random
    #[arg(long, default_value = "least-allocated")]
    pub strategy: Strategy,
    /// Schedule pods with this schedulerName, too, by a strategy of their own; may be repeated
    #[arg(long, value_name = "NAME=STRATEGY", value_parser = profile)]
    pub profile: Vec<(String, Strategy)>,
    /// What runs containers
    #[arg(long, value_enum, default_value_t = Runtime::Namespaces)]
    pub runtime: Runtime,
    /// How long pods stay on a node that is not ready, unless their tolerations say a number of their own
    #[arg(long, default_value = "30s", value_parser = durations::parse, value_name = "DURATION")]
    pub eviction_timeout: Duration,
    /// How often what nothing was heard of is looked at again
    #[command(flatten)]
    pub sync: SyncArgs,
    /// Whether its programs are recorded.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// What to stop.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct DownArgs {
    /// The data directory that `up` was given
    #[arg(long, alias = "root-dir", default_value = DATA_DIR, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// The file or directory of the stored objects, if `up` was given one
    #[arg(long, value_name = "PATH")]
    pub db: Option<PathBuf>,
    /// How long a running miniku is given to stop
    #[arg(long, default_value = "30s", value_parser = durations::parse, value_name = "DURATION")]
    pub timeout: Duration,
}

/// The API server alone.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ApiserverArgs {
    /// Where it listens.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Where state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// What services get.
    #[command(flatten)]
    pub services: ServiceArgs,
    /// Who may ask.
    #[command(flatten)]
    pub access: AccessArgs,
    /// Whether its programs are recorded.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// A name for pods to choose, and what is done for those that do.
fn profile(text: &str) -> Result<(String, Strategy), String> {
    let (name, strategy) = text.split_once('=').ok_or("expected NAME=STRATEGY")?;
    Ok((name.into(), strategy.parse()?))
}

/// A name that a node can have. None at all would be the node of all pods that have no node yet.
fn node_name(text: &str) -> Result<String, String> {
    match (is_dns_subdomain(text), text.len() <= 63) {
        (false, _) => Err(NOT_A_SUBDOMAIN.to_owned()),
        (true, false) => Err("must be no more than 63 bytes, as the label kubernetes.io/hostname".to_owned()),
        (true, true) => Ok(text.to_owned()),
    }
}

/// The scheduler alone.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SchedulerArgs {
    /// Whom it asks.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Which node a pod goes to, among those it fits on: least-allocated, most-allocated, requested-to-capacity, round-robin, random
    #[arg(long, default_value = "least-allocated")]
    pub strategy: Strategy,
    /// Schedule pods with this schedulerName, too, by a strategy of their own; may be repeated
    #[arg(long, value_name = "NAME=STRATEGY", value_parser = profile)]
    pub profile: Vec<(String, Strategy)>,
    /// Serve health and metrics here
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics_address: Option<Address>,
    /// Whether it is elected.
    #[command(flatten)]
    pub election: ElectionArgs,
    /// How it watches.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// How often what nothing was heard of is looked at again
    #[command(flatten)]
    pub sync: SyncArgs,
    /// Whether its programs are recorded.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// The controllers alone.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ControllerArgs {
    /// Whom they ask.
    #[command(flatten)]
    pub server: ServerArgs,
    /// How long pods stay on a node that is not ready, unless their tolerations say a number of their own
    #[arg(long, default_value = "30s", value_parser = durations::parse, value_name = "DURATION")]
    pub eviction_timeout: Duration,
    /// Serve health and metrics here
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics_address: Option<Address>,
    /// Whether it is elected.
    #[command(flatten)]
    pub election: ElectionArgs,
    /// How they watch.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// How often what nothing was heard of is looked at again
    #[command(flatten)]
    pub sync: SyncArgs,
    /// Whether its programs are recorded.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// One node.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct KubeletArgs {
    /// The node's name
    #[arg(long, alias = "node-name", value_parser = node_name, value_name = "NODE")]
    pub name: String,
    /// Whom it asks.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Where containers and their records are kept
    #[arg(long, alias = "root-dir", default_value = DATA_DIR, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// What runs containers
    #[arg(long, value_enum, default_value_t = Runtime::Namespaces)]
    pub runtime: Runtime,
    /// The address at which it serves logs, and which the node is registered with
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST[:PORT]")]
    pub address: Address,
    /// The port at which it serves logs
    #[arg(long, default_value_t = 10250)]
    pub port: u16,
    /// How it watches.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// How often what nothing was heard of is looked at again
    #[command(flatten)]
    pub sync: SyncArgs,
    /// Whether its programs are recorded.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// Where objects and containers are kept, if the user says nothing else.
pub const DATA_DIR: &str = "/var/lib/miniku";

/// Where an API server listens.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ListenArgs {
    /// The port of the API server
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// The address of the API server; 0.0.0.0 is every address of this machine
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST[:PORT]")]
    pub address: Address,
    /// Write the API server's URL into this file when it serves; until then, and after it has ended, there is none
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// A further name by which browsers may call the API server; may be given several times
    #[arg(long = "allowed-host", value_name = "HOST")]
    pub allowed_hosts: Vec<String>,
}

impl ListenArgs {
    /// Host and port. A port in the address wins: who writes `:9090` means it.
    pub fn host_and_port(&self) -> (&str, u16) {
        (&self.address.host, self.address.port.unwrap_or(self.port))
    }
}

impl KubeletArgs {
    /// Host and port at which it serves logs. A port in the address wins.
    pub fn host_and_port(&self) -> (&str, u16) {
        (&self.address.host, self.address.port.unwrap_or(self.port))
    }
}

/// Where and how objects are stored.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct StateArgs {
    /// Where objects and containers are kept
    #[arg(long, alias = "root-dir", default_value = DATA_DIR, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// The file or directory of the stored objects, if not in the data directory
    #[arg(long, value_name = "PATH")]
    pub db: Option<PathBuf>,
    /// How objects are stored
    #[arg(long, value_enum, default_value_t = Store::Redb)]
    pub store: Store,
}

/// Who may ask for what. The words are kube-apiserver's.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct AccessArgs {
    /// Who may do what: everybody everything, or what their roles allow
    #[arg(long, value_enum, default_value_t = Authorization::AlwaysAllow, value_name = "MODE", ignore_case = true)]
    pub authorization: Authorization,
    /// A file with a line TOKEN,USER,UID,"GROUP1,GROUP2" for each bearer token
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// The secret with which tokens of service accounts are signed; it is made if it is not there. By default it is kept
    /// with the stored objects, or as long as the process with --store memory
    #[arg(long, value_name = "FILE")]
    pub service_account_key_file: Option<PathBuf>,
}

/// How access is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Authorization {
    /// Whoever reaches the port may do everything
    AlwaysAllow,
    /// Role-based access control
    Rbac,
}

/// From where services get their addresses. The words are kube-apiserver's.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ServiceArgs {
    /// The network of cluster IPs
    #[arg(long, default_value_t = services::Options::default().cluster_ips, value_name = "ADDRESS/BITS")]
    pub service_cluster_ip_range: services::Network,
    /// The ports of nodes that services may have
    #[arg(long, default_value_t = services::Options::default().node_ports, value_name = "FIRST-LAST")]
    pub service_node_port_range: services::PortRange,
}

/// How a daemon watches the API server, and how it comes back to it.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct WatchArgs {
    /// The pause before a lost watch is tried again; it doubles with each failure
    #[arg(long, default_value = "1s", value_parser = durations::parse, value_name = "DURATION")]
    pub watch_initial_delay: Duration,
    /// The longest such pause
    #[arg(long, default_value = "30s", value_parser = durations::parse, value_name = "DURATION")]
    pub watch_max_delay: Duration,
    /// After this time a watch is begun anew
    #[arg(long, default_value = "5m", value_parser = durations::parse, value_name = "DURATION")]
    pub watch_timeout: Duration,
}

/// Of several that do the same, one works. The words are kube-scheduler's.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ElectionArgs {
    /// Work only while elected by a lease in kube-system, so that several may run
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    #[arg(action = clap::ArgAction::Set)]
    pub leader_elect: bool,
    /// A lease that was not renewed for so long may be taken by another
    #[arg(long, default_value = "15s", value_parser = durations::parse, value_name = "DURATION")]
    pub leader_elect_lease_duration: Duration,
    /// Who could not renew its lease for so long stops working
    #[arg(long, default_value = "10s", value_parser = durations::parse, value_name = "DURATION")]
    pub leader_elect_renew_deadline: Duration,
    /// How often a lease is renewed, or looked at
    #[arg(long, default_value = "2s", value_parser = durations::parse, value_name = "DURATION")]
    pub leader_elect_retry_period: Duration,
}

/// The pause of programs that work in a loop; here it is how often everything is looked at again.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SyncArgs {
    /// How often everything is looked at again, whatever was heard of it
    #[arg(long, value_parser = durations::parse, value_name = "DURATION")]
    #[arg(aliases = ["interval", "scheduling-rate"])]
    pub sync_interval: Option<Duration>,
}

/// Recording what programs are told and what they want, for `miniku replay`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct RecordArgs {
    /// Record each program into this directory, for `miniku replay`
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// The most that recordings of one program take
    #[arg(long, default_value = "64Mi", value_name = "SIZE")]
    pub record_limit: Size,
}

/// So many bytes, written as a quantity: `64Mi`, `1G`, `500000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size: Quantity = text.parse()?;
        if size.value() == 0 { Err(format!("{text:?} is no size")) } else { Ok(Size(size.value())) }
    }
}

/// How objects are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// In a file; what was acknowledged survives a crash
    Redb,
    /// In memory; gone when the process ends
    Memory,
}

/// What runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// Linux namespaces; needs root
    Namespaces,
    /// Nothing runs; pods only look as if
    Fake,
}

/// A host, and a port if the user wrote one with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: Option<u16>,
}

/// `HOST`, `HOST:PORT`, `[::1]:PORT`, or Go's `:PORT` for every address of the machine.
impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare_ip: Result<std::net::IpAddr, _> = text.trim_matches(['[', ']']).parse();
        let (host, port) = match (bare_ip, text.rsplit_once(':')) {
            (Ok(ip), _) => return Ok(Address { host: ip.to_string(), port: None }),
            (Err(_), Some((host, port))) => (host.trim_matches(['[', ']']), Some(port)),
            (Err(_), None) => (text, None),
        };
        let port = port.map(|port| port.parse().map_err(|_| format!("{port:?} is no port"))).transpose()?;
        let host = if host.is_empty() && port.is_some() { "0.0.0.0" } else { host };
        if host.is_empty() || host.contains(['/', ' ']) {
            return Err(format!("{text:?} is no address"));
        }
        Ok(Address { host: host.to_owned(), port })
    }
}

/// Runs a daemon until it is stopped.
pub fn run(daemon: Daemon) -> Result<(), CliError> {
    let ended = match daemon {
        Daemon::Up(args) => daemons::up(&args),
        Daemon::Down(args) => daemons::down(&args),
        Daemon::Apiserver(args) => daemons::apiserver(&args),
        Daemon::Scheduler(args) => daemons::scheduler(&args),
        Daemon::Controller(args) => daemons::controller(&args),
        Daemon::Kubelet(args) => daemons::kubelet(&args),
    };
    ended.map_err(|error| CliError::Plain(format!("error: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::argv::with_two_dashes;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn parse(line: &str) -> Result<Daemon, clap::Error> {
        let argv = with_two_dashes(line.split(' ').map(str::to_owned));
        match Cli::try_parse_from(argv)?.command {
            Command::Daemon(daemon) => Ok(daemon),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn up_needs_nothing() {
        let Daemon::Up(up) = parse("miniku up").unwrap() else { panic!() };
        assert_eq!((up.nodes, up.listen.host_and_port()), (2, ("127.0.0.1", 8080)));
        assert_eq!((up.state.store, up.state.data_dir.to_str()), (Store::Redb, Some("/var/lib/miniku")));
        assert_eq!((up.eviction_timeout, up.sync.sync_interval), (Duration::from_secs(30), None));
        assert_eq!((up.strategy, up.runtime), (Strategy::LeastAllocated, Runtime::Namespaces));
        assert_eq!(up.record, RecordArgs { record: None, record_limit: Size(64 << 20) });
    }

    #[test]
    fn the_seeds_spellings_are_understood() {
        let Daemon::Apiserver(args) = parse("miniku apiserver -port 8081 -db miniku.db").unwrap() else { panic!() };
        assert_eq!((args.listen.port, args.state.db), (8081, Some("miniku.db".into())));
        let Daemon::Apiserver(args) = parse("gokube apiserver --address :8081").unwrap() else { panic!() };
        assert_eq!(args.listen.host_and_port(), ("0.0.0.0", 8081));
        let Daemon::Scheduler(args) = parse("m scheduler -api-server http://localhost:1 -interval 5s").unwrap() else {
            panic!()
        };
        assert_eq!(
            (args.server.target().unwrap().server.to_string().as_str(), args.sync.sync_interval),
            ("http://localhost:1", Some(Duration::from_secs(5)))
        );
        let Daemon::Controller(args) = parse("m --apiserver http://x:2 controller").unwrap() else { panic!() };
        assert_eq!(args.server.target().unwrap().server.to_string(), "http://x:2");
        let line = "m kubelet -name n1 -apiserver http://x:2 -root-dir d -address localhost:10251 -sync-interval 1m30s";
        let Daemon::Kubelet(args) = parse(line).unwrap() else { panic!() };
        assert_eq!(
            (args.name.as_str(), args.data_dir.to_str(), args.host_and_port()),
            ("n1", Some("d"), ("localhost", 10251))
        );
        assert_eq!(args.sync.sync_interval, Some(Duration::from_secs(90)));
        let Daemon::Kubelet(args) = parse("m kubelet --node-name d --api-server-url 127.0.0.1:8081").unwrap() else {
            panic!()
        };
        assert_eq!(
            (args.name.as_str(), args.server.target().unwrap().server.to_string().as_str()),
            ("d", "http://127.0.0.1:8081")
        );
        let Daemon::Down(args) = parse("m down --root-dir d --db miniku.db").unwrap() else { panic!() };
        assert_eq!((args.data_dir, args.db), ("d".into(), Some("miniku.db".into())));
        let Daemon::Up(args) = parse("m up --strategy RoundRobin").unwrap() else { panic!() };
        assert_eq!(args.strategy, Strategy::RoundRobin);
    }

    #[test]
    fn help_shows_what_means_something() {
        for (daemon, server) in [
            ("up", false),
            ("down", false),
            ("apiserver", false),
            ("scheduler", true),
            ("controller", true),
            ("kubelet", true),
        ] {
            let help = parse(&format!("m {daemon} --help")).unwrap_err().to_string();
            assert_eq!(help.contains("--server <URL>"), server, "{help}");
            assert!(!help.contains("--namespace"), "{help}");
        }
        assert!(parse("m -n x -s :1 up").is_ok() && parse("m up -n x -s :1").is_ok());
    }

    #[test]
    fn mistakes_are_told() {
        let check = |line: &str, want: &str| {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        };
        check("m kubelet", "--name <NODE>");
        check("m kubelet --name=", "for '--name <NODE>'");
        check("m kubelet --name My_Node", "a lowercase RFC 1123 subdomain");
        check(&format!("m kubelet --name {}", "n".repeat(64)), "no more than 63 bytes");
        assert!(parse(&format!("m kubelet --name {}", "n".repeat(63))).is_ok());
        check("m up --eviction-timeout 30", "the unit is missing");
        check("m up --strategy best", "is no strategy");
        check("m up --nodes many", "invalid digit");
        check("m apiserver --address a:b", "is no port");
        check("m up --record-limit 0", "is no size");
    }
}
