//! Reviews: questions that look like objects, about who the client is and what it may do.

use crate::api::{reply, resources};
use crate::http::Exchange;
use miniku_core::api::status::Status;
use miniku_core::apiserver::discovery::Review;
use serde_json::{Value, json};

/// Answers a review: the body with a `status`.
pub fn serve(exchange: Exchange, review: &Review, _namespace: Option<&str>) {
    if exchange.method() != "POST" {
        return reply::status(exchange, &Status::no_such_method());
    }
    let mut object = match resources::value(exchange.asked()) {
        Ok(object @ Value::Object(_)) => object,
        Ok(_) => return reply::status(exchange, &Status::no_such_path()),
        Err(status) => return reply::status(exchange, &status),
    };
    // Nobody is asked who they are: whoever reaches the port may do everything.
    let status = match review.kind {
        "SelfSubjectReview" => {
            json!({"userInfo": {"username": "system:anonymous", "groups": ["system:unauthenticated"]}})
        }
        "SelfSubjectRulesReview" => json!({"incomplete": false,
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}),
        "TokenReview" => json!({"authenticated": false, "error": "no tokens are known"}),
        _ => json!({"allowed": true, "reason": "access is not restricted"}),
    };
    object["kind"] = review.kind.into();
    object["apiVersion"] = format!("{}/v1", review.group).into();
    object["status"] = status;
    reply::value(exchange, 201, reply::JSON, &object);
}
