//! Discovery: what is served, in the forms that clients ask for.

use crate::api::route::Discovery;
use crate::api::{Api, reply};
use crate::http::Exchange;
use miniku_core::api::status::{Reason, Status};
use miniku_core::apiserver::discovery::{self as catalog, Group};
use miniku_core::schema::openapi;

/// Answers with a page of discovery.
pub fn serve(api: &Api, exchange: Exchange, page: &Discovery) {
    if !matches!(exchange.method(), "GET" | "HEAD") {
        return reply::status(exchange, &Status::no_such_method());
    }
    let groups = api.host.look(|server| catalog::groups(server.definitions()));
    let wanted = aggregated(exchange.asked().headers.accept);
    match page {
        Discovery::Root => {
            let value = serde_json::json!({"paths": paths(&groups)});
            reply::value(exchange, 200, reply::JSON, &value);
        }
        Discovery::Core => match wanted {
            Some(version) => {
                let core = groups.iter().filter(|(name, _)| name.is_empty());
                all_at_once(exchange, version, &catalog::aggregated(core, version));
            }
            None => reply::value(exchange, 200, reply::JSON, &catalog::CORE_VERSIONS),
        },
        Discovery::Groups => match wanted {
            Some(version) => {
                let named = groups.iter().filter(|(name, _)| !name.is_empty());
                all_at_once(exchange, version, &catalog::aggregated(named, version));
            }
            None => reply::value(exchange, 200, reply::JSON, &catalog::group_list(&groups)),
        },
        Discovery::Group(name) => match find(&groups, name) {
            Some(group) => reply::value(exchange, 200, reply::JSON, &catalog::group(group)),
            None => reply::status(exchange, &Status::no_such_path()),
        },
        Discovery::Resources(group, version) => {
            let versions = find(&groups, group).map_or(&[][..], |(_, versions)| versions);
            match versions.iter().find(|(name, _)| name == version) {
                Some((_, resources)) => {
                    reply::value(exchange, 200, reply::JSON, &catalog::resource_list(group, version, resources));
                }
                None => reply::status(exchange, &Status::no_such_path()),
            }
        }
        Discovery::OpenApiV2 => open_api_v2(exchange),
        Discovery::OpenApiV3 => {
            let index = api.host.look(|server| openapi::index(server.definitions()));
            reply::value(exchange, 200, reply::JSON, &index);
        }
        Discovery::OpenApiV3Of(group, version) => {
            let definitions = api.host.look(|server| server.definitions().clone());
            match openapi::of(&definitions, group, version) {
                Some(document) => reply::value(exchange, 200, reply::JSON, &document),
                None => reply::status(exchange, &Status::no_such_path()),
            }
        }
    }
}

/// What is served beside objects, in alphabetical order.
fn paths(groups: &[Group]) -> Vec<String> {
    let pages =
        ["/healthz", "/healthz/ping", "/livez", "/livez/ping", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz"];
    let mut paths: Vec<String> =
        pages.into_iter().chain(["/readyz/ping", "/version", "/api", "/apis"]).map(Into::into).collect();
    for (group, versions) in groups {
        let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
        paths.extend(versions.iter().map(|(version, _)| format!("{root}/{version}")));
        paths.extend((!group.is_empty()).then_some(root));
    }
    paths.sort();
    paths
}

fn find<'a>(groups: &'a [Group], name: &str) -> Option<&'a Group> {
    groups.iter().find(|(group, _)| group == name)
}

/// The version of the answer that a client wants which knows all groups at once, if it wants that before all else.
fn aggregated(accept: &str) -> Option<&'static str> {
    for element in accept.split(',') {
        let has = |part: &str| element.split(';').any(|one| one.trim() == part);
        if !has("as=APIGroupDiscoveryList") || !has("g=apidiscovery.k8s.io") {
            if matches!(element.split(';').next().unwrap_or("").trim(), "application/json" | "*/*") {
                return None;
            }
            continue;
        }
        match (has("v=v2"), has("v=v2beta1")) {
            (true, _) => return Some("v2"),
            (_, true) => return Some("v2beta1"),
            _ => {}
        }
    }
    None
}

fn all_at_once(exchange: Exchange, version: &str, list: &catalog::ApiGroupDiscoveryList) {
    let content_type = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    reply::value(exchange, 200, &content_type, list);
}

/// A document without content, as protobuf: clients want to see one, and take the schemas from version 3.
fn open_api_v2(exchange: Exchange) {
    let accept = exchange.asked().headers.accept.to_owned();
    if accept.contains("protobuf") || accept.is_empty() {
        // gnostic's Document with `swagger: "2.0"`. The type that is asked for is not named: Go's parser stumbles over it.
        return reply::send(exchange, 200, "application/octet-stream", &[], b"\x0a\x032.0");
    }
    if accept.contains("json") || accept.contains("*/*") {
        let document = serde_json::json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": reply::VERSION}, "paths": {}});
        return reply::value(exchange, 200, reply::JSON, &document);
    }
    let message = "only the following media types are accepted: application/json, application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    reply::status(exchange, &Status::failure(Reason::NotAcceptable, message));
}
