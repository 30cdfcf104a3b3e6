//! Whose endpoints are kept, and whose are removed.

use crate::api::endpoints::{ENDPOINTS_CONTROLLER, ENDPOINTS_MANAGED_BY};
use crate::api::object::Object;
use crate::api::service::Service;
use crate::{decision_enum, decision_table};

decision_enum! {
    /// What the service is.
    pub enum Kept {
        /// It says by labels which pods are behind it.
        Selects,
        /// It does not say what is behind it.
        ByHand,
        /// It is a name for something elsewhere.
        External,
        /// It is not there.
        Gone,
    }
}

decision_enum! {
    /// The Endpoints of the service's name.
    pub enum Found {
        /// There are none.
        Nothing,
        /// They were made by this controller.
        Ours,
        /// Somebody else made them.
        Others,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// Slices and Endpoints are made to show the service's pods.
        Keep,
        /// They are left as they are.
        Leave,
        /// The Endpoints are deleted; slices go with the service that owns them.
        Remove,
    }
}

decision_table! {
    /// Whether a service's endpoints are kept. Pure and total. Page: `docs/decisions/endpoints.md`.
    pub fn upkeep(service: Kept, endpoints: Found) -> Action, UPKEEP;
    selects:  (Selects, _)               => Keep,   "it is asked for by the selector, whoever made them first";
    by_hand:  (ByHand, _)                => Leave,  "who made the service says what is behind it";
    external: (External, _)              => Leave,  "nothing in the cluster is behind it";
    left:     (Gone, Ours)               => Remove, "they are of no use, and nobody owns them";
    strange:  (Gone, Nothing | Others)   => Leave,  "who made them may need them";
}

impl Kept {
    /// What a service is; absent if there is none.
    pub fn of(service: Option<&Service>) -> Kept {
        match service {
            None => Kept::Gone,
            Some(service) if service.spec.kind == "ExternalName" => Kept::External,
            Some(service) if service.spec.selector.is_empty() => Kept::ByHand,
            Some(_) => Kept::Selects,
        }
    }
}

impl Found {
    /// Whose the Endpoints are.
    pub fn of(endpoints: Option<&Object>) -> Found {
        match endpoints {
            None => Found::Nothing,
            Some(_) if planted!(TakesOthersEndpoints) => Found::Ours,
            Some(one) if one.meta().labels.get(ENDPOINTS_MANAGED_BY).is_some_and(|by| by == ENDPOINTS_CONTROLLER) => {
                Found::Ours
            }
            Some(_) => Found::Others,
        }
    }
}
