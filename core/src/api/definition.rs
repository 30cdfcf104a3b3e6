//! What a CustomResourceDefinition must be like to be stored, and what becomes of one.
//!
//! A definition is served as soon as it is stored, if its names are free: nobody else is asked. Of two that claim one name
//! the first has it, and the other waits until it is given up. One that is deleted goes after all objects of its kind.
//!
//! Source: `apiextensions-apiserver`, `pkg/apis/apiextensions/validation`, `v1/defaults.go`,
//! `pkg/controller/status/naming_controller.go` and `pkg/controller/finalizer/crd_finalizer.go`.

use crate::api::custom::{CustomResourceDefinition, DefinitionCondition, DefinitionStatus, Names, Scale, Version};
use crate::api::jsonpath::is_path;
use crate::api::meta::Time;
use crate::api::names::{NOT_A_SUBDOMAIN, is_dns_subdomain};
use crate::api::object::Object;
use crate::api::status::FieldError;
use crate::api::text::Text;
use crate::api::validation::{At, Rules};
use crate::schema::structural::structural;
use serde::Deserialize;
use std::collections::BTreeSet;

/// Names that follow from others, and the status of a definition that nobody has judged yet.
pub fn set_defaults(object: &mut Object) {
    object.edit_as(|definition: &mut CustomResourceDefinition| {
        let names = &mut definition.spec.names;
        if names.singular.is_empty() {
            names.singular = names.kind.to_lowercase().into();
        }
        if names.list_kind.is_empty() && !names.kind.is_empty() {
            names.list_kind = format!("{}List", names.kind).into();
        }
        let status = &mut definition.status;
        if let Some(kept) = definition.spec.versions.iter().find(|version| version.storage)
            && !status.stored_versions.contains(&kept.name)
        {
            status.stored_versions.push(kept.name.clone());
        }
        if !status.conditions.iter().any(|one| one.kind == NAMES_ACCEPTED) {
            let created = definition.metadata.creation_timestamp;
            accept(definition, &Claimed::default(), created);
        }
    });
}

const NAMES_ACCEPTED: &str = "NamesAccepted";
const ESTABLISHED: &str = "Established";
const TERMINATING: &str = "Terminating";

/// The finalizer under which a definition waits for the objects of its kind to go.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Names that definitions of one group have.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Plurals, singulars and short names.
    resources: BTreeSet<Text>,
    /// Kinds, and those of their lists.
    kinds: BTreeSet<Text>,
}

impl Claimed {
    /// Takes in the names that a definition has.
    pub fn add(&mut self, definition: &CustomResourceDefinition) {
        let names = &definition.status.accepted_names;
        let resources = [&names.plural, &names.singular].into_iter().chain(&names.short_names);
        self.resources.extend(resources.filter(|name| !name.is_empty()).cloned());
        let kinds = [&names.kind, &names.list_kind].into_iter();
        self.kinds.extend(kinds.filter(|name| !name.is_empty()).cloned());
    }
}

/// Gives a definition those of its names that are free, and says what became of it. Once established it stays so, under the
/// names that it has.
pub fn accept(definition: &mut CustomResourceDefinition, claimed: &Claimed, now: Option<Time>) {
    let (wanted, status) = (&definition.spec.names, &mut definition.status);
    let has = &mut status.accepted_names;
    let mut conflict = None;
    let mut take = |has: &mut Text, wanted: &Text, claimed: &BTreeSet<Text>, reason: &'static str| {
        if has != wanted && claimed.contains(wanted) {
            conflict = Some((reason, in_use(wanted)));
        } else {
            has.clone_from(wanted);
        }
    };
    take(&mut has.plural, &wanted.plural, &claimed.resources, "PluralConflict");
    take(&mut has.singular, &wanted.singular, &claimed.resources, "SingularConflict");
    let taken = wanted.short_names.iter().filter(|name| !has.short_names.contains(name));
    let taken: Vec<String> = taken.filter(|name| claimed.resources.contains(*name)).map(in_use).collect();
    let short = match taken.as_slice() {
        [] => {
            has.short_names.clone_from(&wanted.short_names);
            None
        }
        [one] => Some(one.clone()),
        several => Some(format!("[{}]", several.join(", "))),
    };
    let mut later = None;
    let mut take = |has: &mut Text, wanted: &Text, reason: &'static str| {
        if has != wanted && claimed.kinds.contains(wanted) {
            later = Some((reason, in_use(wanted)));
        } else {
            has.clone_from(wanted);
        }
    };
    take(&mut has.kind, &wanted.kind, "KindConflict");
    take(&mut has.list_kind, &wanted.list_kind, "ListKindConflict");
    has.categories.clone_from(&wanted.categories);
    // The last that is found is told.
    let conflict = later.or(short.map(|message| ("ShortNamesConflict", message))).or(conflict);
    let established = status.conditions.iter().any(|one| one.kind == ESTABLISHED && one.status == "True");
    let free = conflict.is_none();
    let (reason, message) = conflict.unwrap_or(("NoConflicts", "no conflicts found".into()));
    set(status, NAMES_ACCEPTED, free, reason, &message, now);
    match (established, free) {
        (true, _) => {}
        (false, true) => {
            set(status, ESTABLISHED, true, "InitialNamesAccepted", "the initial names have been accepted", now);
        }
        (false, false) => set(status, ESTABLISHED, false, "NotAccepted", "not all names are accepted", now),
    }
}

/// Says of a definition that is deleted that the objects of its kind go.
pub fn terminating(definition: &mut CustomResourceDefinition, now: Option<Time>) {
    let message = "CustomResource deletion is in progress";
    set(&mut definition.status, TERMINATING, true, "InstanceDeletionInProgress", message, now);
}

/// Lets a definition go, of whose kind nothing is left.
pub fn emptied(definition: &mut CustomResourceDefinition, now: Option<Time>) {
    definition.metadata.finalizers.retain(|finalizer| finalizer != CLEANUP);
    set(&mut definition.status, TERMINATING, false, "InstanceDeletionCompleted", "removed all instances", now);
}

/// Whether a definition waits for the objects of its kind to go.
pub fn is_being_emptied(definition: &CustomResourceDefinition) -> bool {
    definition.metadata.is_deleting() && definition.metadata.finalizers.iter().any(|one| one == CLEANUP)
}

fn in_use(name: &Text) -> String {
    format!("{name:?} is already in use")
}

/// Sets a condition; the time of its last change is that of its `status`.
fn set(status: &mut DefinitionStatus, kind: &str, is: bool, reason: &str, message: &str, now: Option<Time>) {
    let is = if is { "True" } else { "False" };
    let at = status.conditions.iter().position(|one| one.kind == kind).unwrap_or_else(|| {
        status.conditions.push(DefinitionCondition { kind: kind.into(), ..DefinitionCondition::default() });
        status.conditions.len() - 1
    });
    let one = &mut status.conditions[at];
    if one.status != is {
        one.last_transition_time = now;
    }
    (one.status, one.reason, one.message) = (is.into(), reason.into(), message.into());
}

/// Rules for definitions. What has a name is read as what it is.
pub const RULES: Rules = Rules {
    content: |object| {
        if let Some(read) = read(object) {
            object.add(validate(&read));
        }
    },
    change: Some(|new, old| {
        if let (Some(is), Some(was)) = (read(new), read(old)) {
            new.add(changed(&is, &was));
        }
    }),
    ..Rules::ANY
};

fn read(object: &At) -> Option<CustomResourceDefinition> {
    CustomResourceDefinition::deserialize(object.value()).ok()
}

/// What is wrong with a definition.
fn validate(new: &CustomResourceDefinition) -> Vec<FieldError> {
    let spec = &new.spec;
    let mut errors = Vec::new();
    if new.metadata.name != format!("{}.{}", spec.names.plural, spec.group) {
        let rule = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", &new.metadata.name, rule));
    }
    match spec.group.as_str() {
        "" => errors.push(FieldError::required("spec.group", "")),
        group if !is_dns_subdomain(group) => errors.push(FieldError::invalid("spec.group", group, NOT_A_SUBDOMAIN)),
        group if !group.contains('.') => {
            errors.push(FieldError::invalid("spec.group", group, "should be a domain with at least one dot"));
        }
        _ => {}
    }
    names(&spec.names, &mut errors);
    if let Some(strategy) = spec.rest.get("conversion").and_then(|conversion| conversion.get("strategy"))
        && strategy != "None"
    {
        let strategy = strategy.as_str().unwrap_or("");
        errors.push(FieldError::not_supported("spec.conversion.strategy", strategy, ["None".into()]));
    }
    if spec.rest.get("preserveUnknownFields").is_some_and(|value| *value == true) {
        let rule = "must be false in order to use defaults in the schema";
        errors.push(FieldError::invalid("spec.preserveUnknownFields", true, rule));
    }
    versions(new, &mut errors);
    for (nth, stored) in new.status.stored_versions.iter().enumerate() {
        if !spec.versions.iter().any(|version| version.name == *stored) {
            let field = format!("status.storedVersions[{nth}]");
            errors.push(FieldError::invalid(field, stored, "must appear in spec.versions"));
        }
    }
    errors
}

/// What may not become of a definition.
fn changed(new: &CustomResourceDefinition, old: &CustomResourceDefinition) -> Vec<FieldError> {
    let (is, was) = (&new.spec, &old.spec);
    [
        ("spec.group", was.group.as_str(), is.group.as_str()),
        ("spec.scope", was.scope.as_str(), is.scope.as_str()),
        ("spec.names.plural", &was.names.plural, &is.names.plural),
        ("spec.names.kind", &was.names.kind, &is.names.kind),
    ]
    .into_iter()
    .filter(|(_, was, is)| was != is)
    .map(|(field, _, is)| FieldError::invalid(field, is, "field is immutable"))
    .collect()
}

/// Source: `k8s.io/apimachinery/pkg/util/validation`, `dns1035LabelErrMsg`.
const NOT_A_WORD: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// Whether this is a DNS label that begins with a letter. Source: RFC 1035, section 2.3.1.
fn is_word(text: &str) -> bool {
    crate::api::names::is_dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn names(names: &Names, errors: &mut Vec<FieldError>) {
    let mut word = |field: String, text: &str, must: bool| match text {
        "" if must => errors.push(FieldError::required(field, "")),
        text if !is_word(text) && (must || !text.is_empty()) => {
            errors.push(FieldError::invalid(field, text, NOT_A_WORD));
        }
        _ => {}
    };
    word("spec.names.plural".into(), &names.plural, true);
    word("spec.names.singular".into(), &names.singular, false);
    for (list, all) in [("shortNames", &names.short_names), ("categories", &names.categories)] {
        for (nth, one) in all.iter().enumerate() {
            word(format!("spec.names.{list}[{nth}]"), one, true);
        }
    }
    let mixed = format!("may have mixed case, but should otherwise match: {NOT_A_WORD}");
    for (field, kind) in [("spec.names.kind", &names.kind), ("spec.names.listKind", &names.list_kind)] {
        match kind.as_str() {
            "" => errors.push(FieldError::required(field, "")),
            kind if !is_word(&kind.to_ascii_lowercase()) => {
                errors.push(FieldError::invalid(field, kind, mixed.clone()));
            }
            _ => {}
        }
    }
    if !names.kind.is_empty() && names.kind == names.list_kind {
        let rule = "kind and listKind may not be the same";
        errors.push(FieldError::invalid("spec.names.listKind", &names.list_kind, rule));
    }
}

/// Where Kubernetes keeps a schema that all versions share, and says that it is wrong.
const SHARED: &str = "spec.validation.openAPIV3Schema";

fn versions(new: &CustomResourceDefinition, errors: &mut Vec<FieldError>) {
    let all = &new.spec.versions;
    let named: Vec<&str> = all.iter().map(|version| version.name.as_str()).collect();
    if named.iter().collect::<BTreeSet<_>>().len() != named.len() {
        errors.push(FieldError::invalid("spec.versions", &named, "must contain unique version names"));
    }
    if all.iter().filter(|version| version.storage).count() != 1 {
        let rule = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", &named, rule));
    }
    let shared = all
        .first()
        .and_then(Version::open_api)
        .filter(|first| all.iter().all(|version| version.open_api() == Some(*first)));
    if let Some(schema) = shared {
        errors.extend(structural(schema, SHARED));
    }
    for (nth, version) in all.iter().enumerate() {
        let at = format!("spec.versions[{nth}]");
        if !is_word(&version.name) {
            errors.push(FieldError::invalid(format!("{at}.name"), &version.name, NOT_A_WORD));
        }
        if let Some(warning) = version.deprecation_warning.as_ref().filter(|_| !version.deprecated) {
            let rule = "can only be set for deprecated versions";
            errors.push(FieldError::invalid(format!("{at}.deprecationWarning"), warning, rule));
        }
        let place = format!("{at}.schema.openAPIV3Schema");
        match version.open_api() {
            None => errors.push(FieldError::required(place, "schemas are required")),
            Some(schema) if shared.is_none() => errors.extend(structural(schema, &place)),
            Some(_) => {}
        }
        if let Some(paths) = version.scale() {
            scale(paths, &format!("{at}.subresources.scale"), errors);
        }
        columns(version, &format!("{at}.additionalPrinterColumns"), errors);
    }
}

fn scale(paths: &Scale, at: &str, errors: &mut Vec<FieldError>) {
    let selector = paths.label_selector_path.as_deref().unwrap_or("");
    for (name, path, under, must) in [
        ("specReplicasPath", paths.spec_replicas_path.as_str(), &[".spec."][..], true),
        ("statusReplicasPath", &paths.status_replicas_path, &[".status."], true),
        ("labelSelectorPath", selector, &[".spec.", ".status."], false),
    ] {
        let field = format!("{at}.{name}");
        if path.is_empty() {
            if must {
                errors.push(FieldError::required(field, ""));
            }
        } else if !is_path(path) || path.contains('[') {
            errors.push(FieldError::invalid(field, path, "must be a simple json path: names after dots, no arrays"));
        } else if !under.iter().any(|under| path.starts_with(under)) {
            let under: Vec<&str> = under.iter().map(|under| under.trim_end_matches('.')).collect();
            let under = if under.len() > 1 { format!("either {}", under.join(" or ")) } else { under.join("") };
            errors.push(FieldError::invalid(field, path, format!("should be a json path under {under}")));
        }
    }
}

/// Source: `apiextensions-apiserver`, `printerColumnDatatypes` and `customResourceColumnDefinitionFormats`.
const COLUMN_TYPES: &[&str] = &["integer", "number", "string", "boolean", "date"];
const COLUMN_FORMATS: &[&str] = &["int32", "int64", "float", "double", "byte", "date", "date-time", "password"];

fn columns(version: &Version, at: &str, errors: &mut Vec<FieldError>) {
    for (nth, column) in version.columns.iter().enumerate() {
        let field = |name: &str| format!("{at}[{nth}].{name}");
        let words = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        if column.name.is_empty() {
            errors.push(FieldError::required(field("name"), ""));
        }
        match column.kind.as_str() {
            "" => errors.push(FieldError::required(field("type"), "")),
            kind if !COLUMN_TYPES.contains(&kind) => {
                errors.push(FieldError::not_supported(field("type"), kind, words(COLUMN_TYPES)));
            }
            _ => {}
        }
        if !column.format.is_empty() && !COLUMN_FORMATS.contains(&column.format.as_str()) {
            errors.push(FieldError::not_supported(field("format"), &*column.format, words(COLUMN_FORMATS)));
        }
        match column.json_path.as_str() {
            "" => errors.push(FieldError::required(field("jsonPath"), "")),
            path if !path.starts_with('.') || !is_path(path) => {
                errors.push(FieldError::invalid(field("jsonPath"), path, "is not a valid json path"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::custom::definition;
    use crate::api::kinds::Kind;
    use serde_json::{Value, json};

    fn crontabs() -> Value {
        json!({"metadata": {"name": "crontabs.stable.example.com"}, "spec": {
            "group": "stable.example.com", "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"]},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}},
                "subresources": {"scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                "additionalPrinterColumns": [{"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"}]}]}})
    }

    fn stored(value: Value) -> Object {
        let mut object = Object::from_value(Kind::CustomResourceDefinition, value).unwrap();
        set_defaults(&mut object);
        object
    }

    #[test]
    fn a_stored_definition_is_served() {
        let object = stored(crontabs());
        assert_eq!(validate(definition(&object)), []);
        let said = definition(&object);
        assert!(said.is_established());
        assert_eq!((&*said.spec.names.singular, &*said.spec.names.list_kind), ("crontab", "CronTabList"));
        assert_eq!(said.status.accepted_names, said.spec.names);
        assert_eq!(said.status.stored_versions, ["v1"]);
        let mut again = object.clone();
        set_defaults(&mut again);
        assert_eq!(again, object, "nothing is filled in twice");
    }

    #[test]
    fn what_is_wrong_is_told_in_kubernetes_words() {
        let check = |path: &str, value: Value, want: &str| {
            let mut other = crontabs();
            let (parent, name) = path.rsplit_once('/').unwrap();
            other.pointer_mut(parent).unwrap()[name] = value;
            let told: Vec<String> = validate(definition(&stored(other))).iter().map(ToString::to_string).collect();
            assert!(told.iter().any(|one| one.starts_with(want)), "{want}: {told:?}");
        };
        let rule = "metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group";
        check("/metadata/name", json!("x"), rule);
        check("/spec/group", json!("stable"), "spec.group: Invalid value: \"stable\": should be a domain");
        check("/spec/names/kind", json!(""), "spec.names.kind: Required value");
        check("/spec/names/plural", json!("Cron"), "spec.names.plural: Invalid value: \"Cron\": a DNS-1035 label");
        check("/spec/versions", json!([]), "spec.versions: Invalid value: []: must have exactly one version");
        check(
            "/spec/versions/0/storage",
            json!(false),
            "spec.versions: Invalid value: [\"v1\"]: must have exactly one",
        );
        check("/spec/versions/0/name", json!("1"), "spec.versions[0].name: Invalid value: \"1\"");
        let required = "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required";
        check("/spec/versions/0/schema", json!(null), required);
        check(
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
            json!({"type": "object", "properties": {"x": {}}}),
            "spec.validation.openAPIV3Schema.properties[spec].properties[x].type: Required value: must not be empty for specified object fields",
        );
        check(
            "/spec/versions/0/subresources/scale/specReplicasPath",
            json!(".status.x"),
            "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec",
        );
        check(
            "/spec/versions/0/additionalPrinterColumns/0/jsonPath",
            json!("spec"),
            "spec.versions[0].additionalPrinterColumns[0].jsonPath: Invalid value: \"spec\"",
        );
        check(
            "/spec/versions/0/additionalPrinterColumns/0/type",
            json!("text"),
            "spec.versions[0].additionalPrinterColumns[0].type: Unsupported value: \"text\"",
        );
        let webhook = "spec.conversion.strategy: Unsupported value: \"Webhook\": supported values: \"None\"";
        check("/spec/conversion", json!({"strategy": "Webhook"}), webhook);
    }

    #[test]
    fn a_name_belongs_to_the_first_that_claims_it() {
        let first = stored(crontabs());
        let check = |names: Value, want: [&str; 3]| {
            let mut other = crontabs();
            let mut all = json!({"plural": "others", "kind": "Other"});
            crate::patch::merge::merge(&mut all, &names);
            (other["metadata"]["name"], other["spec"]["names"]) = ("others.stable.example.com".into(), all);
            let mut other = definition(&stored(other)).clone();
            other.status = DefinitionStatus::default();
            let mut claimed = Claimed::default();
            claimed.add(definition(&first));
            accept(&mut other, &claimed, None);
            let accepted = other.status.conditions.iter().find(|one| one.kind == NAMES_ACCEPTED).unwrap();
            assert_eq!([&*accepted.status, &*accepted.reason, &*accepted.message], want, "{names}");
            assert_eq!(other.is_established(), want[0] == "True");
            // When the names are given up they are free.
            accept(&mut other, &Claimed::default(), None);
            assert!(other.is_established() && other.status.accepted_names == other.spec.names);
        };
        check(json!({}), ["True", "NoConflicts", "no conflicts found"]);
        check(json!({"kind": "CronTab"}), ["False", "ListKindConflict", "\"CronTabList\" is already in use"]);
        check(
            json!({"kind": "CronTab", "listKind": "Others"}),
            ["False", "KindConflict", "\"CronTab\" is already in use"],
        );
        check(json!({"singular": "crontab"}), ["False", "SingularConflict", "\"crontab\" is already in use"]);
        check(json!({"shortNames": ["x", "ct"]}), ["False", "ShortNamesConflict", "\"ct\" is already in use"]);
        check(
            json!({"shortNames": ["crontabs", "ct"]}),
            ["False", "ShortNamesConflict", "[\"crontabs\" is already in use, \"ct\" is already in use]"],
        );
        // What is established stays so, and keeps the names that it has.
        let mut again = definition(&first).clone();
        again.spec.names.short_names = vec!["taken".into()];
        let mut claimed = Claimed::default();
        claimed.resources.insert("taken".into());
        accept(&mut again, &claimed, None);
        assert!(again.is_established() && again.status.accepted_names.short_names == ["ct"]);
    }

    #[test]
    fn what_is_fixed_cannot_change() {
        let (old, mut new) = (stored(crontabs()), crontabs());
        new["spec"]["scope"] = "Cluster".into();
        let told = changed(definition(&stored(new)), definition(&old));
        assert_eq!(told, [FieldError::invalid("spec.scope", "Cluster", "field is immutable")]);
    }
}
