//! `/decisions`: what the programs decided. Those that run apart tell it here, and whoever asks why is answered from it.

use crate::api::{Api, reply};
use crate::http::Exchange;
use miniku_core::api::object::Key;
use miniku_core::api::status::{Reason, Status};
use miniku_core::decision::Noted;
use serde::{Deserialize, Serialize};

/// The decisions that led to an object.
#[derive(Debug, Deserialize, Serialize)]
pub struct Told<N> {
    /// In the order of time.
    pub decisions: Vec<N>,
    /// Whether others were forgotten since the server started.
    pub forgotten: bool,
}

/// Answers `GET /decisions?of=pods/default/web-1`, and takes down what is posted.
pub fn serve(api: &Api, exchange: Exchange) {
    let refuse = |exchange, why: String| reply::status(exchange, &Status::failure(Reason::BadRequest, why));
    match exchange.method() {
        "GET" | "HEAD" => {
            let of = exchange.query_pairs().find(|(name, _)| name == "of").map(|(_, value)| value.into_owned());
            let Some(of) = of else { return refuse(exchange, "of which object? Say ?of=pods/default/NAME".into()) };
            match of.parse::<Key>() {
                Ok(key) => api.host.journal(|journal| {
                    let told = Told { decisions: journal.chain(&key), forgotten: journal.has_forgotten() };
                    reply::value(exchange, 200, reply::JSON, &told);
                }),
                Err(why) => refuse(exchange, why),
            }
        }
        "POST" => match serde_json::from_slice::<Vec<Noted>>(exchange.body()) {
            Ok(decisions) => {
                api.host.note(decisions);
                reply::send(exchange, 204, "", &[], b"");
            }
            Err(why) => refuse(exchange, format!("no list of decisions: {why}")),
        },
        _ => reply::status(exchange, &Status::failure(Reason::MethodNotAllowed, "decisions are got or posted")),
    }
}
