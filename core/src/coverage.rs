//! Whether interesting things ever happen: `sometimes!(Site)` counts that a place was reached.
//!
//! Nothing reads these counts but who runs the simulator: a program that did would no longer be a function of its
//! inputs. Without the feature `coverage` the macro compiles to nothing. All sites are in one table, so that those that
//! were never reached are known too. A run is stepped by one thread, so the counts are that thread's.

use std::fmt;

/// Counts that this place was reached. Compiled to nothing without the feature `coverage`.
#[macro_export]
macro_rules! sometimes {
    ($site:ident) => {
        $crate::coverage::reached($crate::coverage::Sometimes::$site)
    };
}

macro_rules! sites {
    ($($site:ident $name:literal;)+) => {
        /// A place that should be reached sometimes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sometimes {
            $(#[doc = $name] $site,)+
        }

        impl Sometimes {
            /// All of them, in the order of the table.
            pub const ALL: &[Sometimes] = &[$(Sometimes::$site),+];

            /// What happens there.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Sometimes::$site => $name,)+
                }
            }
        }
    };
}

sites! {
    // The Deployment controller.
    TemplateCollision "the name for a new replica set was taken";
    RolloutOverdue "a rollout took longer than its deadline";
    // The Job controller, and who holds children.
    JobCompleted "a job succeeded";
    JobFailed "a job failed";
    JobBacksOff "a job waited before it made another pod";
    ManyTimesMissed "a cron job had missed more than a hundred times";
    ChildrenCompared "a view was behind for so long that the children were asked for, and it showed them all";
    ChildConfirmed "a status waited until the API server had confirmed what is said in it";
    StrayReleased "a pod was let go whose job was gone";
    // The API server.
    UpdateConflict "an update met a newer revision";
    UpdateOfTwin "an update was meant for a former object of that name";
    BindLostRace "a pod was bound already";
    BindOfTwin "a bind was meant for a former pod of that name";
    BindOfLeaving "a bind met a pod that is being deleted";
    CreateInEndingNamespace "something was to be made in a namespace that is ending";
    DeleteOfTwin "a deletion was meant for a former object of that name";
    DeleteOfNewer "a deletion was meant for an older revision";
    DeletionMarked "a deletion began that others have to finish";
    DeletionHastened "a deletion was hastened";
    DeletionAgain "a deletion under way was asked for again";
    DeletionCompleted "the last finalizer was taken away, and the object went";
    WriteWaits "a write waited for another one of the same object";
    WriteFenced "a write was refused since its sender does not lead any more";
    WriteFailed "a write could not be stored";
    WatchExpired "a watch began before what is remembered";
    WatchOfFuture "a watch began after what is stored";
    WatchCaughtUp "a watch was told of changes since its revision";
    EnteredSelection "an object entered the selection of a watch without being new";
    LeftSelection "an object left the selection of a watch without being gone";
    BookmarkSent "a quiet watch was told how far it has come";
    // Clients.
    LeaderElected "a program was elected";
    LeaderSteppedDown "a leader stopped leading";
    ListFailed "a list failed";
    WatchEnded "a watch ended, and was opened again where it was";
    ExpiredThenRelist "a watch had expired, and was begun with a list";
    RelistFoundDeletion "a list showed that something had gone unseen";
    RelistFoundNothing "a list after a gap showed nothing new";
    SameNameNewUid "an object was followed by another of its name";
    BackoffAtCap "a list-watch waited as long as it ever does";
    CallTimedOut "a call was given up";
    LateAnswer "an answer came to a call that had been given up";
    RetriedMany "something had failed eight times in a row";
    WorkAgainInTime "something was looked at again because of its failure";
    // The scheduler.
    Preempted "pods had to go for a more important one";
    NominatedBound "a pod got the node for which others had gone";
    NoNodeFits "no node took a pod";
    NoNodes "there was no node at all";
    WokenByRoom "a pod that waited was woken by a change of a node";
    BindUnknown "it was not known whether a bind was done";
    BindFoundDone "a bind whose answer was lost had been done";
    BindGivenUp "room was kept for a bind that may still arrive";
    BoundElsewhere "a pod that was being bound turned up on another node";
    PodGoneWhileBound "a pod went while it was being bound";
    NodeGoneWithPods "a node went with pods on it";
    // Replica sets.
    CreateLost "it was not known whether a pod was made";
    CreateExists "a pod that was to be made existed already";
    CreateRefused "a pod could not be made";
    DeleteLost "it was not known whether a pod was deleted";
    PodAdopted "a pod was adopted";
    PodReleased "a pod was let go";
    AdoptionForgone "a set was going when it would have adopted a pod";
    ReplacedLater "a failed pod was not replaced at once";
    ReadyVictim "a ready pod was deleted, since all were ready";
    StatusConflict "a set's status met a conflict";
    CountSettledByList "a list showed what had become of creations";
    // Node lifecycle.
    LateRenewal "a renewal was late, and the node was not called silent";
    NodeCalledSilent "a node was called silent";
    NodeHeardAgain "a silent node was heard again";
    EvictionCancelled "a node was heard again before its pods went";
    NodeTainted "a node was tainted so that its pods have to go";
    PodEvicted "a pod was evicted";
    FullDisruption "no node was heard any more";
    PartialDisruption "many nodes were silent at once";
    BrakeReleased "nodes were heard again after none was";
    StoreNotReached "the API server did not answer whether a node lives";
    HearingLost "it could not hear any node";
    // Disruptions.
    DisruptionTakenBack "a pod that was to go was told that it stays";
    // Garbage and namespaces.
    OwnerNotInView "an owner was not in the view, and was asked for";
    OwnerWasThere "an owner that the view lacked was there";
    OwnerGone "an owner was gone";
    SomeOwnerLives "one owner was gone, and another lived";
    ForegroundBlocked "a foreground deletion waited for its children";
    ForegroundReleased "a foreground deletion was over";
    Orphaned "a child was let go by its owner";
    NodeQuarantined "pods of a missing node were given time";
    LostPodFailed "a pod that nobody looks after any more was said to have failed";
    LostPodRemoved "a pod of a node that does not exist was removed";
    NodeCameBack "a missing node was back before its pods were removed";
    NamespaceEmptied "what is in an ending namespace was deleted";
    NamespaceWaits "an ending namespace waited for what is leaving";
    NamespaceReleased "an empty namespace was let go";
    // The kubelet.
    FoundRunning "a pod was found running at the start";
    FoundOrphan "a pod was found running whose record is gone";
    FoundDead "the remains of a pod were found at the start";
    PodSeenGone "a pod's record was removed while it ran";
    TwinSeen "a pod came under the name of one that still runs";
    RestartDelayed "a container's restart had to wait";
    RestartAtCap "a container's restart waited as long as it ever does";
    RestartPromised "a container was started again";
    StartGivenUp "a container could not be started for the last time";
    StartReportLost "no word came of a start";
    KilledAfterGrace "SIGKILL followed SIGTERM";
    GraceShortened "a deletion was hastened while its pod was being stopped";
    SandboxLost "a pod's sandbox ended under it";
    StatusRefused "a pod's status was refused";
    LateReport "a report about an earlier attempt came late";
    FinishedPodSeen "a finished pod was found in the first list";
    NodeMadeAgain "a node that was deleted was registered again";
    LeaseAnswerLost "a renewal had no answer";
    // The world.
    ReplyLostButDone "an answer was lost, and its write was done";
    RequestLost "a request was lost";
    ReplyTwice "an answer came twice";
    NothingHeard "nobody said that no answer would come";
    ToldToEnd "a program was told to end";
    ConnectionReset "a request was under way when the API server died";
    UnsyncedLost "writes were lost with the API server";
    UnsyncedKept "writes were kept that nobody was told of";
    DiskFullHealed "the disk had room again after it was full";
    HalfDone "a program died between two of its outputs";
    NodeLostPower "a machine died with processes on it";
    DeafWatch "a watch broke since nothing came through";
    ClockAskew "a machine's clock was wrong";
}

/// How often each place was reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Counts([u64; Sometimes::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Counts([0; Sometimes::ALL.len()])
    }
}

impl Counts {
    /// How often a place was reached.
    pub fn of(&self, site: Sometimes) -> u64 {
        self.0[site as usize]
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Counts) {
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count += more;
        }
    }

    /// Counts a run at most once for each place, to know in how many runs it was reached.
    pub fn once(&self) -> Counts {
        Counts(self.0.map(|count| count.min(1)))
    }

    /// All places with their counts, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (Sometimes, u64)> {
        Sometimes::ALL.iter().map(|site| (*site, self.of(*site)))
    }

    /// The places that were never reached.
    pub fn unreached(&self) -> impl Iterator<Item = Sometimes> {
        self.iter().filter(|(_, count)| *count == 0).map(|(site, _)| site)
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().filter(|(_, count)| *count > 0)).finish()
    }
}

#[cfg(feature = "coverage")]
mod counting {
    use super::{Counts, Sometimes};
    use std::cell::Cell;

    thread_local! {
        static REACHED: [Cell<u64>; Sometimes::ALL.len()] = const { [const { Cell::new(0) }; Sometimes::ALL.len()] };
    }

    /// Counts that a place was reached.
    pub fn reached(site: Sometimes) {
        REACHED.with(|counts| counts[site as usize].update(|count| count + 1));
    }

    /// What was counted in this thread since the last time.
    pub fn take() -> Counts {
        REACHED.with(|counts| Counts(std::array::from_fn(|at| counts[at].take())))
    }
}

#[cfg(feature = "coverage")]
pub use counting::{reached, take};

/// Counts that a place was reached.
#[cfg(not(feature = "coverage"))]
#[inline(always)]
pub const fn reached(_: Sometimes) {}

/// What was counted in this thread since the last time: nothing, without the feature `coverage`.
#[cfg(not(feature = "coverage"))]
pub fn take() -> Counts {
    Counts::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_place_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Sometimes::ALL.iter().map(|site| site.name()).collect();
        assert_eq!(names.len(), Sometimes::ALL.len());
    }

    #[cfg(feature = "coverage")]
    #[test]
    fn counts_are_taken_once() {
        take();
        sometimes!(DiskFullHealed);
        sometimes!(DiskFullHealed);
        let mut counts = take();
        assert_eq!((counts.of(Sometimes::DiskFullHealed), counts.once().of(Sometimes::DiskFullHealed)), (2, 1));
        assert_eq!(take(), Counts::default());
        counts.add(&counts.clone());
        assert_eq!((counts.of(Sometimes::DiskFullHealed), counts.unreached().count()), (4, Sometimes::ALL.len() - 1));
    }
}
