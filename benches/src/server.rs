//! An API server in this process, served over loopback, with objects that are kept in memory: as MiniKu's
//! benchmarks have it.

use miniku::api::{Access, Api};
use miniku::client::{Remote, ServerUrl};
use miniku::clock::Clock;
use miniku::engine::memory::Memory;
use miniku::host::ApiHost;
use miniku::http::{self, Config, Serving};
use miniku_core::api::object::{Object, Resource};
use miniku_core::apiserver::Options;
use miniku_core::program::{Answer, Part, Query, Verb};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// A server and a client.
pub struct Served {
    pub host: Arc<ApiHost>,
    pub url: ServerUrl,
    pub remote: Remote,
    _serving: Serving,
}

impl Served {
    /// A server with these objects.
    pub fn with(objects: impl IntoIterator<Item = Object>) -> Self {
        let host = ApiHost::start(Clock::start(), Options::with_seed(1), Box::new(Memory::default()), None)
            .expect("an empty store can be read");
        for object in objects {
            put(&host, object);
        }
        let api = Api::new(host.clone(), Access::new(false, Default::default(), Vec::new()));
        let at_once = api.clone();
        let at_once: http::AtOnce = Arc::new(move |asked, reply| at_once.at_once(asked, reply));
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = Config { listen, at_once: Some(at_once), ..Config::default() };
        let serving = http::serve(config, Arc::new(move |exchange| api.handle(exchange))).expect("loopback is free");
        let url: ServerUrl = serving.local_addr().to_string().parse().expect("an address is a server's");
        Served { host, remote: Remote::new(url.clone()), url, _serving: serving }
    }

    /// Asks over HTTP, for what must be granted.
    pub fn ask(&self, verb: Verb) -> Answer {
        match self.remote.call(&verb.into()) {
            answer @ (Answer::Refused(_) | Answer::Lost(_)) => {
                panic!("a benchmark's request was not granted: {answer:?}")
            }
            answer => answer,
        }
    }

    /// Lists over HTTP.
    pub fn list(&self, query: Query) -> Vec<Object> {
        match self.ask(Verb::List(query)) {
            Answer::List { items, .. } => items,
            other => panic!("a list was answered with {other:?}"),
        }
    }
}

/// Stores an object, and its status.
pub fn put(host: &Arc<ApiHost>, object: Object) {
    use miniku_core::api::node::Node;
    let answer = host.ask(Verb::Create { object: object.clone() });
    assert!(matches!(answer, Answer::Object { .. }), "{answer:?}");
    if object.get::<Node>().is_some_and(|node| !node.meta().name.is_empty()) {
        let answer = host.ask(Verb::Update { object, part: Part::Status });
        assert!(matches!(answer, Answer::Object { .. }), "{answer:?}");
    }
}
