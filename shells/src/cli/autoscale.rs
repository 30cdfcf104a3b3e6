//! `autoscale`: an autoscaler for something that can be scaled.

use crate::cli::Session;
use crate::cli::create::{Dry, DryArgs};
use crate::cli::error::CliError;
use crate::cli::print::{self, Format};
use crate::cli::resource;
use clap::Args;
use miniku_core::api::kinds::Kind;
use serde_json::json;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku autoscale deployment web --min=2 --max=10\n  \
    miniku autoscale rs/web --max=5 --cpu-percent=80";

/// What to scale, and between which bounds.
#[derive(Args, Debug)]
pub struct AutoscaleArgs {
    /// TYPE NAME, or TYPE/NAME
    #[arg(required = true, value_name = "WHAT")]
    pub what: Vec<String>,
    /// No more
    #[arg(long, value_name = "N")]
    pub max: i32,
    /// No fewer; the server's choice if absent
    #[arg(long, value_name = "N")]
    pub min: Option<i32>,
    /// Processor time, in percent of what pods request; the server's choice if absent
    #[arg(long, value_name = "PERCENT")]
    pub cpu_percent: Option<i32>,
    /// The autoscaler's name; the object's if absent
    #[arg(long)]
    pub name: Option<String>,
    /// json, yaml, wide or name; a line if absent
    #[arg(short, long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub output: Format,
    /// How the writing is done.
    #[command(flatten)]
    pub dry: DryArgs,
}

/// Makes autoscalers.
pub fn run(args: &AutoscaleArgs, session: &mut Session) -> Result<(), CliError> {
    if args.max < 1 {
        return Err(CliError::Usage("--max=MAXPODS is required and must be at least 1".into()));
    }
    if let Some(min) = args.min.filter(|min| *min > args.max) {
        let max = args.max;
        return Err(CliError::Usage(format!(
            "--max=MAXPODS must be larger or equal to --min=MINPODS, max: {max}, min: {min}"
        )));
    }
    for key in resource::named(&args.what, &session.cluster)? {
        let row = key.kind.row();
        if !row.has_scale() {
            return Err(CliError::Usage(format!("cannot autoscale a {}: it has no scale", row.singular)));
        }
        // As kubectl, it asks whether there is one to scale.
        session.cluster.get(&key)?;
        let target = json!({"apiVersion": row.api_version(), "kind": row.name, "name": &*key.name});
        let mut spec = json!({"scaleTargetRef": target, "maxReplicas": args.max});
        if let Some(min) = args.min {
            spec["minReplicas"] = min.into();
        }
        if let Some(percent) = args.cpu_percent {
            let target = json!({"type": "Utilization", "averageUtilization": percent});
            spec["metrics"] = json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]);
        }
        let name = args.name.as_deref().unwrap_or(&key.name);
        let autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name, "namespace": &*key.namespace}, "spec": spec});
        let kind = Kind::HorizontalPodAutoscaler;
        let created = match args.dry.dry_run {
            Dry::Client => autoscaler,
            dry => session.cluster.create(kind, &key.namespace, &autoscaler, dry == Dry::Server)?,
        };
        let done = format!("autoscaled{}", args.dry.dry_run.note());
        print::outcome(&mut session.out, &args.output, kind, created, &done)?;
    }
    Ok(())
}
