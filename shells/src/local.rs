//! The way to an API server in the same process.

use crate::api::Api as HttpApi;
use crate::driver::{Api, Inbox};
use crate::host::{ApiHost, FromServer};
use miniku_core::decision::Noted;
use miniku_core::program::{CallId, Input, Query, Request, RequestId, Verb};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Calls an [`ApiHost`] directly: no bytes, no sockets.
pub struct Local {
    host: Arc<ApiHost>,
    /// Watches, so that they can be cancelled.
    watches: BTreeMap<CallId, RequestId>,
    /// Who asks kubelets what pods use.
    usage: Option<Arc<HttpApi>>,
}

impl Local {
    /// The way to this server.
    pub fn new(host: Arc<ApiHost>) -> Self {
        Local { host, watches: BTreeMap::new(), usage: None }
    }

    /// The same, for a program that wants to know what pods use.
    pub fn measuring(mut self, usage: Arc<HttpApi>) -> Self {
        self.usage = Some(usage);
        self
    }
}

impl Api for Local {
    fn call(&mut self, call: CallId, request: Request, inbox: &Inbox) {
        let is_watch = matches!(request.verb, Verb::Watch { .. });
        let inbox = inbox.clone();
        let route = move |said| {
            inbox.deliver(match said {
                FromServer::Answer(answer) => Input::Reply { call, answer },
                FromServer::Event(event) => Input::Event { call, event },
                FromServer::End => Input::Ended { call },
            })
        };
        let id = self.host.submit(request, Box::new(route));
        if is_watch {
            self.watches.insert(call, id);
        }
    }

    fn cancel(&mut self, call: CallId) {
        if let Some(id) = self.watches.remove(&call) {
            self.host.gone(id);
        }
    }

    fn noted(&mut self, noted: Noted) {
        self.host.note([noted]);
    }

    fn measure(&mut self, call: CallId, query: Query, inbox: &Inbox) {
        let Some(usage) = self.usage.clone() else {
            inbox.deliver(Input::Measured { call, answer: Err("nobody measures here".into()) });
            return;
        };
        let to = inbox.clone();
        // It waits for kubelets, a few times a minute.
        let ask = move || {
            to.deliver(Input::Measured { call, answer: Ok(usage.usage(&query)) });
        };
        if let Err(error) = std::thread::Builder::new().name("usage".into()).stack_size(512 << 10).spawn(ask) {
            inbox.deliver(Input::Measured { call, answer: Err(format!("starting a thread: {error}")) });
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        for id in std::mem::take(&mut self.watches).into_values() {
            self.host.gone(id);
        }
    }
}
