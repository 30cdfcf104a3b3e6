//! Amounts of resources: `100m`, `128Mi`, `0.5`, `1e3`.
//!
//! Source: Kubernetes, `resource.Quantity` ("Quantity is a fixed-point representation of a number").

use crate::api::structs::Field;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::cmp::Ordering;
use std::fmt;

/// An amount, exact to a billionth, which remembers how its author wrote it.
///
/// Equality and order are those of the amount: `1` and `1000m` are equal.
#[derive(Clone, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    text: String,
}

impl Quantity {
    /// So many whole units, for example bytes.
    pub fn whole(units: u64) -> Self {
        Quantity { nanos: i128::from(units) * NANOS, text: units.to_string() }
    }

    /// So many thousandths, for example of a processor.
    pub fn milli(thousandths: u64) -> Self {
        let text = match thousandths % 1000 {
            0 => (thousandths / 1000).to_string(),
            _ => format!("{thousandths}m"),
        };
        Quantity { nanos: i128::from(thousandths) * (NANOS / 1000), text }
    }

    /// Thousandths, rounded up; `u64::MAX` beyond it, 0 if negative.
    pub fn milli_value(&self) -> u64 {
        saturate(self.nanos, NANOS / 1000)
    }

    /// Whole units, rounded up; `u64::MAX` beyond it, 0 if negative.
    pub fn value(&self) -> u64 {
        saturate(self.nanos, NANOS)
    }

    /// Whether the amount is one of whole units.
    pub fn is_whole(&self) -> bool {
        self.nanos % NANOS == 0
    }

    /// Whether the amount is zero.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whether the amount is below zero.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }
}

const NANOS: i128 = 1_000_000_000;

fn saturate(nanos: i128, unit: i128) -> u64 {
    u64::try_from((nanos.max(0) + unit - 1) / unit).unwrap_or(u64::MAX)
}

impl std::str::FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no quantity: expected a number with one of m k M G T P E Ki Mi Gi Ti Pi Ei or an exponent"
            )
        };
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let digits_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(digits_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 30 {
            return Err(wrong());
        }
        let (multiplier, divisor): (i128, i128) = match suffix {
            "" => (1, 1),
            "n" => (1, NANOS),
            "u" => (1, 1_000_000),
            "m" => (1, 1_000),
            "k" => (1_000, 1),
            "M" => (1_000_000, 1),
            "G" => (1_000_000_000, 1),
            "T" => (1_000_000_000_000, 1),
            "P" => (1_000_000_000_000_000, 1),
            "E" => (1_000_000_000_000_000_000, 1),
            "Ki" => (1 << 10, 1),
            "Mi" => (1 << 20, 1),
            "Gi" => (1 << 30, 1),
            "Ti" => (1 << 40, 1),
            "Pi" => (1 << 50, 1),
            "Ei" => (1 << 60, 1),
            _ => {
                let exponent = suffix.strip_prefix(['e', 'E']).ok_or_else(wrong)?;
                let exponent: i32 = exponent.parse().map_err(|_| wrong())?;
                match exponent {
                    0..=18 => (10_i128.pow(exponent.unsigned_abs()), 1),
                    -18..=-1 => (1, 10_i128.pow(exponent.unsigned_abs())),
                    _ => return Err(wrong()),
                }
            }
        };
        // At most 30 digits: no overflow.
        let digits =
            whole.bytes().chain(fraction.bytes()).fold(0, |sum: i128, digit| sum * 10 + i128::from(digit - b'0'));
        let scale =
            10_i128.checked_pow(fraction.len() as u32).ok_or_else(wrong)?.checked_mul(divisor).ok_or_else(wrong)?;
        let scaled = digits.checked_mul(multiplier).and_then(|units| units.checked_mul(NANOS)).ok_or_else(wrong)?;
        // Rounded away from zero: a request is never made smaller than it was.
        let nanos = if scale == 1 { scaled } else { (scaled + scale - 1) / scale };
        Ok(Quantity { nanos: if text.starts_with('-') { -nanos } else { nanos }, text: text.to_owned() })
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "0" } else { &self.text })
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Amount;
        impl de::Visitor<'_> for Amount {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity (a string or a number)")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, units: u64) -> Result<Quantity, E> {
                Ok(Quantity::whole(units))
            }
            fn visit_i64<E: de::Error>(self, units: i64) -> Result<Quantity, E> {
                units.to_string().parse().map_err(E::custom)
            }
            fn visit_f64<E: de::Error>(self, units: f64) -> Result<Quantity, E> {
                units.to_string().parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Amount)
    }
}

impl Field for Quantity {
    fn is_absent(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kubernetes_reads() {
        let check =
            |text: &str, milli: u64| assert_eq!(text.parse::<Quantity>().unwrap().milli_value(), milli, "{text}");
        check("100m", 100);
        check("0.5", 500);
        check("1.", 1000);
        check(".25", 250);
        check("2", 2000);
        check("1Ki", 1_024_000);
        check("1.5Gi", 1_610_612_736_000);
        check("1e3", 1_000_000);
        check("12E-1", 1200);
        check("1n", 1);
        check("-1", 0);
        for wrong in ["", "m", "1x", "1.2.3", "1 Gi", "0x10", "1e99", "1mm", "--1", "١"] {
            assert!(wrong.parse::<Quantity>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn equal_amounts_are_equal_however_written() {
        let amount = |text: &str| text.parse::<Quantity>().unwrap();
        assert_eq!(amount("1"), amount("1000m"));
        assert!(amount("1G") < amount("1Gi"));
        assert_eq!(amount("1000m").to_string(), "1000m");
        assert_eq!(Quantity::milli(1500).to_string(), "1500m");
    }
}
