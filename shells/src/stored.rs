//! What an engine keeps, as objects. Making them takes several times as long as reading, so as many threads do it as there
//! are processors.

use crate::engine::Engine;
use crate::host::StartError;
use miniku_core::api::object::{Key, Object};
use miniku_core::program::Revision;
use std::{mem, str, thread};

/// So many bytes are made into objects at a time.
const PORTION: usize = 256 << 10;

/// Some of what is kept, in the order of keys.
#[derive(Default)]
struct Portion {
    /// The keys and the values, one after the other.
    bytes: Vec<u8>,
    /// Of each object: where its key ends, where its value ends, and its revision.
    entries: Vec<(usize, usize, u64)>,
}

/// All that the engine keeps, in the order of keys.
pub fn load(engine: &mut dyn Engine) -> Result<(Vec<Object>, Revision), StartError> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let (give, take) = crossbeam_channel::bounded::<(usize, Portion)>(2 * processors);
    thread::scope(|scope| {
        let make = || take.iter().map(|(nth, portion)| (nth, portion.objects())).collect::<Vec<_>>();
        let makers: Vec<_> = (0..processors).map(|_| scope.spawn(make)).collect();
        let (mut nth, mut portion) = (0, Portion::default());
        let mut hand_over = |portion: &mut Portion| {
            nth += 1;
            give.send((nth, mem::take(portion))).expect("the makers go on until there is no more");
        };
        let revision = engine.load(&mut |key, revision, value| {
            portion.add(key, revision, value);
            if portion.bytes.len() >= PORTION {
                hand_over(&mut portion);
            }
        });
        hand_over(&mut portion);
        drop(give);
        let mut made: Vec<_> = makers.into_iter().flat_map(|one| one.join().expect("a maker does not panic")).collect();
        made.sort_by_key(|(nth, _)| *nth);
        let revision = Revision(revision.map_err(StartError::Engine)?);
        let mut objects = Vec::new();
        for (_, some) in made {
            objects.extend(some.map_err(StartError::Content)?);
        }
        Ok((objects, revision))
    })
}

impl Portion {
    fn add(&mut self, key: &str, revision: u64, value: &[u8]) {
        self.bytes.extend_from_slice(key.as_bytes());
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.entries.push((key_end, self.bytes.len(), revision));
    }

    fn objects(&self) -> Result<Vec<Object>, String> {
        let mut start = 0;
        let object = |(key_end, end, revision): &(usize, usize, u64)| {
            let (key, value) = (&self.bytes[start..*key_end], &self.bytes[*key_end..*end]);
            start = *end;
            object(str::from_utf8(key).expect("it was added as text"), *revision, value)
        };
        self.entries.iter().map(object).collect()
    }
}

fn object(key: &str, revision: u64, value: &[u8]) -> Result<Object, String> {
    let parsed: Key = key.parse()?;
    let mut object = Object::decode(parsed.kind, value).map_err(|error| format!("{key}: {error}"))?;
    if object.key() != parsed {
        return Err(format!("{key}: it calls itself {}", object.key()));
    }
    // In place: nobody else has it, and there may be a hundred thousand.
    object.edit_meta(|meta| meta.resource_version = revision.to_string());
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::Memory;
    use crate::engine::{Outcome, Write};

    fn engine(pods: usize, odd: Option<(usize, &str)>) -> Memory {
        let mut engine = Memory::default();
        let write = |nth: usize| {
            let name = format!("pod-{nth:05}");
            let said = odd.filter(|(at, _)| *at == nth).map_or(name.as_str(), |(_, said)| said);
            let pod = format!(r#"{{"metadata":{{"name":"{said}","namespace":"default"}}}}"#);
            Write { key: format!("pods/default/{name}"), expect: 0, value: Some(pod.into_bytes().into()) }
        };
        let outcomes = engine.commit(&(0..pods).map(write).collect::<Vec<_>>());
        assert!(outcomes.iter().all(|one| matches!(one, Outcome::Committed { .. })));
        engine
    }

    #[test]
    fn everything_comes_back_in_its_order() {
        for pods in [0, 1, 20_000] {
            let (objects, revision) = load(&mut engine(pods, None)).unwrap();
            assert_eq!((objects.len(), revision), (pods, Revision(pods as u64)));
            for (nth, object) in objects.iter().enumerate() {
                assert_eq!(
                    (object.meta().name.as_str(), object.revision()),
                    (&*format!("pod-{nth:05}"), Revision(nth as u64 + 1))
                );
            }
        }
    }

    #[test]
    fn what_is_not_what_its_key_says_is_told() {
        let Err(StartError::Content(told)) = load(&mut engine(20_000, Some((12_345, "other")))) else {
            panic!("it was taken")
        };
        assert_eq!(told, "pods/default/pod-12345: it calls itself pods/default/other");
    }
}
