//! The texts of objects and keys: compared and handed on far more often than they are made.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU8;
use std::ops::Deref;
use std::sync::Arc;

/// A text that does not change. A short one, as nearly all names are, lies where it is used; a longer one is shared by
/// all that have it, such as the versions of an object.
///
/// Finding a key among ten thousand takes some thirty comparisons. Behind a pointer each of them waits for memory; in
/// place it is one of two numbers. Ordered like `str`, by bytes.
#[derive(Clone)]
pub struct Text(Repr);

#[derive(Clone)]
enum Repr {
    Short(Short),
    /// Longer than [`SHORT`].
    Long(Arc<str>),
}

/// So many bytes lie in place.
const SHORT: usize = 23;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Short {
    bytes: [u8; SHORT],
    /// The length and one, which leaves room to tell this from the other representation.
    end: NonZeroU8,
}

const _: () = assert!(size_of::<Text>() == 24);

impl Short {
    fn of(text: &str) -> Option<Self> {
        let end = NonZeroU8::new(u8::try_from(text.len() + 1).ok()?)?;
        let mut bytes = [0; SHORT];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Short { bytes, end })
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..usize::from(self.end.get()) - 1]
    }

    /// Eight bytes as a number that is ordered like them.
    fn number(&self, from: usize) -> u64 {
        u64::from_be_bytes(*self.bytes[from..].first_chunk().expect("there are eight bytes from here on"))
    }

    /// By numbers that are ordered like the text, no more of them than it takes: what is missing counts as zeros, then the
    /// length decides.
    fn order(&self, other: &Self) -> Ordering {
        let order = |from: usize| self.number(from).cmp(&other.number(from));
        order(0).then_with(|| order(8)).then_with(|| order(SHORT - 8)).then_with(|| self.end.cmp(&other.end))
    }
}

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Short(short) => std::str::from_utf8(short.text()).expect("it was made of a text"),
            Repr::Long(text) => text,
        }
    }

    /// The text's bytes, by which it is ordered. To compare or to count they are enough, and cheaper: [`Text::as_str`] first
    /// checks a text that is kept in place to be UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Short(short) => short.text(),
            Repr::Long(text) => text.as_bytes(),
        }
    }

    /// A number, in decimal digits.
    pub fn decimal(mut number: u64) -> Self {
        let (mut bytes, mut from) = ([0; SHORT], SHORT);
        loop {
            from -= 1;
            bytes[from] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        let digits = SHORT - from;
        bytes.copy_within(from.., 0);
        bytes[digits..].fill(0);
        Text(Repr::Short(Short { bytes, end: NonZeroU8::MIN.saturating_add(digits as u8) }))
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(Short::of(text).map_or_else(|| Repr::Long(text.into()), Repr::Short))
    }
}

impl From<&Text> for Text {
    fn from(text: &Text) -> Self {
        text.clone()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text::from(text.as_str())
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Text::from(text.as_str())
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        Text::from(&*text)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl From<&Text> for String {
    fn from(text: &Text) -> Self {
        text.as_str().to_owned()
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Value::from(text.as_str())
    }
}

impl From<&Text> for Value {
    fn from(text: &Text) -> Self {
        Value::from(text.as_str())
    }
}

impl Default for Text {
    fn default() -> Self {
        Text::from("")
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Short(one), Repr::Short(other)) => one == other,
            (Repr::Long(one), Repr::Long(other)) => one == other,
            // Their lengths differ.
            (Repr::Short(_), Repr::Long(_)) | (Repr::Long(_), Repr::Short(_)) => false,
        }
    }
}

impl Eq for Text {}

macro_rules! equal_to {
    ($($other:ty),+) => {
        $(impl PartialEq<$other> for Text {
            fn eq(&self, other: &$other) -> bool {
                let other: &str = other;
                self.as_bytes() == other.as_bytes()
            }
        }

        impl PartialEq<Text> for $other {
            fn eq(&self, other: &Text) -> bool {
                other == self
            }
        })+
    };
}

equal_to!(str, &str, String);

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Repr::Short(one), Repr::Short(other)) => one.order(other),
            _ => self.as_bytes().cmp(other.as_bytes()),
        }
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text::from(text))
            }
        }
        from.deserialize_str(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::{Arbitrary, Gen, quickcheck};

    impl Arbitrary for Text {
        fn arbitrary(g: &mut Gen) -> Self {
            String::arbitrary(g).into()
        }
    }

    #[test]
    fn long_and_short_ones_are_texts() {
        for text in
            ["", "a", "default", "12345678901234567890123", "123456789012345678901234", "größer als man denkt …"]
        {
            assert_eq!(Text::from(text).as_str(), text);
            assert_eq!((Text::from(text).len(), Text::from(text).is_empty()), (text.len(), text.is_empty()));
            assert_eq!(Text::from(text.to_owned()), Text::from(text));
        }
        assert_eq!(format!("{:>3}|{:?}", Text::from("a"), Text::from("b")), "  a|\"b\"");
    }

    quickcheck! {
        fn numbers_are_written_in_digits(number: u64) -> bool {
            let is_right = |number: u64| Text::decimal(number).as_str() == number.to_string();
            is_right(number) && is_right(number % 10) && is_right(u64::MAX)
        }

        fn ordered_like_texts(one: String, other: String, shared: String) -> bool {
            let ordered = |one: &str, other: &str| Text::from(one).cmp(&Text::from(other)) == one.cmp(other);
            ordered(&one, &other)
                && ordered(&format!("{shared}{one}"), &format!("{shared}{other}"))
                && ordered(&shared, &format!("{shared}{one}"))
        }
    }
}
