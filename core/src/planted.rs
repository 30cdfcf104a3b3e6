//! Bugs planted on purpose, to see whether the simulator finds them. Absent without the feature `planted`.
//!
//! Each is a realistic mistake of a few lines at the place where somebody might make it, switched on for one run by
//! [`set`]. A run is stepped by one thread, so the switch is that thread's. Without the feature `planted!(…)` is the
//! constant `false`, and nothing of this file is compiled.
//!
//! Beside these, each row of each decision table can be made to decide as another row of it does: [`swaps`] lists them.

/// Whether this bug is switched on. Constant false without the feature `planted`.
#[cfg(feature = "planted")]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_on($crate::planted::Bug::$bug)
    };
}
#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

#[cfg(feature = "planted")]
pub use table::{Bug, Group, Mistake, Planted, Swap, TABLE, instead_of, is_on, named, set, swaps};

#[cfg(feature = "planted")]
mod table {
    use std::cell::Cell;
    use std::fmt;

    /// What can be switched on.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Mistake {
        /// A bug of [`TABLE`].
        Bug(Bug),
        /// A row that decides as another does.
        Row(Swap),
    }

    /// A row of a decision table that decides like another one of it. As text: `silence/renewed=expired`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Swap {
        table: &'static str,
        row: &'static str,
        like: &'static str,
        at: usize,
        instead: usize,
    }

    impl fmt::Display for Swap {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}/{}={}", self.table, self.row, self.like)
        }
    }

    /// Each row of each decision table, once for each other answer that its table gives.
    pub fn swaps() -> Vec<Swap> {
        let pages = crate::pages::pages();
        let mut swaps = Vec::new();
        for table in pages.iter().flat_map(|page| page.tables()) {
            for (at, row) in table.rows.iter().enumerate() {
                for (instead, other) in table.answers().filter(|(_, other)| other.then != row.then) {
                    swaps.push(Swap { table: table.name, row: row.name, like: other.name, at, instead });
                }
            }
        }
        swaps
    }

    /// Whose mistake it is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Group {
        /// The API server and its store.
        ApiServer,
        /// What all clients of the API server have in common.
        Client,
        /// The scheduler.
        Scheduler,
        /// The ReplicaSet controller.
        ReplicaSet,
        /// The Deployment controller.
        Deployment,
        /// The DaemonSet controller.
        DaemonSet,
        /// The StatefulSet controller.
        StatefulSet,
        /// The Job controller.
        Job,
        /// The CronJob controller.
        CronJob,
        /// The node lifecycle controller.
        NodeLifecycle,
        /// The garbage collector.
        Garbage,
        /// The namespace controller.
        Namespaces,
        /// The endpoints controller.
        Endpoints,
        /// The disruption controller.
        Disruption,
        /// The controller of autoscalers.
        Horizontal,
        /// The kubelet.
        Kubelet,
    }

    /// A row of the table.
    #[derive(Clone, Copy, Debug)]
    pub struct Planted {
        /// Which.
        pub bug: Bug,
        /// Its name, in kebab-case.
        pub name: &'static str,
        /// Whose mistake it is.
        pub group: Group,
        /// The checkers that should catch it, the sharpest first.
        pub expected: &'static [&'static str],
        /// What is wrong.
        pub wrong: &'static str,
    }

    macro_rules! bugs {
        ($($group:ident: { $($bug:ident $name:literal by $($by:literal)+, $wrong:literal;)+ })+) => {
            /// A planted bug.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum Bug {
                $($(#[doc = $wrong] $bug,)+)+
            }

            /// All planted bugs.
            pub const TABLE: &[Planted] = &[$($(
                Planted { bug: Bug::$bug, name: $name, group: Group::$group, expected: &[$($by),+], wrong: $wrong },
            )+)+];
        };
    }

    bugs! {
        ApiServer: {
            UpdateWithoutRevision "update-without-revision" by "S-cas", "an update is granted whatever revision it was made from";
            BindWithoutUid "bind-without-uid" by "S-cas", "a bind for one pod is carried out on another of the same name";
            BindTwice "bind-twice" by "S-cas" "S-bind", "a pod that has a node is bound to another";
            DeleteWithoutUid "delete-without-uid" by "S-cas" "S-final", "a deletion meant for one object removes its successor";
            DeletionPutOff "deletion-put-off" by "S-meta", "a second deletion moves deletionTimestamp to a later time";
            FinalizersIgnored "finalizers-ignored" by "S-final" "S-owner", "a deletion does not wait for finalizers";
            GenerationOnStatus "generation-on-status" by "S-meta", "writing a status raises the generation";
            UidKept "uid-kept" by "S-meta", "an object made again under its name gets the uid it had";
            RevisionFromObjects "revision-from-objects" by "S-mono" "S-durable" "S-list", "after a restart the revision is that of the newest object that is left";
            AckBeforeDurable "ack-before-durable" by "S-durable", "a write is answered before it is on the disk";
            LeavingNotTold "leaving-not-told" by "S-watch", "a watcher does not hear of objects that leave its selection";
            BacklogSkips "backlog-skips" by "S-watch", "a watch that is opened again misses the first change";
            BacklogRepeats "backlog-repeats" by "S-watch", "a watch that is opened again is told the last change twice";
            ExpiredInSilence "expired-in-silence" by "S-watch", "a watch from a forgotten revision begins with what is remembered";
            BookmarkAhead "bookmark-ahead" by "S-watch" "S-durable", "a bookmark counts writes that are still on their way";
            CreateInEndingNamespace "create-in-ending-namespace" by "S-namespace", "objects can be made in a namespace that is being deleted";
            EvictionUnseen "eviction-unseen" by "S-budget", "an eviction is granted by what was counted for another wish";
            EvictionNotCharged "eviction-not-charged" by "S-budget", "an eviction is granted without being written into its budget";
            QuotaUncharged "quota-uncharged" by "S-quota", "what is on its way to the disk does not count against quotas";
            QuotaNotTold "quota-not-told" by "L-stable", "a quota's status does not follow when something goes";
            LimitsNotFilled "limits-not-filled" by "S-limit" "L-stable", "what a container does not say is not taken from its limit range";
            FenceIgnored "fence-ignored" by "S-lease", "a write is admitted whatever became of the lease that it names";
            TermIgnored "term-ignored" by "S-lease", "a lease that its holder took again counts as the one it had";
            TakingNotAwaited "taking-not-awaited" by "S-lease", "a write is admitted while another's taking of the lease is on its way to the disk";
            OrphanIgnored "orphan-ignored" by "S-owner" "S-final", "an owner deleted with Orphan is removed at once, and its children after it";
            FinishedHaveGrace "finished-have-grace" by "S-final", "the deletion of a pod that has finished waits for its node";
            GrantInherited "grant-inherited" by "S-budget", "what was granted for a pod is granted for the next one of its name";
            UnreadyHeld "unready-held" by "S-budget" "expected", "a pod that is not ready is held though just enough others are healthy";
            UnreadyGoFreely "unready-go-freely" by "S-budget", "pods that are not ready are evicted though too few are";
            FirstBudgetCounts "first-budget-counts" by "S-budget", "of several budgets that are about a pod the first alone is asked";
            EvictionUntold "eviction-untold" by "S-budget", "a pod that is evicted does not say that it was made to go";
            HurryIgnored "hurry-ignored" by "S-grace", "a second deletion with less time leaves the first as it is";
            PageRepeatsLast "page-repeats-last" by "S-list" "L-sched", "each page of a list begins with the last object of the one before";
            ClusterIpTwice "cluster-ip-twice" by "S-address", "an address of a service is taken only when the service is stored";
            PodLimitsUnchecked "pod-limits-unchecked" by "S-limit", "limits of whole pods are not looked at";
            DefaultRequestOverLimit "default-request-over-limit" by "S-limit" "S-given", "a request is filled in where a lower limit is said";
            GraceOfThirty "grace-of-thirty" by "S-grace", "a deletion without seconds gives 30, whatever the pod asks for";
            PendingBlocked "pending-blocked" by "S-budget", "a budget is asked for pods that serve nobody";
            ClassValueIgnored "class-value-ignored" by "S-given", "a pod's priority is 0, whatever its class says";
            TolerationsNotGiven "tolerations-not-given" by "S-given", "pods are not given a while on nodes that are unwell";
            QuotaChangeUnheard "quota-change-unheard" by "expected" "L-stable" "S-quota", "a quota whose limits are changed goes on with those it had";
            NamespaceNotAwaited "namespace-not-awaited" by "S-namespace" "expected", "what is made in a namespace does not wait for what is being written about that";
            NamespaceNotNeeded "namespace-not-needed" by "S-namespace", "objects can be made in a namespace that is not there";
            AccountNotAwaited "account-not-awaited" by "S-given", "a pod does not wait for its service account to be written";
            ForegroundIgnored "foreground-ignored" by "S-final" "expected", "what is to be deleted in the foreground is deleted as any other";
            LimitIsNoRequest "limit-is-no-request" by "S-given" "expected", "what a container limits and does not request is not filled in as its request";
        }
        Client: {
            SkipsAfterReconnect "skips-after-reconnect" by "S-mono", "a watch that is opened again starts one revision too late";
            WatchesFromList "watches-from-list" by "S-mono" "expected", "a watch is opened again from the list's revision, not from the last event's";
            NoRelistWhenExpired "no-relist-when-expired" by "expected" "L-stable" "L-silent", "an expired watch is opened again from the same revision";
            FailedListIsEmpty "failed-list-is-empty" by "S-why" "S-count", "a list that fails is taken for an empty one";
            RelistKeepsDeleted "relist-keeps-deleted" by "L-stable" "S-zombie" "expected", "what was deleted during a gap stays in the view after a list";
            RecreatedIsModified "recreated-is-modified" by "L-stable" "S-zombie" "P-total" "S-mono", "an object of the same name and another uid is taken for a change";
            NoExpectations "no-expectations" by "S-victim" "S-count" "L-hot", "what was asked for and is not seen yet is asked for again";
            QueueDropsFailed "queue-drops-failed" by "L-stable" "expected" "L-silent", "what failed once is not tried again";
            LeaseTakenEarly "lease-taken-early" by "S-lease", "a lease is taken before it has run out";
            HolderClockTrusted "holder-clock-trusted" by "S-lease", "how old a renewal is, is told by its holder's clock";
            LeadsOnUnrenewed "leads-on-unrenewed" by "S-lease", "who cannot renew its lease leads on";
            TermKept "term-kept" by "S-lease", "a lease is taken without a new term";
            WritesUnfenced "writes-unfenced" by "S-lease", "a leader's writes do not say by which lease it leads";
            ConflictIsDone "conflict-is-done" by "L-stable" "expected" "L-silent", "a write that met a conflict is not tried again";
            RenewedAtAnswer "renewed-at-answer" by "S-lease", "a renewal counts from when its answer came";
            RenewsBlindly "renews-blindly" by "S-lease", "a lease is not read again when it could not be renewed";
            FencedLeadsOn "fenced-leads-on" by "S-lease", "who is told that its lease is not held leads on";
            LeaseNotGivenBack "lease-not-given-back" by "S-lease", "who leads and is told to end keeps its lease";
            GivesBackOthers "gives-back-others" by "S-lease", "who stands by and is told to end gives back the lease of who leads";
            AnswersForEver "answers-for-ever" by "expected" "L-stable" "L-silent", "an answer that never comes is waited for, for ever";
            ListsForEver "lists-for-ever" by "L-stable" "expected" "L-restart" "L-silent", "a list that is not answered is waited for, for ever";
            AwaitsExactly "awaits-exactly" by "expected" "L-stable", "after a write exactly its revision is waited for, though the view may be beyond it";
        }
        Scheduler: {
            AgeIgnored "age-ignored" by "L-sched", "pods that are as important as others do not wait behind the older ones";
            SpreadNowhere "spread-nowhere" by "S-near", "a node that is in none of the places takes pods that have to be spread over them";
            FreesAtDeletion "frees-at-deletion" by "S-fit" "S-load" "S-prefer", "a pod's room is given away when its deletion begins";
            ForgetsAssumed "forgets-assumed" by "S-fit" "expected" "S-load" "S-prefer", "a pod that is being bound takes no room";
            IgnoresCordon "ignores-cordon" by "S-where", "pods are bound to nodes that are cordoned";
            IgnoresSelector "ignores-selector" by "S-where", "spec.nodeSelector is not looked at";
            IgnoresReadiness "ignores-readiness" by "S-where", "pods are bound to nodes that are not ready";
            NotWokenByRoom "not-woken-by-room" by "expected", "a pod that waits for room does not hear that there is some";
            NotWokenByVictims "not-woken-by-victims" by "expected", "who would fit if others went waits for the next look at all who wait";
            GhostNodes "ghost-nodes" by "L-stable" "expected", "a node that was deleted stays in the cache";
            BindNotRetried "bind-not-retried" by "L-sched" "L-stable" "expected", "a refused bind is not followed by a decision";
            LeavesRoomTaken "leaves-room-taken" by "L-sched" "S-load" "S-prefer", "the room of a pod that goes while it is being bound is not given back";
            FinishedTakeRoom "finished-take-room" by "L-sched" "S-load" "S-prefer", "finished pods take room as long as they are kept";
            UntaintUnnoticed "untaint-unnoticed" by "L-sched" "expected", "a pod that waits is not told that a taint is gone";
            UncordonUnnoticed "uncordon-unnoticed" by "L-sched" "expected", "a pod that waits is not told that a node is open again";
            IgnoresMemory "ignores-memory" by "S-fit", "requests of memory are not looked at";
            PriorityReversed "priority-reversed" by "L-sched", "the least important pod is decided first";
            TakesEndingNodes "takes-ending-nodes" by "S-where", "pods are bound to nodes that are being deleted";
            IgnoresTaints "ignores-taints" by "S-where", "taints of nodes are not looked at";
            IgnoresPorts "ignores-ports" by "S-near", "two pods with the same host port are bound to one node";
            IgnoresSkew "ignores-skew" by "S-near", "topologySpreadConstraints are not looked at";
            IgnoresAntiAffinity "ignores-anti-affinity" by "S-near", "a pod's own required anti-affinity is not looked at";
            AntiAffinityOneSided "anti-affinity-one-sided" by "S-near", "the anti-affinity of pods that are there does not count for those that come";
            IgnoresGates "ignores-gates" by "S-where", "a pod with scheduling gates is bound";
            PreemptsEquals "preempts-equals" by "S-preempt", "pods of the same priority have to go";
            PreemptsAtOnce "preempts-at-once" by "S-preempt", "pods that have to go get no time to end";
            NeverPreempts "never-preempts" by "S-preempt", "preemptionPolicy Never is not looked at";
            PreemptsDearest "preempts-dearest" by "L-sched", "the node where most is lost is chosen";
            PreemptsAll "preempts-all" by "L-sched", "all less important pods of a node go";
            PodAffinityIgnored "pod-affinity-ignored" by "S-near", "required pod affinity is not looked at";
            InitContainersFree "init-containers-free" by "S-fit" "L-sched" "S-load" "S-prefer", "what init containers and the overhead take up is not counted";
            ExtendedIgnored "extended-ignored" by "S-fit" "L-sched", "extended resources are not counted";
            WildcardPortShared "wildcard-port-shared" by "S-near", "a host port on all addresses and one on a single address do not collide";
            CordonBarsTolerant "cordon-bars-tolerant" by "L-sched", "a cordon keeps away also those that tolerate it";
            PreferNoScheduleIgnored "prefer-no-schedule-ignored" by "L-sched" "S-prefer" "expected", "taints that are only to be avoided are not looked at";
            WakesOneOnly "wakes-one-only" by "L-sched" "expected", "of several alike only one hears that there is room";
            RelabelUnnoticed "relabel-unnoticed" by "L-sched" "expected", "a pod that waits is not told that a node has other labels";
            PortLeftUnnoticed "port-left-unnoticed" by "L-sched" "expected", "a pod that waits for a port is not told that it is free";
            BudgetsNotSpared "budgets-not-spared" by "L-sched" "expected", "whether budgets allow it does not matter where pods go for another";
            LeastGivenBackFirst "least-given-back-first" by "L-sched" "expected", "of the pods of a node the less important ones are spared first";
            EvictionNotRetried "eviction-not-retried" by "expected", "a pod that is not heard to go for another is not asked once more";
            ProfilesAlike "profiles-alike" by "S-load" "S-prefer" "expected", "pods that name a profile are scheduled by the strategy of those that name none";
            TakesOthersPods "takes-others-pods" by "S-where", "pods that name another scheduler are bound";
            EphemeralIgnored "ephemeral-ignored" by "S-fit" "expected", "requests of ephemeral-storage are not looked at";
            SpreadHonorsTaints "spread-honors-taints" by "S-near" "expected", "nodes whose taints a pod does not tolerate are never places to spread it over";
            SpreadTaintsUnseen "spread-taints-unseen" by "L-sched" "expected", "nodeTaintsPolicy Honor of a constraint is not looked at";
            SpreadHonorsAffinity "spread-honors-affinity" by "S-near" "expected", "nodeAffinityPolicy Ignore of a constraint is not looked at";
            SpreadAffinityUnseen "spread-affinity-unseen" by "L-sched" "expected", "nodes that a pod does not want are places to spread it over";
            MinDomainsIgnored "min-domains-ignored" by "S-near" "expected", "minDomains of a constraint is not looked at";
            SkewWithoutItself "skew-without-itself" by "S-near" "expected", "a pod does not count itself where it has to be spread";
            PreferredNodesUnseen "preferred-nodes-unseen" by "S-load" "S-prefer" "expected", "preferred node affinity is not looked at";
            PreferencesUnweighed "preferences-unweighed" by "S-load" "S-prefer" "expected", "of preferred node affinity the weights are not looked at";
            LoadReversed "load-reversed" by "S-load" "S-prefer", "with least-allocated the fullest node is preferred";
            RoundRobinStays "round-robin-stays" by "S-load" "expected", "round-robin begins with the node that was chosen last, not after it";
            RoundRobinBegins "round-robin-begins" by "S-load" "expected", "round-robin begins with the first node each time";
            MostIsLeast "most-is-least" by "S-load" "S-prefer" "expected", "with most-allocated the emptiest node is preferred";
            ShapeIgnored "shape-ignored" by "S-load" "S-prefer" "expected", "with requested-to-capacity the fuller node is always preferred, whatever is said";
            DrawsForPods "draws-for-pods" by "S-load" "expected", "what random draws is the same for all nodes";
            SilentWeighNothing "silent-weigh-nothing" by "S-load" "S-prefer", "pods that request nothing count as if they took nothing when nodes are ranked";
            SoftAntiAffinityAttracts "soft-anti-affinity-attracts" by "S-prefer" "L-sched" "expected", "preferred anti-affinity counts for the nodes where those are that a pod had rather be away from";
            NeighboursUnweighed "neighbours-unweighed" by "S-prefer" "L-sched" "expected", "of preferred pod affinity and anti-affinity the weights are not looked at";
            LikingOneSided "liking-one-sided" by "S-prefer" "L-sched" "expected", "what pods that are there prefer does not count for those that come";
            PreferredPodsUnseen "preferred-pods-unseen" by "S-prefer" "L-sched" "expected", "preferred pod affinity and anti-affinity of a pod that comes are not looked at";
            ScheduleAnywayIgnored "schedule-anyway-ignored" by "S-prefer" "expected", "constraints with ScheduleAnyway are not looked at";
            SpreadCountsLeaving "spread-counts-leaving" by "S-prefer" "S-near" "L-sched" "expected", "pods that are being deleted count where others are spread";
            ImagesIgnored "images-ignored" by "S-prefer" "expected", "images that nodes have count for nothing";
            GrowthUnnoticed "growth-unnoticed" by "L-sched" "expected", "who waits does not hear that a node offers more";
            ErrorIsRefusal "error-is-refusal" by "S-fit" "L-sched", "an error of the server is taken for a refusal of a bind, and its room for free";
            InitsSummed "inits-summed" by "L-sched" "expected", "init containers, which run one after the other, count all together";
            FirstNodeUnnoticed "first-node-unnoticed" by "L-sched" "expected", "a pod that waits since there is no node does not hear of the first";
            VolumesUnreached "volumes-unreached" by "S-where" "expected", "from where the volumes of a pod can be reached is not looked at";
            TermsCrossNamespaces "terms-cross-namespaces" by "S-near" "L-sched" "expected", "terms of affinity and spread are about pods of all namespaces";
        }
        ReplicaSet: {
            RandomNames "random-names" by "S-count", "child names differ in each life, so that a creation asked for twice makes twins";
            OneTooMany "one-too-many" by "S-count", "one pod more than is missing is made";
            ReadyVictims "ready-victims" by "S-victim", "ready pods are deleted before those that are not";
            CountsTerminating "counts-terminating" by "L-stable" "expected" "S-victim", "pods that are being deleted count as active";
            AdoptsFromOthers "adopts-from-others" by "S-owner" "S-count", "pods of another controller are adopted";
            NeverAdopts "never-adopts" by "L-stable", "pods with the set's labels and no owner are left alone";
            NeverReleases "never-releases" by "L-stable", "pods that lost the set's labels are kept";
            IgnoresOwnerUid "ignores-owner-uid" by "S-owner" "S-victim" "S-rollout", "pods of a former set of the same name are taken for the set's own";
            RetryNotArmed "retry-not-armed" by "L-stable" "expected", "a creation that has to wait for its turn is not woken";
            StatusEveryTime "status-every-time" by "L-hot" "L-stable", "a status is written whether or not it has changed";
            AdoptsAcrossNamespaces "adopts-across-namespaces" by "S-owner", "a new set adopts pods of other namespaces";
            AdoptsDying "adopts-dying" by "S-owner", "pods that have finished, or are going, are adopted";
            CountsFinished "counts-finished" by "S-victim" "L-stable", "finished pods count as active";
            ReplacesAtOnce "replaces-at-once" by "L-hot", "a pod that fails again and again is replaced at once";
            AvailableTooEarly "available-too-early" by "S-young" "L-stable" "L-hot", "pods that are not ready are told to be available";
            AdoptsUnread "adopts-unread" by "S-named", "a pod is adopted whatever became of it since it was looked at";
            AdoptsUnasked "adopts-unasked" by "S-owner", "pods are adopted without asking whether their owner is still there";
            SpreadReversed "spread-reversed" by "S-victim", "of the pods that are too many those go first that are alone on their node";
            ExpressionsUnheard "expressions-unheard" by "L-stable", "who selects by expressions alone does not hear of orphans";
            AdoptionDropsOwners "adoption-drops-owners" by "S-owner", "whom a set adopts it takes from its other owners";
            TakenAwayAtOnce "taken-away-at-once" by "L-hot", "a pod that is taken away while it waits is replaced at once each time";
            AvailabilityNotAwaited "availability-not-awaited" by "L-stable" "expected", "nobody looks again when a pod has been ready for long enough";
            MadeIsAwaited "made-is-awaited" by "L-stable" "expected", "a pod that has come and gone before its creation is answered is waited for";
            ToldToStopFails "told-to-stop-fails" by "expected", "a pod that ends with an error after it was told to stop counts as one that failed";
            FailureConditionStays "failure-condition-stays" by "L-stable", "that pods were refused is told of when none is missing any more";
            LabelsNotCompared "labels-not-compared" by "L-stable", "pods without all of the template's labels count as fully labelled";
            LostDeletionForgotten "lost-deletion-forgotten" by "S-victim", "a deletion of which nothing was heard is forgotten, and another child chosen";
        }
        Deployment: {
            RollsByWishes "rolls-by-wishes" by "S-rollout", "old pods go by how many are wished, not by how many are available";
            AbsenceRoundedUp "absence-rounded-up" by "S-rollout", "maxUnavailable is rounded up";
            RollbackKeepsRevision "rollback-keeps-revision" by "L-stable", "a set that is the newest again keeps its number";
            RecreateAtOnce "recreate-at-once" by "S-rollout", "Recreate does not wait for the old pods to end";
            HistoryNewestGone "history-newest-gone" by "S-history", "of the old sets that are too many the newest go";
            SaidAnew "said-anew" by "S-since", "a condition that has another reason, and is what it was, is so since then";
            DeadlineIgnored "deadline-ignored" by "L-stable", "a rollout that comes no further is never called overdue";
            ResumeNotSaid "resume-not-said" by "S-rollout", "a deployment that goes on is still said to be paused, so that its rollout is never overdue";
            AnnotationsNotHandedOn "annotations-not-handed-on" by "L-stable", "a replica set does not get its deployment's annotations";
            SetsWithPodsGo "sets-with-pods-go" by "S-history" "expected", "old replica sets that are too many go with the pods that they have";
        }
        DaemonSet: {
            DaemonsIgnoreTaints "daemons-ignore-taints" by "S-daemon", "pods are made for nodes with taints that they do not tolerate";
            DaemonsAllAtOnce "daemons-all-at-once" by "S-daemon", "old pods are replaced on all nodes at once";
            DaemonsStay "daemons-stay" by "L-stable" "expected", "pods stay on nodes that do not take them any more";
            DaemonsBesideLeaving "daemons-beside-leaving" by "S-daemon", "a pod is made while the one before it is leaving";
            DaemonsYoungServe "daemons-young-serve" by "S-young", "minReadySeconds are not looked at";
            SurgeEndsEarly "surge-ends-early" by "S-daemon", "where two may run, the old one is ended before the new one serves";
            LostDaemonsStay "lost-daemons-stay" by "expected" "L-stable", "pods that wait for a node that is gone are left";
            SurgeUnbounded "surge-unbounded" by "S-daemon", "nodes that have two pods already do not count against maxSurge";
            DaemonsOnDeleteRoll "daemons-on-delete-roll" by "S-daemon", "with OnDelete old daemons are replaced all the same";
        }
        StatefulSet: {
            OrdinalsAtOnce "ordinals-at-once" by "S-ordinal", "pods that wait for one another are made without waiting";
            PartitionIgnored "partition-ignored" by "S-ordinal", "an update does not stop at the partition";
            ReplacesTogether "replaces-together" by "S-ordinal", "an update takes all old pods at once";
            CurrentTooEarly "current-too-early" by "S-ordinal", "an update is said to be over when the first pod is of its revision";
            ClaimsNotRetained "claims-not-retained" by "S-claim", "claims of numbers that are not wanted any more go, also where they are to stay";
            ClaimsGoWithSet "claims-go-with-set" by "S-claim", "claims belong to their set, also where they are to outlive it";
            ClaimsMadeOnce "claims-made-once" by "L-stable", "a claim is made together with its pod, or never";
            ClaimsAsMade "claims-as-made" by "L-stable" "expected", "claims go with their set, or stay, as was said when they were made";
            SubdomainNotGiven "subdomain-not-given" by "S-ordinal", "pods do not say that they are found under their set's service";
            UsedRevisionsGo "used-revisions-go" by "S-history", "revisions of stateful and daemon sets that are too many go with no regard to the pods that are of them";
            CurrentRevisionGoes "current-revision-goes" by "S-history" "expected", "the revision that pods below the partition are made of goes while there is none of it";
        }
        Job: {
            CountedWhileHeld "counted-while-held" by "S-job", "a pod that was noted becomes a number though it is held still";
            BackoffLimitEarly "backoff-limit-early" by "S-job", "a job fails one failure too early";
            IndexTwice "index-twice" by "S-job", "a number is given out while a pod has it";
            SuspendKeepsPods "suspend-keeps-pods" by "expected" "L-job", "a job that is suspended keeps its pods";
            StartTimeKept "start-time-kept" by "S-job" "expected", "the time of a job that is resumed goes on from its first start";
            TtlFromStart "ttl-from-start" by "S-job", "for how long a job is kept is counted from its start";
            JobReplacesAtOnce "job-replaces-at-once" by "S-job", "a pod that failed is replaced without a pause";
            StrayLetGoOnce "stray-let-go-once" by "L-stable" "expected", "a pod that a job holds that is gone is let go once, and not again when nothing came of it";
            RestartsOneMore "restarts-one-more" by "S-end", "a job whose containers are restarted in place is tried once more than it may be";
            SuccessCountOneMore "success-count-one-more" by "S-end", "one number more has to succeed than a success policy says";
            CompletionTimeForgotten "completion-time-forgotten" by "S-end", "a job that has succeeded does not say since when";
            FailureCountsLost "failure-counts-lost" by "S-end", "failed pods are let go before those that follow them tell how often their number failed";
        }
        CronJob: {
            CronForgetsLast "cron-forgets-last" by "S-cron", "the last time is told by the jobs that are left alone";
            CronMakesUp "cron-makes-up" by "S-cron" "expected", "each time that was missed has its job, one after the other";
            CronMeets "cron-meets" by "S-cron", "Forbid and Replace are not looked at";
            CronTooLate "cron-too-late" by "S-cron", "startingDeadlineSeconds is not looked at";
            CronNotWoken "cron-not-woken" by "L-cron" "expected", "nobody looks again when the next time of a cron job comes";
            LastSuccessForgotten "last-success-forgotten" by "S-cron", "lastSuccessfulTime is that of the jobs that are still there";
            UnnotedJobsGo "unnoted-jobs-go" by "S-cron", "jobs that are too many go before their cron job tells of their times";
        }
        NodeLifecycle: {
            SmallDisruption "small-disruption" by "expected" "L-evict" "S-brake", "two silent nodes of three are taken for a disruption of the cluster, and no pod leaves them";
            EvictsByForce "evicts-by-force" by "S-ordinal", "pods of silent nodes are removed at once, whether or not they still run";
            EvictsUnconfirmed "evicts-unconfirmed" by "S-evict", "a node is called silent without asking the API server for its lease";
            BrakeOff "brake-off" by "S-brake", "nodes are emptied at the same pace however many are silent";
            NodesClock "nodes-clock" by "S-evict", "the age of a lease is reckoned from the node's own clock";
            EvictionNotCancelled "eviction-not-cancelled" by "S-evict", "a node that is heard again goes on losing its pods";
            QuestionForgotten "question-forgotten" by "L-stable" "expected" "L-silent", "when the API server does not answer, the node's deadline is not set again";
            EmptiesMost "empties-most" by "S-brake", "nodes of a small cluster are emptied while most are silent";
            EmptiesAtOnce "empties-at-once" by "S-brake", "silent nodes are emptied all at once";
            AsksOnce "asks-once" by "S-evict", "before pods are evicted the lease is not looked at again";
            TolerationIgnored "toleration-ignored" by "S-evict", "pods leave a tainted node at once, whatever they tolerate";
            TimeGoesOn "time-goes-on" by "S-evict", "a pod leaves when its time is up, though the taint is gone";
            TaintsStay "taints-stay" by "L-stable", "a node that is well again keeps its taints";
            SilentStayReady "silent-stay-ready" by "L-stable", "pods of silent nodes go on being called ready";
            ForATimeIsForEver "for-a-time-is-for-ever" by "L-evict" "expected", "tolerationSeconds are not looked at";
            UnknownSinceHeard "unknown-since-heard" by "S-since", "a node that falls silent is unknown since it was ready";
            UsualAtWord "usual-at-word" by "expected" "L-evict", "pods stay for the five minutes that all are given on nodes that are unwell";
            ArrivalIgnored "arrival-ignored" by "S-evict" "expected", "for how long a pod may stay is counted from the taint, though it came later";
            StaysTooLong "stays-too-long" by "expected" "L-evict", "of two taints that a pod puts up with for a time the longer time counts";
            UsersTaintsCleared "users-taints-cleared" by "S-others" "expected", "taints that people have put on a node are taken away with those of ours";
            ArrivalOfFormer "arrival-of-former" by "S-evict" "expected", "how long a pod has been on its node is counted from when an earlier one of its name came there";
        }
        Garbage: {
            NotSeenIsGone "not-seen-is-gone" by "S-owner", "an owner that the view does not show is taken to be gone";
            OneGoneIsEnough "one-gone-is-enough" by "S-owner", "an object goes with the first of its owners";
            ForegroundNotWaiting "foreground-not-waiting" by "S-final", "a foreground deletion does not wait for the children";
            LostPodsNotFailed "lost-pods-not-failed" by "expected" "L-stable", "a pod that nobody looks after is removed, and never said to have ended";
            LostPodsKept "lost-pods-kept" by "L-stable" "expected", "pods of nodes that do not exist are left";
            NoQuarantine "no-quarantine" by "S-lost", "pods are removed as soon as the view lacks their node";
            StripsLiveOwners "strips-live-owners" by "S-owner", "with the owners that are gone an object forgets those that live";
            OrphanUncounted "orphan-uncounted" by "S-owner" "expected", "an owner that lets its children go does so as soon as the view shows none";
            OrphansGrandchildren "orphans-grandchildren" by "S-owner" "expected", "what is collected leaves its own children behind";
            FinishedStay "finished-stay" by "L-stable" "expected", "pods that have ended are kept, however many";
            NewestGo "newest-go" by "S-finished", "of the pods that have ended the newest go";
            FailedListReleases "failed-list-releases" by "S-owner" "expected", "a list of children that fails is taken for an empty one";
            LateBoundUnseen "late-bound-unseen" by "expected" "L-stable", "a pod that is bound when its node has gone is not looked at";
        }
        Namespaces: {
            FinalizedWhileLeaving "finalized-while-leaving" by "S-namespace", "a namespace goes while its contents are only on their way out";
            EmptiesSuccessor "empties-successor" by "S-namespace", "what is in a namespace that follows one of the same name is deleted, since the view is behind";
            OldRoundDecides "old-round-decides" by "S-namespace", "what was listed of a namespace that is gone is taken for what is in its successor";
            ListsOnlyPods "lists-only-pods" by "S-namespace", "only pods are looked for in a namespace that is being deleted";
        }
        Endpoints: {
            SliceLabelsKept "slice-labels-kept" by "L-stable", "slices keep the labels that their service had";
            TakesOthersEndpoints "takes-others-endpoints" by "S-endpoints", "Endpoints without a service are deleted, whoever made them";
            EndingServe "ending-serve" by "S-endpoints", "pods that are being deleted are sent new connections";
            TargetPortIgnored "target-port-ignored" by "S-endpoints" "L-stable", "a targetPort that is a number is not looked at";
            ServiceChangeUnheard "service-change-unheard" by "L-stable", "endpoints do not follow a service whose ports are others";
            EndpointsRetryNotArmed "endpoints-retry-not-armed" by "L-stable", "a write of endpoints that failed is not tried again";
        }
        Disruption: {
            CountsUnready "counts-unready" by "S-budget", "pods that are not ready count as healthy";
            GrantsNotCounted "grants-not-counted" by "S-budget", "a pod counts as healthy until its deletion is seen, though its eviction was granted";
            BudgetOverwritten "budget-overwritten" by "S-named" "S-budget", "what was counted is written over what was granted meanwhile";
            ExtendedTakenBack "extended-taken-back" by "S-status", "that a pod goes is taken back by when that was said first, though it was said anew since";
            PartRoundedDown "part-rounded-down" by "S-demand", "of the pods that must be there a part is rounded down";
            ScaleOfPods "scale-of-pods" by "S-demand", "as many pods are expected as there are, not as many as are wanted";
            WishChangeUnheard "wish-change-unheard" by "L-stable" "S-demand" "S-budget" "expected", "a budget does not hear that another number of its pods is wanted";
            GrantNotLookedAt "grant-not-looked-at" by "expected" "L-stable", "nobody looks again whether a pod whose eviction was granted has gone";
        }
        Horizontal: {
            ZeroIsScaled "zero-is-scaled" by "S-scale", "what was scaled to none by hand is scaled up again";
            AutoscalerIgnoresMax "autoscaler-ignores-max" by "S-scale", "the number that metrics ask for is written without regard to bounds and rates";
            AutoscalerNoWindow "autoscaler-no-window" by "S-scale", "what was recommended lately is not looked at: the number follows each measurement";
            AutoscalerCountsUnready "autoscaler-counts-unready" by "S-scale" "expected", "what pods use while they start counts as their work";
            AutoscalerMissingIdle "autoscaler-missing-idle" by "S-scale" "expected", "pods that were not measured count as idle, also on the way down";
            AutoscalerTooFast "autoscaler-too-fast" by "S-scale", "policies of how fast the number may change are not looked at";
            ToleranceIgnored "tolerance-ignored" by "S-scale" "expected" "L-stable", "a number is changed for the least difference to the target";
            DisabledScales "disabled-scales" by "S-scale", "selectPolicy Disabled is not looked at";
            PercentRoundedDown "percent-rounded-down" by "expected" "L-stable", "by how many percent an autoscaler may go up is rounded down to whole pods";
        }
        Kubelet: {
            StopsWhatItFinds "stops-what-it-finds" by "S-why" "L-stable" "expected", "pods found at the start are removed and made anew";
            ForgetsWhatRuns "forgets-what-runs" by "S-zombie" "S-record" "L-stable" "L-restart", "pods found at the start are not looked at";
            ForgetsFinished "forgets-finished" by "S-phase" "S-backoff", "a finished pod's phase is not taken from the API server";
            NoBackoff "no-backoff" by "S-backoff", "a container that ends is started again at once, each time";
            KillsAtOnce "kills-at-once" by "S-grace", "SIGKILL follows SIGTERM without a pause";
            IgnoresPolicy "ignores-policy" by "S-backoff", "every container is restarted as if its policy were Always";
            RetriesForgotten "retries-forgotten" by "S-phase" "L-stable", "how often a start has failed is not remembered over a restart";
            RestartsForgotten "restarts-forgotten" by "S-phase" "S-backoff", "the number of restarts begins at 0 when the kubelet starts";
            StatusToTwin "status-to-twin" by "S-named" "S-status", "a status is written by name, whatever uid and revision have become";
            ReadyTooEarly "ready-too-early" by "S-status", "a container is called ready before it runs";
            RecordBeforeEnd "record-before-end" by "S-record", "a pod's record is removed while its processes live";
            StatusNotRetried "status-not-retried" by "L-stable", "a status that was refused is not written again";
            NodeNotMadeAgain "node-not-made-again" by "L-stable" "expected", "a node that somebody deleted is not registered again";
            HeartbeatStops "heartbeat-stops" by "L-stable" "L-beat", "after a lost answer the lease is not renewed any more";
            GraceOfSpec "grace-of-spec" by "S-grace" "expected", "the grace period of a deletion is not looked at";
            SignalIsSuccess "signal-is-success" by "S-status", "a container that was killed counts as one that has done its work";
            AnyDoneIsDone "any-done-is-done" by "S-status", "a pod has succeeded when its first container has";
            OthersWordsDropped "others-words-dropped" by "S-status", "conditions that others have set are dropped";
            AnyReadyIsReady "any-ready-is-ready" by "S-status", "a pod is ready as soon as one of its containers is";
            EndNotTold "end-not-told" by "S-record", "of a pod that is being deleted nothing is told any more";
            StartFailuresKept "start-failures-kept" by "S-phase" "expected", "failed starts are counted on after a start that succeeded";
            RenewalByClock "renewal-by-clock" by "L-beat" "expected", "a renewal has the time of the node's clock, also if that is the one of the renewal before";
            LastEndStale "last-end-stale" by "S-status", "a restart does not note how the attempt before has ended";
            TransitionKept "transition-kept" by "S-since", "a condition of a pod that changes is so since it was otherwise";
            ForceNotHurried "force-not-hurried" by "S-zombie", "what runs of a pod that is removed has the time that the pod was given";
            HurryUnheard "hurry-unheard" by "expected" "S-grace" "S-zombie", "a container that was asked to end has the time that it was given first";
            AnswerBringsBack "answer-brings-back" by "S-zombie" "L-stable", "a pod that was seen to be gone is there again when a status of it is answered";
            ChangedMeanwhileMissed "changed-meanwhile-missed" by "L-stable" "expected" "L-silent", "what became of the node while an answer about it was awaited is not looked at";
            FormerWordsMissed "former-words-missed" by "S-phase", "how often a start has failed is not taken from what a former life's last words turn out to be";
            GivesUpEarly "gives-up-early" by "S-record", "how a pod has ended is not told once more if that was refused";
            EndsKept "ends-kept" by "expected", "a container that ran for ten minutes goes on in its series of restarts";
            AddedAmountsDropped "added-amounts-dropped" by "S-others" "expected", "what others say that a node has is overwritten by what its kubelet knows";
            StartTimeRenewed "start-time-renewed" by "S-since", "each status says that its kubelet has taken on the pod just now";
            FirstAddressStays "first-address-stays" by "S-reached", "a pod that is made anew goes on telling the address that it had first";
        }
    }

    thread_local! {
        static ON: Cell<Option<Mistake>> = const { Cell::new(None) };
    }

    /// Switches a mistake on for the runs of this thread; all off if absent.
    pub fn set(mistake: Option<Mistake>) {
        ON.set(mistake);
    }

    /// Whether a bug is switched on.
    pub fn is_on(bug: Bug) -> bool {
        ON.get() == Some(Mistake::Bug(bug))
    }

    /// Which row of this table decides where this one matched.
    pub fn instead_of(table: &str, matched: usize) -> usize {
        match ON.get() {
            Some(Mistake::Row(swap)) if swap.at == matched && swap.table == table => swap.instead,
            _ => matched,
        }
    }

    /// The row of this name.
    pub fn named(name: &str) -> Option<&'static Planted> {
        TABLE.iter().find(|row| row.name == name)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::collections::BTreeSet;

        #[test]
        fn names_are_unique_and_one_bug_is_on_at_a_time() {
            let names: BTreeSet<&str> = TABLE.iter().map(|row| row.name).collect();
            assert_eq!(names.len(), TABLE.len());
            for row in TABLE {
                set(Some(Mistake::Bug(row.bug)));
                assert!(TABLE.iter().all(|other| is_on(other.bug) == (other.name == row.name)));
            }
            set(None);
            assert!(TABLE.iter().all(|row| !is_on(row.bug)));
        }

        #[test]
        fn each_row_of_a_table_can_decide_like_another() {
            let swaps = swaps();
            let names: BTreeSet<String> = swaps.iter().map(Swap::to_string).collect();
            assert_eq!(names.len(), swaps.len());
            for swap in swaps {
                set(Some(Mistake::Row(swap)));
                assert_eq!(instead_of(swap.table, swap.at), swap.instead);
                assert_eq!(instead_of(swap.table, swap.instead), swap.instead);
                assert_eq!(instead_of("another", swap.at), swap.at);
            }
            set(None);
        }
    }
}
