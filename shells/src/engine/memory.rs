//! An engine that forgets: for tests, and for trying things out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Engine, EngineError, Outcome, Write};

/// Keys in memory. The slow, obvious version that the others must agree with.
#[derive(Debug, Default)]
pub struct Memory {
    revision: u64,
    entries: BTreeMap<String, (u64, Arc<[u8]>)>,
}

impl Engine for Memory {
    fn load(&mut self, each: &mut dyn FnMut(&str, u64, &[u8])) -> Result<u64, EngineError> {
        for (key, (revision, value)) in &self.entries {
            each(key, *revision, value);
        }
        Ok(self.revision)
    }

    fn commit(&mut self, batch: &[Write]) -> Vec<Outcome> {
        let judge = |write: &Write| {
            let actual = self.entries.get(&write.key).map_or(0, |(revision, _)| *revision);
            if actual != write.expect {
                return Outcome::Conflict { actual };
            }
            self.revision += 1;
            match &write.value {
                Some(value) => self.entries.insert(write.key.clone(), (self.revision, value.clone())),
                None => self.entries.remove(&write.key),
            };
            Outcome::Committed { revision: self.revision }
        };
        batch.iter().map(judge).collect()
    }
}
