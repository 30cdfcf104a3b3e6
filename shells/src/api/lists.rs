//! Lists, whole or in parts.

use crate::api::params::Params;
use crate::api::route::Resource;
use crate::api::shown::Shown;
use crate::api::{Api, reply};
use crate::http::{Asked, Reply, Respond};
use miniku_core::api::status::{Reason, Status};
use miniku_core::api::text::Text;
use miniku_core::program::Revision;

/// The same as [`serve`], but for what is to be packed: that takes too long for whoever answers at once, and is given back.
pub fn at_once(
    api: &Api,
    asked: Asked,
    reply: Reply,
    resource: &Resource,
    params: &Params,
    shown: &Shown,
) -> Option<Reply> {
    match list(api, resource, params, shown) {
        Ok(text) if reply::is_packed(text.len(), asked.headers.takes_gzip()) => return Some(reply),
        Ok(text) => reply::objects(reply, 200, shown, &[], &text),
        Err(status) => reply::status(reply, &status),
    }
    None
}

/// Answers with the objects that match.
pub fn serve(api: &Api, to: impl Respond, resource: &Resource, params: &Params, shown: &Shown) {
    match list(api, resource, params, shown) {
        Ok(text) => reply::objects(to, 200, shown, &[], &text),
        Err(status) => reply::status(to, &status),
    }
}

fn list(api: &Api, resource: &Resource, params: &Params, shown: &Shown) -> Result<Vec<u8>, Status> {
    let query = params.list_query(resource.kind(), resource.namespace.as_deref())?;
    let (revision, after) = match params.after.as_str() {
        "" => (params.exactly()?, None),
        _ if !matches!(params.resource_version.as_str(), "" | "0") => {
            let message = "specifying resource version is not allowed when using continue";
            return Err(Status::failure(Reason::BadRequest, message));
        }
        token => {
            let place = Place::read(token).ok_or_else(|| {
                Status::failure(Reason::BadRequest, "continue key is not valid: it was not given by this server")
            })?;
            (Some(place.revision), Some((place.namespace, place.name)))
        }
    };
    let page = api.host.look(|server| server.page(&query, revision, after.as_ref(), params.limit))?;
    let mut further = Vec::new();
    if let (true, Some(last)) = (page.left > 0, page.items.last()) {
        let key = last.key();
        let place = Place { revision: page.revision, namespace: key.namespace, name: key.name };
        further.push(("continue", format!("\"{}\"", place.token())));
        // Source: `meta/v1.ListMeta`: what follows is not counted where a selector would have to be evaluated.
        if query.labels.is_empty() && query.fields.0.is_empty() {
            further.push(("remainingItemCount", page.left.to_string()));
        }
    }
    Ok(shown.list(page.revision, &further, &page.items))
}

/// Where a part of a list ended, which the client carries to the next request.
struct Place {
    revision: Revision,
    namespace: Text,
    name: Text,
}

impl Place {
    /// Letters and digits, so that it passes through every URL as it is.
    fn token(&self) -> String {
        let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("{}z{}z{}", self.revision, hex(&self.namespace), hex(&self.name))
    }

    fn read(token: &str) -> Option<Self> {
        let text = |hex: &str| {
            let digits = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
            let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(digits).collect();
            String::from_utf8(bytes?).ok()
        };
        let mut parts = token.split('z');
        let (revision, namespace, name) = (parts.next()?.parse().ok()?, text(parts.next()?)?, text(parts.next()?)?);
        parts.next().is_none().then(|| Place {
            revision: Revision(revision),
            namespace: namespace.as_str().into(),
            name: name.as_str().into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_and_nothing_else() {
        let place = Place { revision: Revision(7), namespace: "default".into(), name: "a-ü".into() };
        let read = Place::read(&place.token()).unwrap();
        assert_eq!((read.revision, &*read.namespace, &*read.name), (Revision(7), "default", "a-ü"));
        for wrong in ["x", "7", "7z6", "7zz", "7z61z62z63", "7z\u{fc}\u{fc}z", "z61z61"] {
            assert!(wrong == "7zz" || Place::read(wrong).is_none(), "{wrong}");
        }
    }
}
