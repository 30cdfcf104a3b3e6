//! The API over HTTP: bytes to typed requests, and answers to bytes.
//!
//! [`route`] says what a path means, [`params`] what a query means, [`resources`] serves Kubernetes' paths and [`flat`]
//! MiniKu's, [`watch`] streams, [`logs`] fetches from a node, [`streams`] connects to one, [`discovery`] says what there
//! is, and [`pages`] has health, version and metrics. [`access`] says who may ask, and [`tokens`] tells others
//! apart. [`usage`] asks nodes what their pods use. [`decisions`] tells why objects are as they are. [`shown`] is what an answer looks like. Nothing here decides about
//! objects.

mod access;
pub mod decisions;
mod discovery;
mod flat;
mod lists;
mod logs;
mod pages;
mod params;
mod reply;
mod resources;
mod reviews;
mod route;
mod scale;
mod shown;
mod streams;
mod tokens;
mod usage;
mod watch;

use crate::driver::Seen;
use crate::host::ApiHost;
use crate::http::{Asked, Exchange, Metrics, Reply, Upgrade};
use miniku_core::api::status::{Reason, Status};
use miniku_core::program::Query;
use miniku_core::usage::PodUsage;
use route::Target;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub use access::{Access, bearer, read_tokens};
pub use pages::programs_page;
pub use reply::{VERSION, status as refuse};
pub use resources::value;

/// The API of one server.
pub struct Api {
    host: Arc<ApiHost>,
    /// The programs that run beside the server in this process.
    programs: Mutex<Vec<Arc<Mutex<Seen>>>>,
    http: OnceLock<Arc<Metrics>>,
    nodes: ureq::Agent,
    access: Access,
    readings: usage::Readings,
}

impl Api {
    /// The API of this server, for those who may use it.
    pub fn new(host: Arc<ApiHost>, access: Access) -> Arc<Self> {
        let (programs, http, readings) = Default::default();
        Arc::new(Api { host, programs, http, nodes: logs::agent(), access, readings })
    }

    /// Shows a program's counts on the metrics page.
    pub fn show(&self, program: Arc<Mutex<Seen>>) {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).push(program);
    }

    /// Shows the HTTP server's counts on the metrics page.
    pub fn show_http(&self, metrics: Arc<Metrics>) {
        // Told once, right after the server has started.
        let _ = self.http.set(metrics);
    }

    /// Answers a request for objects, now or when its write is durable, or gives it back: [`crate::http::AtOnce`].
    pub fn at_once(&self, asked: Asked, reply: Reply) -> Option<Reply> {
        let segments = asked.segments().unwrap_or_default();
        let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
        // Who speaks for somebody else says so in headers that are not looked at here.
        if asked.headers.impersonates {
            return Some(reply);
        }
        let target = self.target(&segments);
        let user = match self.access.admit(&self.host, asked, target.as_ref(), std::iter::empty()) {
            Ok(user) => user,
            Err(status) => {
                reply::status(reply, &status);
                return None;
            }
        };
        match target {
            Some(Target::Resource(resource)) => resources::at_once(self, asked, reply, &resource, &user),
            _ => Some(reply),
        }
    }

    /// Answers a review that is not about who asks: `TokenReview` or `SubjectAccessReview`.
    pub fn review(&self, kind: &str, spec: &serde_json::Value) -> serde_json::Value {
        reviews::status(self, kind, spec, None, &miniku_core::access::User::anonymous())
    }

    /// What the pods use that match, as far as their nodes say. Takes seconds where a kubelet does not answer.
    pub fn usage(&self, query: &Query) -> Vec<PodUsage> {
        usage::of_pods(self, query)
    }

    /// Serves one connection that asks for another protocol, on a thread of its own, as long as it lasts.
    pub fn upgrade(&self, upgrade: Upgrade) {
        streams::serve(self, upgrade);
    }

    fn target(&self, segments: &[&str]) -> Option<Target> {
        self.host.look(|server| route::target(segments, server.definitions()))
    }

    /// Answers one request, on a thread that may wait.
    pub fn handle(&self, exchange: Exchange) {
        let Some(segments) = exchange.segments() else {
            let status = Status::failure(Reason::BadRequest, "the path is not valid UTF-8 or has a broken escape");
            return reply::status(exchange, &status);
        };
        let segments: Vec<String> = segments.into_iter().map(|segment| segment.into_owned()).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let target = self.target(&segments);
        let user = match self.access.admit(&self.host, exchange.asked(), target.as_ref(), exchange.headers()) {
            Ok(user) => user,
            Err(status) => return reply::status(exchange, &status),
        };
        match target {
            Some(Target::Discovery(page)) => discovery::serve(self, exchange, &page),
            Some(Target::Health { page, check }) => pages::health(exchange, &page, check.as_deref()),
            Some(Target::Version) => pages::version(exchange),
            Some(Target::Metrics) => {
                let programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner).clone();
                pages::metrics(exchange, &self.host, &programs, self.http.get().map(|metrics| &**metrics));
            }
            Some(Target::Resource(resource)) => resources::serve(self, exchange, resource, &user),
            Some(Target::Review { review, namespace }) => {
                reviews::serve(self, exchange, review, namespace.as_deref(), &user);
            }
            Some(Target::Usage(asked)) => usage::serve(self, exchange, &asked),
            Some(Target::Decisions) => decisions::serve(self, exchange),
            Some(Target::Unassigned) => resources::unassigned(self, exchange),
            Some(Target::Flat { kind, name }) => flat::serve(self, exchange, kind, name.as_deref()),
            None => reply::status(exchange, &Status::no_such_path()),
        }
    }
}
