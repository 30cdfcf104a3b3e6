//! The simulator: miniku's own programs on a virtual clock, hurt and judged.
//!
//! A run is a function of its seed and its plan: the same two give the same trace, byte for byte. The programs are
//! those of the daemons, made by the same constructors; this crate adds what programs are not: time, links, a disk,
//! machines and their processes, operators and faults.
//!
//! ```
//! use miniku_sim::{cluster::Cluster, plan::{self, Plan}};
//! use miniku_core::time::{Duration, Instant};
//!
//! let mut plan = Plan::default();
//! plan.ask(Duration::from_secs(1), plan::create(plan::replica_set("web", 3, "")));
//! let mut world = Cluster::whole(7, 2).begin(&plan);
//! world.run_until(Instant::default() + Duration::from_secs(30));
//! assert_eq!(world.violation(), None);
//! assert_eq!(world.truth().active("web").count(), 3);
//! ```
//!
//! Where to look: [`world`] is the event loop, [`cluster`] puts programs together, [`plan`] says what is done to them
//! and [`noise`] how long things take, [`runtime`] and [`disk`] are the machines, [`truth`] is what is really so,
//! [`told`] what clients could know of it, [`invariants`] what must always be so, [`trace`] what is told, [`report`] the
//! page of it, [`scenario`] stories as files, [`library`] those that come with the simulator, [`swarm`] those that are
//! drawn, [`sweep`] those that change one thing everywhere, [`run`](mod@run) the rest.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod compare;
pub mod disk;
pub mod explore;
pub mod invariants;
pub mod library;
pub mod link;
pub mod noise;
pub mod operator;
pub mod plan;
pub mod recorded;
pub mod report;
pub mod run;
pub mod runtime;
pub mod scenario;
pub mod shrink;
pub mod snapshot;
pub mod story;
pub mod swarm;
pub mod sweep;
pub mod told;
pub mod trace;
pub mod truth;
pub mod units;
pub mod usage;
pub mod world;
