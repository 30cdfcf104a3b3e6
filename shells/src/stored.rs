//! What an engine keeps, as objects. Making them takes several times as long as reading, so as many threads do it as there
//! are processors. A custom kind is known once its definition has been made, wherever the two stand: definitions come first.

use crate::engine::Engine;
use crate::host::StartError;
use miniku_core::api::kinds::Kind;
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

/// All that the engine keeps: definitions of custom kinds, and then what they may define.
pub fn load(engine: &mut dyn Engine) -> Result<(Vec<Object>, Revision), StartError> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let (give, take) = crossbeam_channel::bounded::<(usize, Portion)>(2 * processors);
    thread::scope(|scope| {
        let make = || take.iter().map(|(nth, portion)| (nth, portion.objects())).collect::<Vec<_>>();
        let makers: Vec<_> = (0..processors).map(|_| scope.spawn(make)).collect();
        let (mut known, mut unknown, mut put_off) = (Portion::default(), Portion::default(), Vec::new());
        let mut nth = 0;
        let mut hand_over = |portion: Portion| {
            nth += 1;
            give.send((nth, portion)).expect("the makers go on until there is no more");
        };
        let (mut definitions, mut last) = (Vec::new(), None);
        let revision = engine.load(&mut |key, revision, value| {
            // Keys of one kind stand together.
            let resource = key.split('/').next().unwrap_or_default();
            if last.as_ref().is_none_or(|(last, _)| last != resource) {
                last = Some((resource.to_owned(), Kind::of_resource(resource)));
            }
            match last.as_ref().and_then(|(_, kind)| *kind) {
                Some(Kind::CustomResourceDefinition) => definitions.push(object(key, revision, value)),
                Some(_) => known.fill(key, revision, value).into_iter().for_each(&mut hand_over),
                None => put_off.extend(unknown.fill(key, revision, value)),
            }
        });
        put_off.extend([known, unknown]);
        put_off.into_iter().for_each(hand_over);
        drop(give);
        let mut made: Vec<_> = makers.into_iter().flat_map(|one| one.join().expect("a maker does not panic")).collect();
        made.sort_by_key(|(nth, _)| *nth);
        let revision = Revision(revision.map_err(StartError::Engine)?);
        let mut objects = definitions.into_iter().collect::<Result<Vec<_>, _>>().map_err(StartError::Content)?;
        for (_, some) in made {
            objects.extend(some.map_err(StartError::Content)?);
        }
        Ok((objects, revision))
    })
}

impl Portion {
    /// Adds an object. What there is so far is returned if that is enough for one portion.
    fn fill(&mut self, key: &str, revision: u64, value: &[u8]) -> Option<Portion> {
        self.bytes.extend_from_slice(key.as_bytes());
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.entries.push((key_end, self.bytes.len(), revision));
        (self.bytes.len() >= PORTION).then(|| mem::take(self))
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
    object.edit_meta(|meta| meta.resource_version = revision.to_string().into());
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
    fn a_custom_kind_is_known_though_its_definition_stands_behind_it() {
        let mut engine = Memory::default();
        let write = |key: &str, value: &str| Write { key: key.into(), expect: 0, value: Some(value.as_bytes().into()) };
        let definition = r#"{"metadata": {"name": "aardvarks.stored.example.com"}, "spec": {"group": "stored.example.com",
            "scope": "Cluster", "names": {"plural": "aardvarks", "kind": "Aardvark"},
            "versions": [{"name": "v1", "served": true, "storage": true}]}, "status": {
            "acceptedNames": {"plural": "aardvarks", "kind": "Aardvark"},
            "conditions": [{"type": "Established", "status": "True"}]}}"#;
        let aardvark = r#"{"apiVersion": "stored.example.com/v1", "kind": "Aardvark", "metadata": {"name": "a"}, "spec": {"x": 1}}"#;
        engine.commit(&[
            write("customresourcedefinitions.apiextensions.k8s.io/aardvarks.stored.example.com", definition),
            write("aardvarks.stored.example.com/a", aardvark),
        ]);
        let (objects, _) = load(&mut engine).unwrap();
        let keys: Vec<String> = objects.iter().map(|object| object.key().to_string()).collect();
        let expected = [
            "customresourcedefinitions.apiextensions.k8s.io/aardvarks.stored.example.com",
            "aardvarks.stored.example.com/a",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn what_is_not_what_its_key_says_is_told() {
        let Err(StartError::Content(told)) = load(&mut engine(20_000, Some((12_345, "other")))) else {
            panic!("it was taken")
        };
        assert_eq!(told, "pods/default/pod-12345: it calls itself pods/default/other");
    }
}
