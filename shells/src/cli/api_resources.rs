//! `api-resources` and `api-versions`: which kinds the server has, and where.

use crate::cli::Session;
use crate::cli::catalog::Resource;
use crate::cli::error::CliError;
use crate::cli::print::plain_table;
use clap::{Args, ValueEnum};
use std::io::Write;

/// The end of `api-resources --help`.
pub const RESOURCES_EXAMPLE: &str = "Examples:\n  miniku api-resources\n  \
    miniku api-resources --api-group=apps --namespaced=true -o name";
/// The end of `api-versions --help`.
pub const VERSIONS_EXAMPLE: &str = "Example:\n  miniku api-versions";

/// Which kinds, and how.
#[derive(Args, Debug)]
pub struct ResourcesArgs {
    /// Only kinds of this group; empty for the core group
    #[arg(long, value_name = "GROUP")]
    pub api_group: Option<String>,
    /// Only kinds whose objects are in namespaces, or only the others
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub namespaced: Option<bool>,
    /// Only kinds with which all of this can be done
    #[arg(long, value_name = "VERBS", value_delimiter = ',')]
    pub verbs: Vec<String>,
    /// Only kinds that are listed with these: all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub categories: Vec<String>,
    /// Leave the headers out
    #[arg(long)]
    pub no_headers: bool,
    /// A table if absent
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<Output>,
}

/// How kinds are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// With what can be done
    Wide,
    /// Their names alone
    Name,
}

/// Lists kinds, in the version that each group prefers.
pub fn resources(args: &ResourcesArgs, session: &mut Session) -> Result<(), CliError> {
    let is_wanted = |one: &&Resource| {
        let row = one.kind.row();
        !one.other_version
            && args.api_group.as_ref().is_none_or(|group| *group == row.group)
            && args.namespaced.is_none_or(|namespaced| namespaced == row.namespaced)
            && args.verbs.iter().all(|verb| one.verbs.contains(verb))
            && args.categories.iter().all(|name| row.categories.contains(&name.as_str()))
    };
    let mut found: Vec<&Resource> = session.cluster.catalog()?.0.iter().filter(is_wanted).collect();
    found.sort_by_key(|one| (one.kind.row().group, one.kind.row().plural));
    if args.output == Some(Output::Name) {
        let names: String = found.iter().map(|one| one.kind.row().resource() + "\n").collect();
        return Ok(session.out.write_all(names.as_bytes())?);
    }
    let wide = args.output == Some(Output::Wide);
    let mut lines = Vec::new();
    if !args.no_headers {
        let columns = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"];
        let more = wide.then_some(["VERBS", "CATEGORIES"]).into_iter().flatten();
        lines.push(columns.into_iter().chain(more).map(str::to_owned).collect());
    }
    for one in found {
        let row = one.kind.row();
        let mut line = vec![
            row.plural.to_owned(),
            row.short.join(","),
            row.api_version(),
            row.namespaced.to_string(),
            row.name.to_owned(),
        ];
        if wide {
            line.extend([one.verbs.join(","), row.categories.join(",")]);
        }
        lines.push(line);
    }
    plain_table(&mut session.out, &lines)
}

/// Lists groups with their versions.
pub fn versions(session: &mut Session) -> Result<(), CliError> {
    let mut versions: Vec<String> =
        session.cluster.catalog()?.0.iter().map(|one| one.kind.row().api_version()).collect();
    versions.sort();
    versions.dedup();
    for version in versions {
        writeln!(session.out, "{version}")?;
    }
    Ok(())
}
