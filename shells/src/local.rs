//! The way to an API server in the same process.

use crate::driver::{Api, Inbox};
use crate::host::{ApiHost, FromServer};
use miniku_core::program::{CallId, Input, Request, RequestId, Verb};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Calls an [`ApiHost`] directly: no bytes, no sockets.
pub struct Local {
    host: Arc<ApiHost>,
    /// Watches, so that they can be cancelled.
    watches: BTreeMap<CallId, RequestId>,
}

impl Local {
    /// The way to this server.
    pub fn new(host: Arc<ApiHost>) -> Self {
        Local { host, watches: BTreeMap::new() }
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
}

impl Drop for Local {
    fn drop(&mut self) {
        for id in std::mem::take(&mut self.watches).into_values() {
            self.host.gone(id);
        }
    }
}
